// SPDX-License-Identifier: Apache-2.0

package exchange

import (
	"net/netip"
	"sync/atomic"

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
	TransportUDP
)

func (t Transport) String() string {
	switch t {
	case TransportUnix:
		return "unix"
	case TransportUDP:
		return "udp"
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
	// Comm is the short name of the process that used it first.
	Comm string
	// Wire is nil if what both ends of a connection have in common is not known.
	Wire *Wire
	// Opened is when its first bytes moved, CLOCK_MONOTONIC, ns; 0 if the connection is
	// older than we are.
	Opened uint64
	// ServerName is what the client has looked the server's address up by; "" if that is
	// not known for certain. Party is who is at the other end; nil if not known. The
	// engine fills them in, and notes in Known how far it has got.
	ServerName string
	Party      *Party
	Known      Known

	localAddress, peerAddress string
}

// Wire is a connection on which both ends are on this node, or may be; they share it.
type Wire struct {
	// Key is made in the kernel.
	Key uint64
	// Ends is how many have been seen.
	Ends atomic.Int32
	// Since is when the first one was, CLOCK_MONOTONIC, ns.
	Since uint64

	users [2]atomic.Uint32 // the server's process, the client's
}

// otherEndWithin is how long the other end of a new connection is waited for, ns.
const otherEndWithin = 500e6

// Shared reports whether the other end is, or may be, on this node, as far as is known at
// a time (CLOCK_MONOTONIC, ns). A nil Wire is not.
func (w *Wire) Shared(now uint64) bool {
	return w != nil && (w.Ends.Load() > 1 || now < w.Since+otherEndWithin)
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

// Broken reports whether the connection did not end in order.
func (f Failure) Broken() bool { return f == FailureReset || f == FailureTimeout }

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

// Method says how the request that an exchange was made for was found: the
// values of bpf/record.h, enum parent_method.
type Method uint8

const (
	MethodNone Method = iota
	MethodConnection
	MethodTCPOption
	MethodThread
	MethodGoroutine
	MethodParentGoroutine
	MethodWaitingGoroutine
	MethodEventLoop
	MethodConnect
	MethodWakeup
	MethodTask
	// From here on the evidence is enough for a link only.
	MethodAfterResponse
	MethodAmbiguous
	// MethodHeader: the request itself named its parent. Not of the kernel.
	MethodHeader
)

// IsLink reports whether the other request is to be linked, not a parent.
func (m Method) IsLink() bool { return m == MethodAfterResponse || m == MethodAmbiguous }

var methods = [...]string{
	"", "connection", "tcp_option", "thread", "goroutine", "parent_goroutine", "waiting_goroutine", "event_loop",
	"connect", "wakeup", "task", "after_response", "ambiguous", "header",
}

// String is the value of the ebpf.parent.method attribute; "" for MethodNone.
func (m Method) String() string {
	if int(m) < len(methods) {
		return methods[m]
	}
	return ""
}

// Identity is what the kernel settled about a request at the moment it moved:
// numbers, unique on this host, of requests, of which package causality makes
// ids. 0 stands for none.
type Identity struct {
	// Seed is the request's own, Trace that of the first request of its trace,
	// Parent that of the request it was made for, as Method says. For links
	// Parent is the linked request and Linked the first one of its trace.
	Seed, Trace, Parent, Linked uint64
	// Peer is what the server's end of the connection gives the same request, as far
	// as the client's has to tell of it; on the server's end, another name that the
	// client's may have for it.
	Peer   uint64
	Method Method
}

// Learn takes over what the kernel knows by the time of the response: a client's
// end may have been slower than the server.
func (id *Identity) Learn(later *Identity) {
	if later.Parent == 0 || id.Parent == later.Parent && id.Trace == later.Trace {
		return
	}
	id.Parent, id.Trace, id.Method = later.Parent, later.Trace, later.Method
}

// Context is an exchange's place in a trace, settled when it ends.
type Context struct {
	TraceID pcommon.TraceID
	SpanID  pcommon.SpanID
	// ParentID is zero for the root of a trace.
	ParentID pcommon.SpanID
	Method   Method
	// Decided is true if the trace's beginning came with a sampling decision
	// and Sampled is what it says. Random: that the trace id's last seven bytes
	// are random (W3C Trace Context level 2).
	Decided, Sampled, Random bool
	// Remote is true if the parent is known to be in another process.
	Remote bool
	// LinkTraceID and LinkSpanID are zero without a link.
	LinkTraceID pcommon.TraceID
	LinkSpanID  pcommon.SpanID
}

// NotMeasured stands for the absence of a Measured value.
const NotMeasured = ^uint32(0)

// Measured is what the kernel knows about an exchange beyond its bytes. Times
// are in us.
type Measured struct {
	// QueueTime is how long the request's bytes had waited in the socket when a
	// server read them.
	QueueTime uint32
	// ThreadCPU and RunQueue are CPU time of the serving thread, and the time
	// it waited for a CPU, from the request to the response.
	ThreadCPU, RunQueue uint32
	// RTT is the connection's smoothed round trip time; 0 if there is none.
	RTT uint32
	// Retransmits counts packets sent again during the exchange.
	Retransmits uint32
}

// Unmeasured is a Measured without values.
var Unmeasured = Measured{QueueTime: NotMeasured, ThreadCPU: NotMeasured, RunQueue: NotMeasured}

// Remote is the trace context carried inside the request.
type Remote struct {
	TraceID pcommon.TraceID
	// SpanID is zero if a trace is named but no span of it, as load balancers
	// do in X-Amzn-Trace-Id.
	SpanID pcommon.SpanID
	// Flags are the trace flags of W3C Trace Context.
	Flags byte
	// Valid is true if a well-formed context was present.
	Valid bool
	// Deferred is true if the caller left the sampling decision to others, as
	// formats other than traceparent can; the sampled flag is clear then.
	Deferred bool
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
	Measured   Measured
	// Context is filled by the engine before the signals' builders see the end
	// of the exchange.
	Context Context
	Failure Failure
	Detail  Detail
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

// Link is another span that an exchange has to do with, which is not its parent.
type Link struct {
	TraceID pcommon.TraceID
	SpanID  pcommon.SpanID
	Flags   byte
	State   string
}

// Exporter is a Detail that can be an export of telemetry.
type Exporter interface {
	// ExportsTraces reports whether the request exports traces by OTLP, and whether the
	// response says that they were accepted.
	ExportsTraces() (export, done bool)
}

// Linker is a Detail that knows of such spans: those whose contexts came with the
// messages of a batch.
type Linker interface {
	Links(x *Exchange) []Link
}

// InstrumentKind says what becomes of the values an instrument is given.
type InstrumentKind uint8

const (
	// Histogram: their distribution.
	Histogram InstrumentKind = iota
	// Counter: their sum, which only grows.
	Counter
	// Gauged: the last one.
	Gauged
)

// Instrument is what a protocol records values into.
type Instrument struct {
	Name, Description, Unit string
	Kind                    InstrumentKind
	// Bounds are explicit bucket upper bounds of a histogram, in Unit.
	Bounds []float64
}

// Protocol names a protocol and lists its instruments by role.
type Protocol struct {
	// Name is the key under protocols: in the configuration, e.g. "http".
	Name string
	// Server and Client list what is recorded at the end of an exchange; index 0 is
	// the duration, a histogram.
	Server, Client []Instrument
	// Active is the in-flight up-down counter of servers; an empty Name
	// means there is none.
	Active Instrument
}

// Instruments returns those for a role.
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
