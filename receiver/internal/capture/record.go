// SPDX-License-Identifier: Apache-2.0

//go:build linux

package capture

import (
	"net/netip"
	"strings"
	"unsafe"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// Record kinds; see bpf/record.h for what each means.
const (
	KindOpen    = uint8(captureRecordKindRECORD_OPEN)
	KindSegment = uint8(captureRecordKindRECORD_SEGMENT)
	KindEnd     = uint8(captureRecordKindRECORD_END)
	KindClose   = uint8(captureRecordKindRECORD_CLOSE)
	KindExec    = uint8(captureRecordKindRECORD_EXEC)
	KindFork    = uint8(captureRecordKindRECORD_FORK)
	KindExit    = uint8(captureRecordKindRECORD_EXIT)
	KindListen  = uint8(captureRecordKindRECORD_LISTEN)
	KindContext = uint8(captureRecordKindRECORD_CONTEXT)
)

const flagMidstream = uint8(captureRecordFlagsFLAG_MIDSTREAM)

// Segment is a data record, in place in the ring. Also KindEnd and KindClose,
// where Len is an errno and there are no bytes.
type Segment captureSegmentRecord

// Open announces a connection.
type Open captureOpenRecord

// Process is an exec, fork or exit.
type Process captureProcessRecord

// Context is a trace context that came with a request, not in its bytes.
type Context captureContextRecord

const (
	contextSize = int(unsafe.Sizeof(Context{}))
	segmentSize = int(unsafe.Sizeof(Segment{}))
	openSize    = int(unsafe.Sizeof(Open{}))
	processSize = int(unsafe.Sizeof(Process{}))
)

// Kind of a record; 0 if it is empty.
func Kind(record []byte) uint8 {
	if len(record) == 0 {
		return 0
	}
	return record[0]
}

// AsSegment views a record of KindSegment, KindEnd or KindClose; data are the
// bytes that were copied. It returns nil for a record that is too short.
func AsSegment(record []byte) (s *Segment, data []byte) {
	if len(record) < segmentSize {
		return nil, nil
	}
	s = (*Segment)(unsafe.Pointer(unsafe.SliceData(record)))
	n := int(s.Captured)
	if n > len(record)-segmentSize {
		return nil, nil
	}
	return s, record[segmentSize : segmentSize+n]
}

// AsOpen views a record of KindOpen; nil if it is too short.
func AsOpen(record []byte) *Open {
	if len(record) < openSize {
		return nil
	}
	return (*Open)(unsafe.Pointer(unsafe.SliceData(record)))
}

// AsProcess views a record of KindExec, KindFork, KindExit or KindListen; nil if it is too short.
func AsProcess(record []byte) *Process {
	if len(record) < processSize {
		return nil
	}
	return (*Process)(unsafe.Pointer(unsafe.SliceData(record)))
}

// AsContext views a record of KindContext; nil if it is too short.
func AsContext(record []byte) *Context {
	if len(record) < contextSize {
		return nil
	}
	return (*Context)(unsafe.Pointer(unsafe.SliceData(record)))
}

// Remote is the context in the terms of those that requests name.
func (c *Context) Remote() exchange.Remote {
	return exchange.Remote{TraceID: c.TraceId, SpanID: c.SpanId, Flags: c.Flags, Valid: true}
}

// Causality is the request's that starts here, or of the server's response that
// does. Of links, Parent and Trace are the linked request's.
func (s *Segment) Causality() exchange.Identity {
	id := exchange.Identity{Seed: s.Identity, Trace: s.Trace, Parent: s.Parent, Peer: s.Peer, Method: exchange.Method(s.Method)}
	if id.Method.IsLink() {
		id.Trace, id.Linked = id.Seed, id.Trace
	}
	return id
}

// Measurements are those of the segment's moment.
func (s *Segment) Measurements() exchange.Measured {
	return exchange.Measured{
		QueueTime: s.QueueTime, ThreadCPU: s.ThreadCpu, RunQueue: s.Runqueue, RTT: s.Rtt, Retransmits: s.Retransmits,
	}
}

// TailBytes are the last bytes of the call, where they were not captured.
func (s *Segment) TailBytes() []byte {
	return s.Tail[:min(int(s.TailLen), len(s.Tail))]
}

// Midstream reports whether bytes had moved before the connection was seen.
func (o *Open) Midstream() bool { return o.Flags&flagMidstream != 0 }

// LocalAddr and PeerAddr are invalid for unix sockets.
func (o *Open) LocalAddr() netip.AddrPort { return addrPort(o.Local, o.LocalPort) }

// PeerAddr is the other end's address.
func (o *Open) PeerAddr() netip.AddrPort { return addrPort(o.Peer, o.PeerPort) }

func addrPort(a [16]uint8, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(a).Unmap(), port)
}

// File is the path that was executed, as it was named; empty for exits.
func (p *Process) File() string { return text(p.Path[:]) }

// Name is the program's name: the base name of the file that was executed, or
// the short name (comm), which the kernel cuts at 15 bytes.
func (p *Process) Name() string {
	if path := p.File(); path != "" {
		return path[strings.LastIndexByte(path, '/')+1:]
	}
	return text(p.Comm[:])
}

// Name is the short name (comm) of the process that used the connection first.
func (o *Open) Name() string { return text(o.Comm[:]) }

// text is a C string.
func text(c []int8) string {
	b := make([]byte, 0, len(c))
	for _, c := range c {
		if c == 0 {
			break
		}
		b = append(b, byte(c))
	}
	return string(b)
}

// UnixPath is the name of a unix socket's server end; abstract names begin
// with '@' as ss and /proc/net/unix show them.
func (o *Open) UnixPath() string {
	b := make([]byte, 0, len(o.Path))
	for _, c := range o.Path[:min(int(o.PathLen), len(o.Path))] {
		b = append(b, byte(c))
	}
	if len(b) > 0 && b[0] == 0 {
		b[0] = '@'
		return string(b)
	}
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
