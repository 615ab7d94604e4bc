// SPDX-License-Identifier: Apache-2.0

package mongodb

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type step struct {
	server bool
	bytes  string
}

func ask(b string) step     { return step{false, b} }
func answers(b string) step { return step{true, b} }

const findText = `{"find": "items", "filter": {"name": ?, "n": {"$in": [?]}}, "limit": ?}`

// compress makes OP_COMPRESSED of a message.
func compress(m string, compressor byte) string {
	body := []byte(m[headSize:])
	var packed []byte
	switch compressor {
	case compressorNone:
		packed = body
	case compressorSnappy:
		packed = s2.EncodeSnappy(nil, body)
	case compressorZlib:
		var b bytes.Buffer
		w := zlib.NewWriter(&b)
		_, _ = w.Write(body)
		_ = w.Close()
		packed = b.Bytes()
	case compressorZstd:
		w, _ := zstd.NewWriter(nil)
		packed = w.EncodeAll(body, nil)
		_ = w.Close()
	}
	h := parseHeader([]byte(m))
	return wrap(int(h.id), int(h.response), opCompressed, le(uint64(h.op), 4)+le(uint64(len(body)), 4)+string([]byte{compressor})+string(packed))
}

func conversations() map[string]struct {
	steps []step
	want  []string
} {
	type conversation = struct {
		steps []step
		want  []string
	}
	ok := document("n", 1, "ok", 1.0)
	c := map[string]conversation{
		"find":  {[]step{ask(find(1, "items")), answers(found(9, 1, []any{"a", 1}, []any{"a", 2}))}, []string{"find items " + findText + " rows=2 in shop"}},
		"empty": {[]step{ask(find(1, "items")), answers(found(9, 1))}, []string{"find items " + findText + " rows=0 in shop"}},
		"insert": {[]step{ask(msg(2, 0, 0, document("insert", "items", "ordered", true, "$db", "shop"), documents("documents", document("a", 1), document("a", 2)))),
			answers(msg(3, 2, 0, ok))}, []string{`insert items {"insert": "items", "ordered": ?, "documents": [?]} batch=2 in shop`}},
		"insert inside": {[]step{ask(msg(2, 0, 0, document("insert", "items", "documents", array{[]any{"a", 1}, []any{"a", 2}, []any{}}, "$db", "shop"))),
			answers(msg(3, 2, 0, ok))}, []string{`insert items {"insert": "items", "documents": [?]} batch=3 in shop`}},
		"write error": {[]step{ask(msg(2, 0, 0, document("insert", "items", "$db", "shop"), documents("documents", document("a", 1)))),
			answers(msg(3, 2, 0, document("n", 0, "writeErrors", array{[]any{"index", 0, "code", 11000, "errmsg", "E11000"}}, "ok", 1.0)))},
			[]string{`insert items {"insert": "items", "documents": [?]} error=11000 batch=1 in shop`}},
		"write concern error": {[]step{ask(msg(2, 0, 0, document("delete", "items", "$db", "shop"))),
			answers(msg(3, 2, 0, document("n", 0, "writeConcernError", []any{"code", 64, "codeName", "WriteConcernFailed"}, "ok", 1.0)))},
			[]string{`delete items {"delete": "items"} error=64 in shop`}},
		"error": {[]step{ask(msg(2, 0, 0, document("nix", 1, "$db", "shop"))),
			answers(msg(3, 2, 0, document("ok", 0.0, "errmsg", "no such command", "code", 59, "codeName", "CommandNotFound")))},
			[]string{`nix shop {"nix": ?} error=59 in shop`}},
		"aggregate and more": {[]step{ask(msg(2, 0, 0, document("aggregate", "items", "pipeline", array{[]any{"$match", []any{"a", 1}}, []any{"$limit", 3}}, "cursor", []any{}, "$db", "shop"))),
			answers(found(3, 2, []any{})), ask(msg(4, 0, 0, document("getMore", int64(77), "collection", "items", "batchSize", 2, "$db", "shop"))),
			answers(msg(5, 4, 0, document("cursor", []any{"nextBatch", array{[]any{}, []any{}}, "id", int64(0), "ns", "shop.items"}, "ok", 1.0)))},
			[]string{`aggregate items {"aggregate": "items", "pipeline": [{"$match": {"a": ?}}, {"$limit": ?}], "cursor": {}} rows=1 in shop`,
				`getMore items {"getMore": ?, "collection": "items", "batchSize": ?} rows=2 in shop`}},
		"not the application": {[]step{
			ask(wrap(1, 0, opQuery, le(0, 4)+"admin.$cmd\x00"+le(0, 4)+le(1, 4)+document("isMaster", 1, "helloOk", true))),
			answers(wrap(2, 1, opReply, string(make([]byte, 20))+document("ismaster", true, "ok", 1.0))),
			ask(msg(3, 0, 0, document("saslStart", 1, "payload", "secret", "$db", "admin"))), answers(msg(4, 3, 0, document("ok", 1.0))),
			ask(msg(5, 0, flagExhaust, document("hello", 1, "maxAwaitTimeMS", int64(10000), "$db", "admin"))),
			answers(msg(6, 5, flagMoreToCome, document("ok", 1.0))), answers(msg(7, 6, flagMoreToCome, document("ok", 1.0))), answers(msg(8, 7, flagMoreToCome, document("ok", 1.0))),
		}, nil},
		"ping":    {[]step{ask(msg(3, 0, 0, document("ping", 1, "$db", "admin"))), answers(msg(4, 3, 0, document("ok", 1.0)))}, []string{`ping admin {"ping": ?} in admin`}},
		"older":   {[]step{ask(wrap(1, 0, opQuery, le(0, 4)+"shop.$cmd\x00"+le(0, 4)+le(1, 4)+document("count", "items"))), answers(wrap(2, 1, opReply, string(make([]byte, 20))+document("n", 3.0, "ok", 1.0)))}, []string{`count items {"count": "items"} in shop`}},
		"no word": {[]step{ask(msg(3, 0, flagMoreToCome, document("insert", "items", "$db", "shop"))), ask(find(4, "items")), answers(found(5, 4))}, []string{"find items " + findText + " rows=0 in shop"}},
		"checksums": {[]step{ask(withChecksum(msg(3, 0, flagChecksum, document("ping", 1, "$db", "admin")))), answers(withChecksum(msg(4, 3, flagChecksum, document("ok", 1.0))))},
			[]string{`ping admin {"ping": ?} in admin`}},
	}
	var requests, responses string
	var want []string
	for i := range 100 {
		requests += find(i+1, fmt.Sprint("c", i))
		docs := make([]any, i%7)
		for k := range docs {
			docs[k] = []any{"a", k}
		}
		responses = found(1000+i, i+1, docs...) + responses // the last one first
		want = append([]string{strings.Replace(fmt.Sprintf("find c%d %s rows=%d in shop", i, findText, i%7), `"items"`, fmt.Sprintf(`"c%d"`, i), 1)}, want...)
	}
	c["in flight"] = conversation{[]step{ask(requests), answers(responses)}, want}
	for i := range byte(4) {
		c[fmt.Sprint("compressed ", i)] = conversation{[]step{ask(compress(find(1, "items"), i)), answers(compress(found(9, 1, []any{"a", strings.Repeat("x", 3000)}), i))},
			[]string{"find items " + findText + " rows=1 in shop"}}
	}
	return c
}

