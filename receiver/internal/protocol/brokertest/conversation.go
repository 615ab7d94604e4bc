// SPDX-License-Identifier: Apache-2.0

package brokertest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/messagingconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Step is bytes that one end sends.
type Step struct {
	// Client: the client sends them.
	Client bool
	Data   string
}

// Conversation is what both ends of a connection send, in order.
type Conversation []Step

// C and B add what the client and what the broker sends.
func (c Conversation) C(data string) Conversation { return append(c, Step{true, data}) }

// B adds what the broker sends.
func (c Conversation) B(data string) Conversation { return append(c, Step{false, data}) }

// Harness drives one parser. Every step of a conversation takes 10 ns.
type Harness struct {
	Parser protocol.Parser
	Stats  protocol.Stats
	Err    error
	// Ended are the exchanges, as text.
	Ended     []string
	Abandoned int
	// Now is the time of the last segment.
	Now uint64
	// Trace, if not nil, takes what is passed and what comes out.
	Trace *[]string

	role    exchange.Role
	req     protocol.Direction
	offsets [2]uint64
	open    map[*exchange.Exchange]bool
	seeds   map[uint64]bool
	wrong   []string
	quiet   bool
	segment protocol.Segment
}

// New makes a parser of a protocol for one end of a connection.
func New(p protocol.Protocol, role exchange.Role) *Harness {
	h := &Harness{role: role, req: protocol.Received, open: map[*exchange.Exchange]bool{}, seeds: map[uint64]bool{}, Now: 1000}
	if role == exchange.RoleClient {
		h.req = protocol.Sent
	}
	h.Parser = p.New(protocol.Host{Connection: &exchange.Connection{Role: role}, Sink: h, Stats: &h.Stats, Strings: intern.New(0)}, h.req)
	return h
}

// Begin implements exchange.Sink.
func (h *Harness) Begin(x *exchange.Exchange) {
	if h.quiet {
		h.Abandoned++
		return
	}
	if h.open[x] {
		h.wrong = append(h.wrong, "begun twice")
	}
	if x.Identity.Seed == 0 || h.seeds[x.Identity.Seed] {
		h.wrong = append(h.wrong, "an identity is missing, or used twice")
	}
	h.seeds[x.Identity.Seed] = true
	h.open[x] = true
}

// End implements exchange.Sink.
func (h *Harness) End(x *exchange.Exchange) {
	if h.quiet {
		h.Abandoned--
		return
	}
	if !h.open[x] {
		h.wrong = append(h.wrong, "ended without a beginning")
	}
	delete(h.open, x)
	if x.End < x.Start {
		h.wrong = append(h.wrong, "ended before it began")
	}
	h.Ended = append(h.Ended, Text(x))
	if h.Trace != nil {
		*h.Trace = append(*h.Trace, "    "+Text(x))
	}
}

// Abandon implements exchange.Sink.
func (h *Harness) Abandon(x *exchange.Exchange) {
	if !h.quiet && !h.open[x] {
		h.wrong = append(h.wrong, "abandoned without a beginning")
	}
	delete(h.open, x)
	h.Abandoned++
}

// Text is what tests compare of an exchange: span name, type, and what is not the usual.
func Text(x *exchange.Exchange) string {
	d := x.Detail.(*messagingconv.Detail)
	s := d.SpanName(x)
	if d.Type != messagingconv.None {
		s += " (" + d.Type.String() + ")"
	}
	if d.Messages >= 0 {
		s += fmt.Sprintf(" n=%d", d.Messages)
	}
	if d.Body >= 0 {
		s += fmt.Sprintf(" body=%d", d.Body)
	}
	for _, a := range [...][2]string{{"error", d.Error}, {"failure", x.Failure.ErrorType()}, {"group", d.Group}, {"subscription", d.Subscription}, {"message", d.Message}} {
		if a[1] != "" {
			s += " " + a[0] + "=" + a[1]
		}
	}
	for _, l := range d.Contexts {
		s += " link=" + l.SpanID.String()
	}
	return s
}

// Segment passes a segment, with times from the harness's clock if it has none.
func (h *Harness) Segment(s protocol.Segment) {
	if h.Err != nil {
		return
	}
	if s.Time == 0 {
		s.Time, s.First = h.Now, h.Now-1
	}
	if s.Len == 0 {
		s.Len = len(s.Data)
	}
	s.Offset = h.offsets[s.Dir] + s.Lost
	h.offsets[s.Dir] = s.Offset + uint64(s.Len)
	if h.Trace != nil {
		*h.Trace = append(*h.Trace, fmt.Sprintf("%v lost %d len %d data %q tail %q", s.Dir, s.Lost, s.Len, s.Data, s.Tail))
	}
	h.segment = s
	h.Err = h.Parser.Segment(&h.segment)
}

