// SPDX-License-Identifier: Apache-2.0

package runtimes

import (
	"debug/elf"
	"regexp"
	"strconv"
	"strings"
)

// GoOffsets locate things inside a Go process, in bytes. The layout of the
// runtime's structs depends on the minor version of Go alone, not on the
// architecture (amd64, arm64), the patch release, the experiments
// (GOEXPERIMENT) or the race detector.
//
// # The current goroutine
//
// On arm64 the current g is in R28 when Go code makes a system call, on amd64
// in R14 (https://go.dev/s/regabi). What C code has there is arbitrary, so in
// a program with cgo g is better read from thread local storage, see TLSG.
//
// Either way g may be the scheduler's own (g.m.g0 == g): while C code runs,
// because runtime.asmcgocall switches to the stack of g0, and for system calls
// of the scheduler. The goroutine that called C is g.m.curg.
//
// # The requester of net/http.Transport
//
// A request of HTTP/1 is written by a goroutine of the connection,
// persistConn.writeLoop, while the one that called RoundTrip waits for the
// result on a channel (chan error, capacity 1; hchan.elemsize 16) in a select.
// writeLoop has that channel in its bottom frame, *(g.stack.hi-WriteErrCh), and
// the first sudog in its recvq is the requester's (none, in one of some ten
// thousand requests, if the requester is not there yet). Programs that were
// compiled without optimization (-N) have it a word further down. What else
// looks like it, further up or down, is left by others: new stacks are not
// cleared. The heap has no fixed place since Go 1.26 (GOEXPERIMENT
// randomizedheapbase64).
//
// A request of HTTP/2 is written by a goroutine of its own, and the requester
// is its parent.
type GoOffsets struct {
	// Of runtime.g. StackHi is that of stack.hi, Waiting that of the list of
	// sudogs it waits in.
	StackHi, M, Param, AtomicStatus, GoID, StartPC, Waiting uint16
	// ParentGoID is 0 before Go 1.21, which has no such field.
	ParentGoID uint16
	// Of runtime.m.
	MG0, MProcID, MCurG uint16
	// Of runtime.hchan. The queues' are those of the first sudog in them.
	ChanQCount, ChanDataQSize, ChanBuf, ChanElemSize, ChanClosed uint16
	ChanSendX, ChanRecvX, ChanRecvQ, ChanSendQ                   uint16
	// Of runtime.sudog. Since Go 1.26 elem and c have two words each, of
	// which the first may be nil; these are those of the second.
	SudogG, SudogNext, SudogElem, SudogIsSelect, SudogC uint16
	// WriteErrCh is how far below stack.hi writeLoop keeps its requester's
	// channel; 0 if unknown. (In the frame of compiled code, so it may change
	// with every release. It has in 1.22 only.)
	WriteErrCh uint16
	// TLSG is where the thread keeps its current g, relative to the FS base;
	// negative. 0 if unknown, and on arm64.
	TLSG int32
}

// Releases of Go 1 whose layout is known: TestReleases compares it with the
// debugging information of programs each of them has built.
const (
	oldestRelease = 18
	newestRelease = 27
)

// releaseOffsets is the layout of Go 1.minor, for amd64.
func releaseOffsets(minor int) (o GoOffsets, ok bool) {
	if minor < oldestRelease || minor > newestRelease {
		return GoOffsets{}, false
	}
	o = GoOffsets{
		StackHi: 8, M: 48, Param: 136, AtomicStatus: 144, GoID: 152, StartPC: 312, Waiting: 328,
		MG0: 0, MProcID: 72, MCurG: 192,
		ChanQCount: 0, ChanDataQSize: 8, ChanBuf: 16, ChanElemSize: 24, ChanClosed: 28,
		ChanSendX: 40, ChanRecvX: 48, ChanRecvQ: 56, ChanSendQ: 72,
		SudogG: 0, SudogNext: 8, SudogElem: 24, SudogIsSelect: 52, SudogC: 80,
		WriteErrCh: 128,
	}
	if minor >= 21 { // g.parentGoid is new; what the tracer needs has moved to the end of g
		o.ParentGoID, o.StartPC, o.Waiting = 272, 296, 312
	}
	if minor >= 22 {
		o.WriteErrCh = 96
	}
	if minor >= 23 { // g.syscallbp and hchan.timer are new
		o.Param, o.AtomicStatus, o.GoID = 144, 152, 160
		o.ParentGoID, o.StartPC, o.Waiting = 280, 304, 320
		o.ChanSendX, o.ChanRecvX, o.ChanRecvQ, o.ChanSendQ = 48, 56, 64, 80
	}
	if minor >= 25 { // gobuf.ret is gone; g and m have a gobuf each
		o.Param, o.AtomicStatus, o.GoID = 136, 144, 152
		o.ParentGoID, o.StartPC, o.Waiting = 272, 296, 312
		o.MProcID, o.MCurG = 64, 184
	}
	if minor >= 26 { // g.secret is new; sudog.elem and c are maybeTraceablePtr
		o.ParentGoID, o.StartPC, o.Waiting = 280, 304, 320
		o.SudogElem, o.SudogIsSelect, o.SudogC = 32, 60, 96
	}
	return o, true
}

// goOffsets is nil if the layout is not known for certain.
func goOffsets(f *elf.File, version string) *GoOffsets {
	if f.Class != elf.ELFCLASS64 || f.Machine != elf.EM_X86_64 && f.Machine != elf.EM_AARCH64 {
		return nil
	}
	o, ok := GoOffsets{}, false
	if minor := goMinor(version); minor != 0 {
		o, ok = releaseOffsets(minor)
	}
	if !ok {
		if o, ok = dwarfOffsets(f); !ok {
			return nil
		}
	}
	if f.Machine == elf.EM_X86_64 {
		o.TLSG = tlsOfG(f)
	} else if o.WriteErrCh != 0 {
		// The first frame begins with the link register, and is aligned to
		// 16 bytes (newproc1).
		o.WriteErrCh += 16
	}
	return &o
}

// release as in go1.22.3, go1.26rc1, go1.20 (the first one, until then), and
// with what vendors add to a patch release, as in go1.26.8-custom.
var release = regexp.MustCompile(`^go1\.([0-9]{1,3})(?:$| |\.[0-9]|rc[0-9])`)

// goMinor is 22 for go1.22.3; 0 for what is no release or does not follow one,
// as in "devel go1.27-abcdef" or go1.27-devel_abcdef, and may be anything.
func goMinor(version string) int {
	m := release.FindStringSubmatch(version)
	if m == nil || strings.Contains(version, "devel") {
		return 0
	}
	minor, _ := strconv.Atoi(m[1])
	return minor
}
