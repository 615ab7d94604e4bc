// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/require"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/protocoltest"
)

type step = protocoltest.Step

func ask(b string) step     { return step{">", b} }
func answers(b string) step { return step{"<", b} }

const (
	id16       = "0123456789abcdef"
	selectText = "SELECT a FROM t WHERE k = 'x'"
	selectLine = "SELECT t name=SELECT name=t text=SELECT a FROM t WHERE k = ?"
	insertText = "INSERT INTO t (k) VALUES (?)"
)

type conversation struct {
	steps []step
	want  []string
}

// conversations of version v, without a handshake.
func conversations(v int) map[string]conversation {
	c := map[string]conversation{
		"query": {[]step{ask(query(v, 1, selectText)), answers(rows(v, 1, 3))}, []string{selectLine + " returned_rows=3 level=quorum size=5000"}},
		"error": {[]step{ask(query(v, 1, selectText)), answers(failure(v, 1, 0x2200))}, []string{selectLine + " status_code=8704 type=8704 level=quorum size=5000"}},
		"prepare and execute": {[]step{
			ask(prepare(v, 7, insertText)), answers(prepared(v, 7, id16)),
			ask(execute(v, 7, id16, "secret")), answers(void(v, 7)),
			ask(execute(v, 8, "another id here!", "secret")), answers(void(v, 8)),
		}, []string{
			"PREPARE INSERT t name=PREPARE name=t text=" + insertText,
			"INSERT t name=INSERT name=t text=" + insertText + " level=one size=100",
			"EXECUTE name=EXECUTE level=one size=100 unknown=true",
		}},
		"batch": {[]step{
			ask(prepare(v, 7, insertText)), answers(prepared(v, 7, id16)),
			ask(batch(v, 1, "#"+id16, "#"+id16, "#"+id16)), answers(void(v, 1)),
			ask(batch(v, 1, "INSERT INTO t (k) VALUES ('a')", "DELETE FROM u WHERE k = 1")), answers(void(v, 1)),
			ask(batch(v, 2, "UPDATE t SET a = 1 WHERE k = 2")), answers(failure(v, 2, 0x1100)),
		}, []string{
			"PREPARE INSERT t name=PREPARE name=t text=" + insertText,
			"BATCH INSERT t name=BATCH INSERT name=t text=" + insertText + " size=3 level=local_quorum",
			"BATCH name=BATCH text=INSERT INTO t (k) VALUES (?); DELETE FROM u WHERE k = ? size=2 level=local_quorum",
			"BATCH UPDATE t name=BATCH UPDATE name=t text=UPDATE t SET a = ? WHERE k = ? status_code=4352 type=4352 level=local_quorum",
		}},
		"keyspace": {[]step{
			ask(query(v, 1, "USE shop")), answers(result(v, 1, resultKeyspace, str("shop"))),
			ask(query(v, 1, selectText)), answers(rows(v, 1, 0)),
		}, []string{
			"USE shop name=USE text=USE shop level=quorum size=5000",
			"SELECT t name=SELECT name=t namespace=shop text=SELECT a FROM t WHERE k = ? returned_rows=0 level=quorum size=5000",
		}},
		"not the application": {[]step{
			ask(frame(v, 3, opRegister, be(1, 2)+str("STATUS_CHANGE"))), answers(frame(v|response, 3, opReady, "")),
			answers(frame(v|response, -1, opEvent, str("STATUS_CHANGE")+str("UP")+be(4, 1)+"abcd"+be(9042, 4))),
			ask(frame(v, 3, opAuthResponse, long("\x00me\x00secret"))), answers(frame(v|response, 3, opAuthChallenge, long("more"))),
			ask(frame(v, 3, opAuthResponse, long("secret"))), answers(frame(v|response, 3, opAuthSuccess, long(""))),
			ask(frame(v, 3, opOptions, "")), answers(frame(v|response, 3, opSupported, be(0, 2))),
		}, nil},
		"what comes first": {[]step{
			ask(flagged(v, flagTracing|flagPayload, 1, opQuery, be(1, 2)+str("k")+long("v")+query(v, 1, selectText)[headSize:])),
			answers(flagged(v|response, flagTracing|flagPayload|flagWarning, 1, opResult,
				strings.Repeat("u", 16)+be(2, 2)+str("careful")+str("!")+be(1, 2)+str("k")+long("v")+rows(v, 1, 2)[headSize:])),
		}, []string{selectLine + " returned_rows=2 level=quorum size=5000"}},
		"types": {[]step{ask(query(v, 1, selectText)), answers(result(v, 1, resultRows, be(rowsMore, 4)+be(1, 4)+long("state")+str("s")+str("t")+str("c")+
			be(0x30, 2)+str("s")+str("u")+be(2, 2)+str("f")+be(0x31, 2)+be(2, 2)+be(0, 2)+str("x.Custom")+be(0x22, 2)+be(1, 2)+str("g")+be(0x20, 2)+be(9, 2)+be(41, 4)))},
			[]string{selectLine + " returned_rows=41 level=quorum size=5000"}},
		"no metadata": {[]step{ask(query(v, 1, selectText)), answers(result(v, 1, resultRows, be(rowsNoMetadata, 4)+be(3, 4)+be(9, 4)))},
			[]string{selectLine + " returned_rows=9 level=quorum size=5000"}},
	}
	for _, depth := range []int{2, 16, 100} {
		var requests, responses string
		var want []string
		for i := range depth {
			requests += query(v, i, fmt.Sprintf("SELECT a FROM t%d", i))
			responses = rows(v, i, i%7) + responses // the last one first
			want = append([]string{fmt.Sprintf("SELECT t%d name=SELECT name=t%d text=SELECT a FROM t%d returned_rows=%d level=quorum size=5000", i, i, i, i%7)}, want...)
		}
		c[fmt.Sprint("in flight ", depth)] = conversation{[]step{ask(requests), answers(responses)}, want}
	}
	return c
}

