// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
)

// shape of a response.
type shape uint8

const (
	// shapeResults: OK, ERR, a file's name, or a set of rows; perhaps several.
	shapeResults shape = iota
	// shapePrepare: OK, and definitions of parameters and columns.
	shapePrepare
	// shapeRows: rows without definitions; shapeFields: definitions only.
	shapeRows
	shapeFields
	// shapeOne: one packet.
	shapeOne
	// shapeLogin: rounds of authentication until OK or ERR.
	shapeLogin
)

// place in a response.
type place uint8

const (
	// placeFirst: before a result.
	placeFirst place = iota
	// placeColumns: among definitions; placeDefined: behind the last one, where an
	// EOF packet may come.
	placeColumns
	placeDefined
	placeRows
	// placeParameters: among definitions of parameters, placeParametersDefined behind
	// the last one.
	placeParameters
	placeParametersDefined
	// placeInfile: the client sends a file.
	placeInfile
)

// response consumes bytes of the server.
func (p *parser) response(s *protocol.Segment, turn bool) {
	p.measured = s.Measured
	if sl := p.queue.Front(); sl != nil && s.Identity.Peer != 0 && s.Identity.Peer == sl.x.Identity.Seed {
		sl.x.Identity.Learn(&s.Identity)
	}
	if p.resp.lost {
		return
	}
	p.read(&p.resp, s, turn, (*parser).packets)
}

// packets reads the server's packets.
func (p *parser) packets(s *protocol.Segment) {
	d := &p.resp
	t := d.t
	for p.err == nil && !d.lost {
		if t.Ahead() > 0 {
			return
		}
		if p.ending {
			p.finish(p.queue.Front(), s.Time)
		}
		if sl := p.queue.Front(); sl != nil && sl.place == placeRows && !d.continued && p.rows(sl) {
			continue
		}
		head, status := t.Peek(headSize)
		if status == stream.More {
			return
		}
		if status == stream.Hole {
			if !p.glimpse(s) {
				p.loseResponses()
			}
			return
		}
		n, sequence := length(head), head[3]
		if d.continued {
			d.continued = n == maxPacket
			t.Discard(uint64(headSize + n))
			continue
		}
		sl := p.queue.Front()
		b, status := t.Peek(headSize + min(n, 1))
		if status == stream.Ready && (sl == nil || !sl.among() || n > 0 && b[headSize] >= headEOF && n != maxPacket) {
			b, status = t.Peek(headSize + min(n, maxPrefix))
		}
		if status == stream.More {
			return
		}
		short := status == stream.Hole
		if short {
			b = t.Available()
		}
		b = b[headSize:]
		switch {
		case len(b) == 0 && n > 0:
			p.loseResponses()
			return
		case p.phase == phaseGreeting:
			p.greet(b, sequence)
		case p.phase != phaseCommand:
			p.loginRound(b)
		case p.stray != 0 && sequence == p.stray && n == 5 && b[0] == headEOF && (sl == nil || sl.place == placeFirst):
			p.eof, p.stray = 1, 0
		case sl == nil:
			p.unasked(b)
		case sl.sequence != sequence && d.z == nil:
			// Where there is compression, both count the compressed packets, too.
			p.invalid(d)
			return
		default:
			sl.sequence++
			if !p.packet(sl, b, n) {
				if short {
					p.loseResponses()
				} else {
					p.invalid(d)
				}
				return
			}
			sl.open = true
		}
		if p.err != nil || d.lost {
			return
		}
		d.continued = n == maxPacket
		t.Discard(uint64(headSize + n))
		if p.ending && t.Ahead() == 0 {
			p.finish(p.queue.Front(), s.Time)
		}
		if p.phase == phaseCommand && p.known && d.z == nil && p.capabilities&(clientCompress|clientZstd) != 0 {
			p.compress()
			return
		}
	}
}

// among reports whether the next packet is a row or definition, of which the first
// byte tells enough.
func (sl *slot) among() bool {
	return sl.place == placeRows || sl.place == placeColumns || sl.place == placeParameters
}

// rows passes over the rows that are copied whole, and counts them; false if there are
// none.
func (p *parser) rows(sl *slot) bool {
	t := p.resp.t
	b := t.Available()
	i := 0
	counted := p.resp.z == nil
	for len(b)-i > headSize {
		n := length(b[i:])
		if c := b[i+headSize]; n == 0 || n == maxPacket || n > len(b)-i-headSize || c == headEOF || c == headError || counted && b[i+3] != sl.sequence {
			break
		}
		sl.sequence++
		if sl.shape != shapeFields {
			sl.rows++
		}
		i += headSize + n
	}
	if i == 0 {
		return false
	}
	sl.open = true
	t.Discard(uint64(i))
	return true
}

