// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// ping is a protocol for tests: requests begin with "ping", all else is none.
type ping struct{ parsers []*pingParser }

func (*ping) Name() string { return "ping" }

func (*ping) Describe() protocol.Description { return protocol.Description{} }

func (*ping) Detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	undecided := false
	for _, d := range []protocol.Direction{protocol.Received, protocol.Sent} {
		b := e.Bytes[d]
		if bytes.HasPrefix(b, []byte("ping")) {
			return protocol.Accepted, d
		}
		if len(b) < 4 && bytes.HasPrefix([]byte("ping"), b) {
			undecided = undecided || len(b) > 0 || e.MidStream
		}
	}
	if undecided {
		return protocol.Undecided, 0
	}
	return protocol.Rejected, 0
}

func (p *ping) New(h protocol.Host, d protocol.Direction) protocol.Parser {
	q := &pingParser{host: h, requests: d, window: protocol.DefaultWindow}
	p.parsers = append(p.parsers, q)
	return q
}

type pingParser struct {
	host     protocol.Host
	requests protocol.Direction
	log      []string
	window   protocol.Window
	err      error
	closed   []exchange.Failure
}

func (p *pingParser) Segment(s *protocol.Segment) error {
	line := fmt.Sprintf("%v %q", s.Dir, s.Data)
	if s.Len != len(s.Data) {
		line += fmt.Sprintf(" of %d tail %q", s.Len, s.Tail)
	}
	if s.Lost > 0 {
		line += fmt.Sprintf(" after %d lost", s.Lost)
	}
	p.log = append(p.log, line)
	return p.err
}
func (p *pingParser) End(protocol.End)                       {}
func (p *pingParser) Close(_ uint64, cause exchange.Failure) { p.closed = append(p.closed, cause) }
func (p *pingParser) Window() protocol.Window                { return p.window }

// policies records what the kernel is told.
type policies struct{ log []string }

func (p *policies) Capture(c uint64, r, s uint32, after uint16) {
	p.log = append(p.log, fmt.Sprintf("capture %d %d %d %d", c, r, s, after))
}
func (p *policies) Ignore(c uint64, n uint32) {
	p.log = append(p.log, fmt.Sprintf("ignore %d %d", c, n))
}
func (p *policies) Announce(c uint64, _, _ uint32, _ uint16) {
	p.log = append(p.log, fmt.Sprintf("announce %d", c))
}

type nowhere struct{}

func (nowhere) Begin(*exchange.Exchange)   {}
func (nowhere) End(*exchange.Exchange)     {}
func (nowhere) Abandon(*exchange.Exchange) {}

// script drives a tracker with contiguous offsets.
type script struct {
	*Tracker
	ping     *ping
	policies *policies
	offset   [2]uint64
	time     uint64
}

func newScript(midstream bool) *script {
	s := &script{ping: &ping{}, policies: &policies{}}
	s.Tracker = New([]protocol.Protocol{s.ping}, s.policies, nowhere{}, 100)
	s.open(1, midstream)
	return s
}

func (s *script) open(id uint64, midstream bool) {
	s.Open(&Opening{Connection: exchange.Connection{ID: id, Role: exchange.RoleServer}, Midstream: midstream})
}

func (s *script) move(d protocol.Direction, data string) { s.moveN(d, data, len(data), "") }

func (s *script) moveN(d protocol.Direction, data string, n int, tail string) {
	s.time++
	s.Segment(1, s.offset[d], &protocol.Segment{Dir: d, Time: s.time, First: s.time, Len: n, Data: []byte(data), Tail: []byte(tail)})
	s.offset[d] += uint64(n)
}

func (s *script) log() []string {
	if len(s.ping.parsers) == 0 {
		return nil
	}
	return s.ping.parsers[len(s.ping.parsers)-1].log
}

const received, sent = protocol.Received, protocol.Sent

func TestFirstSegmentDecides(t *testing.T) {
	s := newScript(false)
	s.move(received, "ping 1")
	s.moveN(sent, "pong", 100, "end")
	require.Equal(t, []string{`received "ping 1"`, `sent "pong" of 100 tail "end"`}, s.log())
	require.Empty(t, s.policies.log, "the defaults are in force already")
}

func TestSegmentsWaitForTheVerdict(t *testing.T) {
	s := newScript(false)
	for _, b := range []string{"p", "i", "n"} {
		s.move(received, b)
	}
	require.Empty(t, s.ping.parsers)
	s.move(received, "g 1")
	require.Equal(t, []string{`received "p"`, `received "i"`, `received "n"`, `received "g 1"`}, s.log())
}