// variants are the ways frames travel.
func variants() map[string]map[string]conversation {
	all := map[string]map[string]conversation{}
	for _, v := range []int{3, 4, 5} {
		all[fmt.Sprint("v", v)] = conversations(v)
	}
	wrapped := func(version int, first []step, wrap func(string) string) map[string]conversation {
		out := map[string]conversation{}
		for name, c := range conversations(version) {
			steps := append([]step{}, first...)
			for _, s := range c.steps {
				steps = append(steps, step{s[0], wrap(s[1])})
			}
			out[name] = conversation{steps, c.want}
		}
		return out
	}
	each := func(wrap func(string) string) func(string) string {
		return func(b string) (out string) {
			for len(b) > 0 {
				h := parseHeader([]byte(b))
				out += wrap(b[:headSize+h.length])
				b = b[headSize+h.length:]
			}
			return out
		}
	}
	begin := []step{ask(frame(5, 0, opOptions, "")), answers(frame(0x85, 0, opSupported, be(0, 2))), ask(startup(5)), answers(ready(5))}
	all["v5 in envelopes"] = wrapped(5, begin, func(b string) string { return seal(b, true) })
	all["v5 in envelopes each"] = wrapped(5, begin, each(func(b string) string { return seal(b, true) }))
	all["v5 in parts"] = wrapped(5, begin, each(func(b string) string {
		if len(b) < 40 {
			return seal(b, true)
		}
		return seal(b[:20], false) + seal(b[20:33], false) + seal(b[33:], false)
	}))
	all["v5 packed"] = wrapped(5, begin, each(packed))
	all["v4 lz4"] = wrapped(4, []step{ask(startup(4, "COMPRESSION", "lz4")), answers(ready(4))}, each(lz4Body))
	all["v4 snappy"] = wrapped(4, []step{ask(startup(4, "COMPRESSION", "snappy")), answers(ready(4))}, each(func(b string) string {
		h := parseHeader([]byte(b))
		return flagged(int(h.version), flagCompressed|int(h.flags), int(h.stream), int(h.op), string(s2.EncodeSnappy(nil, []byte(b[headSize:]))))
	}))
	return all
}

