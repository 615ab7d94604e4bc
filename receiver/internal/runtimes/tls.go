// SPDX-License-Identifier: Apache-2.0

package runtimes

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// Where a thread keeps its current g on linux/amd64, relative to the FS base,
// the thread pointer of ELF's TLS variant II, below which the executable's
// thread local variables end (https://www.akkadia.org/drepper/tls.pdf, 4.3.2):
//
//   - -8 in programs that Go's own linker has linked, with cgo or without, PIE
//     or not: computeTLSOffset in cmd/link/internal/ld/sym.go. Programs
//     without libc have no thread pointer until runtime.settls sets one that
//     suits ("ELF wants to use -8(FS)", runtime/sys_linux_amd64.s).
//   - Programs linked by the system's linker (those with cgo, except the
//     standard library's) have g in runtime.tlsg, a thread local variable like
//     those of C code, so it depends on what else there is. With none it is
//     -8 again.
//
// The symbol runtime.tlsg is stripped from most programs, but the code that
// loads g is not: every function that assembly calls through an ABI wrapper
// begins with it.
const (
	ownLinkerTLSG = -8
	wordSize      = 8
)

// Machine code that loads g, from ssaGenValue of cmd/compile/internal/amd64
// (getgFromTLS); 32 bits of each are the offset. Clearing X15 comes first.
var (
	// xorps %xmm15,%xmm15; mov %fs:OFFSET,%r14
	loadG = []byte{0x45, 0x0f, 0x57, 0xff, 0x64, 0x4c, 0x8b, 0x34, 0x25}
	// xorps %xmm15,%xmm15; mov $OFFSET,%r14; mov %fs:(%r14),%r14, which the
	// linker makes of the initial exec model in position independent programs.
	loadGIndirect    = []byte{0x45, 0x0f, 0x57, 0xff, 0x49, 0xc7, 0xc6}
	loadGIndirectEnd = []byte{0x64, 0x4d, 0x8b, 0x36}
)

// tlsOfG is where a thread of an amd64 program keeps its current g, relative
// to the FS base; 0 if that could not be found out.
func tlsOfG(f *elf.File) int32 {
	var tls *elf.Prog
	for _, p := range f.Progs {
		if p.Type == elf.PT_TLS {
			tls = p
		}
	}
	if tls == nil || tls.Memsz == wordSize && tls.Align <= wordSize {
		return ownLinkerTLSG // nothing else is there
	}
	const (
		maxText = 256 << 20
		longest = 64
	)
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD || p.Flags&elf.PF_X == 0 {
			continue
		}
		var offset int32
		found := search(p, min(int64(p.Filesz), maxText), longest, func(b []byte) bool {
			offset = findLoadG(b)
			return offset != 0
		})
		if found {
			if size := tls.Memsz + tls.Align; offset < 0 && offset%wordSize == 0 && uint64(-int64(offset)) <= size {
				return offset
			}
			return 0
		}
	}
	return 0
}

// findLoadG is the offset in the first code that loads g, 0 if there is none.
func findLoadG(b []byte) int32 {
	if i := bytes.Index(b, loadG); i >= 0 && i+len(loadG)+4 <= len(b) {
		return int32(binary.LittleEndian.Uint32(b[i+len(loadG):]))
	}
	for {
		i := bytes.Index(b, loadGIndirect)
		if i < 0 {
			return 0
		}
		b = b[i+len(loadGIndirect):]
		if len(b) >= 4 && bytes.HasPrefix(b[4:], loadGIndirectEnd) {
			return int32(binary.LittleEndian.Uint32(b))
		}
	}
}