// withChecksum appends four bytes.
func withChecksum(m string) string {
	return le(uint64(len(m)+4), 4) + m[4:] + "abcd"
}

func TestConversations(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, c := range conversations() {
		for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer} {
			for _, most := range []int{0, 1, 7, 60, 900} {
				t.Run(fmt.Sprintf("%s/%v/%d", name, role, most), func(t *testing.T) {
					h := newHarness(role, nil)
					for _, s := range c.steps {
						for b := s.bytes; len(b) > 0; {
							n := len(b)
							if most > 0 {
								n = min(n, 1+r.IntN(most))
							}
							if s.server {
								h.server(b[:n])
							} else {
								h.client(b[:n])
							}
							b = b[n:]
						}
					}
					require.NoError(t, h.err)
					require.Equal(t, c.want, h.finish(t))
					require.Zero(t, h.stats)
				})
			}
		}
	}
}

func TestErrorHasName(t *testing.T) {
	h := newClient()
	h.client(find(1, "items"))
	h.server(msg(3, 1, 0, document("ok", 0.0, "code", 59, "codeName", "CommandNotFound")))
	h.finish(t)
	require.Equal(t, []dbconv.Attribute{{Key: AttrCodeName, Text: "CommandNotFound"}}, h.details[0].Extra)
}

func TestQueryTexts(t *testing.T) {
	for text, want := range map[dbconv.QueryText]string{
		dbconv.TextNone: "find items rows=0 in shop",
		dbconv.TextRaw:  `find items {"find": "items", "filter": {"name": "secret", "n": {"$in": [1, 2, 3]}}, "limit": 7} rows=0 in shop`,
	} {
		h := newHarness(exchange.RoleServer, &dbconv.Settings{QueryText: text})
		h.client(find(1, "items"))
		h.server(found(2, 1))
		require.Equal(t, []string{want}, h.finish(t))
	}
}

