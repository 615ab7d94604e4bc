// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"bytes"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/ordered"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

const (
	// maxFailures is how many times in a row bytes may not be what they should before
	// that is a mismatch; maxMisses how many turns may begin without a command.
	maxFailures = 5
	maxMisses   = 16
	// maxLine bounds inline commands, simple strings and errors. Redis has the same
	// limit for the first.
	maxLine = 64 << 10
)

// Indices of the two streams' states.
const (
	inRequests = 0
	inReplies  = 1
)

// extra is what is kept of an exchange in flight.
type extra struct {
	command *command
	// confirmations that are still to come, of commands that subscribe.
	confirmations int
	// before is the database before a SELECT.
	before string
	// size of the request in bytes, as far as that matters.
	size uint64
}

type slot = ordered.Slot[extra]

// parser is one connection.
type parser struct {
	pairing  ordered.Pairing[extra, reply]
	host     protocol.Host
	settings *dbconv.Settings
	requests protocol.Direction
	scale    ordered.Scale
	err      error

	req, resp stream.Stream
	// searching for a message at the start of a segment, by stream.
	searching [2]bool
	// lost: boundaries were lost, and finding them again is to be counted.
	lost [2]bool

	// arrays: commands are sent as arrays, so words are not taken for inline commands.
	arrays bool

	request request
	answer  answer

	// database is the one that commands which come now use; "" if unknown.
	database string
	// queued counts commands of the transaction.
	queued int64
	// off, skip: CLIENT REPLY.
	off  bool
	skip bool

	failures, misses int
	time             uint64 // of the segment
}

var _ protocol.Parser = (*parser)(nil)

// Segment implements protocol.Parser.
func (p *parser) Segment(s *protocol.Segment) error {
	if p.err != nil {
		return p.err
	}
	turn := p.pairing.Segment(s)
	p.time = s.Time
	if s.Dir == p.requests {
		p.req.Feed(s, turn)
		if !p.searching[inRequests] || p.findRequest(turn) {
			p.readRequests()
			if p.searching[inRequests] && p.err == nil && p.req.AtSegment() && p.findRequest(turn) {
				p.readRequests() // what was lost was before this segment
			}
		}
		if p.searching[inRequests] {
			p.req.Clear()
		}
		p.req.Keep()
	} else {
		p.resp.Feed(s, turn)
		switch {
		case p.answer.evidence:
			p.answer.last = s.Time
			p.resp.Clear()
		case p.searching[inReplies]:
			p.resp.Clear()
		default:
			p.readReplies()
		}
		p.resp.Keep()
	}
	if p.err != nil {
		p.pairing.Close(s.Time, exchange.FailureNone)
	}
	return p.err
}

// findRequest looks for a command at the start of a segment.
func (p *parser) findRequest(turn bool) bool {
	if p.req.HoleAhead() && len(p.req.Available()) == 0 {
		p.req.Resync()
	}
	b := p.req.Available()
	if len(b) > 0 && p.req.AtSegment() {
		if v, known := isCommand(b); v == protocol.Accepted && (known || turn) || v == protocol.Undecided && turn {
			p.found(inRequests)
			return true
		}
		if turn && !p.arrays && isInline(b) && !bytes.Contains(b, []byte("\n$")) {
			p.found(inRequests)
			return true
		}
	}
	if turn {
		if p.misses++; p.misses > maxMisses {
			p.err = protocol.ErrMismatch
		}
	}
	return false
}

func (p *parser) found(which int) {
	p.searching[which] = false
	if p.lost[which] {
		p.lost[which] = false
		p.host.Stats.Resyncs++
	}
}

// loseRequests is called where the boundaries of requests are lost.
func (p *parser) loseRequests() {
	if sl := p.request.slot; sl != nil {
		// What is known of it is enough: its reply comes in its place.
		p.request.slot = nil
		if p.request.named {
			sl.D.Cut = sl.D.Cut || len(sl.D.Text) > 0
			p.push(sl)
		} else {
			p.pairing.Release(sl)
		}
	}
	p.pairing.LoseRequests()
	p.searching[inRequests], p.lost[inRequests] = true, true
	p.scale.Reset()
	p.req.Resync()
}

// loseReplies is called where the boundaries of replies are lost.
func (p *parser) loseReplies() {
	p.scale.Reset()
	a := &p.answer
	p.resp.Clear()
	if a.open && a.kind != 0 && a.kind != '>' && p.pairing.Len() == 1 && p.pairing.Waits() && p.pairing.Front().More.confirmations == 0 {
		// The reply goes on until the client, which waits for it, sends more.
		a.evidence, a.last = true, p.time
		return
	}
	a.reset()
	p.pairing.LoseResponses()
	p.searching[inReplies], p.lost[inReplies] = true, true
}

// invalid is called for bytes that are not what they have to be.
func (p *parser) invalid(which int) {
	p.host.Stats.Invalid++
	if p.failures++; p.failures >= maxFailures {
		p.err = protocol.ErrMismatch
		return
	}
	if which == inRequests {
		if sl := p.request.slot; sl != nil {
			p.request.slot = nil
			p.pairing.Release(sl)
		}
		p.loseRequests()
		return
	}
	p.answer.open = false
	p.loseReplies()
}

// End implements protocol.Parser.
func (p *parser) End(e protocol.End) {
	p.endEvidence(e.Cause)
	p.pairing.End(e)
}

// Close implements protocol.Parser.
func (p *parser) Close(time uint64, cause exchange.Failure) {
	if cause != exchange.FailureNone {
		p.endEvidence(cause)
	}
	p.pairing.Close(time, cause)
}

// endEvidence decides about a reply of which the end passed unseen.
func (p *parser) endEvidence(cause exchange.Failure) {
	a := &p.answer
	if !a.evidence {
		return
	}
	if cause.Broken() {
		a.reset()
		p.pairing.LoseResponses()
		return
	}
	p.completeEvidence()
}

// completeEvidence ends the exchange of a reply of which the end passed unseen.
func (p *parser) completeEvidence() {
	a := &p.answer
	p.host.Stats.Resyncs++
	r := reply{kind: a.kind, count: a.count}
	last := a.last
	a.reset()
	if p.pairing.Len() > 0 {
		p.settle(p.pairing.Front(), &r, last)
	}
}

// Window implements protocol.Parser.
func (p *parser) Window() protocol.Window {
	w := p.scale.Window()
	if w.After == protocol.EverySegment {
		w.After = protocol.EveryValue
	}
	return w
}
