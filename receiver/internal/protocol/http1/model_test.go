// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// discipline is when a client of the model sends requests.
type discipline int

const (
	// sequential: one at a time.
	sequential discipline = iota
	// batched: several at once, and more only when all are answered.
	batched
	// sliding: always some outstanding.
	sliding
)

// piece is a run of bytes in one direction, with the exchanges it completes.
type piece struct {
	dir   protocol.Direction
	bytes string
	// head is how many bytes at its start are message heads.
	head int
	// request and response number the exchange whose last byte it has.
	request, response int
}

// truth is a generated conversation. Every request has a target of its own and
// the status of its response, so that a wrong pairing shows.
type truth struct {
	pieces    []piece
	exchanges []record
	eof       bool
}

func body(r *rand.Rand, n int) string {
	const alphabet = "abc012 \r\n:/{}\"HTP1."
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(b)
}

func bodySize(r *rand.Rand) int {
	switch r.IntN(4) {
	case 0:
		return 0
	case 1:
		return r.IntN(10)
	case 2:
		return r.IntN(300)
	}
	return r.IntN(3000)
}

// chunkedBody frames n bytes.
func chunkedBody(r *rand.Rand, n int) string {
	var b strings.Builder
	for n > 0 {
		size := 1 + r.IntN(n)
		format := "%x\r\n"
		switch r.IntN(6) {
		case 0:
			format = "%X;name=value\r\n"
		case 1:
			format = "%04x\r\n"
		}
		fmt.Fprintf(&b, format, size)
		b.WriteString(body(r, size))
		b.WriteString("\r\n")
		n -= size
	}
	b.WriteString("0\r\n")
	if r.IntN(5) == 0 {
		b.WriteString("Trailer: t\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}

func filler(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(6) {
		fmt.Fprintf(&b, "X-%c%d: %s\r\n", 'a'+rune(r.IntN(26)), r.IntN(10), strings.Repeat("v", r.IntN(40)))
	}
	return b.String()
}

// converse generates a conversation of n exchanges.
func converse(r *rand.Rand, d discipline, n int) *truth {
	t := &truth{}
	type outstanding struct {
		number int
		expect bool
		rest   string
	}
	var waiting []outstanding
	methods := []string{"GET", "GET", "POST", "POST", "HEAD", "PUT", "DELETE"}
	statuses := []int{200, 200, 200, 201, 204, 304, 404, 500, 503}
	send := func(i int) {
		m := methods[r.IntN(len(methods))]
		x := record{Method: m, Target: fmt.Sprintf("/%d", i), Status: statuses[r.IntN(len(statuses))]}
		head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: model\r\n%s", m, x.Target, filler(r))
		payload := ""
		w := outstanding{number: i}
		if m == "POST" || m == "PUT" {
			size := bodySize(r)
			x.RequestBody = int64(size)
			w.expect = d == sequential && size > 0 && r.IntN(4) == 0
			if w.expect {
				head += "Expect: 100-continue\r\n"
			}
			if r.IntN(2) == 0 {
				head += fmt.Sprintf("Content-Length: %d\r\n", size)
				payload = body(r, size)
			} else {
				head += "Transfer-Encoding: chunked\r\n"
				payload = chunkedBody(r, size)
			}
		}
		head += "\r\n"
		p := piece{dir: protocol.Sent, bytes: head + payload, head: len(head), request: i, response: -1}
		if w.expect {
			w.rest = payload
			p.bytes = head
		}
		t.exchanges = append(t.exchanges, x)
		t.pieces = append(t.pieces, p)
		waiting = append(waiting, w)
	}
	answer := func(last bool) {
		w := waiting[0]
		waiting = waiting[1:]
		x := &t.exchanges[w.number]
		received := func(bytes string, head, response int) {
			t.pieces = append(t.pieces, piece{dir: protocol.Received, bytes: bytes, head: head, request: -1, response: response})
		}
		if w.expect {
			interim := "HTTP/1.1 100 Continue\r\n\r\n"
			received(interim, len(interim), -1)
			t.pieces = append(t.pieces, piece{dir: protocol.Sent, bytes: w.rest, request: -1, response: -1})
		}
		head := ""
		if r.IntN(10) == 0 {
			head = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
		}
		head += fmt.Sprintf("HTTP/1.1 %d Reason\r\nServer: model\r\n%s", x.Status, filler(r))
		size := bodySize(r)
		none := x.Method == "HEAD" || x.Status == 204 || x.Status == 304
		payload := ""
		switch k := r.IntN(5); {
		case k == 0 && last && !none:
			payload = body(r, size)
			t.eof = true
		case k < 3:
			head += fmt.Sprintf("Content-Length: %d\r\n", size)
			payload = body(r, size)
		default:
			head += "Transfer-Encoding: chunked\r\n"
			payload = chunkedBody(r, size)
		}
		head += "\r\n"
		x.ResponseBody = int64(size)
		if none {
			payload, x.ResponseBody = "", 0
		}
		received(head+payload, len(head), w.number)
	}
	sent := 0
	switch d {
	case sequential:
		for ; sent < n; sent++ {
			send(sent)
			answer(sent == n-1)
		}
	case batched:
		for sent < n {
			for range min(2+r.IntN(6), n-sent) {
				send(sent)
				sent++
			}
			for len(waiting) > 0 {
				answer(sent == n && len(waiting) == 1)
			}
		}
	case sliding:
		depth := 2 + r.IntN(4)
		for sent < n || len(waiting) > 0 {
			for sent < n && (len(waiting) < depth) {
				send(sent)
				sent++
			}
			for range 1 + r.IntN(len(waiting)) {
				if sent < n && len(waiting) == 1 {
					break
				}
				answer(sent == n && len(waiting) == 1)
			}
		}
	}
	return t
}

// cutting is how a conversation becomes segments.
type cutting struct {
	// most bytes per segment; 0: as the pieces are.
	most int
	// coalesce neighbouring pieces of one direction.
	coalesce bool
}

// segments cuts a conversation and fills the times in truth.
func (t *truth) segments(r *rand.Rand, c cutting) []protocol.Segment {
	var out []protocol.Segment
	now := uint64(1000)
	for i := 0; i < len(t.pieces); {
		j := i + 1
		if c.coalesce {
			for j < len(t.pieces) && t.pieces[j].dir == t.pieces[i].dir && r.IntN(4) > 0 {
				j++
			}
		}
		var bytes string
		var starts, ends []int
		for _, p := range t.pieces[i:j] {
			starts = append(starts, len(bytes))
			bytes += p.bytes
			ends = append(ends, len(bytes))
		}
		for at := 0; at < len(bytes); {
			n := len(bytes) - at
			if c.most > 0 {
				n = min(n, 1+r.IntN(c.most))
			}
			now += 10
			s := protocol.Segment{Dir: t.pieces[i].dir, First: now - 1, Time: now, Len: n, Data: []byte(bytes[at : at+n])}
			for k, p := range t.pieces[i:j] {
				if p.request >= 0 && starts[k] >= at && starts[k] < at+n {
					t.exchanges[p.request].Start = s.First
				}
				if p.response >= 0 && ends[k] > at && ends[k] <= at+n {
					t.exchanges[p.response].End = s.Time
				}
			}
			out = append(out, s)
			at += n
		}
		i = j
	}
	return out
}

func (t *truth) strings() []string {
	var b []string
	for _, x := range t.exchanges {
		b = append(b, x.String())
	}
	return b
}

func (h *harness) strings() []string {
	var b []string
	for _, x := range h.ended {
		b = append(b, x.String())
	}
	return b
}

func cuttings(r *rand.Rand) cutting {
	return cutting{most: []int{0, 0, 1, 3, 40, 500}[r.IntN(6)], coalesce: r.IntN(2) == 0}
}

func modelRounds() int {
	if testing.Short() {
		return 200
	}
	return 600
}

// Everything seen: everything known.
func TestModel(t *testing.T) {
	for seed := range uint64(modelRounds()) {
		r := rand.New(rand.NewPCG(seed, 1))
		tr := converse(r, discipline(r.IntN(3)), 1+r.IntN(20))
		h := newClient()
		for _, s := range tr.segments(r, cuttings(r)) {
			h.segment(s)
		}
		h.now = 1 << 40
		if tr.eof {
			h.end(protocol.Received, exchange.FailureEOF)
		}
		h.check(t)
		require.Equal(t, tr.strings(), h.strings(), "seed %d", seed)
		require.Zero(t, h.stats, "seed %d", seed)
	}
}

// Heads are copied, bodies are not: everything is still known but the sizes of
// bodies whose framing was lost. Sequential connections only: windows are wide
// where there is pipelining.
func TestModelTruncatedBodies(t *testing.T) {
	reported := 0
	for seed := range uint64(modelRounds()) {
		r := rand.New(rand.NewPCG(seed, 2))
		tr := converse(r, sequential, 1+r.IntN(20))
		after := r.IntN(65)
		var segments []protocol.Segment
		now := uint64(1000)
		for _, p := range tr.pieces {
			for at := 0; at < len(p.bytes); {
				// The first segment has the head, as the window and
				// UntilBlankLine see to.
				n := len(p.bytes) - at
				copied := min(n, after)
				if at == 0 && p.head > 0 {
					n = min(n, p.head+r.IntN(400))
					copied = p.head + r.IntN(n-p.head+1)
				} else {
					n = min(n, 1+r.IntN(500))
					copied = min(n, copied)
				}
				now += 10
				s := protocol.Segment{Dir: p.dir, First: now - 1, Time: now, Len: n, Data: []byte(p.bytes[at : at+copied]), Tail: tailOf(p.bytes[at:at+n], copied)}
				if p.request >= 0 && at == 0 {
					tr.exchanges[p.request].Start = s.First
				}
				at += n
				if p.response >= 0 {
					tr.exchanges[p.response].End = s.Time
				}
				segments = append(segments, s)
			}
		}
		h := newClient()
		for _, s := range segments {
			h.segment(s)
		}
		h.now = 1 << 40
		h.end(protocol.Received, exchange.FailureEOF)
		h.check(t)
		require.Len(t, h.ended, len(tr.exchanges), "seed %d", seed)
		for i := range h.ended {
			got, want := &h.ended[i], tr.exchanges[i]
			if got.RequestBody < 0 {
				want.RequestBody = -1
			}
			if got.ResponseBody < 0 {
				want.ResponseBody = -1
			}
			require.Equal(t, want.String(), got.String(), "seed %d", seed)
			reported++
		}
		require.Zero(t, h.stats.Invalid, "seed %d", seed)
	}
	t.Log("exchanges:", reported)
}

// verify asserts that what was reported is a part of the truth.
func verify(t *testing.T, h *harness, tr *truth, exactEnd bool, seed uint64) {
	t.Helper()
	h.check(t)
	seen := map[string]bool{}
	for _, got := range h.ended {
		require.False(t, seen[got.Target], "seed %d: reported twice: %s", seed, got)
		seen[got.Target] = true
		i := slices.IndexFunc(tr.exchanges, func(x record) bool { return x.Target == got.Target })
		require.GreaterOrEqual(t, i, 0, "seed %d: never sent: %s", seed, got)
		want := tr.exchanges[i]
		require.Equal(t, want.Method, got.Method, "seed %d: %s", seed, got)
		require.Equal(t, want.Status, got.Status, "seed %d: %s, but it was %s", seed, got, want)
		require.Equal(t, want.Start, got.Start, "seed %d: %s, but it was %s", seed, got, want)
		require.Equal(t, exchange.FailureNone, got.Failure)
		if exactEnd {
			require.Equal(t, want.End, got.End, "seed %d: %s, but it was %s", seed, got, want)
		}
		if got.RequestBody >= 0 {
			require.LessOrEqual(t, got.RequestBody, want.RequestBody, "seed %d: %s, but it was %s", seed, got, want)
		}
		if got.ResponseBody >= 0 {
			require.Equal(t, want.ResponseBody, got.ResponseBody, "seed %d: %s, but it was %s", seed, got, want)
		}
	}
}

// shown reports whether the client's habit has shown. Losses before a client's
// first pipelining look like those of a client that waits, to anyone.
func (h *harness) shown(d discipline) bool {
	p := h.parser.(*parser)
	return d == sequential || d == batched && p.pipelined || p.interleaved == confirmed
}

// Segments are copied to random lengths, heads included.
func TestModelTruncated(t *testing.T) {
	reported, total := [3]int{}, [3]int{}
	for seed := range uint64(2 * modelRounds()) {
		r := rand.New(rand.NewPCG(seed, 3))
		d := discipline(r.IntN(3))
		tr := converse(r, d, 1+r.IntN(30))
		h := newClient()
		for _, s := range tr.segments(r, cutting{most: []int{0, 0, 300, 2000}[r.IntN(4)], coalesce: d != sequential}) {
			if r.IntN(6) == 0 && h.shown(d) {
				n := r.IntN(len(s.Data) + 1)
				s.Tail = tailOf(string(s.Data), n)
				s.Data = s.Data[:n]
			}
			h.segment(s)
		}
		verify(t, h, tr, d == sequential, seed)
		reported[d] += len(h.ended)
		total[d] += len(tr.exchanges)
	}
	t.Logf("reported: sequential %d of %d, batched %d of %d, sliding %d of %d",
		reported[0], total[0], reported[1], total[1], reported[2], total[2])
}

// Whole segments are lost.
func TestModelGaps(t *testing.T) {
	reported, total := [3]int{}, [3]int{}
	for seed := range uint64(2 * modelRounds()) {
		r := rand.New(rand.NewPCG(seed, 4))
		d := discipline(r.IntN(3))
		tr := converse(r, d, 1+r.IntN(30))
		h := newClient()
		rate := 2 + r.IntN(20)
		var lost [2]uint64
		for _, s := range tr.segments(r, cutting{most: []int{0, 0, 300, 2000}[r.IntN(4)], coalesce: d != sequential}) {
			if r.IntN(rate) == 0 && h.shown(d) {
				lost[s.Dir] += uint64(s.Len)
				continue
			}
			s.Lost = lost[s.Dir]
			lost[s.Dir] = 0
			h.segment(s)
		}
		verify(t, h, tr, true, seed)
		reported[d] += len(h.ended)
		total[d] += len(tr.exchanges)
	}
	t.Logf("reported: sequential %d of %d, batched %d of %d, sliding %d of %d",
		reported[0], total[0], reported[1], total[1], reported[2], total[2])
}
