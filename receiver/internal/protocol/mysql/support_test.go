// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// recorder is a Sink that checks the order of calls and keeps a line per exchange.
type recorder struct {
	open      map[*exchange.Exchange]bool
	lines     []string
	times     [][2]uint64
	details   []detail
	abandoned int
	wrong     []string
}

func (r *recorder) Begin(x *exchange.Exchange) {
	if r.open[x] || x.InFlight != nil || x.Identity.Seed == 0 || x.End != 0 {
		r.wrong = append(r.wrong, "begin")
	}
	r.open[x] = true
	x.InFlight = &exchange.Gauge{}
}

func (r *recorder) close(x *exchange.Exchange) {
	if !r.open[x] {
		r.wrong = append(r.wrong, "end without begin")
	}
	delete(r.open, x)
}

func (r *recorder) End(x *exchange.Exchange) {
	r.close(x)
	if x.End < x.Start {
		r.wrong = append(r.wrong, "ends before it starts")
	}
	d := x.Detail.(*dbconv.Detail)
	line := d.SpanName(x)
	if len(d.Text) > 0 {
		line += fmt.Sprintf(" %q", d.Text)
	}
	if d.Rows >= 0 {
		line += fmt.Sprintf(" rows=%d", d.Rows)
	}
	if d.Status != "" {
		line += " error=" + d.Status
	}
	if d.Batch > 0 {
		line += fmt.Sprintf(" batch=%d", d.Batch)
	}
	if d.Namespace != "" {
		line += " in " + d.Namespace
	}
	if d.Cut {
		line += " cut"
	}
	if d.Unprepared {
		line += " unprepared"
	}
	if f := x.Failure.ErrorType(); f != "" {
		line += " " + f
	}
	r.lines = append(r.lines, line)
	r.times = append(r.times, [2]uint64{x.Start, x.End})
	r.details = append(r.details, detail{
		System: d.System, Summary: d.Summary, Collection: d.Collection, Status: d.Status,
		Rows: d.Rows, Failed: d.Failed, Cut: d.Cut, Extra: append([]dbconv.Attribute(nil), d.Extra...),
	})
}

func (r *recorder) Abandon(x *exchange.Exchange) {
	r.close(x)
	r.abandoned++
}

// detail is what tests look at one by one.
type detail struct {
	System, Summary, Collection, Status string
	Rows                                int64
	Failed, Cut                         bool
	Extra                               []dbconv.Attribute
}

// harness drives one parser. Its clock advances 10 ns per segment.
type harness struct {
	recorder
	stats  protocol.Stats
	parser protocol.Parser
	req    protocol.Direction
	now    uint64
	offset [2]uint64
	err    error
}

func newHarness(role exchange.Role, settings *dbconv.Settings) *harness {
	h := &harness{recorder: recorder{open: map[*exchange.Exchange]bool{}}, now: 1000}
	if role == exchange.RoleClient {
		h.req = protocol.Sent
	}
	h.parser = New(Options{Settings: settings}).New(protocol.Host{
		Connection: &exchange.Connection{Role: role}, Sink: &h.recorder, Stats: &h.stats, Strings: intern.New(0),
	}, h.req)
	return h
}

func newClient() *harness { return newHarness(exchange.RoleClient, nil) }
func newServer() *harness { return newHarness(exchange.RoleServer, nil) }

// segment passes s with what is not set: times, offset, length.
func (h *harness) segment(s protocol.Segment) {
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
	// Bytes of a segment are valid during the call only.
	s.Data = append([]byte(nil), s.Data...)
	s.Tail = append([]byte(nil), s.Tail...)
	if h.err == nil {
		h.err = h.parser.Segment(&s)
	}
	for i := range s.Data {
		s.Data[i] = 0xaa
	}
	for i := range s.Tail {
		s.Tail[i] = 0xaa
	}
	_ = h.parser.Window()
}

func (h *harness) client(b string) { h.segment(protocol.Segment{Dir: h.req, Data: []byte(b)}) }
func (h *harness) server(b string) {
	h.segment(protocol.Segment{Dir: h.req.Other(), Data: []byte(b)})
}

// part passes b of which only the first n bytes were copied.
func (h *harness) part(dir protocol.Direction, b string, n int) {
	h.segment(protocol.Segment{Dir: dir, Data: []byte(b[:n]), Len: len(b), Tail: tail(b, n)})
}

func tail(b string, copied int) []byte {
	if copied >= len(b) {
		return nil
	}
	return []byte(b[max(0, len(b)-8):])
}

func (h *harness) finish(t testing.TB) []string {
	t.Helper()
	h.parser.Close(h.now, exchange.FailureNone)
	require.Empty(t, h.wrong)
	require.Empty(t, h.open)
	return h.lines
}

// Packets.

func packet(sequence int, payload string) string {
	n := len(payload)
	return string([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(sequence)}) + payload
}

