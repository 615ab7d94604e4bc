// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ask(b string) step     { return step{false, b} }
func answers(b string) step { return step{true, b} }

const mariadb = "5.5.5-10.11.6-MariaDB-0+deb12u1"

// conversations are commands with their responses ("Command Phase"), and what is to be
// reported of them, with and without CLIENT_DEPRECATE_EOF.
func conversations(deprecated bool) map[string]struct {
	steps []step
	want  []string
} {
	type conversation = struct {
		steps []step
		want  []string
	}
	many := make([]string, 700)
	for i := range many {
		many[i] = fmt.Sprint("row", i)
	}
	opened := []string{"\x01", definition("c"), eofPayload(2 | statusCursorExists)}
	fetched := packets(1, "\x00\x00\x01a", "\x00\x00\x01b", eofPayload(2|0x80))
	if deprecated {
		opened = []string{"\x01", definition("c"), endPayload(2 | statusCursorExists)}
		fetched = packets(1, "\x00\x00\x01a", "\x00\x00\x01b", endPayload(2|0x80))
	}
	cursorRows := ""
	if deprecated {
		cursorRows = " rows=0"
	}
	return map[string]conversation{
		"query": {[]step{ask(query("SELECT * FROM users WHERE id = 7")), answers(result(deprecated, "a", "", "ccc"))},
			[]string{`SELECT users "SELECT * FROM users WHERE id = ?" rows=3 in shop`}},
		"no rows": {[]step{ask(query("SELECT a FROM t")), answers(result(deprecated))},
			[]string{`SELECT t "SELECT a FROM t" rows=0 in shop`}},
		"many rows": {[]step{ask(query("SELECT a FROM t")), answers(result(deprecated, many...))},
			[]string{`SELECT t "SELECT a FROM t" rows=700 in shop`}},
		"ok": {[]step{ask(query("INSERT INTO t VALUES (1, 'x')")), answers(packet(1, okPayload(2)))},
			[]string{`INSERT t "INSERT INTO t VALUES (?, ?)" in shop`}},
		"error": {[]step{ask(query("SELECT 1 FROM nix")), answers(packet(1, errPayload(1146)))},
			[]string{`SELECT nix "SELECT ? FROM nix" error=1146 in shop`}},
		"error among rows": {[]step{ask(query("SELECT a FROM t")), answers(packets(1, "\x01", definition("c"))),
			answers(map[bool]string{false: packets(3, eofPayload(2), "\x01a", errPayload(1317)), true: packets(3, "\x01a", errPayload(1317))}[deprecated])},
			[]string{`SELECT t "SELECT a FROM t" error=1317 in shop`}},
		"several texts": {[]step{ask(query("SELECT a FROM t; INSERT INTO u VALUES (1); SELECT b FROM v")),
			answers(packets(1, append(append(resultPayloads(deprecated, 2|statusMoreResults, "a", "b"), okPayload(2|statusMoreResults)), resultPayloads(deprecated, 2, "c")...)...))},
			[]string{`SELECT t INSERT u SELECT v "SELECT a FROM t; INSERT INTO u VALUES (?); SELECT b FROM v" rows=3 batch=3 in shop`}},
		"call": {[]step{ask(query("CALL p(1)")), answers(packets(1, append(resultPayloads(deprecated, 2|statusMoreResults, "a"), okPayload(2))...))},
			[]string{`CALL p "CALL p(?)" rows=1 in shop`}},
		"prepared": {[]step{ask(prepare("SELECT a FROM t WHERE b = ? AND c = 'x'")), answers(prepared(deprecated, 3, 1, 1)),
			ask(execute(3)), answers(result(deprecated, "a")), ask(packet(0, "\x1a"+le(3, 4))), answers(packet(1, okPayload(2))),
			ask(closeStatement(3) + execute(3)), answers(packet(1, errPayload(1243)))},
			[]string{
				`PREPARE SELECT t "SELECT a FROM t WHERE b = ? AND c = 'x'" in shop`, `SELECT t "SELECT a FROM t WHERE b = ? AND c = 'x'" rows=1 in shop`,
				`RESET SELECT t "SELECT a FROM t WHERE b = ? AND c = 'x'" in shop`, `EXECUTE shop error=1243 in shop unprepared`,
			}},
		"not prepared": {[]step{ask(prepare("SELEC")), answers(packet(1, errPayload(1064)))},
			[]string{`PREPARE SELEC "SELEC" error=1064 in shop`}},
		"pipelined": {[]step{ask(prepare("DELETE FROM t WHERE a = ?") + execute(fromPipeline)), answers(prepared(deprecated, 9, 1, 0) + packet(1, okPayload(2))),
			ask(execute(9)), answers(packet(1, okPayload(2)))},
			[]string{`PREPARE DELETE t "DELETE FROM t WHERE a = ?" in shop`, `DELETE t "DELETE FROM t WHERE a = ?" in shop`, `DELETE t "DELETE FROM t WHERE a = ?" in shop`}},
		"a batch in flight": {[]step{ask(strings.Repeat(query("INSERT INTO t VALUES (1)"), 16)), answers(strings.Repeat(packet(1, okPayload(2)), 16))},
			repeat(`INSERT t "INSERT INTO t VALUES (?)" in shop`, 16)},
		"long data": {[]step{ask(prepare("INSERT INTO t VALUES (?)")), answers(prepared(deprecated, 1, 1, 0)),
			ask(packet(0, "\x18"+le(1, 4)+"\x00\x00"+strings.Repeat("x", 5000)) + execute(1)), answers(packet(1, okPayload(2)))},
			[]string{`PREPARE INSERT t "INSERT INTO t VALUES (?)" in shop`, `INSERT t "INSERT INTO t VALUES (?)" in shop`}},
		"bulk": {[]step{ask(prepare("INSERT INTO t VALUES (?, ?)")), answers(prepared(deprecated, 1, 2, 0)),
			ask(packet(0, "\xfa"+le(1, 4)+le(bulkTypes, 2)+"\x03\x00\xfe\x00"+"\x00\x01\x00\x00\x00\x00\x02ab"+"\x01\x01"+"\x00\x02\x00\x00\x00\x00\x00")),
			answers(packet(1, okPayload(2)))},
			[]string{`PREPARE INSERT t "INSERT INTO t VALUES (?, ?)" in shop`, `INSERT t "INSERT INTO t VALUES (?, ?)" batch=3 in shop`}},
		"cursor": {[]step{ask(prepare("SELECT a FROM t")), answers(prepared(deprecated, 1, 0, 1)),
			ask(execute(1)), answers(packets(1, opened...)), ask(packet(0, "\x1c"+le(1, 4)+le(2, 4))), answers(fetched)},
			[]string{`PREPARE SELECT t "SELECT a FROM t" in shop`, `SELECT t "SELECT a FROM t"` + cursorRows + ` in shop`, `FETCH SELECT t "SELECT a FROM t" rows=2 in shop`}},
		"a file": {[]step{ask(query("LOAD DATA LOCAL INFILE '/tmp/x' INTO TABLE t")), answers(packet(1, "\xfb/tmp/x")),
			ask(packet(2, strings.Repeat("1\n", 2000)) + packet(3, "2\n") + packet(4, "")), answers(packet(5, okPayload(2)))},
			[]string{`LOAD DATA t "LOAD DATA LOCAL INFILE ? INTO TABLE t" in shop`}},
		"small ones": {[]step{ask(packet(0, "\x0e")), answers(packet(1, okPayload(2))), ask(packet(0, "\x09")), answers(packet(1, "Uptime: 7")),
			ask(packet(0, "\x1f")), answers(packet(1, okPayload(2))), ask(packet(0, "\x01"))},
			[]string{`PING shop in shop`, `STATISTICS shop in shop`, `RESET_CONNECTION shop in shop`}},
		"databases": {[]step{ask(packet(0, "\x02lab")), answers(packet(1, okPayload(2))), ask(query("SELECT 1")), answers(result(deprecated, "1")),
			ask(query("USE `my lab`;")), answers(packet(1, okPayload(2))), ask(query("use nix")), answers(packet(1, errPayload(1049))),
			ask(query("SELECT 2")), answers(result(deprecated, "2")), ask(query("SET x=1")), answers(packet(1, schemaPayload("tracked"))),
			ask(packet(0, "\x11root\x00\x02abother\x00\x2d\x00")), answers(packet(1, "\xfeplugin\x00")), ask(packet(2, "xx")), answers(packet(3, okPayload(2))),
			ask(packet(0, "\x0e")), answers(packet(1, okPayload(2)))},
			[]string{`INIT_DB shop in shop`, `SELECT "SELECT ?" rows=1 in lab`, "USE `my lab` \"USE `my lab`;\" in lab", `use nix "use nix" error=1049 in my lab`,
				`SELECT "SELECT ?" rows=1 in my lab`, `SET "SET x=?" in my lab`, `CHANGE_USER tracked in tracked`, `PING other in other`}},
		"progress": {[]step{ask(query("ALTER TABLE t ADD x INT")), answers(packets(1, "\xff\xff\xff\x01\x02\x00", okPayload(2)))},
			[]string{`ALTER TABLE t "ALTER TABLE t ADD x INT" in shop`}},
		"fields": {[]step{ask(packet(0, "\x04t\x00")), answers(packets(1, definition("a")+"\xfb", definition("b")+"\xfb", eofPayload(2)))},
			[]string{`FIELD_LIST shop in shop`}},
	}
}

