// SPDX-License-Identifier: Apache-2.0

// Package protocoltest drives parsers in tests: bytes in, cut in any way, exchanges out
// as lines of text.
package protocoltest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Ended is an exchange that was reported.
type Ended struct {
	Name       string
	Kind       ptrace.SpanKind
	Status     ptrace.StatusCode
	Attributes map[string]any
	Start, End uint64
	Failure    exchange.Failure
}

// Harness drives one parser and is its Sink. Its clock advances 10 ns per segment.
type Harness struct {
	Parser    protocol.Parser
	Stats     protocol.Stats
	Ended     []Ended
	Abandoned int
	Err       error
	// Limit, if it is not zero, is how much of each segment is copied.
	Limit int

	open     map[*exchange.Exchange]exchange.Identity
	used     map[exchange.Identity]bool
	requests protocol.Direction
	offset   [2]uint64
	now      uint64
	wrong    []string
}

// New makes a Harness for a connection of a role.
func New(p protocol.Protocol, role exchange.Role, midStream bool) *Harness {
	h := &Harness{open: map[*exchange.Exchange]exchange.Identity{}, used: map[exchange.Identity]bool{}, now: 1000}
	h.requests = protocol.Received
	if role == exchange.RoleClient {
		h.requests = protocol.Sent
	}
	h.Parser = p.New(protocol.Host{Connection: &exchange.Connection{Role: role}, Sink: h, Stats: &h.Stats, Strings: intern.New(0), MidStream: midStream}, h.requests)
	return h
}

// Begin implements exchange.Sink.
func (h *Harness) Begin(x *exchange.Exchange) {
	if _, ok := h.open[x]; ok {
		h.wrong = append(h.wrong, "begin of an exchange in flight")
	}
	if x.Identity.Seed == 0 || h.used[x.Identity] {
		h.wrong = append(h.wrong, "begin without an identity of its own")
	}
	if x.End != 0 && x.End < x.Start || x.Failure != 0 {
		h.wrong = append(h.wrong, "begin of an exchange that was used")
	}
	h.open[x] = x.Identity
	h.used[x.Identity] = true
}

func (h *Harness) take(x *exchange.Exchange) {
	if id, ok := h.open[x]; !ok || id != x.Identity {
		h.wrong = append(h.wrong, "end without begin")
	}
	delete(h.open, x)
}

// End implements exchange.Sink.
func (h *Harness) End(x *exchange.Exchange) {
	h.take(x)
	m := pcommon.NewMap()
	x.Detail.PutSpanAttributes(x, m)
	_ = x.Detail.AppendMetricKey(x, nil)
	x.Detail.PutMetricAttributes(x, pcommon.NewMap())
	if x.End < x.Start {
		h.wrong = append(h.wrong, "ends before it starts")
	}
	h.Ended = append(h.Ended, Ended{
		Name: x.Detail.SpanName(x), Kind: x.Detail.SpanKind(x), Status: x.Detail.SpanStatus(x),
		Attributes: m.AsRaw(), Start: x.Start, End: x.End, Failure: x.Failure,
	})
}

// Abandon implements exchange.Sink.
func (h *Harness) Abandon(x *exchange.Exchange) {
	h.take(x)
	h.Abandoned++
}

// Open is the number of exchanges in flight.
func (h *Harness) Open() int { return len(h.open) }

// Now is the time of the last segment.
func (h *Harness) Now() uint64 { return h.now }

// Wait lets time pass, ns.
func (h *Harness) Wait(ns uint64) { h.now += ns }

// Segment passes what is not filled in from the harness's clock.
func (h *Harness) Segment(s protocol.Segment) {
	h.now += 10
	if s.Time == 0 {
		s.Time, s.First = h.now, h.now-1
	}
	if s.Len == 0 {
		s.Len = len(s.Data)
	}
	h.offset[s.Dir] += s.Lost
	s.Offset = h.offset[s.Dir]
	h.offset[s.Dir] += uint64(s.Len)
	s.Identity = protocol.NewIdentity()
	s.PID, s.TID = 7, 8
	if h.Err == nil {
		h.Err = h.Parser.Segment(&s)
	}
	_ = h.Parser.Window()
}

func (h *Harness) pass(dir protocol.Direction, text string, lost int) {
	s := protocol.Segment{Dir: dir, Data: []byte(text), Len: len(text), Lost: uint64(lost)}
	if h.Limit > 0 && len(text) > h.Limit {
		s.Data = s.Data[:h.Limit]
		s.Tail = []byte(text[max(len(text)-8, h.Limit):])
	}
	h.Segment(s)
}