// packets are numbered from sequence on.
func packets(sequence int, payloads ...string) string {
	var b strings.Builder
	for _, p := range payloads {
		b.WriteString(packet(sequence, p))
		sequence = (sequence + 1) & 0xff
	}
	return b.String()
}

func le(v uint64, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(v >> (8 * i))
	}
	return string(b)
}

func lestring(s string) string {
	if len(s) < 251 {
		return string([]byte{byte(len(s))}) + s
	}
	return "\xfd" + le(uint64(len(s)), 3) + s
}

const baseCapabilities = uint64(clientConnectWithDB | clientProtocol41 | clientSecureConnection | clientPluginAuthLenenc | clientSessionTrack)

func greetingPacket(version string, capabilities uint64) string {
	p := "\x0a" + version + "\x00" + le(7, 4) + "12345678\x00" + le(capabilities, 2) + "\x2d" + le(2, 2) + le(capabilities>>16, 2) + "\x15" + "\x00\x00\x00\x00\x00\x00"
	return packet(0, p+le(capabilities>>32, 4)+"123456789012\x00mysql_native_password\x00")
}

func loginPacket(capabilities uint64, database string) string {
	p := le(capabilities, 4) + le(1<<24, 4) + "\x2d" + string(make([]byte, 19)) + le(capabilities>>32, 4) + "root\x00" + lestring("12345678901234567890")
	if capabilities&clientConnectWithDB != 0 {
		p += database + "\x00"
	}
	return packet(1, p+"mysql_native_password\x00")
}

func query(text string) string        { return packet(0, "\x03"+text) }
func prepare(text string) string      { return packet(0, "\x16"+text) }
func execute(id uint64) string        { return packet(0, "\x17"+le(id, 4)+"\x00\x01\x00\x00\x00") }
func closeStatement(id uint64) string { return packet(0, "\x19"+le(id, 4)) }

func okPayload(status uint64) string  { return "\x00\x01\x00" + le(status, 2) + "\x00\x00" }
func endPayload(status uint64) string { return "\xfe\x00\x00" + le(status, 2) + "\x00\x00" }
func eofPayload(status uint64) string { return "\xfe\x00\x00" + le(status, 2) }
func errPayload(code uint64) string   { return "\xff" + le(code, 2) + "#42S02No such table" }

// schema is an OK packet that tells the default database.
func schemaPayload(name string) string {
	state := "\x01" + lestring(lestring(name))
	return "\x00\x00\x00" + le(2|statusSessionState, 2) + "\x00\x00\x00" + lestring(state)
}

func definition(name string) string {
	return "\x03def\x04shop\x01t\x01t" + lestring(name) + lestring(name) + "\x0c\x2d\x00\x0b\x00\x00\x00\x03\x00\x00\x00\x00\x00"
}

// resultPayloads are a set of rows with one column.
func resultPayloads(deprecated bool, status uint64, rows ...string) []string {
	b := []string{"\x01", definition("c")}
	if !deprecated {
		b = append(b, eofPayload(2))
	}
	for _, r := range rows {
		b = append(b, lestring(r))
	}
	if deprecated {
		return append(b, endPayload(status))
	}
	return append(b, eofPayload(status))
}

func result(deprecated bool, rows ...string) string {
	return packets(1, resultPayloads(deprecated, 2, rows...)...)
}

func prepared(deprecated bool, id, parameters, columns int) string {
	b := []string{"\x00" + le(uint64(id), 4) + le(uint64(columns), 2) + le(uint64(parameters), 2) + "\x00\x00\x00"}
	for _, n := range []int{parameters, columns} {
		for range n {
			b = append(b, definition("p"))
		}
		if n > 0 && !deprecated {
			b = append(b, eofPayload(2))
		}
	}
	return packets(1, b...)
}

// login passes the beginning of a connection.
func (h *harness) login(version string, capabilities uint64, database string) {
	h.server(greetingPacket(version, capabilities))
	h.client(loginPacket(capabilities, database))
	h.server(packet(2, "\xfemysql_native_password\x00aaaaaaaaaaaaaaaaaaaa\x00"))
	h.client(packet(3, "12345678901234567890"))
	h.server(packet(4, okPayload(2)))
}

// step is one side's bytes.
type step struct {
	server bool
	bytes  string
}

// play passes steps in segments of at most n bytes; 0: as they are.
func (h *harness) play(steps []step, most int, r *rand.Rand) {
	for _, s := range steps {
		b := s.bytes
		for len(b) > 0 {
			n := len(b)
			if most > 0 {
				n = min(n, most)
				if r != nil {
					n = min(len(b), 1+r.IntN(most))
				}
			}
			if s.server {
				h.server(b[:n])
			} else {
				h.client(b[:n])
			}
			b = b[n:]
		}
	}
}