func repeat(s string, n int) []string {
	var b []string
	for range n {
		b = append(b, s)
	}
	return b
}

func TestConversations(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, deprecated := range []bool{false, true} {
		capabilities := baseCapabilities
		if deprecated {
			capabilities |= clientDeprecateEOF
		}
		for name, c := range conversations(deprecated) {
			for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer} {
				for _, most := range []int{0, 1, 3, 50, 600} {
					t.Run(fmt.Sprintf("%s/%t/%v/%d", name, deprecated, role, most), func(t *testing.T) {
						h := newHarness(role, nil)
						h.login(mariadb, capabilities, "shop")
						h.play(c.steps, most, r)
						require.NoError(t, h.err)
						require.Equal(t, c.want, h.finish(t))
						require.Zero(t, h.stats)
						for _, d := range h.details {
							require.Equal(t, "mariadb", d.System)
						}
					})
				}
				if name == "databases" {
					continue
				}
				t.Run(fmt.Sprintf("%s/%t/%v/old", name, deprecated, role), func(t *testing.T) {
					// A connection that is older than we are.
					h := newHarness(role, nil)
					h.play(c.steps, 0, nil)
					require.NoError(t, h.err)
					want := append([]string(nil), c.want...)
					for i := range want {
						want[i] = strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(want[i], " in shop", ""), " shop", ""), "FIELD_LIST", "FIELD_LIST")
					}
					require.Equal(t, want, h.finish(t))
					for _, d := range h.details {
						require.Equal(t, "mysql", d.System)
					}
				})
			}
		}
	}
}

