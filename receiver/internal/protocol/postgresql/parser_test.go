// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// hello opens a session without encryption and with a password (chapter 55.2.1).
var hello = []string{
	sslRequest, "N",
	startupMessage("user", "u", "database", "shop", "application_name", "x"), msg('R', "\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00"),
	msg('p', "SCRAM-SHA-256\x00\x00\x00\x00\x05n,,n=,r=Q"), msg('R', "\x00\x00\x00\x0br=x"),
	msg('p', "c=biws,r=x"), msg('R', "\x00\x00\x00\x0cv=x") + authOK + parameter("server_version", "15.3") + parameter("standard_conforming_strings", "on") + keyData + idle,
}

// scenarios are conversations, behind hello, whose outcome must not depend on how they
// are cut into segments.
var scenarios = []struct {
	name  string
	steps []string
	want  []string
	err   error
}{
	{name: "simple query (55.2.2)", steps: []string{query("SELECT a FROM t WHERE b = 'x'"), rowDesc + row("1") + row("2") + complete("SELECT 2") + idle},
		want: []string{"SELECT t {SELECT a FROM t WHERE b = ?} rows=2"}},
	{name: "several statements", steps: []string{query("BEGIN; INSERT INTO t VALUES (1); COMMIT"), complete("BEGIN") + complete("INSERT 0 1") + complete("COMMIT") + idle},
		want: []string{"BEGIN INSERT t COMMIT {BEGIN; INSERT INTO t VALUES (?); COMMIT} batch=3"}},
	{name: "empty query", steps: []string{query(""), emptyQuery + idle}, want: []string{""}},
	{name: "transaction", steps: []string{query("BEGIN"), complete("BEGIN") + inTransaction, query("SELEC"), failure("ERROR", "42601") + failedTransaction, query("ROLLBACK"), complete("ROLLBACK") + idle},
		want: []string{"BEGIN {BEGIN}", "SELEC {SELEC} status=42601 failed", "ROLLBACK {ROLLBACK}"}},
	{name: "error after rows", steps: []string{query("SELECT 1/a FROM t"), rowDesc + row("1") + failure("ERROR", "22012") + idle}, want: []string{"SELECT t {SELECT ?/a FROM t} rows=1 status=22012 failed"}},
	{name: "warning", steps: []string{query("COMMIT"), notice("WARNING", "25P01") + notice("WARNING", "01000") + complete("COMMIT") + idle}, want: []string{"COMMIT {COMMIT} status=01000"}},
	{name: "asynchronous messages (55.2.7)", steps: []string{query("LISTEN c"), complete("LISTEN") + idle + msg('A', "\x00\x00\x00\x01c\x00\x00") + notice("NOTICE", "00000") + parameter("TimeZone", "UTC"), query("NOTIFY c"), complete("NOTIFY") + msg('A', "\x00\x00\x00\x01c\x00\x00") + idle},
		want: []string{"LISTEN {LISTEN c}", "NOTIFY {NOTIFY c}"}},
	{name: "extended query (55.2.3)", steps: []string{parse("", "SELECT a FROM t WHERE b = $1 AND c = 'x'", 1) + bind("", "", "v") + describePortal + execute("") + syncMessage,
		parseComplete + bindComplete + rowDesc + row("1") + complete("SELECT 1") + idle},
		want: []string{"SELECT t {SELECT a FROM t WHERE b = $1 AND c = 'x'} rows=1"}},
	{name: "extended query without parameters", steps: []string{parse("", "SELECT a FROM t WHERE c = 'x'", 0) + bind("", "") + describePortal + execute("") + syncMessage,
		parseComplete + bindComplete + rowDesc + complete("SELECT 0") + idle},
		want: []string{"SELECT t {SELECT a FROM t WHERE c = ?} rows=0"}},
	{name: "prepared statement", steps: []string{parse("s1", "SELECT $1", 1) + msg('D', "Ss1\x00") + syncMessage, parseComplete + parameterDesc + rowDesc + idle,
		bind("", "s1", "v") + execute("") + syncMessage, bindComplete + row("1") + complete("SELECT 1") + idle,
		bind("", "s1", "v") + describePortal + execute("") + msg('C', "Ss1\x00") + syncMessage, bindComplete + rowDesc + row("1") + complete("SELECT 1") + closeComplete + idle,
		bind("", "s1", "v") + execute("") + syncMessage, failure("ERROR", "26000") + idle},
		want: []string{"SELECT {SELECT $1} rows=1", "SELECT {SELECT $1} rows=1", "unprepared status=26000 failed"}},
	{name: "portals, suspension", steps: []string{parse("s", "SELECT a FROM t", 0) + bind("p1", "s") + msg('E', "p1\x00\x00\x00\x00\x02") + syncMessage,
		parseComplete + bindComplete + row("1") + row("2") + suspended + idle,
		msg('E', "p1\x00\x00\x00\x00\x02") + syncMessage, row("3") + complete("SELECT 1") + idle,
		msg('C', "Pp1\x00") + execute("p1") + syncMessage, closeComplete + failure("ERROR", "34000") + idle},
		want: []string{"SELECT t {SELECT a FROM t} rows=2", "SELECT t {SELECT a FROM t} rows=1", "unprepared status=34000 failed"}},
	{name: "pipeline (55.2.4)", steps: []string{
		parse("", "INSERT INTO a VALUES ($1)", 1) + bind("", "", "v") + describePortal + execute("") + parse("", "INSERT INTO b VALUES ($1)", 1) + bind("", "", "v") + describePortal + execute("") + syncMessage +
			parse("", "SELECT 1", 0) + bind("", "") + describePortal + execute("") + syncMessage,
		parseComplete + bindComplete + noData + complete("INSERT 0 1") + parseComplete + bindComplete + noData + complete("INSERT 0 1") + idle + parseComplete + bindComplete + rowDesc + row("1") + complete("SELECT 1") + idle},
		want: []string{"INSERT a {INSERT INTO a VALUES ($1)}", "INSERT b {INSERT INTO b VALUES ($1)}", "SELECT {SELECT ?} rows=1"}},
	{name: "error in a pipeline", steps: []string{
		parse("", "INSERT INTO a VALUES ($1)", 1) + bind("", "", "v") + execute("") + parse("", "BAD", 0) + bind("", "") + execute("") + parse("", "INSERT INTO b VALUES ($1)", 1) + bind("", "", "v") + execute("") + syncMessage +
			parse("", "SELECT 1", 0) + bind("", "") + execute("") + syncMessage,
		parseComplete + bindComplete + complete("INSERT 0 1") + failure("ERROR", "42601") + idle + parseComplete + bindComplete + row("1") + complete("SELECT 1") + idle},
		want: []string{"INSERT a {INSERT INTO a VALUES ($1)}", "BAD {BAD} status=42601 failed", "INSERT b {INSERT INTO b VALUES ($1)} failed error=pipeline_aborted", "SELECT {SELECT ?} rows=1"}},
	{name: "statement that cannot be prepared", steps: []string{parse("s", "SELEC $1", 1) + msg('D', "Ss\x00") + syncMessage, failure("ERROR", "42601") + idle, query("SELECT 1"), rowDesc + row("1") + complete("SELECT 1") + idle},
		want: []string{"SELEC {SELEC $1} status=42601 failed", "SELECT {SELECT ?} rows=1"}},
	{name: "flush", steps: []string{parse("", "SELECT 1", 0) + bind("", "") + flush, parseComplete + bindComplete, execute("") + flush, row("1") + complete("SELECT 1"), syncMessage, idle},
		want: []string{"SELECT {SELECT ?} rows=1"}},
	{name: "copy in (55.2.6)", steps: []string{query("COPY t FROM STDIN"), msg('G', "\x00\x00\x01\x00\x00"), msg('d', "1\n") + msg('d', "SELECT 'x'\n") + msg('c', ""), complete("COPY 2") + idle},
		want: []string{"COPY t {COPY t FROM STDIN}"}},
	{name: "copy in that fails", steps: []string{query("COPY t FROM STDIN"), msg('G', "\x00\x00\x01\x00\x00"), msg('d', "1\n") + msg('f', "no\x00"), failure("ERROR", "57014") + idle},
		want: []string{"COPY t {COPY t FROM STDIN} status=57014 failed"}},
	{name: "copy in, extended", steps: []string{parse("", "COPY t FROM STDIN", 0) + bind("", "") + execute("") + syncMessage, parseComplete + bindComplete + msg('G', "\x00\x00\x01\x00\x00"), msg('d', "1\n") + syncMessage + msg('c', "") + syncMessage, complete("COPY 1") + idle, query("SELECT 1"), rowDesc + row("1") + complete("SELECT 1") + idle},
		want: []string{"COPY t {COPY t FROM STDIN}", "SELECT {SELECT ?} rows=1"}},
	{name: "copy out", steps: []string{query("COPY t TO STDOUT"), msg('H', "\x00\x00\x01\x00\x00") + msg('d', "1\n") + msg('d', "2\n") + msg('c', "") + complete("COPY 2") + idle},
		want: []string{"COPY t {COPY t TO STDOUT}"}},
	{name: "replication", steps: []string{query("IDENTIFY_SYSTEM"), rowDesc + row("1") + complete("IDENTIFY_SYSTEM") + idle, query("START_REPLICATION 0/1"), msg('W', "\x00\x00\x00")},
		want: []string{"{IDENTIFY_SYSTEM} rows=1"}, err: protocol.ErrOpaque},
	{name: "function call (55.2.5)", steps: []string{msg('F', "\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00"), msg('V', "\xff\xff\xff\xff") + idle}, want: []string{""}},
	{name: "negotiated minor version", steps: []string{query("SELECT 1") + terminate, msg('v', "\x00\x03\x00\x00\x00\x00\x00\x00") + rowDesc + row("1") + complete("SELECT 1") + idle}, want: []string{"SELECT {SELECT ?} rows=1"}},
	{name: "stored procedure", steps: []string{query("CALL p(1)"), complete("CALL") + idle}, want: []string{"CALL p {CALL p(?)}"}},
}

