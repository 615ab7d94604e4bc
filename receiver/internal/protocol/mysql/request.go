// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"encoding/binary"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

// slot is one command in flight.
type slot struct {
	x exchange.Exchange
	d dbconv.Detail
	// shape of the response, and where in it the next packet is.
	shape shape
	place place
	// sequence id of the next response packet.
	sequence byte
	// open: the first packet of the response was understood. unseen: the rest was
	// not, so that the end is that of the turn.
	open, unseen bool
	// left are definitions to come; columns are those behind the parameters.
	left, columns uint64
	rows          int64
	// selected: a set of rows is complete.
	selected bool
	// results are complete ones; texts is how many statements the text has, 0 if
	// that is not known.
	results, texts int64
	// prepared is the statement that COM_STMT_PREPARE makes.
	prepared *statement
	// use is the default database if the command succeeds.
	use     string
	changes bool
}

// request consumes bytes of the client.
func (p *parser) request(s *protocol.Segment, turn bool) {
	if p.req.lost {
		if !turn || !p.synchronize(s) {
			return
		}
		anew := *s
		anew.Lost = 0
		s = &anew
	}
	p.turned = p.turned || turn
	p.read(&p.req, s, turn, (*parser).commands)
}

// synchronize looks for a command at the beginning of a turn.
func (p *parser) synchronize(s *protocol.Segment) bool {
	ok := false
	switch b := s.Data; {
	case s.Len == len(b) && len(b) <= zHeadSize && (len(b) < headSize || len(b) == headSize && b[3] == 0 || len(b) == zHeadSize && b[3] == 0 && p.req.z != nil):
		ok = true // the head has a call of its own: what follows tells more
	case p.req.z != nil:
		ok = compressedCommand(b)
	default:
		ok = command(b) && fitsSegment(s)
	}
	if !ok {
		p.missed()
		return false
	}
	p.req.lost, p.req.continued, p.req.candidate = false, false, true
	p.req.t.Clear()
	if p.req.z != nil {
		p.req.z.reset()
	}
	return true
}

// missed counts a turn that did not begin with a command.
func (p *parser) missed() {
	if p.misses++; p.misses > maxMisses {
		p.err = protocol.ErrMismatch
	}
}

// fitsSegment reports whether a segment that begins with a packet ends like one: with
// it, within it, or with more behind it that can be a command.
func fitsSegment(s *protocol.Segment) bool {
	n := headSize + length(s.Data)
	return n >= s.Len || n >= len(s.Data) || len(s.Data)-n < headSize+1 || command(s.Data[n:])
}

// turn is where the client goes on after a response: a new command proves that the
// response was complete, unless the client sends commands without waiting.
func (p *parser) turn(s *protocol.Segment) {
	p.turned = false
	if sl := p.queue.Front(); sl != nil && sl.unseen {
		if p.sliding {
			p.host.Stats.Unmatched++
			p.abandonAll()
		} else {
			p.finish(sl, p.resp.last)
		}
	}
	if p.queue.Len() == 0 && (!p.resp.lost || !p.sliding || s.First > p.resp.last+quiet) {
		// What is left of responses belongs to none.
		p.resp.lost, p.resp.continued, p.ending = false, false, false
		p.resp.t.Clear()
		if p.resp.z != nil {
			p.resp.z.reset()
		}
	} else if p.queue.Len() > 0 {
		p.suspected = true
	}
}

// commands reads the client's packets.
func (p *parser) commands(s *protocol.Segment) {
	d := &p.req
	t := d.t
	for p.err == nil && !d.lost {
		head, status := t.Peek(headSize)
		if status == stream.More {
			return
		}
		if status == stream.Hole {
			p.loseRequests()
			return
		}
		n, sequence := length(head), head[3]
		if d.continued {
			d.continued = n == maxPacket
			if p.current != nil {
				p.current.sequence = sequence + 1
			}
			t.Discard(uint64(headSize + n))
			continue
		}
		if p.phase == phaseLogin && sequence == 0 {
			// The end of the login was not seen.
			p.phase = phaseCommand
			p.loseResponses()
		}
		p.current = nil
		switch {
		case p.phase == phaseAnswer:
			if !p.login(n) {
				return
			}
		case p.phase != phaseCommand:
			// Rounds of authentication.
		case sequence != 0:
			sl := p.queue.Front()
			if p.resp.lost || d.candidate {
				p.loseRequests() // a part of a dialogue of which the beginning was not seen
				return
			}
			if sl == nil || sl.shape != shapeLogin && sl.place != placeInfile {
				p.invalid(d)
				return
			}
			sl.sequence = sequence + 1
			p.current = sl
		default:
			if !p.command(n, s) {
				return
			}
		}
		d.continued = n == maxPacket
		t.Discard(uint64(headSize + n))
	}
}