func TestConversations(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for variant, all := range variants() {
		for name, c := range all {
			for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer} {
				for _, n := range []int{0, 1, 7, -1, -1} {
					t.Run(fmt.Sprintf("%s/%s/%v/%d", variant, name, role, n), func(t *testing.T) {
						h := protocoltest.New(New(Options{}), role, false)
						h.Play(c.steps, n, r)
						require.NoError(t, h.Err)
						h.Check(t, exchange.FailureNone)
						require.Equal(t, c.want, lines(h))
						require.Zero(t, h.Stats)
						require.Zero(t, h.Abandoned)
					})
				}
			}
		}
	}
}

// Section 2.3: the id of a request is used again when its response has been sent.
func TestStreamsAreUsedAgain(t *testing.T) {
	h := protocoltest.New(New(Options{}), exchange.RoleServer, false)
	h.Request(query(4, 1, "SELECT a FROM lost"))
	h.Request(query(4, 1, "SELECT a FROM t"))
	h.Reply(void(4, 1))
	h.Check(t, exchange.FailureNone)
	require.Equal(t, []string{"SELECT t name=SELECT name=t text=SELECT a FROM t level=quorum size=5000"}, lines(h))
	require.Equal(t, 1, h.Abandoned)
	require.EqualValues(t, 1, h.Stats.Unmatched)
}

// Section 4.2.5.4: ids are the server's.
func TestPreparedOnAnotherConnection(t *testing.T) {
	p := New(Options{}).(*cassandra)
	a := &exchange.Connection{Role: exchange.RoleClient, Path: "/one"}
	one, two, other := p.servers.acquire(a, a.Role), p.servers.acquire(a, a.Role), p.servers.acquire(&exchange.Connection{Role: exchange.RoleClient, Path: "/two"}, a.Role)
	one.put([]byte(id16), []byte(insertText), &described{summary: "INSERT t"})
	require.Equal(t, "INSERT t", two.get([]byte(id16)).summary)
	require.Nil(t, other.get([]byte(id16)))
	p.servers.release(one)
	p.servers.release(two)
	for i := range 2 * maxServers {
		p.servers.acquire(&exchange.Connection{Role: exchange.RoleClient, Path: fmt.Sprint(i)}, a.Role)
	}
	require.LessOrEqual(t, len(p.servers.all), maxServers)
	for i := range 2 * maxStatements {
		other.put([]byte(fmt.Sprint(i)), make([]byte, 1000), &described{})
	}
	require.LessOrEqual(t, len(other.byID), maxStatements)
	require.LessOrEqual(t, other.bytes, maxTexts)
}

func TestQueryTexts(t *testing.T) {
	for text, want := range map[dbconv.QueryText]string{
		dbconv.TextNone: "SELECT t name=SELECT name=t returned_rows=1 level=quorum size=5000",
		dbconv.TextRaw:  "SELECT t name=SELECT name=t text=" + selectText + " returned_rows=1 level=quorum size=5000",
	} {
		h := protocoltest.New(New(Options{Settings: &dbconv.Settings{QueryText: text}}), exchange.RoleServer, false)
		h.Request(query(4, 1, selectText))
		h.Reply(rows(4, 1, 1))
		require.Equal(t, []string{want}, lines(h))
	}
}

func TestCompressedBeforeWeCame(t *testing.T) {
	h := protocoltest.New(New(Options{}), exchange.RoleServer, true)
	h.Request(lz4Body(query(4, 1, selectText)) + lz4Body(execute(4, 2, id16)) + lz4Body(batch(4, 3, selectText)))
	h.Reply(lz4Body(rows(4, 3, 1)) + lz4Body(failure(4, 2, 0x1100)) + lz4Body(rows(4, 1, 1)))
	h.Check(t, exchange.FailureNone)
	require.Equal(t, []string{"BATCH name=BATCH", "EXECUTE name=EXECUTE type=_OTHER unknown=true", "QUERY name=QUERY"}, lines(h))
}