func TestErrorHasSQLState(t *testing.T) {
	h := newClient()
	h.login("8.0.36", baseCapabilities, "shop")
	h.client(query("SELECT 1 FROM nix"))
	h.server(packet(1, errPayload(1146)))
	h.finish(t)
	require.Equal(t, []dbconv.Attribute{{Key: AttrSQLState, Text: "42S02"}}, h.details[0].Extra)
	require.Equal(t, "mysql", h.details[0].System)
	require.True(t, h.details[0].Failed)
}

func TestTimes(t *testing.T) {
	h := newClient()
	h.login(mariadb, baseCapabilities, "")
	begin := h.now
	for _, b := range []string{query("SELECT a FROM t")[:3], query("SELECT a FROM t")[3:]} {
		h.client(b)
	}
	r := result(false, "abc")
	for i := range r {
		h.server(r[i : i+1])
	}
	h.finish(t)
	require.Equal(t, [][2]uint64{{begin + 9, h.now}}, h.times)
}

func TestQueryTexts(t *testing.T) {
	for text, want := range map[dbconv.QueryText]string{
		dbconv.TextSanitized: `SELECT t "SELECT a FROM t WHERE b = ?" rows=0`,
		dbconv.TextNone:      `SELECT t rows=0`,
		dbconv.TextRaw:       `SELECT t "SELECT a FROM t WHERE b = 'secret'" rows=0`,
	} {
		h := newHarness(exchange.RoleClient, &dbconv.Settings{QueryText: text})
		h.login(mariadb, baseCapabilities, "")
		h.client(query("SELECT a FROM t WHERE b = 'secret'"))
		h.server(result(false))
		require.Equal(t, []string{want}, h.finish(t))
	}
}