func TestScenarios(t *testing.T) {
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer, exchange.RoleUnknown} {
				for _, size := range []int{1 << 20, 1, 2, 3, 5, 7, 11, 64} {
					h := newHarness(role, nil)
					h.play(size, append(append([]string{}, hello...), sc.steps...)...)
					require.Equal(t, sc.err, h.err, size)
					require.Equal(t, sc.want, h.brief(t), "size %d", size)
					require.Zero(t, h.stats.Invalid+h.stats.Resyncs)
					for _, r := range h.ended {
						require.Equal(t, "shop", r.Namespace)
						require.Equal(t, "postgresql", r.System)
						require.Empty(t, r.Collection)
					}
				}
			}
		})
	}
}

// Requests may be on their way while answers to earlier ones come, in any cut.
func TestInterleaved(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		h := newClient()
		h.play(1<<20, hello...)
		var requests, answers string
		var sent, received []int // where each group ends
		var want []string
		for i := range 30 {
			table := strings.Repeat("t", i+1)
			switch r.IntN(4) {
			case 0:
				requests += query("SELECT * FROM " + table)
				answers += rowDesc + strings.Repeat(row("x"), i) + complete("SELECT 9") + idle
				want = append(want, "SELECT "+table)
			case 1:
				requests += parse("", "DELETE FROM "+table, 0) + bind("", "") + describePortal + execute("") + syncMessage
				answers += parseComplete + bindComplete + noData + complete("DELETE 3") + idle
				want = append(want, "DELETE "+table)
			case 2:
				requests += parse("", "UPDATE "+table, 0) + bind("", "") + execute("") + syncMessage
				answers += failure("ERROR", "42601") + idle
				want = append(want, "UPDATE "+table+" failed")
			case 3:
				requests += parse("s"+table, "TABLE "+table, 0) + syncMessage + bind("", "s"+table) + execute("") + syncMessage
				answers += parseComplete + idle + bindComplete + row("1") + complete("SELECT 1") + idle
				want = append(want, "TABLE "+table)
			}
			sent, received = append(sent, len(requests)), append(received, len(answers))
		}
		a, b := 0, 0
		for a < len(requests) || b < len(answers) {
			// What can be answered is what is sent completely.
			limit := 0
			for i := range sent {
				if sent[i] <= a {
					limit = received[i]
				}
			}
			n := 1 + r.IntN(200)
			if b < limit && (r.IntN(2) == 0 || a == len(requests)) {
				n = min(n, limit-b)
				h.segment(protocol.Segment{Dir: h.req.Other(), Data: []byte(answers[b : b+n])})
				b += n
			} else if a < len(requests) {
				n = min(n, len(requests)-a)
				h.segment(protocol.Segment{Dir: h.req, Data: []byte(requests[a : a+n])})
				a += n
			}
		}
		require.NoError(t, h.err)
		h.check(t)
		require.Len(t, h.ended, len(want))
		for i, x := range h.ended {
			s := x.Summary
			if x.Failed {
				s += " failed"
			}
			require.Equal(t, want[i], s)
		}
		require.Zero(t, h.stats)
	}
}