func TestRejectedIsIgnoredAndSampled(t *testing.T) {
	s := newScript(false)
	s.move(received, "\x16\x03\x01 hello")
	require.Equal(t, []string{"ignore 1 1024"}, s.policies.log)
	// The kernel lets one call in a thousand through.
	s.move(received, "more of it")
	require.Empty(t, s.ping.parsers)
	s.offset[0] += 1 << 20
	s.move(received, "ping 1")
	require.Equal(t, []string{`received "ping 1"`}, s.log(), "what was ignored is not a loss")
	require.Equal(t, "capture 1 32768 32768 64", s.policies.log[len(s.policies.log)-1])
}

func TestLostBytes(t *testing.T) {
	s := newScript(false)
	s.move(received, "ping 1")
	s.offset[0] += 10
	s.move(received, "ping 2")
	require.Equal(t, `received "ping 2" after 10 lost`, s.log()[1])
	require.EqualValues(t, 10, s.Stats().LostBytes)
}

func TestOldConnection(t *testing.T) {
	s := newScript(true)
	s.offset = [2]uint64{1000, 5000}
	s.move(sent, "the middle of a body")
	s.move(sent, "and more")
	s.move(received, "ping 1")
	require.Equal(t, []string{`received "ping 1"`}, s.log(), "from the request on")
}

func TestOldConnectionIsGivenUp(t *testing.T) {
	s := newScript(true)
	for range 2 * maxUndecidedTurns {
		s.move(sent, "nothing")
		s.move(received, "of note")
	}
	require.Contains(t, s.policies.log, "ignore 1 1024")
	require.Empty(t, s.ping.parsers)
}

func TestMismatchIsDetectedAnew(t *testing.T) {
	s := newScript(false)
	for i := range maxMismatches {
		s.move(received, "ping")
		s.ping.parsers[i].err = protocol.ErrMismatch
		s.move(sent, "garbage")
		require.Equal(t, []exchange.Failure{exchange.FailureNone}, s.ping.parsers[i].closed)
	}
	require.Equal(t, fmt.Sprintf("ignore 1 %d", resampleMismatch), s.policies.log[len(s.policies.log)-1])
	require.EqualValues(t, maxMismatches, s.Stats().Mismatches)
}

func TestOpaqueIsIgnoredForGood(t *testing.T) {
	s := newScript(false)
	s.move(received, "ping upgrade")
	s.ping.parsers[0].err = protocol.ErrOpaque
	s.move(sent, "switching")
	require.Equal(t, "ignore 1 0", s.policies.log[len(s.policies.log)-1])
}

func TestWindowFollowsTheParser(t *testing.T) {
	s := newScript(false)
	s.move(received, "ping")
	s.ping.parsers[0].window = protocol.Window{Sent: 1, Received: 2, After: 3}
	s.move(sent, "pong")
	s.move(received, "ping")
	require.Equal(t, []string{"capture 1 2 1 3"}, s.policies.log, "told once")
}

func TestUnknownConnectionIsAskedFor(t *testing.T) {
	s := newScript(false)
	s.Segment(7, 100, &protocol.Segment{Dir: received, Len: 4, Data: []byte("ping")})
	require.Equal(t, []string{"announce 7"}, s.policies.log)
	require.EqualValues(t, 1, s.Stats().Unknown)
	s.open(7, true)
	require.Equal(t, "capture 7 32768 32768 64", s.policies.log[1], "the request to announce is taken back")
}

func TestLimitEvicts(t *testing.T) {
	s := newScript(false)
	s.move(received, "ping")
	for id := uint64(2); id < 500; id++ {
		s.open(id, false)
	}
	require.LessOrEqual(t, s.Len(), 100)
	require.EqualValues(t, 499-100, s.Stats().Evicted)
}

func TestCloseEndsTheParser(t *testing.T) {
	s := newScript(false)
	s.move(received, "ping")
	s.Close(1, 9, exchange.FailureReset)
	s.Close(1, 9, exchange.FailureReset)
	require.Equal(t, []exchange.Failure{exchange.FailureReset}, s.ping.parsers[0].closed)
	require.Zero(t, s.Len())
}

func TestSweepForgetsUnixSockets(t *testing.T) {
	s := newScript(false)
	s.Open(&Opening{Connection: exchange.Connection{ID: 2, Transport: exchange.TransportUnix}, Time: 1})
	s.Tracker.End(2, 0, protocol.End{Dir: received, Time: 2})
	s.Sweep(2 + endedUnixAge)
	require.Equal(t, 2, s.Len())
	s.Sweep(10 + endedUnixAge)
	require.Equal(t, 1, s.Len(), "the TCP connection stays: its close will be reported")
}

func TestWaitingIsBounded(t *testing.T) {
	s := newScript(false)
	s.move(received, "p")
	for range 100 {
		s.moveN(sent, string(make([]byte, 4096)), 4096, "")
	}
	require.Contains(t, s.policies.log, "ignore 1 1024")
}
