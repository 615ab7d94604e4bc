// SPDX-License-Identifier: Apache-2.0

package fastcgi

import (
	"bytes"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

const (
	// maxInFlight bounds the requests of one connection; ids have 16 bits, but hardly
	// anybody multiplexes.
	maxInFlight = 256
	// maxFree bounds the requests kept for reuse.
	maxFree = 16
	// maxParams and maxHead bound what is kept of a request's parameters and of the
	// beginning of its response, in bytes.
	maxParams = 32 << 10
	maxHead   = 8 << 10
	// maxFailures is how many times in a row bytes may not be records before that is a
	// mismatch; maxMisses how many turns may begin without one.
	maxFailures = 3
	maxMisses   = 16
)

// window has all of the parameters, and most responses.
var window = [2]protocol.Window{
	protocol.Received: {Sent: 64 << 10, Received: 32 << 10, After: 64},
	protocol.Sent:     {Sent: 32 << 10, Received: 64 << 10, After: 64},
}

// Indices of the two streams' states.
const (
	inRequests = 0
	inReplies  = 1
)

// request is one in flight.
type request struct {
	x  exchange.Exchange
	d  httpconv.Detail
	id uint16
	// begun: its parameters are complete, and the Sink knows it.
	begun bool
	// params so far; cut: some are missing.
	params []byte
	cut    bool
	// head is the beginning of the response; headed: its fields are complete.
	head   []byte
	headed bool
	// body is what came in STDIN, output in STDOUT, in bytes.
	body, output int64
}

type parser struct {
	host     protocol.Host
	settings *httpconv.Settings
	requests protocol.Direction
	role     exchange.Role
	err      error
	closed   bool

	req, resp       stream.Stream
	searching, lost [2]bool
	active, free    []*request
	// evidence: boundaries of records in the only response were lost; it ends where the
	// connection, or the next request, shows it. last is when it went on.
	evidence bool
	last     uint64

	failures, misses int
	lastDir          protocol.Direction
	seen             bool
	time             uint64
	measured         exchange.Measured
}

var _ protocol.Parser = (*parser)(nil)

// Segment implements protocol.Parser.
func (p *parser) Segment(s *protocol.Segment) error {
	if p.err != nil {
		return p.err
	}
	turn := !p.seen || s.Dir != p.lastDir
	p.seen, p.lastDir, p.time = true, s.Dir, s.Time
	which, t := inRequests, &p.req
	if s.Dir != p.requests {
		which, t = inReplies, &p.resp
		p.measured = s.Measured
		if len(p.active) > 0 && s.Identity.Peer != 0 && s.Identity.Peer == p.active[0].x.Identity.Seed {
			p.active[0].x.Identity.Learn(&s.Identity)
		}
	}
	t.Feed(s, turn)
	if !p.searching[which] || p.find(which, t, turn) {
		p.read(which, t)
	}
	if p.searching[which] {
		t.Clear()
	}
	if which == inReplies && p.evidence {
		p.last = s.Time
	}
	t.Keep()
	if p.err != nil {
		p.abandonAll()
	}
	return p.err
}

// find looks for a record at the start of a segment: in requests, one that begins a
// request.
func (p *parser) find(which int, t *stream.Stream, turn bool) bool {
	if t.HoleAhead() && len(t.Available()) == 0 {
		t.Resync()
	}
	b := t.Available()
	if len(b) > 0 && t.AtSegment() {
		ok := false
		if which == inRequests {
			ok = turn && mayBegin(b)
		} else if len(b) >= headerSize && !p.evidence {
			var r record
			ok = r.parse(b) && b[7] == 0 && p.active != nil && p.byID(r.id) != nil && (r.kind == typeStdout || r.kind == typeStderr || r.kind == typeEnd)
		}
		if ok {
			p.searching[which] = false
			if p.lost[which] {
				p.lost[which] = false
				p.host.Stats.Resyncs++
			}
			return true
		}
	}
	if turn && which == inRequests {
		if p.misses++; p.misses > maxMisses {
			p.err = protocol.ErrMismatch
		}
	}
	return false
}

// read reads the records that are there.
func (p *parser) read(which int, t *stream.Stream) {
	for p.err == nil {
		b, status := t.Peek(headerSize)
		if status != stream.Ready {
			if status == stream.Hole {
				p.lose(which)
			}
			return
		}
		var r record
		if !r.parse(b) {
			p.host.Stats.Invalid++
			if p.failures++; p.failures >= maxFailures {
				p.err = protocol.ErrMismatch
			}
			p.lose(which)
			return
		}
		content := t.Available()[headerSize:]
		if len(content) < r.content && !t.HoleAhead() && p.waits(&r) {
			return
		}
		content = content[:min(len(content), r.content)]
		p.failures = 0
		if which == inRequests {
			p.misses = 0
			p.ask(&r, content, t)
		} else {
			p.tell(&r, content)
		}
		t.Discard(r.size())
	}
}

// waits reports whether the content of a record is needed as a whole.
func (p *parser) waits(r *record) bool {
	switch r.kind {
	case typeBegin, typeParams, typeEnd:
		return true
	case typeStdout:
		q := p.byID(r.id)
		return q != nil && !q.headed && len(q.head)+r.content <= maxHead
	}
	return false
}

// lose is called where the boundaries of records are lost.
func (p *parser) lose(which int) {
	p.searching[which], p.lost[which] = true, true
	if which == inRequests {
		for i := 0; i < len(p.active); i++ {
			p.active[i].body = -1
			if !p.active[i].begun {
				p.host.Stats.Unmatched++
				p.remove(i)
				i--
			}
		}
		p.req.Clear()
		return
	}
	p.resp.Clear()
	if len(p.active) == 1 && p.active[0].begun {
		p.evidence, p.last = true, p.time
		p.active[0].output = -1
		return
	}
	p.host.Stats.Unmatched += uint64(len(p.active))
	p.abandonAll()
}

func (p *parser) byID(id uint16) *request {
	for _, q := range p.active {
		if q.id == id {
			return q
		}
	}
	return nil
}

func (p *parser) index(q *request) int {
	for i := range p.active {
		if p.active[i] == q {
			return i
		}
	}
	return -1
}

// remove takes a request out; it is reported, or abandoned, already.
func (p *parser) remove(i int) {
	q := p.active[i]
	p.active = append(p.active[:i], p.active[i+1:]...)
	if len(p.free) < maxFree {
		q.x.InFlight, q.x.Workload = nil, nil
		p.free = append(p.free, q)
	}
}

// ask takes a record of the direction requests travel in.
func (p *parser) ask(r *record, content []byte, t *stream.Stream) {
	if r.kind == typeBegin {
		p.begin(r, content, t)
		return
	}
	q := p.byID(r.id)
	if q == nil {
		return
	}
	switch r.kind {
	case typeParams:
		if r.content == 0 && !q.begun {
			p.complete(q)
			return
		}
		if q.cut {
			return // pairs could not be told apart any more
		}
		room := min(len(content), maxParams-len(q.params))
		q.cut = q.cut || room < r.content
		q.params = append(q.params, content[:room]...)
	case typeStdin:
		if q.body >= 0 {
			q.body += int64(r.content)
		}
	}
}

// begin starts a request.
func (p *parser) begin(r *record, content []byte, t *stream.Stream) {
	if r.id == 0 || len(content) < beginSize {
		return
	}
	o := t.Begin(p.role)
	if p.evidence && o.Turn {
		p.completeEvidence()
	}
	if old := p.byID(r.id); old != nil {
		// Its end was missed.
		p.host.Stats.Unmatched++
		p.abandon(p.index(old))
	}
	if len(p.active) >= maxInFlight {
		p.host.Stats.Unmatched++
		return
	}
	if p.searching[inReplies] && len(p.active) == 0 && o.Turn {
		p.searching[inReplies] = false // nothing is outstanding
		p.resp.Clear()
	}
	var q *request
	if n := len(p.free); n > 0 {
		q = p.free[n-1]
		p.free = p.free[:n-1]
	} else {
		q = &request{}
		q.x.Connection, q.x.Detail, q.x.Role = p.host.Connection, &q.d, p.role
		q.d.Settings, q.d.Strings, q.d.Carrier = p.settings, p.host.Strings, Name
	}
	q.id, q.begun, q.cut, q.headed, q.body, q.output = r.id, false, false, false, 0, 0
	q.params, q.head = q.params[:0], q.head[:0]
	q.x.PID, q.x.TID = o.PID, o.TID
	q.x.Start, q.x.End, q.x.Failure = o.First, 0, exchange.FailureNone
	q.x.Identity = o.Identity
	q.x.Measured = exchange.Unmeasured
	q.x.Measured.QueueTime = o.Measured.QueueTime
	p.active = append(p.active, q)
}

// complete is when the parameters of a request are.
func (p *parser) complete(q *request) {
	d := &q.d
	d.Reset()
	d.Secure = false
	var uri, script, query, server []byte
	for rest := q.params; len(rest) > 0; {
		name, value, after, ok := parameter(rest)
		if !ok {
			break
		}
		rest = after
		switch string(name) {
		case "REQUEST_METHOD":
			d.Method = append(d.Method[:0], value...)
		case "REQUEST_URI":
			uri = value
		case "SCRIPT_NAME":
			script = value
		case "QUERY_STRING":
			query = value
		case "HTTP_HOST":
			server = value
		case "HTTP_USER_AGENT":
			d.UserAgent = append(d.UserAgent[:0], value[:min(len(value), 1<<10)]...)
		case "HTTPS":
			d.Secure = len(value) > 0 && !bytes.EqualFold(value, []byte("off"))
		}
	}
	if len(d.Method) == 0 {
		// Not a web server's, or not seen.
		p.host.Stats.Unmatched++
		p.remove(p.index(q))
		return
	}
	target := append(d.Target[:0], uri...)
	if len(uri) == 0 {
		target = append(target, script...)
		if len(query) > 0 {
			target = append(append(target, '?'), query...)
		}
	}
	d.TargetCut = len(target) > httpconv.MaxTarget || len(uri) == 0 && q.cut
	d.Target = target[:min(len(target), httpconv.MaxTarget)]
	if p.role == exchange.RoleServer {
		d.Host = append(d.Host[:0], server[:min(len(server), 1<<10)]...)
	}
	q.begun = true
	p.host.Sink.Begin(&q.x)
}

// tell takes a record of the direction responses travel in.
func (p *parser) tell(r *record, content []byte) {
	q := p.byID(r.id)
	if q == nil || !q.begun {
		if r.kind == typeEnd {
			p.host.Stats.Unmatched++
			if q != nil {
				p.remove(p.index(q))
			}
		}
		return
	}
	switch r.kind {
	case typeStdout:
		if q.output >= 0 {
			q.output += int64(r.content)
		}
		if !q.headed {
			q.header(content, len(content) < r.content)
		}
	case typeEnd:
		if len(content) >= endSize {
			q.d.Error = refusal(content[4])
		}
		p.finish(p.index(q), p.time, exchange.FailureNone)
	}
}

// refusal is error.type for a protocolStatus, FastCGI section 5.5.
func refusal(status byte) string {
	switch status {
	case 0:
		return ""
	case 1:
		return "fastcgi_cant_mpx_conn"
	case 2:
		return "fastcgi_overloaded"
	case 3:
		return "fastcgi_unknown_role"
	}
	return "fastcgi_protocol_status"
}

// header takes what comes at the beginning of STDOUT: fields, up to an empty line. cut
// says that there was more that nobody saw.
func (q *request) header(b []byte, cut bool) {
	before := len(q.head)
	q.head = append(q.head, b[:min(len(b), maxHead-before)]...)
	end := bytes.Index(q.head, []byte("\r\n\r\n"))
	size := end + 4
	if lf := bytes.Index(q.head, []byte("\n\n")); lf >= 0 && (end < 0 || lf < end) {
		end, size = lf, lf+2
	}
	if end < 0 {
		if cut || len(q.head) == maxHead {
			// It is not known where the body begins.
			q.headed = true
			q.output = -1
			q.d.Status = status(q.head, false)
		}
		return
	}
	q.headed = true
	if q.output >= 0 {
		q.output -= int64(size)
	}
	q.d.Status = status(q.head[:end], true)
}

// status is that of a response by its fields; 0 if it is not known.
func status(fields []byte, whole bool) int {
	location := false
	for len(fields) > 0 {
		var line []byte
		line, fields, _ = bytes.Cut(fields, []byte("\n"))
		name, value, ok := bytes.Cut(bytes.TrimRight(line, "\r"), []byte(":"))
		if !ok {
			continue
		}
		switch {
		case bytes.EqualFold(name, []byte("Status")):
			value = bytes.TrimLeft(value, " \t")
			n := 0
			for i, c := range value {
				if i == 3 || c-'0' >= 10 {
					break
				}
				n = n*10 + int(c-'0')
			}
			if n >= 100 {
				return n
			}
		case bytes.EqualFold(name, []byte("Location")):
			location = true
		}
	}
	switch {
	case !whole:
		return 0
	case location:
		return 302 // RFC 3875 section 6.2.3
	}
	return 200
}

// finish reports a request.
func (p *parser) finish(i int, time uint64, failure exchange.Failure) {
	q := p.active[i]
	x := &q.x
	x.End, x.Failure = max(time, x.Start), failure
	q.d.RequestBody, q.d.ResponseBody = q.body, q.output
	queueTime := x.Measured.QueueTime
	x.Measured = p.measured
	x.Measured.QueueTime = queueTime
	p.host.Sink.End(x)
	p.remove(i)
}

func (p *parser) abandon(i int) {
	if q := p.active[i]; q.begun {
		p.host.Sink.Abandon(&q.x)
	}
	p.remove(i)
}

func (p *parser) abandonAll() {
	for len(p.active) > 0 {
		p.abandon(0)
	}
	p.evidence = false
}

// completeEvidence ends the request of a response of which the end passed unseen.
func (p *parser) completeEvidence() {
	p.evidence = false
	p.host.Stats.Resyncs++
	p.lost[inReplies] = false
	if len(p.active) == 1 {
		p.finish(0, p.last, exchange.FailureNone)
	}
}

// End implements protocol.Parser.
func (p *parser) End(e protocol.End) {
	if p.err != nil || p.closed {
		return
	}
	if e.Final(p.requests) {
		p.fail(e.Time, e.Cause)
	}
}

// Close implements protocol.Parser.
func (p *parser) Close(time uint64, cause exchange.Failure) {
	if p.closed {
		return
	}
	p.closed = true
	if p.err != nil || cause == exchange.FailureNone {
		p.abandonAll()
		return
	}
	p.fail(time, cause)
}

// fail ends every request in flight, because no more responses can come. One of which
// the boundaries were lost ends in order if the connection does.
func (p *parser) fail(time uint64, cause exchange.Failure) {
	if p.evidence {
		if cause.Broken() {
			p.host.Stats.Unmatched++
			p.abandonAll()
			return
		}
		p.completeEvidence()
	}
	for len(p.active) > 0 {
		if p.active[0].begun {
			p.finish(0, time, cause)
		} else {
			p.remove(0)
		}
	}
}

// Window implements protocol.Parser.
func (p *parser) Window() protocol.Window { return window[p.requests] }