func TestQueryAttributes(t *testing.T) {
	h := newClient()
	h.login("8.0.36", baseCapabilities|clientQueryAttributes, "")
	h.client(query("\x00\x01SELECT a FROM t"))
	h.server(result(false))
	h.client(query("\x02\x01\x00\x01\xfe\x00\x02n1\x03\x00\x02n2" + "\x05value" + "\x07\x00\x00\x00" + "SELECT b FROM t"))
	h.server(result(false))
	require.Equal(t, []string{`SELECT t "SELECT a FROM t" rows=0`, `SELECT t "SELECT b FROM t" rows=0`}, h.finish(t))
}

func TestMetadataLeftOut(t *testing.T) {
	h := newClient()
	h.login(mariadb, baseCapabilities&^1|mariadbClientCacheMetadata, "")
	h.client(prepare("SELECT a FROM t"))
	h.server(prepared(false, 1, 0, 1))
	h.client(execute(1))
	h.server(packets(1, "\x01\x00", eofPayload(2), "\x00\x00\x01a", eofPayload(2)))
	require.Equal(t, `SELECT t "SELECT a FROM t" rows=1`, h.finish(t)[1])

	h = newClient()
	h.login("8.0.36", baseCapabilities|clientOptionalMetadata|clientDeprecateEOF, "")
	h.client(query("SELECT a FROM t"))
	h.server(packets(1, "\x00\x01", "\x01a", endPayload(2)))
	require.Equal(t, []string{`SELECT t "SELECT a FROM t" rows=1`}, h.finish(t))
}

func TestEncryptionIsOpaque(t *testing.T) {
	h := newServer()
	h.server(greetingPacket(mariadb, baseCapabilities|clientSSL))
	h.client(packet(1, le(baseCapabilities|clientSSL, 4)+le(1<<24, 4)+"\x2d"+string(make([]byte, 23))))
	require.ErrorIs(t, h.err, protocol.ErrOpaque)
}

func TestReplicationIsOpaque(t *testing.T) {
	h := newServer()
	h.login(mariadb, baseCapabilities, "")
	h.client(packet(0, "\x12"+string(make([]byte, 20))))
	require.ErrorIs(t, h.err, protocol.ErrOpaque)
}

// compressed makes compressed packets of at most n bytes of content each.
func compressed(b string, n int) string {
	var out strings.Builder
	for i := range 1 << 20 {
		if len(b) == 0 {
			break
		}
		part := b[:min(n, len(b))]
		b = b[len(part):]
		if len(part) < 50 {
			out.WriteString(le(uint64(len(part)), 3) + string([]byte{byte(i)}) + le(0, 3) + part)
			continue
		}
		var z bytes.Buffer
		w := zlib.NewWriter(&z)
		_, _ = w.Write([]byte(part))
		_ = w.Close()
		out.WriteString(le(uint64(z.Len()), 3) + string([]byte{byte(i)}) + le(uint64(len(part)), 3) + z.String())
	}
	return out.String()
}

func TestCompression(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for name, c := range conversations(true) {
		for _, size := range []int{10, 300, 1 << 20} {
			for _, most := range []int{0, 1, 70} {
				t.Run(fmt.Sprintf("%s/%d/%d", name, size, most), func(t *testing.T) {
					h := newClient()
					h.login(mariadb, baseCapabilities|clientDeprecateEOF|clientCompress, "shop")
					var steps []step
					for _, s := range c.steps {
						steps = append(steps, step{s.server, compressed(s.bytes, size)})
					}
					h.play(steps, most, r)
					require.NoError(t, h.err)
					require.Equal(t, c.want, h.finish(t))
				})
			}
		}
	}
}

// Both sides count the compressed packets of the other: a command in two of them has a
// response that begins with sequence id 2.
func TestCompressionCounts(t *testing.T) {
	h := newClient()
	h.login(mariadb, baseCapabilities|clientDeprecateEOF|clientCompress, "")
	text := query("SELECT a FROM t WHERE b = '" + strings.Repeat("it''s ", 20000) + "'")
	h.client(compressed(text[:8192], 1<<20))
	h.client(compressed(text[8192:], 1<<20))
	h.server(compressed(packets(2, resultPayloads(true, 2, "a")...), 1<<20))
	require.Equal(t, []string{`SELECT t "SELECT a FROM t WHERE b = ?" rows=1 cut`}, h.finish(t))
}