func TestEncryption(t *testing.T) {
	for _, tc := range []struct {
		request, answer string
		err             error
	}{{sslRequest, "S", protocol.ErrOpaque}, {gssRequest, "G", protocol.ErrOpaque}, {gssRequest, "N", nil}, {sslRequest, "N", nil}, {sslRequest, "X", protocol.ErrMismatch}} {
		h := newClient()
		h.play(100, tc.request, tc.answer)
		require.Equal(t, tc.err, h.err)
		require.Empty(t, h.brief(t))
	}
	// Both are asked for, one after the other.
	h := newClient()
	h.play(100, gssRequest, "N", sslRequest, "N", startupMessage("user", "me"), authOK+idle, query("SELECT 1"), complete("SELECT 1")+idle)
	require.Equal(t, []string{"SELECT {SELECT ?} rows=0"}, h.brief(t))
	require.Equal(t, "me", h.ended[0].Namespace)
}

func TestCancel(t *testing.T) {
	h := newClient()
	h.play(100, cancelRequest)
	h.parser.End(protocol.End{Dir: protocol.Received, Time: h.now, Cause: exchange.FailureEOF})
	h.parser.Close(h.now, exchange.FailureEOF)
	require.NoError(t, h.err)
	require.Empty(t, h.brief(t))
	require.Zero(t, h.stats)
}