// greet reads the server's first packet (MySQL: "HandshakeV10").
func (p *parser) greet(b []byte, sequence byte) {
	if len(b) == 0 || b[0] != 10 || sequence != 0 {
		p.err = protocol.ErrMismatch
		return
	}
	version, rest, ok := terminated(b[1:])
	if !ok || len(rest) < 4+8+1+2 {
		p.err = protocol.ErrMismatch
		return
	}
	if bytes.Contains(version, []byte("MariaDB")) {
		p.system = "mariadb"
	}
	rest = rest[4+8+1:]
	p.capabilities, p.known = uint64(binary.LittleEndian.Uint16(rest)), true
	if len(rest) >= 7 {
		p.capabilities |= uint64(binary.LittleEndian.Uint16(rest[5:])) << 16
	}
	if p.capabilities&1 == 0 && len(rest) >= 18 { // MariaDB's own flags are there
		p.capabilities |= uint64(binary.LittleEndian.Uint32(rest[14:])) << 32
	}
	p.phase = phaseAnswer
}

// loginRound reads a packet of the server's during authentication.
func (p *parser) loginRound(b []byte) {
	if p.phase == phaseLogin && len(b) > 0 && b[0] == headOK {
		p.phase = phaseCommand
		if o, ok := parseOK(b); ok && o.tracked {
			p.namespace = p.host.Strings.String(o.schema)
		}
	}
}

// unasked is a packet that no command waits for: the notice of a server that closes, or
// what is left of a response.
func (p *parser) unasked(b []byte) {
	p.answered()
	p.host.Stats.Unmatched++
	if len(b) == 0 || b[0] != headError {
		p.loseResponses()
	}
}

// packet reads a packet of the response to sl: b is the beginning of its payload of n
// bytes, empty only if n is 0. It is false if there cannot be such a packet.
func (p *parser) packet(sl *slot, b []byte, n int) bool {
	if len(b) == 0 {
		return false
	}
	if b[0] == headError {
		return p.failure(sl, b)
	}
	switch sl.place {
	case placeFirst, placeInfile:
		return p.first(sl, b, n)
	case placeColumns:
		if sl.left--; sl.left == 0 {
			sl.place = placeDefined
			if sl.shape == shapePrepare {
				p.prepared(sl)
			}
		}
	case placeParameters:
		if sl.left--; sl.left == 0 {
			sl.place = placeParametersDefined
			if p.eof == 2 || p.eof == 0 && sl.columns == 0 {
				p.parametersDefined(sl)
			}
		}
	case placeParametersDefined:
		if b[0] == headEOF && n == 5 {
			p.eof = 1
			p.parametersDefined(sl)
			return true
		}
		// No EOF packet: it is the first column's definition.
		p.eof = 2
		p.parametersDefined(sl)
		return p.packet(sl, b, n)
	case placeDefined:
		if sl.shape == shapePrepare {
			sl.place = placeFirst
			p.ending = true
			return b[0] == headEOF && n == 5
		}
		sl.place = placeRows
		if b[0] == headEOF && n == 5 && p.eof != 2 {
			p.eof = 1
			if len(b) < 5 {
				return false
			}
			if parseEOF(b).status&statusCursorExists != 0 {
				sl.place = placeFirst
				p.complete(sl, okay{}) // rows are to be fetched
			}
			return true
		}
		if p.eof == 0 {
			p.eof = 2
		}
		return p.row(sl, b, n)
	case placeRows:
		return p.row(sl, b, n)
	}
	return true
}

// first reads the first packet of a result.
func (p *parser) first(sl *slot, b []byte, n int) bool {
	switch sl.shape {
	case shapeOne:
		if b[0] == headOK {
			if o, ok := parseOK(b); ok {
				p.track(sl, o)
			}
			if sl.d.Operation == names[comResetConnection] {
				p.statements.clear()
			}
		}
		p.complete(sl, okay{})
		return true
	case shapeLogin:
		if b[0] == headOK {
			p.statements.clear()
			p.complete(sl, okay{})
		}
		return true
	case shapePrepare:
		return p.prepareOK(sl, b)
	}
	switch b[0] {
	case headOK:
		if n < 7 {
			if n == 2 && sl.place == placeFirst { // no metadata, one byte of columns
				return p.definitions(sl, b, n)
			}
			return false
		}
		o, ok := parseOK(b)
		if !ok {
			return false
		}
		p.track(sl, o)
		p.complete(sl, o)
		return true
	case headInfile:
		if sl.place == placeInfile {
			return false
		}
		sl.place = placeInfile
		return true
	case headEOF:
		return false
	}
	return p.definitions(sl, b, n)
}

// definitions reads the number of columns, with or without the note that their
// definitions do not follow (MySQL: "Text Resultset"; MariaDB: "Result Set Packets").
func (p *parser) definitions(sl *slot, b []byte, n int) bool {
	if sl.place == placeInfile || n > 10 {
		return false
	}
	follow := true
	optional := p.known && p.capabilities&clientOptionalMetadata != 0 && p.system != "mariadb" || !p.known && n == 2 && b[0] == 0
	if optional {
		follow = b[0] != 0
		b = b[1:]
	}
	count, size := lenenc(b)
	if size == 0 || count == 0 || count > 4096 {
		return false
	}
	if !optional && len(b) > size {
		if len(b) != size+1 || b[size] > 1 {
			return false
		}
		follow = b[size] == 1
	}
	sl.left, sl.place = count, placeColumns
	if !follow {
		sl.left, sl.place = 0, placeDefined
	}
	return true
}