// login reads the client's first packet, whose payload is n bytes (MySQL:
// "HandshakeResponse41"); false if more of it has to come.
func (p *parser) login(n int) bool {
	t := p.req.t
	b, status := t.Peek(headSize + min(n, maxLogin))
	if status == stream.More {
		return false
	}
	p.phase = phaseLogin
	if status == stream.Hole {
		b = t.Available()
	}
	b = b[headSize:]
	if len(b) < 4 || binary.LittleEndian.Uint32(b)&clientProtocol41 == 0 {
		// A protocol from before 2004.
		p.err = protocol.ErrMismatch
		return false
	}
	if len(b) < 32 {
		p.known = false
		return true
	}
	own := uint64(binary.LittleEndian.Uint32(b))
	if own&1 == 0 { // MariaDB's own flags are there
		own |= uint64(binary.LittleEndian.Uint32(b[28:])) << 32
	}
	p.capabilities &= own
	if p.capabilities&clientSSL != 0 {
		p.err = protocol.ErrOpaque
		return false
	}
	p.eof = 1
	if p.capabilities&clientDeprecateEOF != 0 {
		p.eof = 2
	}
	p.namespace = p.database(b[32:])
	return true
}

// database is the default database in the client's first packet, from the user on.
func (p *parser) database(b []byte) string {
	if p.capabilities&clientConnectWithDB == 0 {
		return ""
	}
	_, b, ok := terminated(b)
	if !ok {
		return ""
	}
	switch {
	case p.capabilities&clientPluginAuthLenenc != 0:
		_, b, ok = cut(b)
	case p.capabilities&clientSecureConnection != 0:
		ok = len(b) > 0 && len(b) > int(b[0])
		if ok {
			b = b[1+int(b[0]):]
		}
	default:
		_, b, ok = terminated(b)
	}
	if !ok {
		return ""
	}
	name, _, ok := terminated(b)
	if !ok {
		return ""
	}
	return p.host.Strings.String(name)
}

// command reads a command whose payload is n bytes; false if more of it has to come,
// or it is none.
func (p *parser) command(n int, s *protocol.Segment) bool {
	t := p.req.t
	head, status := t.Peek(headSize + 1)
	if status == stream.More && n > 0 {
		return false
	}
	if status != stream.Ready || !command(head) {
		if status == stream.Hole {
			p.loseRequests()
			return false
		}
		if p.req.candidate {
			p.missed()
			p.loseRequests()
		} else {
			p.invalid(&p.req)
		}
		return false
	}
	if p.turned {
		p.turn(s)
	}
	if p.req.candidate {
		p.req.candidate = false
		p.host.Stats.Resyncs++
	}
	head, _ = t.Peek(headSize + 1)
	code := head[headSize]
	// What is needed of the payload.
	need := n
	switch code {
	case comQuery, comStmtPrepare:
		need = min(n, maxQuery)
	case comStmtBulkExecute, comChangeUser:
		need = min(n, maxQuery)
	case comStmtExecute:
		need = 5
	case comStmtSendLong, comFieldList:
		need = 1
	case comBinlogDump, comBinlogDumpGTID, comTableDump:
		p.err = protocol.ErrOpaque // replication
		return false
	default:
		need = min(n, maxPrefix)
	}
	b, status := t.Peek(headSize + need)
	if status == stream.More {
		return false
	}
	if status == stream.Hole {
		b = t.Available()
	}
	p.misses = 0
	p.act(code, b[headSize+1:], status == stream.Hole || need < n)
	return p.err == nil
}