// Of large frames the beginning is copied. The end of the response is that of its last
// byte.
func TestLargeFrames(t *testing.T) {
	h := protocoltest.New(New(Options{}), exchange.RoleClient, false)
	h.Limit = 60 << 10
	long := "SELECT a FROM t WHERE k = '" + strings.Repeat("x", 1<<20) + "'"
	h.Request(query(4, 1, long))
	body := be(rowsNoMetadata, 4) + be(1, 4) + be(1, 4) + be(1<<20, 4) + strings.Repeat("y", 1<<20)
	response := result(4, 1, resultRows, body)
	h.Reply(response[:100])
	h.Reply(response[100:500000])
	h.Reply(response[500000:])
	require.Len(t, h.Ended, 1)
	require.Equal(t, h.Now(), h.Ended[0].End)
	h.Request(query(4, 1, selectText))
	h.Reply(rows(4, 1, 1))
	h.Check(t, exchange.FailureNone)
	require.Equal(t, []string{
		"SELECT t name=SELECT name=t text=SELECT a FROM t WHERE k = ? returned_rows=1 truncated=true",
		selectLine + " returned_rows=1 level=quorum size=5000",
	}, lines(h))
	require.Zero(t, h.Stats)
}

func TestLongTextsAreCut(t *testing.T) {
	h := protocoltest.New(New(Options{}), exchange.RoleClient, false)
	h.Request(query(4, 1, "SELECT "+strings.Repeat("column, ", 3000)+"a FROM t"))
	h.Reply(rows(4, 1, 1))
	require.Len(t, h.Ended[0].Attributes["db.query.text"], dbconv.MaxText)
	require.Equal(t, true, h.Ended[0].Attributes["ebpf.db.query.truncated"])
	require.Equal(t, "SELECT t", h.Ended[0].Name)
}

func TestResponseBeforeItsRequest(t *testing.T) {
	h := protocoltest.New(New(Options{}), exchange.RoleClient, false)
	var requests, want string
	for i := range 20 {
		requests += query(4, i, fmt.Sprintf("SELECT a FROM t%d", i))
		h.Reply(rows(4, i, i))
	}
	now := h.Now()
	h.Segment(protocol.Segment{Dir: protocol.Sent, Data: []byte(requests), First: now - 500, Time: now + 20})
	h.Check(t, exchange.FailureNone)
	for i := range 20 {
		want = fmt.Sprintf("SELECT t%d name=SELECT name=t%d text=SELECT a FROM t%d returned_rows=%d level=quorum size=5000", i, i, i, i)
		require.Equal(t, want, line(&h.Ended[i]))
	}
	require.Zero(t, h.Stats)
}

func TestEnds(t *testing.T) {
	h := protocoltest.New(New(Options{}), exchange.RoleClient, false)
	h.Request(query(4, 1, selectText))
	h.Check(t, exchange.FailureReset)
	require.Equal(t, exchange.FailureReset, h.Ended[0].Failure)
	h = protocoltest.New(New(Options{}), exchange.RoleClient, false)
	h.Request(query(4, 1, selectText))
	h.EndOf(protocol.Received, exchange.FailureEOF)
	require.Equal(t, exchange.FailureEOF, h.Ended[0].Failure)
	h.Check(t, exchange.FailureClosed)
	h = protocoltest.New(New(Options{}), exchange.RoleClient, false)
	h.Request(query(4, 1, selectText))
	h.Check(t, exchange.FailureNone)
	require.Empty(t, h.Ended)
}

func TestGarbageIsAMismatch(t *testing.T) {
	h := protocoltest.New(New(Options{}), exchange.RoleClient, false)
	for range 2 * maxFailures {
		h.Request(strings.Repeat("garbage ", 10))
		h.Request(query(4, 1, selectText))
	}
	require.ErrorIs(t, h.Err, protocol.ErrMismatch)
	h.Check(t, exchange.FailureNone)
}

func TestMemoryIsBounded(t *testing.T) {
	h := protocoltest.New(New(Options{}), exchange.RoleClient, false)
	for i := range 2 * maxInFlight {
		h.Request(query(4, i, selectText))
	}
	require.LessOrEqual(t, h.Open(), maxInFlight)
	for i := range 2 * maxInFlight {
		h.Reply(void(4, i))
	}
	require.Len(t, h.Ended, maxInFlight)
	h.Check(t, exchange.FailureNone)
}