// Of large messages the beginning is copied. The end of the response is that of its
// last byte.
func TestLargeMessages(t *testing.T) {
	h := newClient()
	request := msg(2, 0, 0, document("insert", "items", "$db", "shop"), documents("documents", document("a", strings.Repeat("x", 1<<20))))
	h.part(h.req, request[:1000], 1000)
	h.part(h.req, request[1000:], 60<<10)
	h.server(msg(3, 2, 0, document("n", 1, "ok", 1.0)))
	h.client(find(4, "items"))
	response := found(5, 4, []any{"a", strings.Repeat("x", 1<<20)})
	h.server(response[:16])
	h.part(h.req.Other(), response[16:300000], 64<<10)
	h.part(h.req.Other(), response[300000:], 64)
	require.Len(t, h.lines, 2)
	require.Equal(t, h.now, h.times[1][1])
	h.client(find(6, "items"))
	h.server(found(7, 6))
	require.Equal(t, []string{
		`insert items {"insert": "items", "documents": [?]} in shop`, "find items " + findText + " in shop", "find items " + findText + " rows=0 in shop",
	}, h.finish(t))
	require.Zero(t, h.stats)
}

func TestResponseBeforeItsCommand(t *testing.T) {
	h := newClient()
	h.server(found(2, 1))
	h.segment(protocol.Segment{Dir: h.req, Data: []byte(find(1, "items")), First: h.now - 5, Time: h.now + 20})
	require.Equal(t, []string{"find items " + findText + " rows=0 in shop"}, h.finish(t))
	require.Zero(t, h.stats)
}

func TestEnds(t *testing.T) {
	h := newClient()
	h.client(find(1, "items"))
	h.parser.Close(h.now+9, exchange.FailureReset)
	require.Equal(t, []string{"find items " + findText + " in shop connection_reset"}, h.finish(t))
	h = newClient()
	h.client(find(1, "items"))
	require.Empty(t, h.finish(t))
	require.Equal(t, 1, h.abandoned)
}

func TestGarbageIsAMismatch(t *testing.T) {
	h := newClient()
	h.client(find(1, "items"))
	for range 2 * maxFailures {
		h.client(strings.Repeat("garbage ", 10))
		h.client(find(2, "items"))
	}
	require.ErrorIs(t, h.err, protocol.ErrMismatch)
}

func TestMemoryIsBounded(t *testing.T) {
	h := newClient()
	for i := range 3 * maxInFlight {
		h.client(find(i+1, "items"))
	}
	require.LessOrEqual(t, len(h.open), maxInFlight)
	h.finish(t)
	require.NotZero(t, h.stats.Unmatched)
}

// Whatever is lost or not copied: nothing wrong is reported.
func TestModelLosses(t *testing.T) {
	reported, total := 0, 0
	rounds := 400
	if testing.Short() {
		rounds = 100
	}
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 7))
		h := newHarness(exchange.Role(1+r.IntN(2)), nil)
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
				h.segment(protocol.Segment{Dir: dir, Lost: lost[dir], Data: []byte(part[:copied]), Len: n, Tail: tail(part, copied)})
				lost[dir] = 0
			}
		}
		want := map[string]string{}
		for i := 1; i < 60; {
			var requests string
			var responses []string
			for range 1 + r.IntN(8) {
				name := fmt.Sprintf("t%d", i)
				requests += find(i, name)
				if r.IntN(3) == 0 {
					responses = append(responses, msg(5000+i, i, 0, document("ok", 0.0, "code", 1000+i)))
					want[name] = fmt.Sprintf(" error=%d", 1000+i)
				} else {
					docs := make([]any, i)
					for k := range docs {
						docs[k] = []any{"v", strings.Repeat("x", r.IntN(40))}
					}
					responses = append(responses, found(5000+i, i, docs...))
					want[name] = fmt.Sprintf(" rows=%d", i)
				}
				i++
				total++
			}
			r.Shuffle(len(responses), func(a, b int) { responses[a], responses[b] = responses[b], responses[a] })
			send(h.req, requests)
			send(h.req.Other(), strings.Join(responses, ""))
		}
		for i, line := range h.finish(t) {
			reported++
			d := &h.details[i]
			if d.Collection == "" {
				continue // cut
			}
			w, ok := want[d.Collection]
			require.True(t, ok, "seed %d: %s", seed, line)
			delete(want, d.Collection)
			switch {
			case d.Failed && d.Status == "":
				require.Contains(t, w, "error") // the code was cut off
			case d.Failed:
				require.Equal(t, w, " error="+d.Status, "seed %d: %s", seed, line)
			case d.Rows >= 0:
				require.Equal(t, w, fmt.Sprintf(" rows=%d", d.Rows), "seed %d: %s", seed, line)
			}
		}
	}
	t.Logf("reported %d of %d", reported, total)
}