// row reads a packet among rows that is one, or their end.
func (p *parser) row(sl *slot, b []byte, n int) bool {
	if b[0] != headEOF || n == maxPacket {
		if sl.shape != shapeFields {
			sl.rows++
		}
		return true
	}
	var o okay
	if n == 5 {
		if len(b) < 5 {
			return false
		}
		o = parseEOF(b)
	} else {
		ok := false
		if o, ok = parseOK(b); !ok {
			return false
		}
		p.track(sl, o)
	}
	p.complete(sl, o)
	return true
}

// complete is the end of one result: o says whether another one follows.
func (p *parser) complete(sl *slot, o okay) {
	sl.results++
	sl.selected = sl.selected || sl.place == placeRows && sl.shape != shapeFields
	if o.status&statusMoreResults != 0 {
		sl.place = placeFirst
		return
	}
	if sl.selected {
		sl.d.Rows = sl.rows
	}
	p.ending = true
}

// track takes over the default database the server tells.
func (p *parser) track(sl *slot, o okay) {
	if o.tracked {
		sl.use, sl.changes = p.host.Strings.String(o.schema), true
	}
}

// failure reads an ERR packet.
func (p *parser) failure(sl *slot, b []byte) bool {
	if len(b) < 3 {
		return false
	}
	code := binary.LittleEndian.Uint16(b[1:])
	if code == progress {
		return true
	}
	d := &sl.d
	d.Failed = true
	p.scratch = strconv.AppendUint(p.scratch[:0], uint64(code), 10)
	d.Status = p.host.Strings.String(p.scratch)
	if len(b) >= 9 && b[3] == '#' {
		d.Extra = append(d.Extra, dbconv.Attribute{Key: AttrSQLState, Text: p.host.Strings.String(b[4:9])})
	}
	if sl.prepared != nil {
		if p.statements.last == sl.prepared {
			p.statements.last = nil
		}
		p.statements.recycle(sl.prepared)
		sl.prepared = nil
	}
	p.ending = true
	return true
}

// AttrSQLState is the SQLSTATE of an error, a string of five characters: what the
// conventions have no attribute for beside the number of the error.
const AttrSQLState = "ebpf.mysql.sqlstate"

// prepareOK reads the first packet of the response to COM_STMT_PREPARE.
func (p *parser) prepareOK(sl *slot, b []byte) bool {
	if b[0] != headOK || len(b) < 9 {
		return false
	}
	id := binary.LittleEndian.Uint32(b[1:])
	columns, parameters := binary.LittleEndian.Uint16(b[5:]), binary.LittleEndian.Uint16(b[7:])
	if s := sl.prepared; s != nil {
		sl.prepared = nil
		s.parameters = int(parameters)
		switch {
		case s.dead:
			p.statements.recycle(s)
		case !p.statements.open(s, id):
			p.host.Stats.Unmatched++
		}
	}
	if len(b) >= 13 && p.known && p.capabilities&clientOptionalMetadata != 0 && b[12] == 0 {
		columns, parameters = 0, 0
	}
	sl.left, sl.columns = uint64(parameters), uint64(columns)
	sl.place = placeParameters
	if parameters == 0 {
		p.parametersDefined(sl)
	}
	return true
}

// parametersDefined goes on to the columns of a prepared statement.
func (p *parser) parametersDefined(sl *slot) {
	if sl.columns > 0 {
		sl.left, sl.place = sl.columns, placeColumns
		return
	}
	if p.eof == 0 && sl.place == placeParametersDefined {
		p.stray = sl.sequence
	}
	p.ending = true
}

// prepared is behind the last definition of a column.
func (p *parser) prepared(sl *slot) {
	if p.eof == 1 {
		return // an EOF packet comes
	}
	if p.eof == 0 {
		p.stray = sl.sequence
	}
	p.ending = true
}

// glimpse recognises the end of rows in the last bytes of a call, the first of which
// were not copied: the position is known, and so is the packet's length.
func (p *parser) glimpse(s *protocol.Segment) bool {
	sl := p.queue.Front()
	t := p.resp.t
	end := s.Offset + uint64(s.Len)
	if sl == nil || sl.place != placeRows || p.resp.z != nil || p.resp.continued || len(s.Tail) != 8 || end < t.Offset() {
		return false
	}
	var o okay
	b := s.Tail
	switch end - t.Offset() {
	case headSize + 5: // but for the first byte, an EOF packet
		if b[0] != 0 || b[1] != 0 || b[2] != sl.sequence || b[3] != headEOF {
			return false
		}
		o.status = binary.LittleEndian.Uint16(b[6:])
	case headSize + 7: // but for the first three, an OK packet
		if b[0] != sl.sequence || b[1] != headEOF || b[2] != 0 || b[3] != 0 {
			return false
		}
		o.status = binary.LittleEndian.Uint16(b[4:])
	default:
		return false
	}
	sl.sequence++
	p.complete(sl, o)
	t.Discard(end - t.Offset())
	if p.ending {
		p.finish(sl, s.Time)
	}
	return true
}