func TestNamespace(t *testing.T) {
	for want, parameters := range map[string][]string{
		"u":          {"user", "u"},
		"d":          {"user", "u", "database", "d", "search_path", `"$user", public`},
		"d|s":        {"user", "u", "database", "d", "search_path", "s, public"},
		"d|a schema": {"user", "u", "database", "d", "options", `-c search_path="a schema",x -c a=b`},
		"d|o":        {"user", "u", "database", "d", "options", "-c statement_timeout=5s -csearch_path=o"},
	} {
		if strings.Contains(want, " ") {
			continue // escapes in options are not looked into
		}
		h := newClient()
		h.play(100, startupMessage(parameters...), authOK+idle, query("SELECT 1"), complete("SELECT 1")+idle)
		h.check(t)
		require.Equal(t, want, h.ended[0].Namespace)
	}
	h := newClient()
	h.play(100, startupMessage("user", "u"), authOK+parameter("search_path", "s18")+parameter("crdb_version", "x")+idle, query("SELECT 1"), complete("SELECT 1")+idle)
	h.check(t)
	require.Equal(t, "u|s18", h.ended[0].Namespace)
	require.Equal(t, "cockroachdb", h.ended[0].System)
}

func TestQueryText(t *testing.T) {
	for mode, want := range map[dbconv.QueryText]string{dbconv.TextSanitized: "SELECT ?", dbconv.TextNone: "", dbconv.TextRaw: "SELECT 'secret' -- x"} {
		h := newHarness(exchange.RoleClient, &dbconv.Settings{QueryText: mode})
		h.play(1<<20, hello...)
		h.play(100, query("SELECT 'secret' -- x"), complete("SELECT 1")+idle)
		h.check(t)
		require.Equal(t, want, strings.TrimSpace(h.ended[0].text))
		require.Equal(t, "SELECT", h.ended[0].Summary)
	}
	h := newClient()
	h.play(100, startupMessage("user", "u"), authOK+parameter("standard_conforming_strings", "off")+idle, query(`SELECT 'a\'secret'`), complete("SELECT 1")+idle)
	h.check(t)
	require.Equal(t, "SELECT ?", h.ended[0].text)
}

func TestTimes(t *testing.T) {
	h := newClient()
	h.play(1<<20, hello...)
	at := func(dir protocol.Direction, first, time uint64, b string) {
		h.segment(protocol.Segment{Dir: dir, First: first, Time: time, Data: []byte(b)})
	}
	at(protocol.Sent, 9000, 9100, parse("", "SELECT 1", 0)[:7])
	at(protocol.Sent, 9200, 9300, parse("", "SELECT 1", 0)[7:]+bind("", "")+execute(""))
	at(protocol.Sent, 9400, 9500, syncMessage)
	at(protocol.Received, 9600, 9600, parseComplete+bindComplete)
	at(protocol.Received, 9700, 9700, row("1")+complete("SELECT 1"))
	at(protocol.Received, 9800, 9800, idle)
	h.check(t)
	require.Equal(t, uint64(9000), h.ended[0].start)
	require.Equal(t, uint64(9700), h.ended[0].end)
}

