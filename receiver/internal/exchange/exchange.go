// SPDX-License-Identifier: Apache-2.0

package exchange

import (
	"net/netip"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/workload"
)

// Role is the side of a connection a process is on. It comes from the socket
// (accepted or connected), never from port numbers; where the socket cannot
// tell (a socketpair) the protocol parser finds it from who sends requests.
type Role uint8

const (
	RoleUnknown Role = iota
	RoleServer
	RoleClient
)

func (r Role) String() string {
	switch r {
	case RoleServer:
		return "server"
	case RoleClient:
		return "client"
	default:
		return "unknown"
	}
}

// Transport is the socket's transport, in the words of network.transport.
type Transport uint8

const (
	TransportTCP Transport = iota
	TransportUnix
)

func (t Transport) String() string {
	if t == TransportUnix {
		return "unix"
	}
	return "tcp"
}

// Connection is one socket endpoint. It outlives every exchange on it. It is
// owned by one reader goroutine and is not safe for concurrent use.
type Connection struct {
	// ID is unique for the lifetime of the engine; made in the kernel.
	ID        uint64
	Role      Role
	Transport Transport
	// Local and Peer are invalid for unix sockets. IPv4-mapped IPv6
	// addresses are already unmapped.
	Local, Peer netip.AddrPort
	// Path is the bound path of a unix socket's server end, without the NUL
	// of abstract names (those begin with '@'). Empty if unnamed.
	Path string
	// NetNS is the inode number of the socket's network namespace.
	NetNS uint32

	localAddress, peerAddress string
}

// LocalAddress is the text of the local IP address, or the unix path. It is
// made once per connection.
func (c *Connection) LocalAddress() string {
	if c.localAddress == "" {
		c.localAddress = c.address(c.Local)
	}
	return c.localAddress
}

// PeerAddress is the text of the peer's IP address, or the unix path.
func (c *Connection) PeerAddress() string {
	if c.peerAddress == "" {
		c.peerAddress = c.address(c.Peer)
	}
	return c.peerAddress
}

func (c *Connection) address(a netip.AddrPort) string {
	if c.Transport == TransportUnix {
		return c.Path
	}
	return a.Addr().String()
}

// Failure says why an exchange has no (complete) response. It is only ever
// set when the end of the connection was really seen.
type Failure uint8

const (
	// FailureNone: the response is complete.
	FailureNone Failure = iota
	// FailureEOF: the peer closed its side before the response was complete.
	FailureEOF
	// FailureReset: the connection was reset (RST, EPIPE).
	FailureReset
	// FailureTimeout: TCP gave up (ETIMEDOUT).
	FailureTimeout
	// FailureClosed: this process closed the connection itself before the
	// response was complete (a client that gave up, a server that hung up).
	FailureClosed
)

// ErrorType is the value of the error.type attribute; "" for FailureNone.
func (f Failure) ErrorType() string {
	switch f {
	case FailureEOF:
		return "eof"
	case FailureReset:
		return "connection_reset"
	case FailureTimeout:
		return "timeout"
	case FailureClosed:
		return "closed"
	default:
		return ""
	}
}

// Identity are the ids of the span this exchange becomes. They are made in the
// kernel at the moment the request moved (or by the parser for the second and
// further requests of one pipelined segment).
type Identity struct {
	TraceID pcommon.TraceID
	SpanID  pcommon.SpanID
	// ParentID is the span this one is a child of, when the kernel knows.
	ParentID pcommon.SpanID
}

// Remote is the W3C trace context carried inside the request.
type Remote struct {
	TraceID pcommon.TraceID
	SpanID  pcommon.SpanID
	Flags   byte
	// Valid is true if a well-formed traceparent was present.
	Valid bool
	// State is the tracestate header's value as received.
	State string
}

// Gauge is one series of an in-flight counter. See Sink.
type Gauge struct{ Value int64 }