// act begins the exchange of a command; b is its payload behind the first byte, short
// says that it is longer.
func (p *parser) act(code byte, b []byte, short bool) {
	switch code {
	case comQuit, comStmtSendLong:
		p.req.t.Begin(p.role) // the kernel's identity of the turn is that of what begins it
		return
	case comStmtClose:
		p.req.t.Begin(p.role)
		if len(b) >= 4 {
			p.statements.close(binary.LittleEndian.Uint32(b))
		}
		return
	}
	p.stray = 0
	sl := p.acquire()
	if sl == nil {
		if code == comStmtPrepare {
			p.statements.last = nil
		}
		return
	}
	d := &sl.d
	switch code {
	case comQuery:
		p.query(sl, b, short)
	case comStmtPrepare:
		sl.shape = shapePrepare
		d.Operation = "PREPARE"
		sl.prepared = p.prepare(d, b, short)
	case comStmtExecute, comStmtBulkExecute, comStmtFetch, comStmtReset:
		p.execute(sl, code, b, short)
	case comInitDB:
		sl.shape, d.Operation = shapeOne, "INIT_DB"
		if !short {
			sl.use, sl.changes = p.host.Strings.String(b), true
		}
	case comChangeUser:
		sl.shape, d.Operation = shapeLogin, "CHANGE_USER"
		sl.changes = true
		if _, rest, ok := terminated(b); ok && len(rest) > 0 && len(rest) > int(rest[0]) {
			name, _, _ := terminated(rest[1+int(rest[0]):])
			sl.use = p.host.Strings.String(name)
		}
	case comFieldList:
		sl.shape, sl.place, d.Operation = shapeFields, placeRows, "FIELD_LIST"
	case comProcessInfo:
		sl.shape, d.Operation = shapeResults, "PROCESS_INFO"
	default:
		sl.shape, d.Operation = shapeOne, names[code]
	}
	p.host.Sink.Begin(&sl.x)
}

// names are db.operation.name of commands that are no texts: as the documentation has
// them, without COM_.
var names = [256]string{
	comCreateDB: "CREATE_DB", comDropDB: "DROP_DB", comRefresh: "REFRESH", comShutdown: "SHUTDOWN", comStatistics: "STATISTICS",
	comProcessKill: "PROCESS_KILL", comDebug: "DEBUG", comPing: "PING", comRegisterSlave: "REGISTER_SLAVE",
	comSetOption: "SET_OPTION", comResetConnection: "RESET_CONNECTION",
}

// acquire makes the slot of the command at the position and puts it in the queue; nil
// if its response will not be known.
func (p *parser) acquire() *slot {
	origin := p.req.t.Begin(p.role)
	if p.req.z != nil {
		origin.Turn = p.req.z.turn
	}
	if p.queue.Len() >= maxInFlight {
		p.loseResponses()
	}
	if p.resp.lost {
		p.host.Stats.Unmatched++
		return nil
	}
	sl := p.queue.Acquire()
	if sl == nil {
		sl = new(slot)
		sl.x.Connection, sl.x.Detail = p.host.Connection, &sl.d
		sl.d.Settings, sl.d.Strings = p.settings, p.host.Strings
	}
	x := &sl.x
	x.PID, x.TID, x.Role = origin.PID, origin.TID, p.role
	x.Start, x.End, x.Failure = origin.First, 0, exchange.FailureNone
	x.Identity = origin.Identity
	x.Measured = exchange.Unmeasured
	x.Measured.QueueTime = origin.Measured.QueueTime
	sl.d.Reset()
	sl.d.System, sl.d.Namespace = p.system, p.namespace
	sl.shape, sl.place, sl.sequence = shapeResults, placeFirst, 1
	sl.open, sl.unseen, sl.changes, sl.selected = false, false, false, false
	sl.left, sl.columns, sl.rows, sl.results, sl.texts = 0, 0, 0, 0, 0
	sl.prepared, sl.use = nil, ""
	p.queue.Push(sl)
	p.current = sl
	return sl
}

// recycle keeps a slot's memory.
func (p *parser) recycle(sl *slot) {
	sl.x.InFlight, sl.x.Workload = nil, nil
	sl.prepared = nil
	if p.current == sl {
		p.current = nil
	}
	p.queue.Recycle(sl)
}

// finish reports the oldest exchange.
func (p *parser) finish(sl *slot, time uint64) {
	p.queue.Pop()
	p.ending = false
	p.failures = 0
	if p.suspected && p.queue.Len() > 0 {
		p.sliding = true
	}
	if p.queue.Len() == 0 {
		p.suspected = false
	}
	if !sl.unseen && !sl.d.Failed {
		if sl.changes {
			p.namespace = sl.use
		}
		if sl.texts >= 2 && sl.texts == sl.results {
			sl.d.Batch = sl.texts
		}
	}
	p.report(sl, time, exchange.FailureNone)
}

// report ends an exchange that is out of the queue.
func (p *parser) report(sl *slot, time uint64, failure exchange.Failure) {
	x := &sl.x
	x.End, x.Failure = max(time, x.Start), failure
	queued := x.Measured.QueueTime
	x.Measured = p.measured
	x.Measured.QueueTime = queued
	p.host.Sink.End(x)
	p.recycle(sl)
}

// abandonAll takes all exchanges back.
func (p *parser) abandonAll() {
	p.ending = false
	for p.queue.Len() > 0 {
		sl := p.queue.Pop()
		p.host.Sink.Abandon(&sl.x)
		p.recycle(sl)
	}
}