// The first operation of a segment has the kernel's identity, however much is before it.
func TestIdentity(t *testing.T) {
	h := newClient()
	h.play(1<<20, hello...)
	id := exchange.Identity{Seed: 7, Trace: 5, Parent: 5, Method: exchange.MethodThread}
	one := bind("", "s", "v") + execute("")
	h.segment(protocol.Segment{Dir: h.req, Identity: id, Data: []byte(parse("s", "SELECT 1", 0) + one + one + syncMessage)})
	h.play(1<<20, "", parseComplete+strings.Repeat(bindComplete+complete("SELECT 1"), 2)+idle)
	h.check(t)
	require.Equal(t, id, h.ended[0].identity)
	require.Equal(t, id.Parent, h.ended[1].identity.Parent)
	require.NotEqual(t, id.Seed, h.ended[1].identity.Seed)
}

func TestEnds(t *testing.T) {
	for _, tc := range []struct {
		steps []string
		cause exchange.Failure
		want  []string
	}{
		{[]string{query("SELECT 1")}, exchange.FailureReset, []string{"SELECT {SELECT ?} connection_reset"}},
		{[]string{query("SELECT 1"), rowDesc + row("1")}, exchange.FailureEOF, []string{"SELECT {SELECT ?} rows=1 eof"}},
		{[]string{query("SELECT 1"), failure("FATAL", "57P01")}, exchange.FailureEOF, []string{"SELECT {SELECT ?} status=57P01 failed"}},
		{[]string{query("SELECT 1")}, exchange.FailureNone, []string{}},
		{[]string{parse("", "SELECT 1", 0) + bind("", "")}, exchange.FailureEOF, []string{}},
		{[]string{query("SELECT 1"), rowDesc + row("1") + complete("SELECT 1") + idle, terminate}, exchange.FailureClosed, []string{"SELECT {SELECT ?} rows=1"}},
	} {
		h := newClient()
		h.play(1<<20, hello...)
		h.play(1<<20, tc.steps...)
		h.parser.Close(h.now+10, tc.cause)
		require.Equal(t, tc.want, h.brief(t))
	}
}

// A send is reported when the call returns; another thread may have read the answer.
func TestAnswerReportedFirst(t *testing.T) {
	for _, request := range []string{query("SELECT 1"), parse("", "SELECT 1", 0) + bind("", "") + describePortal + execute("") + syncMessage} {
		answer := rowDesc + row("1") + row("2") + complete("SELECT 2") + idle
		if request[0] == 'P' {
			answer = parseComplete + bindComplete + answer
		}
		h := newClient()
		h.play(1<<20, hello...)
		h.segment(protocol.Segment{Dir: protocol.Received, First: 5100, Time: 5100, Data: []byte(answer)})
		h.segment(protocol.Segment{Dir: protocol.Sent, First: 5000, Time: 5200, Data: []byte(request)})
		h.now = 6000
		h.play(1<<20, query("SELECT 3"), rowDesc+row("1")+complete("SELECT 1")+idle)
		require.Equal(t, []string{"SELECT {SELECT ?} rows=2", "SELECT {SELECT ?} rows=1"}, h.brief(t))
		require.Equal(t, uint64(5100), h.ended[0].end)
	}
	// The startup, too.
	h := newClient()
	h.segment(protocol.Segment{Dir: protocol.Received, First: 5100, Time: 5100, Data: []byte("N")})
	h.segment(protocol.Segment{Dir: protocol.Sent, First: 5000, Time: 5200, Data: []byte(sslRequest)})
	h.segment(protocol.Segment{Dir: protocol.Received, First: 5400, Time: 5400, Data: []byte(authOK + parameter("a", "b") + idle)})
	h.segment(protocol.Segment{Dir: protocol.Sent, First: 5300, Time: 5500, Data: []byte(startupMessage("user", "u"))})
	h.now = 6000
	h.play(1<<20, query("SELECT 3"), rowDesc+row("1")+complete("SELECT 1")+idle)
	require.Equal(t, []string{"SELECT {SELECT ?} rows=1"}, h.brief(t))
	// What comes unasked before a request was sent is no answer to it.
	h = newClient()
	h.play(1<<20, hello...)
	h.play(1<<20, "", failure("FATAL", "57P05"))
	h.play(1<<20, query("SELECT 1"))
	h.parser.Close(h.now+10, exchange.FailureReset)
	require.Equal(t, []string{"SELECT {SELECT ?} connection_reset"}, h.brief(t))
}

