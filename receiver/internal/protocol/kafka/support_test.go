// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/messagingconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// pair is a line of testdata/messages.txt, which the Go client of
// testbed/protocols/kafka writes (-mode corpus): a request and a response with an encoder
// that is not ours.
type pair struct {
	key, version      int16
	request, response []byte
}

func messages(t testing.TB) (all []pair) {
	t.Helper()
	b, err := os.ReadFile("testdata/messages.txt")
	require.NoError(t, err)
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		key, err := strconv.Atoi(fields[0])
		require.NoError(t, err)
		version, err := strconv.Atoi(fields[1])
		require.NoError(t, err)
		p := pair{key: int16(key), version: int16(version)}
		p.request, err = hex.DecodeString(fields[2])
		require.NoError(t, err)
		p.response, err = hex.DecodeString(fields[3])
		require.NoError(t, err)
		all = append(all, p)
	}
	return all
}

// message is that of one key and version.
func message1(t testing.TB, key, version int16) pair {
	t.Helper()
	for _, p := range messages(t) {
		if p.key == key && p.version == version {
			return p
		}
	}
	t.Fatalf("no message %d %d", key, version)
	return pair{}
}

// with is the same message with another correlation id.
func with(b []byte, at int, id int32) []byte {
	b = append([]byte(nil), b...)
	b[at], b[at+1], b[at+2], b[at+3] = byte(id>>24), byte(id>>16), byte(id>>8), byte(id)
	return b
}

func (p pair) as(id int32) pair {
	p.request, p.response = with(p.request, 8, id), with(p.response, 4, id)
	return p
}

// record is what was reported of an exchange.
type record struct {
	text       string
	start, end uint64
	links      int
	lag        int64
	identity   exchange.Identity
	failure    exchange.Failure
}

// harness drives one parser. Its clock advances 10 ns per segment.
type harness struct {
	t         testing.TB
	role      exchange.Role
	stats     protocol.Stats
	parser    *parser
	req       protocol.Direction
	now       uint64
	offset    [2]uint64
	err       error
	open      map[*exchange.Exchange]bool
	ended     []record
	silent    int // ended, and not to be reported
	abandoned int
}

func newHarness(t testing.TB, role exchange.Role) *harness {
	h := &harness{t: t, role: role, req: protocol.Sent, now: 1000, open: map[*exchange.Exchange]bool{}}
	if role == exchange.RoleServer {
		h.req = protocol.Received
	}
	k := New(Options{}).(*kafka)
	h.parser = k.New(protocol.Host{Connection: &exchange.Connection{Role: role}, Sink: h, Stats: &h.stats, Strings: intern.New(0)}, h.req).(*parser)
	h.parser.held.groupless = true // or polls wait for a group
	return h
}

func (h *harness) Begin(x *exchange.Exchange) {
	require.False(h.t, h.open[x], "begun twice")
	require.NotZero(h.t, x.Identity.Seed)
	h.open[x] = true
}

func (h *harness) End(x *exchange.Exchange) {
	require.True(h.t, h.open[x], "end without begin")
	delete(h.open, x)
	require.GreaterOrEqual(h.t, x.End, x.Start)
	d := x.Detail.(*messagingconv.Detail)
	if traces, _ := d.Suppressed(x); traces {
		h.silent++
		return
	}
	h.ended = append(h.ended, record{text: describe(x, d), start: x.Start, end: x.End, links: len(d.Links(x)), lag: d.Lag, identity: x.Identity, failure: x.Failure})
}

func (h *harness) Abandon(x *exchange.Exchange) {
	require.True(h.t, h.open[x], "abandon without begin")
	delete(h.open, x)
	h.abandoned++
}

// describe is an exchange as text: its name, what is not in it, and the number of messages.
func describe(x *exchange.Exchange, d *messagingconv.Detail) string {
	m := pcommon.NewMap()
	d.PutSpanAttributes(x, m)
	s := d.SpanName(x)
	for _, key := range []string{
		"messaging.destination.partition.id", "messaging.consumer.group.name", "messaging.batch.message_count", "error.type",
		attrTopicID, attrTopics, attrPartitions, attrFirst, attrLast, attrOffset, attrThrottle, attrError, attrAcks, attrReplica, attrTransaction,
	} {
		if v, ok := m.Get(key); ok {
			s += fmt.Sprintf(" %s=%s", key[strings.LastIndexByte(key, '.')+1:], v.AsString())
		}
	}
	return s
}

// send passes bytes of one direction, the copied ones of them given.
func (h *harness) send(dir protocol.Direction, b []byte, copied int) {
	h.now += 10
	s := protocol.Segment{Dir: dir, Time: h.now, First: h.now - 1, Offset: h.offset[dir], Len: len(b), Data: b[:copied], PID: 7, TID: 8}
	if copied < len(b) {
		s.Tail = b[max(copied, len(b)-8):]
	}
	h.offset[dir] += uint64(len(b))
	if h.err == nil {
		h.err = h.parser.Segment(&s)
	}
}

func (h *harness) request(b []byte)  { h.send(h.req, b, len(b)) }
func (h *harness) response(b []byte) { h.send(h.req.Other(), b, len(b)) }

// lost passes bytes of which nothing is seen; the next segment says so.
func (h *harness) lost(dir protocol.Direction, b []byte, next []byte) {
	h.now += 10
	h.offset[dir] += uint64(len(b))
	s := protocol.Segment{Dir: dir, Time: h.now, First: h.now - 1, Offset: h.offset[dir], Lost: uint64(len(b)), Len: len(next), Data: next}
	h.offset[dir] += uint64(len(next))
	if h.err == nil {
		h.err = h.parser.Segment(&s)
	}
}

// texts closes the parser and returns what was reported.
func (h *harness) texts() []string {
	h.t.Helper()
	h.parser.Close(h.now, exchange.FailureNone)
	require.Empty(h.t, h.open)
	all := []string{}
	seen := map[uint64]bool{}
	for _, r := range h.ended {
		all = append(all, r.text)
		require.False(h.t, seen[r.identity.Seed], "identity twice")
		seen[r.identity.Seed] = true
	}
	return all
}
