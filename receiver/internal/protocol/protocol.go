// SPDX-License-Identifier: Apache-2.0

// Package protocol is the contract between the connection tracker and the
// protocol parsers: byte streams with gaps in, exchanges out.
//
// A parser sees what one process saw of one connection: segments in the order
// of the calls that moved them. It never sees BPF, files, or other connections.
package protocol

import (
	"errors"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
)

// Direction of bytes as the observed process sees them.
type Direction uint8

const (
	Received Direction = 0
	Sent     Direction = 1
)

// Other is the opposite direction.
func (d Direction) Other() Direction { return d ^ 1 }

func (d Direction) String() string {
	if d == Sent {
		return "sent"
	}
	return "received"
}

// Segment is the bytes one call moved on a connection in one direction, or a
// part of them. It is valid only during the call it is passed to.
type Segment struct {
	Dir Direction
	// Time is when the call finished, First when its first byte moved (they
	// differ for sends). CLOCK_MONOTONIC, ns.
	Time, First uint64
	// Lost is the number of bytes that passed in this direction between the
	// previous segment and this one without being seen at all.
	Lost uint64
	// Offset of the first byte in the direction's stream. Where the connection is
	// older than we are, that begins where we came.
	Offset uint64
	// Len is the number of bytes moved. Data is the prefix of them that was
	// copied (len(Data) <= Len; it may be empty), Tail the last few bytes (at
	// most 8), only present when len(Data) < Len and the end was readable.
	Len  int
	Data []byte
	Tail []byte
	// PID and TID of the calling thread, host pid namespace.
	PID, TID uint32
	// Identity is of the request that starts with this segment; Seed is zero
	// when the kernel did not see a start here. With a server's response, Parent
	// and Trace are the request's as they are known by then.
	Identity exchange.Identity
	// Measured is as of this segment.
	Measured exchange.Measured
	// Wire is the connection's.
	Wire *exchange.Wire
	// Position is that of the first byte as both ends of the connection count.
	Position uint32
}

// End is the end of one direction of a connection.
type End struct {
	// Dir is the direction that ended. Received: the process read EOF or an
	// error. Sent: it shut its sending side down (half-close, or close).
	Dir  Direction
	Time uint64 // CLOCK_MONOTONIC, ns
	// Cause is FailureEOF, FailureReset, FailureTimeout or FailureClosed.
	Cause exchange.Failure
}

// Window is how much of the stream a parser wants copied: wishes, which the
// kernel learns of with a delay of up to the ring's drain interval.
//
// A turn is a run of segments in one direction without one in the other. Of
// every turn the first Sent (or Received) bytes are copied, however they are
// segmented, and after that the first After bytes of each further segment; with
// EverySegment, as much of each as limits.max_payload allows.
type Window struct {
	Sent, Received uint32
	After          uint16
}

// EverySegment is Window.After of parsers that need all bytes.
const EverySegment = 1<<16 - 1

// EveryValue is EverySegment of parsers of RESP: in calls that are larger than that, all
// lines are copied, and of long strings the beginnings.
const EveryValue = 1<<16 - 2

// DefaultWindow is in force until a parser says otherwise.
var DefaultWindow = Window{Sent: 32 << 10, Received: 32 << 10, After: 64}

// ErrMismatch is returned by a parser when the bytes are not its protocol
// (any more). The tracker forgets the verdict and detects anew.
var ErrMismatch = errors.New("bytes do not match the protocol")

// ErrOpaque is returned by a parser when the connection legitimately stopped
// being its protocol (CONNECT, Upgrade): nothing more is to be expected of it.
var ErrOpaque = errors.New("connection switched to another protocol")

// ErrUpgraded is returned by a parser, which is an Upgrader, when the connection goes on
// as another protocol that is known.
var ErrUpgraded = errors.New("connection was upgraded to another protocol")

// Upgrade says how a connection goes on.
type Upgrade struct {
	// Protocol is the name of the protocol, which is a Successor.
	Protocol string
	// Requests is the direction requests travel in.
	Requests Direction
	// Request is one that is still to be answered, in the other protocol. The Sink was
	// told to abandon it: who goes on with it begins it anew.
	Request *exchange.Exchange
	// Rest is how many of the last bytes of the segment's Data are the other
	// protocol's.
	Rest int
}