func TestLong(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	window := int(dense.Sent)
	text := "SELECT a FROM t WHERE b IN (" + strings.Repeat("'secret', ", 20000) + "'x')"
	for name, tc := range map[string]struct {
		request, answer string
		want            string
	}{
		"query":      {query(text), complete("SELECT 0") + idle, "SELECT t"},
		"value":      {bind("", "s", big) + describePortal + execute("") + syncMessage, bindComplete + noData + complete("INSERT 0 1") + idle, "INSERT t {INSERT INTO t VALUES ($1)}"},
		"bad value":  {bind("", "s", big) + execute("") + syncMessage, failure("ERROR", "22P02") + idle, "INSERT t {INSERT INTO t VALUES ($1)} status=22P02 failed"},
		"row":        {query("TABLE t"), rowDesc + row(big) + complete("SELECT 1") + idle, "TABLE t {TABLE t}"},
		"row, error": {query("TABLE t"), rowDesc + row(big) + failure("ERROR", "57014") + idle, "TABLE t {TABLE t} failed"},
		"parse":      {parse("", "SELECT a FROM t WHERE c = $1 AND b > '"+big+"'", 0) + bind("", "", "x") + describePortal + execute("") + syncMessage, parseComplete + bindComplete + rowDesc + row("1") + complete("SELECT 1") + idle, "SELECT t"},
	} {
		h := newClient()
		h.play(1<<20, hello...)
		h.play(1<<20, parse("s", "INSERT INTO t VALUES ($1)", 1)+syncMessage, parseComplete+idle)
		h.cut(protocol.Sent, tc.request, window)
		h.cut(protocol.Received, tc.answer, window)
		h.play(1<<20, query("SELECT 1"), rowDesc+row("1")+complete("SELECT 1")+idle)
		got := h.brief(t)
		require.Len(t, got, 2, name)
		require.True(t, strings.HasPrefix(got[0], tc.want), "%s: %.200s", name, got[0])
		require.NotContains(t, got[0], "secret")
		require.Equal(t, "SELECT {SELECT ?} rows=1", got[1], name)
		require.LessOrEqual(t, len(h.ended[0].text), dbconv.MaxText)
		require.Equal(t, name == "query" || name == "parse", h.ended[0].Cut, name)
	}
}

// Whatever is lost, the exchanges that are reported are right.
func TestLosses(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	reported, lost := 0, 0
	for round := range 3000 {
		role := exchange.RoleClient
		if round%2 == 0 {
			role = exchange.RoleServer
		}
		h := newHarness(role, nil)
		if round%3 > 0 {
			h.play(1<<20, hello...)
		} else {
			h.offset = [2]uint64{5000, 9000}
		}
		for i := range 20 {
			// The table tells how many rows there are, and the error.
			rows := r.IntN(6)
			table := "t" + strings.Repeat("r", rows)
			answer := strings.Repeat(row("v"), rows) + complete("SELECT 6") + idle
			if r.IntN(4) == 0 {
				table += "_e"
				answer = strings.Repeat(row("v"), rows) + failure("ERROR", "42P01") + idle
			}
			text := "SELECT a FROM " + table
			request := query(text)
			if r.IntN(2) == 0 {
				request = parse("", text, 0) + bind("", "") + describePortal + execute("") + syncMessage
				answer = parseComplete + bindComplete + rowDesc + answer
			} else {
				answer = rowDesc + answer
			}
			h.mangle(r, h.req, request)
			h.mangle(r, h.req.Other(), answer)
			if i == 10 && r.IntN(2) == 0 {
				h.now += quiet
			}
		}
		h.check(t)
		reported += len(h.ended)
		lost += h.abandoned
		for _, x := range h.ended {
			table, ok := strings.CutPrefix(x.Summary, "SELECT t")
			if !ok {
				require.True(t, x.Cut || x.Unprepared, x.String())
				continue
			}
			require.Equal(t, strings.Contains(table, "_e"), x.Failed, x.String())
			if x.Rows >= 0 {
				require.Equal(t, int64(strings.Count(table, "r")), x.Rows, x.String())
			}
		}
	}
	t.Log("reported", reported, "abandoned", lost)
	require.Greater(t, reported, 25000)
}