// A value of 1 MB of which the kernel copies the beginning.
func TestLargeValues(t *testing.T) {
	for _, deprecated := range []bool{false, true} {
		h := newClient()
		capabilities := baseCapabilities
		if deprecated {
			capabilities |= clientDeprecateEOF
		}
		h.login(mariadb, capabilities, "")
		text := query("INSERT INTO t VALUES ('" + strings.Repeat("v", 1<<20) + "')")
		h.part(h.req, text, 64<<10)
		h.server(packet(1, okPayload(2)))
		h.client(query("SELECT v FROM t"))
		response := result(deprecated, strings.Repeat("v", 1<<20))
		at := 100 << 10
		h.part(h.req.Other(), response[:at], 64<<10)
		h.part(h.req.Other(), response[at:], 64)
		h.client(query("SELECT 1"))
		h.server(result(deprecated, "1"))
		lines := h.finish(t)
		require.Len(t, lines, 3)
		require.True(t, strings.HasPrefix(lines[0], `INSERT t "INSERT INTO t VALUES (?`) && strings.HasSuffix(lines[0], " cut"), lines[0])
		require.Equal(t, `SELECT t "SELECT v FROM t" rows=1`, lines[1])
		require.Equal(t, `SELECT "SELECT ?" rows=1`, lines[2])
		require.Zero(t, h.stats)
	}
}

// A packet of 16 MB goes on in the next one.
func TestContinuedPackets(t *testing.T) {
	h := newClient()
	h.login(mariadb, baseCapabilities, "")
	head := "\x03INSERT INTO t VALUES ('"
	text := head + strings.Repeat("v", maxPacket-len(head)) + "'')"
	request := "\xff\xff\xff\x00" + text[:maxPacket] + packet(1, text[maxPacket:])
	h.part(h.req, request[:1<<20], 64<<10)
	h.part(h.req, request[1<<20:maxPacket+headSize], 64)
	h.client(request[maxPacket+headSize:])
	h.server(packet(2, okPayload(2)))
	h.client(query("SELECT v FROM t"))
	row := "\xfe" + le(maxPacket, 8) + strings.Repeat("v", maxPacket)
	response := packets(1, "\x01", definition("c"), eofPayload(2)) + "\xff\xff\xff\x04" + row[:maxPacket] + packet(5, row[maxPacket:]) + packet(6, eofPayload(2))
	h.part(h.req.Other(), response, 64<<10)
	h.client(query("SELECT 1"))
	h.server(result(false, "1"))
	lines := h.finish(t)
	require.Len(t, lines, 3)
	require.Equal(t, `SELECT t "SELECT v FROM t"`, lines[1], "the second part of the row is not copied")
	require.Equal(t, `SELECT "SELECT ?" rows=1`, lines[2])
}

// Rows that are not copied: the next command is the evidence.
func TestUnseenRows(t *testing.T) {
	h := newClient()
	h.login(mariadb, baseCapabilities, "")
	h.client(query("SELECT a FROM t"))
	many := make([]string, 20000)
	for i := range many {
		many[i] = "a row of some bytes"
	}
	response := result(false, many...)
	h.part(h.req.Other(), response[:len(response)/2], 64<<10)
	h.part(h.req.Other(), response[len(response)/2:], 64)
	last := h.now
	require.Empty(t, h.lines)
	h.client(query("SELECT 1"))
	require.Equal(t, []string{`SELECT t "SELECT a FROM t"`}, h.lines)
	require.Equal(t, last, h.times[0][1])
	h.server(result(false, "1"))
	require.Equal(t, `SELECT "SELECT ?" rows=1`, h.finish(t)[1])
}

func TestResponseBeforeItsCommand(t *testing.T) {
	h := newClient()
	h.login(mariadb, baseCapabilities, "")
	h.server(result(false, "1"))
	h.segment(protocol.Segment{Dir: h.req, Data: []byte(query("SELECT a FROM t")), First: h.now - 5, Time: h.now + 20})
	require.Equal(t, []string{`SELECT t "SELECT a FROM t" rows=1`}, h.finish(t))

	// A notice that nobody asked for is no response.
	h = newClient()
	h.login(mariadb, baseCapabilities, "")
	h.server(packet(1, errPayload(1927)))
	h.client(query("SELECT a FROM t"))
	h.server(result(false, "1"))
	require.Equal(t, []string{`SELECT t "SELECT a FROM t" rows=1`}, h.finish(t))
}