// Exchange is one request and its response. It lives from the request's head
// to the end of the response; its owner (a parser) reuses it afterwards, so a
// Sink must not keep it, nor any []byte behind Detail.
type Exchange struct {
	Connection *Connection
	// Workload is filled by the engine before the Sink sees the exchange.
	Workload *workload.Workload
	// PID (thread group id) and TID of the thread that read (server) or
	// wrote (client) the first byte of the request, in the host's pid
	// namespace.
	PID, TID uint32
	// Role is the side this process is on: the connection's role, or what
	// the parser found out where the socket could not tell.
	Role Role
	// Start is the time of the request's first byte, End that of the last
	// byte of the response (or of the failure), as this process saw them.
	// CLOCK_MONOTONIC, ns.
	Start, End uint64
	Identity   Identity
	Remote     Remote
	Failure    Failure
	Detail     Detail
	// InFlight belongs to the metrics aggregator: set in Sink.Begin, used in
	// Sink.End and Sink.Abandon.
	InFlight *Gauge
}

// Detail is the protocol's half of an exchange: what to call the span, which
// attributes it has, which series it counts in. Implementations are reused
// together with their Exchange. All methods are called from the goroutine that
// owns the connection.
type Detail interface {
	// Protocol describes the instruments; the same pointer for every
	// exchange of a protocol.
	Protocol() *Protocol
	// SpanName, kind and status by the semantic conventions.
	SpanName(x *Exchange) string
	SpanKind(x *Exchange) ptrace.SpanKind
	SpanStatus(x *Exchange) ptrace.StatusCode
	PutSpanAttributes(x *Exchange, m pcommon.Map)
	// Suppressed reports whether the traces or metrics signal is switched
	// off for this exchange (routes.ignored_patterns).
	Suppressed(x *Exchange) (traces, metrics bool)
	// AppendMetricKey appends bytes that are equal exactly for exchanges of
	// the same metric attribute set, within one workload, protocol, role.
	AppendMetricKey(x *Exchange, b []byte) []byte
	PutMetricAttributes(x *Exchange, m pcommon.Map)
	// Measure writes one value per instrument of Protocol().Instruments for
	// this role, in their order; NaN where there is nothing to record.
	// values[0] is always the duration in seconds.
	Measure(x *Exchange, values []float64)
	// AppendActiveKey and PutActiveAttributes are the same for the in-flight
	// instrument; called at Begin, when only the request's head is known.
	AppendActiveKey(x *Exchange, b []byte) []byte
	PutActiveAttributes(x *Exchange, m pcommon.Map)
}

// Instrument is one histogram a protocol records into.
type Instrument struct {
	Name, Description, Unit string
	// Bounds are explicit bucket upper bounds, in Unit.
	Bounds []float64
}

// Protocol names a protocol and lists its instruments by role.
type Protocol struct {
	// Name is the key under protocols: in the configuration, e.g. "http".
	Name string
	// Server and Client list histograms; index 0 is the duration.
	Server, Client []Instrument
	// Active is the in-flight up-down counter of servers; an empty Name
	// means there is none.
	Active Instrument
}

// Instruments returns the histograms for a role.
func (p *Protocol) Instruments(r Role) []Instrument {
	if r == RoleClient {
		return p.Client
	}
	return p.Server
}

// Sink receives what parsers find. For every exchange Begin is called once
// when the request's head is complete, then exactly one of End or Abandon.
// Calls for one connection come from one goroutine.
type Sink interface {
	Begin(x *Exchange)
	// End reports a finished exchange: it becomes a span and metric points.
	End(x *Exchange)
	// Abandon takes back Begin for an exchange whose end cannot be known any
	// more (bytes lost, protocol verdict withdrawn). Nothing is reported.
	Abandon(x *Exchange)
}

// TraceID is the trace the span belongs to: the one named in the request, or
// else the kernel's.
func (x *Exchange) TraceID() pcommon.TraceID {
	if x.Remote.Valid {
		return x.Remote.TraceID
	}
	return x.Identity.TraceID
}

// ParentSpanID is the span's parent, or zero if it is a root. The span id
// named in the request is the parent, unless it is this very span: then the
// context in the request is the one made for it and injected on its way out.
func (x *Exchange) ParentSpanID() pcommon.SpanID {
	if x.Remote.Valid && x.Remote.SpanID != x.Identity.SpanID {
		return x.Remote.SpanID
	}
	return x.Identity.ParentID
}
