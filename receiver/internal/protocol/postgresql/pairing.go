// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/inflight"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

const (
	// maxAsked bounds the messages of a connection that wait for their answers.
	maxAsked = 16 << 10
	// keepAsked is how long a queue may be that is kept while it is empty.
	keepAsked = 1 << 10
	// maxEarly bounds the answers kept that came before what they answer.
	maxEarly = 256
	// maxHeld bounds the exchanges of which it is not certain yet that they are right.
	maxHeld = 256
	// maxSlotText is the longest buffer kept for reuse.
	maxSlotText = 2 << 10
)

// ask is a message that the server answers.
type ask uint8

const (
	askQuery ask = iota
	askExecute
	askFunction
	askParse
	askBind
	askDescribe
	askClose
	askSync
	askStartup
	// askHidden: messages that were not copied, before a Sync: an Execute perhaps,
	// of the statement that was bound last.
	askHidden
)

// group: it is answered by ReadyForQuery.
func (a ask) group() bool {
	return a == askQuery || a == askFunction || a == askSync || a == askStartup
}

// asked is an entry of the queue.
type asked struct {
	ask ask
	// slot is the exchange of askQuery, askExecute and askFunction; and of askHidden:
	// begun when it is known that there is one.
	slot *slot
	// statement of askParse.
	statement *statement
}

// slot is one exchange.
type slot struct {
	x exchange.Exchange
	d dbconv.Detail
	// buf is the text of a simple query; statement has that of others.
	buf       []byte
	statement *statement
	// begun: the sink knows it.
	begun bool
	// rows counts DataRows; returns: there can be some; partial: some were not seen.
	rows             int64
	returns, partial bool
	// completed statements of a simple query; failedAt is when an error came.
	completed int64
	failedAt  uint64
}

// event is an answer.
type event struct {
	typ  byte
	time uint64
	// code is the SQLSTATE of E and N.
	code [5]byte
	// tag: the CommandComplete is of something that returns rows.
	tag bool
	// rows came before it, while nothing was asked.
	rows int64
}

// queue is what the server has not answered yet, in order.
type queue struct {
	ring        []asked // its length is a power of two
	front, size int
	slots       inflight.Queue[slot] // only for reuse
	groups      int                  // entries that a ReadyForQuery answers
	spans       int                  // entries with an exchange that has begun

	// aborted: an error came, and the server skips messages up to the next Sync.
	aborted bool
	// early are answers that came when nothing was asked.
	early     []event
	earlyRows int64
	// provisional: the connection is older than we, or messages were lost, so answers
	// to unseen requests may be on their way. What seems complete is held until the
	// next turn shows that there are none.
	provisional bool
	held        []*slot
	// pipelined: the client has sent more before all was answered. uncertain: what is
	// outstanding is not known.
	pipelined, uncertain bool
}

func (q *queue) at(i int) *asked { return &q.ring[(q.front+i)&(len(q.ring)-1)] }

func (q *queue) push(a asked) {
	if q.size == len(q.ring) {
		grown := make([]asked, max(8, 2*len(q.ring)))
		for i := range q.size {
			grown[i] = *q.at(i)
		}
		q.ring, q.front = grown, 0
	}
	q.ring[(q.front+q.size)&(len(q.ring)-1)] = a
	q.size++
	if a.ask.group() {
		q.groups++
	}
}

func (q *queue) pop() asked {
	e := q.at(0)
	a := *e
	*e = asked{}
	q.front = (q.front + 1) & (len(q.ring) - 1)
	q.size--
	if a.ask.group() {
		q.groups--
	}
	if q.size == 0 && len(q.ring) > keepAsked {
		q.ring, q.front = nil, 0
	}
	return a
}

// oldest is the exchange that is answered next, nil if there is none.
func (q *queue) oldest() *slot {
	for i := range min(q.size, 8) {
		if sl := q.at(i).slot; sl != nil {
			return sl
		}
	}
	return nil
}

// acquire is an exchange that began at o.
func (p *parser) acquire(o *stream.Origin) *slot {
	sl := p.slots.Acquire()
	if sl == nil {
		sl = new(slot)
		sl.x.Connection, sl.x.Detail = p.host.Connection, &sl.d
	}
	x := &sl.x
	x.PID, x.TID, x.Role = o.PID, o.TID, p.role
	x.Start, x.End, x.Failure = o.First, 0, exchange.FailureNone
	x.Identity = o.Identity
	x.Measured = exchange.Unmeasured
	x.Measured.QueueTime = o.Measured.QueueTime
	d := &sl.d
	d.Text = nil
	d.Reset()
	d.Settings, d.Strings = p.settings, p.host.Strings
	d.System, d.Namespace = p.system, p.namespace
	sl.begun, sl.rows, sl.returns, sl.partial, sl.completed, sl.failedAt = false, 0, false, false, 0, 0
	return sl
}