// Request and Reply pass bytes of either direction in one segment.
func (h *Harness) Request(text string) { h.pass(h.requests, text, 0) }
func (h *Harness) Reply(text string)   { h.pass(h.requests.Other(), text, 0) }

// RequestAfter and ReplyAfter do after bytes that nobody saw.
func (h *Harness) RequestAfter(lost int, text string) { h.pass(h.requests, text, lost) }
func (h *Harness) ReplyAfter(lost int, text string)   { h.pass(h.requests.Other(), text, lost) }

// Step is a text that one side sends, behind ">" for requests and "<" for replies.
type Step [2]string

// Play passes steps, cut into pieces of n bytes; whole if n is 0, at random if it is
// negative.
func (h *Harness) Play(steps []Step, n int, r *rand.Rand) {
	for _, st := range steps {
		send := h.Request
		if st[0] == "<" {
			send = h.Reply
		}
		for rest := st[1]; len(rest) > 0; {
			m := len(rest)
			switch {
			case n > 0:
				m = min(n, m)
			case n < 0:
				m = 1 + r.IntN(m)
			}
			send(rest[:m])
			rest = rest[m:]
		}
	}
}

// EndOf reports the end of a direction.
func (h *Harness) EndOf(dir protocol.Direction, cause exchange.Failure) {
	h.now += 10
	h.Parser.End(protocol.End{Dir: dir, Time: h.now, Cause: cause})
}

// Check closes the parser and reports misuse of the Sink.
func (h *Harness) Check(t testing.TB, cause exchange.Failure) {
	t.Helper()
	h.now += 10
	h.Parser.Close(h.now, cause)
	require.Empty(t, h.wrong)
	require.Empty(t, h.open, "begun and never ended")
}

// Line is an exchange as text: name, attributes of the database, status, failure.
func (e *Ended) Line() string {
	b := []string{e.Name}
	for _, k := range []string{
		"db.namespace", "db.stored_procedure.name", "db.query.text", "db.response.status_code", "error.type", "db.operation.batch.size",
		"ebpf.db.query.truncated", "ebpf.db.blocking", "ebpf.db.unanswered", "ebpf.redis.queued", "ebpf.redis.redirect",
		"ebpf.memcached.hits", "ebpf.memcached.misses",
	} {
		if v, ok := e.Attributes[k]; ok {
			b = append(b, fmt.Sprintf("%s=%v", k[strings.LastIndexByte(k, '.')+1:], v))
		}
	}
	return strings.Join(b, " | ")
}

// Lines are all exchanges as text.
func (h *Harness) Lines() (lines []string) {
	for i := range h.Ended {
		lines = append(lines, h.Ended[i].Line())
	}
	return lines
}