// Dir is the direction of what an end sends.
func (h *Harness) Dir(client bool) protocol.Direction {
	if client {
		return h.req
	}
	return h.req.Other()
}

// Run passes whole steps.
func (h *Harness) Run(c Conversation) {
	for _, s := range c {
		h.Now += 10
		h.Segment(protocol.Segment{Dir: h.Dir(s.Client), Data: []byte(s.Data)})
	}
}

// Cut passes steps in pieces of at most n bytes.
func (h *Harness) Cut(c Conversation, n int) {
	for _, s := range c {
		h.Now += 10
		for b := s.Data; len(b) > 0; {
			m := min(n, len(b))
			h.Segment(protocol.Segment{Dir: h.Dir(s.Client), Data: []byte(b[:m])})
			b = b[m:]
		}
	}
}

// Loss says what Random leaves out, as shares of 1.
type Loss struct{ Segments, Copies float64 }

// Random passes the steps in random pieces; some of them are lost, or only copied in part.
// It reports whether any was.
func (h *Harness) Random(c Conversation, r *rand.Rand, loss Loss) (lossy bool) {
	lost := [2]uint64{}
	for _, s := range c {
		h.Now += 10
		dir := h.Dir(s.Client)
		for b := []byte(s.Data); len(b) > 0; {
			n := 1 + r.IntN(len(b))
			if r.IntN(3) == 0 {
				n = 1 + r.IntN(min(len(b), 16))
			}
			part := b[:n]
			b = b[n:]
			if r.Float64() < loss.Segments {
				lost[dir] += uint64(n)
				lossy = true
				continue
			}
			seg := protocol.Segment{Dir: dir, Data: slices.Clone(part), Len: n, Lost: lost[dir]}
			lost[dir] = 0
			if r.Float64() < loss.Copies && n > 1 {
				lossy = true
				seg.Data = seg.Data[:r.IntN(n)]
				seg.Tail = part[max(len(seg.Data), n-8):]
			}
			h.Segment(seg)
		}
	}
	return lossy
}

// Close closes the connection and returns what ended, sorted. It fails the test where the
// sink was not called as it has to be.
func (h *Harness) Close(t testing.TB, cause exchange.Failure) []string {
	t.Helper()
	h.Now += 10
	h.Parser.Close(h.Now, cause)
	require.Empty(t, h.wrong)
	require.Empty(t, h.open, "begun and never ended")
	slices.Sort(h.Ended)
	return h.Ended
}

// Quiet makes the harness a sink that only counts, for measurements.
func (h *Harness) Quiet() { h.quiet = true }

// Segmentations checks that a conversation means the same however it is cut, and on both
// ends; and that with losses nothing is reported that did not happen. exempt are what a
// loss may turn exchanges into, besides nothing.
func Segmentations(t *testing.T, p protocol.Protocol, c Conversation, exempt func(string) bool) {
	for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer} {
		h := New(p, role)
		h.Run(c)
		require.NoError(t, h.Err)
		want := h.Close(t, exchange.FailureNone)
		require.NotEmpty(t, want)
		require.Zero(t, h.Stats.Resyncs+h.Stats.Invalid)
		for _, n := range []int{1, 2, 3, 7, 100} {
			h := New(p, role)
			h.Cut(c, n)
			require.Equal(t, want, h.Close(t, exchange.FailureNone), "%v in pieces of %d", role, n)
		}
		r := rand.New(rand.NewPCG(1, uint64(role)))
		for i := range 300 {
			h := New(p, role)
			h.Random(c, r, Loss{})
			require.Equal(t, want, h.Close(t, exchange.FailureNone), "%v, run %d", role, i)
		}
		found, runs := 0, 0
		for i := range 2000 {
			h := New(p, role)
			loss := Loss{Segments: 0.03, Copies: 0.05}
			if i%2 == 0 {
				loss = Loss{Copies: 0.1}
			}
			h.Random(c, r, loss)
			got := h.Close(t, exchange.FailureNone)
			left := slices.Clone(want)
			for _, g := range got {
				at := slices.Index(left, g)
				if at < 0 {
					require.True(t, exempt != nil && exempt(g), "%v, run %d: %q did not happen", role, i, g)
					continue
				}
				left = slices.Delete(left, at, at+1)
				found++
			}
			runs++
		}
		share := float64(found) / float64(runs*len(want))
		t.Logf("%v: with losses %.0f %% of %d exchanges were found", role, 100*share, runs*len(want))
		require.Greater(t, share, 0.1)
	}
}
