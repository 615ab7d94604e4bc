// SPDX-License-Identifier: Apache-2.0

package memcached

import (
	"hash/maphash"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/ordered"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

// Our own attributes.
const (
	// AttrHits and AttrMisses are the numbers of keys that a retrieval found, and did not.
	AttrHits   = "ebpf.memcached.hits"
	AttrMisses = "ebpf.memcached.misses"
	// AttrUnanswered: the client wanted no reply, so the duration is that of sending.
	AttrUnanswered = "ebpf.db.unanswered"
)

const (
	// maxFailures is how many times in a row bytes may not be what they should before
	// that is a mismatch; maxMisses how many turns may begin without a command.
	maxFailures = 5
	maxMisses   = 16
)

// Indices of the two streams' states.
const (
	inRequests = 0
	inReplies  = 1
)

// extra is what is kept of an exchange in flight.
type extra struct {
	command *command
	binary  bool
	opcode  byte
	// quiet: it may not be answered. tag is its opaque, or else its key, as a hash;
	// opaque says which. 0 if it has none.
	quiet, opaque bool
	tag, key      uint64
	keys          int
	size          uint64
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
	// searching for a message at the start of a turn, by stream; lost: that is to be
	// counted.
	searching, lost [2]bool

	line   line
	answer answer

	failures, misses int
	time             uint64 // of the segment
}

var _ protocol.Parser = (*parser)(nil)

// seed of the hashes of keys and opaques.
var seed = maphash.MakeSeed()

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

// findRequest looks for a command at the start of a turn.
func (p *parser) findRequest(turn bool) bool {
	if !turn {
		return false
	}
	if b := p.req.Available(); len(b) > 0 && p.req.AtSegment() {
		ok := false
		if b[0] == magicRequest {
			if ok = len(b) < headerSize; !ok {
				_, ok = parseHeader(b, true)
			}
		} else {
			ok = mayBegin(b)
		}
		if ok {
			p.found(inRequests)
			return true
		}
	}
	if p.misses++; p.misses > maxMisses {
		p.err = protocol.ErrMismatch
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
	p.pairing.LoseRequests()
	p.searching[inRequests], p.lost[inRequests] = true, true
	p.scale.Reset()
	p.req.Clear()
}

// loseReplies is called where the boundaries of replies are lost.
func (p *parser) loseReplies() {
	p.scale.Reset()
	p.resp.Clear()
	a := &p.answer
	if a.open && p.pairing.Len() == 1 && p.pairing.Waits() {
		// The reply goes on until the client, which waits for it, sends more.
		a.evidence, a.last = true, p.time
		return
	}
	p.forgetReplies()
}

// forgetReplies gives up what is in flight.
func (p *parser) forgetReplies() {
	p.answer = answer{}
	p.pairing.LoseResponses()
	p.searching[inReplies], p.lost[inReplies] = true, true
	p.resp.Clear()
}

// invalid is called for bytes that are not what they have to be.
func (p *parser) invalid(which int) {
	p.host.Stats.Invalid++
	if p.failures++; p.failures >= maxFailures {
		p.err = protocol.ErrMismatch
		return
	}
	if which == inRequests {
		p.loseRequests()
		return
	}
	p.forgetReplies()
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
	if !p.answer.evidence {
		return
	}
	if cause.Broken() {
		p.forgetReplies()
		return
	}
	p.completeEvidence()
}

// completeEvidence ends the exchange of a reply of which the end passed unseen.
func (p *parser) completeEvidence() {
	p.host.Stats.Resyncs++
	last := p.answer.last
	p.answer = answer{}
	if p.pairing.Len() > 0 {
		p.pairing.Finish(last)
	}
}

// Window implements protocol.Parser.
func (p *parser) Window() protocol.Window { return p.scale.Window() }