// mangle passes b in pieces, some of them lost or cut.
func (h *harness) mangle(r *rand.Rand, dir protocol.Direction, b string) {
	skipped := h.skipped[dir]
	for len(b) > 0 {
		n := min(len(b), 1+r.IntN(120))
		piece := b[:n]
		b = b[n:]
		switch r.IntN(60) {
		case 0:
			skipped += n
			continue
		case 1:
			s := protocol.Segment{Dir: dir, Data: []byte(piece[:r.IntN(n)]), Len: n, Lost: uint64(skipped)}
			if len(s.Data) < n {
				s.Tail = []byte(piece[max(len(s.Data), n-8):])
			}
			skipped = 0
			h.segment(s)
			continue
		}
		h.segment(protocol.Segment{Dir: dir, Data: []byte(piece), Lost: uint64(skipped)})
		skipped = 0
	}
	h.skipped[dir] = skipped
}

func TestBounds(t *testing.T) {
	h := newClient()
	h.play(1<<20, hello...)
	for i := range 3 * maxStatements {
		h.play(1<<20, parse("s"+strings.Repeat("x", i%50)+string(rune('a'+i%26))+strings.Repeat("y", i/50), "SELECT "+strings.Repeat("a", 400), 0)+syncMessage, parseComplete+idle)
	}
	require.LessOrEqual(t, len(h.parser.statements), maxStatements)
	require.LessOrEqual(t, h.parser.texts, maxTexts)
	for range 2 * maxAsked {
		h.play(1<<20, bind("", "")+syncMessage)
	}
	require.LessOrEqual(t, h.parser.size, maxAsked)
	h.check(t)
}

func TestMismatch(t *testing.T) {
	h := newClient()
	h.play(1<<20, hello...)
	for range 2 * maxMisses {
		h.play(1<<20, "\x00\x01\x02\x03garbage", "\x00\x01\x02\x03garbage")
		h.now += quiet
	}
	require.ErrorIs(t, h.err, protocol.ErrMismatch)
	require.Empty(t, h.brief(t))
}

// Connections that are older than we.
func TestMidStream(t *testing.T) {
	pair := []string{query("SELECT 1"), rowDesc + row("1") + complete("SELECT 1") + idle}
	for name, steps := range map[string][]string{
		"idle":               {},
		"an answer comes":    {"", row("1") + complete("SELECT 1") + idle},
		"half an answer":     {"", row("1")[3:] + row("2") + complete("SELECT 1") + idle},
		"several answers":    {"", complete("SELECT 1") + idle, "", complete("SELECT 2") + idle},
		"middle of messages": {query("SELECT 1")[6:], rowDesc + row("1") + complete("SELECT 1") + idle},
	} {
		for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer} {
			h := newHarness(role, nil)
			h.offset = [2]uint64{500, 500}
			h.play(1<<20, steps...)
			if len(steps)%2 == 1 {
				h.play(1<<20, "")
			}
			for range 5 {
				h.play(1<<20, pair...)
			}
			require.NoError(t, h.err, name)
			require.Equal(t, []string{"SELECT {SELECT ?} rows=1", "SELECT {SELECT ?} rows=1", "SELECT {SELECT ?} rows=1", "SELECT {SELECT ?} rows=1", "SELECT {SELECT ?} rows=1"}, h.brief(t), name)
			require.Equal(t, "", h.ended[0].Namespace)
		}
	}
	// A statement of before.
	h := newClient()
	h.offset = [2]uint64{500, 500}
	for range 2 {
		h.play(1<<20, bind("", "s7", "v")+describePortal+execute("")+syncMessage, bindComplete+rowDesc+row("1")+complete("SELECT 1")+idle)
	}
	require.Equal(t, []string{"unprepared rows=1", "unprepared rows=1"}, h.brief(t))
	require.Equal(t, "EXECUTE", h.ended[0].name)
	// Answers to what a pipelining client asked before.
	h = newClient()
	h.offset = [2]uint64{500, 500}
	h.play(1<<20, query("SELECT 1"), complete("SELECT 1")+idle+complete("SELECT 2")+idle)
	h.play(1<<20, query("SELECT 2"), complete("SELECT 2")+idle)
	require.Empty(t, h.brief(t))
	require.Equal(t, 2, h.abandoned)
}