// Upgrader is a Parser that may return ErrUpgraded.
type Upgrader interface {
	Upgraded() *Upgrade
}

// Successor is a Protocol that connections may be upgraded to.
type Successor interface {
	Resume(h Host, u *Upgrade) Parser
}

// Parser is one protocol on one connection.
type Parser interface {
	// Segment consumes bytes. The error is nil, ErrMismatch or ErrOpaque;
	// after an error the parser is only closed.
	Segment(s *Segment) error
	// End reports the end of one direction; the other may go on.
	End(e End)
	// Close reports that the connection is gone: every exchange still in
	// flight is ended (cause is a real close) or abandoned (FailureNone: the
	// connection was evicted or the engine stops). It is called once.
	Close(time uint64, cause exchange.Failure)
	// Window is asked after calls; it should change rarely.
	Window() Window
}

// Verdict of a detector.
type Verdict uint8

const (
	// Undecided: more bytes may decide.
	Undecided Verdict = iota
	// Rejected: this is not the protocol.
	Rejected
	// Accepted: it is, with RequestDir known.
	Accepted
)

// Evidence is the beginning of both directions of a connection (or of what was
// seen of it, where it is older than we are).
type Evidence struct {
	Role      exchange.Role
	Transport exchange.Transport
	// Bytes by direction; may be empty. Truncated to what was copied.
	Bytes [2][]byte
	// MidStream: the connection existed before it was seen, so the bytes may
	// begin in the middle of a message.
	MidStream bool
}

// Stats are counted by parsers, per protocol and per reader goroutine.
type Stats struct {
	// Resyncs: times the parser lost the message boundaries and found them
	// again. Invalid: messages that were not parseable. Unmatched: responses
	// without a request, or requests whose response was lost.
	Resyncs, Invalid, Unmatched uint64
	// Exchanges ended, by role; counted by the tracker, not by parsers.
	Exchanges [3]uint64
}

// Host is what a parser is given to work with.
type Host struct {
	Connection *exchange.Connection
	Sink       exchange.Sink
	Stats      *Stats
	// Strings is the string table of the goroutine that owns the connection.
	Strings *intern.Table
	// MidStream: the connection is older than we are, or its beginning was not
	// understood.
	MidStream bool
}

// Protocol is a registry entry.
type Protocol interface {
	// Name is the key under protocols: in the configuration.
	Name() string
	// Describe says what the documentation tells of the protocol.
	Describe() Description
	// Detect judges the evidence. It must be cheap: it runs for every new
	// connection of every selected process.
	Detect(e *Evidence) (Verdict, Direction)
	// New makes a parser; requests travel in direction req.
	New(h Host, req Direction) Parser
}

// Datagrams is a Protocol that is spoken in datagrams, too: every segment of a UDP socket
// is one, and the only ones asked about those.
type Datagrams interface {
	Protocol
	Datagrams()
}

// Beginner is a Protocol of which some connections begin in a way that can be told from
// their first bytes, and need everything copied from then on: what would be lost until
// the parser's window is known to the kernel is needed for all that follows.
type Beginner interface {
	Protocol
	// Beginnings are texts of at most 16 bytes, the first 8 of which are enough to be
	// looked at; a NUL in mask leaves a byte out.
	Beginnings() []Beginning
}

// Beginning is the first bytes of a connection, from either end. Mask is as long as
// Bytes, or empty if all of them count.
type Beginning struct {
	Bytes, Mask string
	// Framed: after the first Skip bytes frames of HTTP/2 follow, of which heads are
	// wanted, and what is in them but for large DATA frames.
	Framed bool
	Skip   uint8
	// Values: RESP follows, as with EveryValue.
	Values bool
}

// Ticker is a Parser that is told the time now and then (CLOCK_MONOTONIC, ns), to end
// what will not be answered any more.
type Ticker interface {
	Parser
	Tick(now uint64)
}

// Description is a protocol's row in the documentation, in Markdown.
type Description struct {
	// Title is the protocol's own name, with its versions: "PostgreSQL 3.0 and 3.2".
	Title string
	// Sides: what the spans of servers and of clients are; empty if there are none.
	Server, Client string
	// Evidence is what the detector accepts a connection for.
	Evidence string
	// Capture is how much of the bytes is copied.
	Capture string
}