// Whatever is lost or not copied: nothing wrong is reported.
func TestModelLosses(t *testing.T) {
	reported, total := map[string]int{}, map[string]int{}
	rounds := 300
	if testing.Short() {
		rounds = 60
	}
	for seed := range uint64(rounds) {
		for _, variant := range []string{"v4", "v5", "v5 large"} {
			r := rand.New(rand.NewPCG(seed, 7))
			role := exchange.Role(1 + r.IntN(2))
			h := protocoltest.New(New(Options{}), role, false)
			requests := protocol.Received
			if role == exchange.RoleClient {
				requests = protocol.Sent
			}
			version := 5
			wrap := func(b string) string { return seal(b, true) }
			switch variant {
			case "v4":
				version = 4
				wrap = func(b string) string { return b }
			case "v5 large":
				wrap = func(b string) string { return seal(b[:len(b)/2], false) + seal(b[len(b)/2:], false) }
			}
			h.Request(startup(version))
			h.Reply(ready(version))
			rate := 3 + r.IntN(40)
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
					s := protocol.Segment{Dir: dir, Lost: lost[dir], Data: []byte(part[:copied]), Len: n}
					if copied < n {
						s.Tail = []byte(part[max(copied, n-8):])
					}
					h.Segment(s)
					lost[dir] = 0
				}
			}
			want := map[string]string{}
			streams := r.Perm(32)
			for i := 1; i < 60; {
				var asked string
				var answers []string
				for range 1 + r.IntN(8) {
					name := fmt.Sprintf("t%d", i)
					stream := streams[i%len(streams)]
					f := query(version, stream, "SELECT a FROM "+name)
					if variant != "v4" && r.IntN(3) > 0 {
						asked += seal(f, true)
					} else {
						asked += wrap(f)
					}
					if r.IntN(3) == 0 {
						answers = append(answers, wrap(failure(version, stream, 0x1000+i)))
						want[name] = fmt.Sprint(0x1000 + i)
					} else {
						answers = append(answers, wrap(rows(version, stream, i)))
						want[name] = fmt.Sprint("rows ", i)
					}
					i++
					total[variant]++
				}
				r.Shuffle(len(answers), func(a, b int) { answers[a], answers[b] = answers[b], answers[a] })
				send(requests, asked)
				send(requests.Other(), strings.Join(answers, ""))
			}
			h.Check(t, exchange.FailureNone)
			for i := range h.Ended {
				e := &h.Ended[i]
				name, ok := e.Attributes["db.collection.name"].(string)
				if !ok {
					continue // cut
				}
				w, ok := want[name]
				require.True(t, ok, "%s, seed %d: %s", variant, seed, line(e))
				delete(want, name)
				reported[variant]++
				status, failed := e.Attributes["db.response.status_code"]
				n, counted := e.Attributes["db.response.returned_rows"]
				switch {
				case failed:
					require.Equal(t, w, status, "%s, seed %d: %s", variant, seed, line(e))
				case counted:
					require.Equal(t, w, fmt.Sprint("rows ", n), "%s, seed %d: %s", variant, seed, line(e))
				}
			}
		}
	}
	t.Logf("reported %v of %v", reported, total)
	for variant := range total {
		require.Greater(t, reported[variant], total[variant]/10, variant)
	}
}

func TestAttributeNames(t *testing.T) {
	require.EqualValues(t, semconv.CassandraConsistencyLevelKey, attrConsistency)
	require.EqualValues(t, semconv.CassandraPageSizeKey, attrPageSize)
	for _, v := range []string{
		semconv.CassandraConsistencyLevelAny.Value.AsString(), semconv.CassandraConsistencyLevelOne.Value.AsString(), semconv.CassandraConsistencyLevelTwo.Value.AsString(),
		semconv.CassandraConsistencyLevelThree.Value.AsString(), semconv.CassandraConsistencyLevelQuorum.Value.AsString(), semconv.CassandraConsistencyLevelAll.Value.AsString(),
		semconv.CassandraConsistencyLevelLocalQuorum.Value.AsString(), semconv.CassandraConsistencyLevelEachQuorum.Value.AsString(), semconv.CassandraConsistencyLevelSerial.Value.AsString(),
		semconv.CassandraConsistencyLevelLocalSerial.Value.AsString(), semconv.CassandraConsistencyLevelLocalOne.Value.AsString(),
	} {
		require.Contains(t, consistencies, v)
	}
	require.Equal(t, semconv.DBSystemNameCassandra.Value.AsString(), "cassandra")
}