// prepared fills in what is known of a statement; nil if nothing is.
func (sl *slot) prepared(st *statement) {
	d := &sl.d
	if st == nil {
		d.Unprepared = true
		d.Operation = "EXECUTE" // the message's, not the text's
		return
	}
	sl.statement = retain(st)
	d.Text, d.Cut = st.text, st.cut
	d.Summary, d.Procedure = st.summary.Summary, st.summary.Procedure
}

func (p *parser) start(sl *slot) {
	if p.spans == 0 && p.size == 0 {
		p.measured = exchange.Unmeasured
	}
	sl.begun = true
	p.spans++
	p.host.Sink.Begin(&sl.x)
}

// recycle takes a slot back.
func (p *parser) recycle(sl *slot) {
	p.release(sl.statement)
	sl.statement = nil
	sl.d.Text = nil
	sl.x.InFlight, sl.x.Workload = nil, nil
	if cap(sl.buf) > maxSlotText {
		sl.buf = nil
	}
	p.slots.Recycle(sl)
}

// finish reports an exchange. It is no longer in the queue.
func (p *parser) finish(sl *slot, time uint64, failure exchange.Failure) {
	p.spans--
	d := &sl.d
	if sl.returns || sl.rows > 0 {
		d.Rows = sl.rows
	}
	if sl.partial {
		d.Rows = -1
	}
	if sl.completed > 1 {
		d.Batch = sl.completed
	}
	x := &sl.x
	x.End = max(time, x.Start)
	x.Failure = failure
	queueTime := x.Measured.QueueTime
	x.Measured = p.measured
	x.Measured.QueueTime = queueTime
	if p.provisional && failure == exchange.FailureNone {
		if len(p.held) == maxHeld {
			p.flushHeld()
			p.provisional = false
		} else {
			p.held = append(p.held, sl)
			return
		}
	}
	p.host.Sink.End(x)
	p.recycle(sl)
}

// flushHeld reports what was held.
func (p *parser) flushHeld() {
	for i, sl := range p.held {
		p.host.Sink.End(&sl.x)
		p.recycle(sl)
		p.held[i] = nil
	}
	p.held = p.held[:0]
}

// abandon takes an exchange back that is no longer in the queue.
func (p *parser) abandon(sl *slot) {
	if sl == nil {
		return
	}
	if sl.begun {
		p.spans--
		p.host.Stats.Unmatched++
		p.host.Sink.Abandon(&sl.x)
	}
	p.recycle(sl)
}

// drop forgets an entry that was taken out of the queue.
func (p *parser) drop(a asked) {
	p.release(a.statement)
	p.abandon(a.slot)
}

// abandonAll forgets everything that is asked, and what was held.
func (p *parser) abandonAll() {
	for p.size > 0 {
		p.drop(p.pop())
	}
	p.dropHeld()
	p.early = p.early[:0]
	p.aborted = false
}

// dropHeld takes back what was held: it is not certain.
func (p *parser) dropHeld() {
	for i, sl := range p.held {
		p.host.Stats.Unmatched++
		p.host.Sink.Abandon(&sl.x)
		p.recycle(sl)
		p.held[i] = nil
	}
	p.held = p.held[:0]
}

// desync: what is outstanding is not known any more.
func (p *parser) desync() {
	if p.groups > 1 {
		p.pipelined = true
	}
	p.abandonAll()
	p.hasPending, p.copying = false, false
	p.uncertain, p.provisional = true, true
}

// fail ends what is in flight: no answers will come.
func (p *parser) fail(time uint64, cause exchange.Failure) {
	for p.size > 0 {
		a := p.pop()
		p.release(a.statement)
		sl := a.slot
		switch {
		case sl == nil:
		case !sl.begun || a.ask == askHidden || p.uncertain || p.resp.lost:
			p.abandon(sl)
		case sl.failedAt != 0:
			// FATAL: the server said why, and hung up.
			p.finish(sl, sl.failedAt, exchange.FailureNone)
		default:
			p.finish(sl, time, cause)
		}
	}
	if p.closed {
		p.flushHeld()
	}
}