// Evidences are the beginnings of conversations in protocols, for tests of detectors:
// those that must be rejected, or never accepted, by all others.
var Evidences = map[string]struct{ Client, Server string }{
	"http":             {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	"http2":            {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00\x00\x04\x00\x00\x00\x00\x00"},
	"tls":              {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "\x16\x03\x03\x00\x7a\x02\x00\x00\x76"},
	"ssh":              {"SSH-2.0-OpenSSH_9.6\r\n", "SSH-2.0-OpenSSH_9.2p1 Debian\r\n"},
	"postgresql":       {"\x00\x00\x00\x29\x00\x03\x00\x00user\x00me\x00database\x00db\x00\x00", "R\x00\x00\x00\x08\x00\x00\x00\x00"},
	"postgresql ssl":   {"\x00\x00\x00\x08\x04\xd2\x16\x2f", "N"},
	"mysql":            {"\x20\x00\x00\x01\x85\xa6\x3f\x20", "J\x00\x00\x00\x0a8.0.36\x00\x08\x00\x00\x00"},
	"redis":            {"*1\r\n$4\r\nPING\r\n", "+PONG\r\n"},
	"redis inline":     {"PING\r\n", "+PONG\r\n"},
	"memcached":        {"get key\r\n", "VALUE key 0 1\r\n1\r\nEND\r\n"},
	"memcached meta":   {"mg key v\r\n", "VA 1\r\n1\r\n"},
	"memcached binary": {"\x80\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00k", "\x81\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00Not found"},
	"mongodb":          {"\x1a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00", "\x1a\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00"},
	"cassandra":        {"\x04\x00\x00\x00\x05\x00\x00\x00\x00", "\x84\x00\x00\x00\x06\x00\x00\x00\x00"},
	"kafka":            {"\x00\x00\x00\x12\x00\x12\x00\x00\x00\x00\x00\x01\x00\x08producer", "\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"},
	"amqp":             {"AMQP\x00\x00\x09\x01", "\x01\x00\x00\x00\x00\x00\x05\x00\x0a\x00\x0a\x00"},
	"nats":             {"CONNECT {\"verbose\":true}\r\nPING\r\n", "INFO {\"server_id\":\"a\"}\r\n+OK\r\nPONG\r\n"},
	"mqtt":             {"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a", "\x20\x02\x00\x00"},
	"fastcgi":          {"\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00\x01\x04\x00\x01\x00\x00\x00\x00", "\x01\x06\x00\x01\x00\x05\x03\x00ab\r\n\r\x00\x00\x00"},
	"smtp":             {"EHLO me\r\n", "220 mail ESMTP\r\n250 OK\r\n"},
	"pop3":             {"QUIT\r\n", "+OK ready\r\n+OK bye\r\n"},
	"zeros":            {strings.Repeat("\x00", 64), strings.Repeat("\x00", 64)},
	"random":           {"\x9f\x03\xaa\x00\x17\x9e\xf1\x22\x80\x44\x01\x02", "\x01\x02\xb3\x81\x00\x00\x9f\xfe\xff\x40\x41\x42"},
	"text":             {"hello there\n", "and to you\n"},
}

// Rejects checks that a detector accepts none of the evidences but its own, whichever
// side they are seen from.
func Rejects(t *testing.T, p protocol.Protocol, own ...string) {
	t.Helper()
	for name, e := range Evidences {
		mine := false
		for _, o := range own {
			mine = mine || o == name
		}
		for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer, exchange.RoleUnknown} {
			for _, mid := range []bool{false, true} {
				client := role == exchange.RoleClient
				for _, swapped := range []bool{false, true} {
					v := protocol.Evidence{Role: role, MidStream: mid}
					sent, received := e.Server, e.Client
					if client != swapped {
						sent, received = e.Client, e.Server
					}
					v.Bytes[protocol.Sent], v.Bytes[protocol.Received] = []byte(sent), []byte(received)
					verdict, dir := p.Detect(&v)
					what := fmt.Sprintf("%s as %s, mid-stream %t, swapped %t", name, role, mid, swapped)
					if mine && (role == exchange.RoleUnknown || !swapped) {
						require.Equal(t, protocol.Accepted, verdict, what)
						require.Equal(t, e.Client, string(v.Bytes[dir]), what)
						continue
					}
					require.NotEqual(t, protocol.Accepted, verdict, what)
					if !mid && !mine {
						require.Equal(t, protocol.Rejected, verdict, what)
					}
				}
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		b := make([]byte, 1+r.IntN(64))
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		v := protocol.Evidence{Role: exchange.Role(r.IntN(3)), MidStream: r.IntN(2) == 0}
		v.Bytes[r.IntN(2)] = b
		verdict, _ := p.Detect(&v)
		require.NotEqual(t, protocol.Accepted, verdict, "%q", b)
	}
}

// Fuzz feeds two streams to a parser, cut into segments as script says: per segment a
// byte of flags, one for the length, one for what is copied or lost.
func Fuzz(t *testing.T, p protocol.Protocol, requests, replies, script []byte) {
	if len(script) == 0 {
		return
	}
	role := exchange.RoleServer
	if script[0]&1 != 0 {
		role = exchange.RoleClient
	}
	h := New(p, role, script[0]&2 != 0)
	var streams [2][]byte
	streams[h.requests], streams[h.requests.Other()] = requests, replies
	for script = script[1:]; len(script) >= 3 && (len(streams[0]) > 0 || len(streams[1]) > 0); script = script[3:] {
		flags, length, extra := script[0], int(script[1]), int(script[2])
		dir := h.requests
		if flags&1 != 0 {
			dir = dir.Other()
		}
		if flags&0x0c == 0x0c {
			h.EndOf(dir, exchange.Failure(flags>>4&7%5))
			continue
		}
		if flags&0x10 != 0 {
			h.Wait(2e9)
		}
		if flags&2 != 0 {
			length *= 64
		}
		from := streams[dir]
		s := protocol.Segment{Dir: dir}
		if flags&0x80 != 0 {
			lost := min(extra, len(from))
			s.Lost = uint64(lost)
			from = from[lost:]
		}
		n := min(length, len(from))
		s.Len, s.Data = n, from[:n]
		if flags&0x40 != 0 {
			s.Data = s.Data[:min(extra, n)]
			s.Tail = from[max(len(s.Data), n-8):n]
		}
		if flags&0x20 != 0 {
			s.Len += extra << 20 // more than anyone ever saw
		}
		streams[dir] = from[n:]
		h.Segment(s)
		if h.Err != nil {
			require.Zero(t, h.Open(), "an error ends everything")
		}
	}
	h.Check(t, exchange.FailureReset)
}