func TestEnds(t *testing.T) {
	h := newClient()
	h.login(mariadb, baseCapabilities, "")
	h.client(query("SELECT SLEEP(100)"))
	h.parser.End(protocol.End{Dir: protocol.Received, Time: h.now + 7, Cause: exchange.FailureReset})
	h.parser.Close(h.now+9, exchange.FailureReset)
	require.Equal(t, []string{`SELECT "SELECT SLEEP(?)" connection_reset`}, h.finish(t))
	require.EqualValues(t, h.now+7, h.times[0][1])

	// Without a real end there is nothing to report.
	h = newClient()
	h.login(mariadb, baseCapabilities, "")
	h.client(query("SELECT SLEEP(100)"))
	require.Empty(t, h.finish(t))
	require.Equal(t, 1, h.abandoned)
}

func TestMemoryIsBounded(t *testing.T) {
	h := newClient()
	h.login(mariadb, baseCapabilities, "")
	text := "SELECT a FROM t WHERE b = ?" + strings.Repeat(" OR b = ?", 700)
	for i := range maxStatements + 100 {
		h.client(prepare(text))
		h.server(prepared(false, i+1, 0, 0))
	}
	p := h.parser.(*parser)
	require.Len(t, p.statements.byID, maxStatements)
	require.LessOrEqual(t, p.statements.bytes, maxTexts)
	require.EqualValues(t, 100, h.stats.Unmatched)
	for range 2 * maxInFlight {
		h.client(query("SELECT 1"))
	}
	require.LessOrEqual(t, p.queue.Len(), maxInFlight)
	h.finish(t)
}

// Whatever is lost or not copied: nothing wrong is reported. Every command has a
// number, in its text and in its response (rows, or the number of an error).
func TestModelLosses(t *testing.T) {
	reported, total := 0, 0
	rounds := 300
	if testing.Short() {
		rounds = 100
	}
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 7))
		deprecated := r.IntN(2) == 0
		capabilities := baseCapabilities
		if deprecated {
			capabilities |= clientDeprecateEOF
		}
		h := newHarness(exchange.Role(1+r.IntN(2)), nil)
		if r.IntN(4) > 0 {
			h.login(mariadb, capabilities, "")
		}
		pipeline := r.IntN(3) == 0
		rate := 3 + r.IntN(40)
		want := map[string]string{}
		var lost [2]uint64
		send := func(dir protocol.Direction, b string) {
			for len(b) > 0 {
				n := len(b)
				if r.IntN(2) == 0 {
					n = 1 + r.IntN(n)
				}
				part := b[:n]
				b = b[n:]
				if r.IntN(rate) == 0 {
					lost[dir] += uint64(n)
					continue
				}
				copied := n
				if r.IntN(rate) == 0 {
					copied = r.IntN(n + 1)
				}
				h.segment(protocol.Segment{Dir: dir, Lost: lost[dir], Data: []byte(part[:copied]), Len: n, Tail: tail(part, copied)})
				lost[dir] = 0
			}
		}
		for i := 0; i < 40; {
			n := 1
			if pipeline {
				n = 1 + r.IntN(6)
			}
			var requests, responses string
			for range n {
				name := fmt.Sprintf("SELECT t%d", i)
				requests += query(fmt.Sprintf("SELECT a FROM t%d", i))
				switch r.IntN(3) {
				case 0:
					responses += packet(1, errPayload(uint64(1000+i)))
					want[name] = fmt.Sprintf(" error=%d", 1000+i)
				case 1:
					responses += packet(1, okPayload(2))
					want[name] = ""
				default:
					rows := make([]string, i*5)
					for k := range rows {
						rows[k] = strings.Repeat("x", r.IntN(60))
					}
					responses += result(deprecated, rows...)
					want[name] = fmt.Sprintf(" rows=%d", len(rows))
				}
				i++
				total++
			}
			send(h.req, requests)
			send(h.req.Other(), responses)
		}
		for i, line := range h.finish(t) {
			reported++
			d := &h.details[i]
			if d.Cut && !strings.Contains(d.Summary, " t") {
				continue
			}
			w, ok := want[d.Summary]
			require.True(t, ok, "seed %d: %s", seed, line)
			delete(want, d.Summary)
			got := ""
			if d.Status != "" {
				got = " error=" + d.Status
			} else if d.Rows >= 0 {
				got = fmt.Sprintf(" rows=%d", d.Rows)
			} else if strings.HasPrefix(w, " rows=") {
				continue // not known
			}
			require.Equal(t, w, got, "seed %d: %s", seed, line)
		}
	}
	t.Logf("reported %d of %d", reported, total)
}
