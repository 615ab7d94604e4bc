// SPDX-License-Identifier: Apache-2.0

package runtimes

import (
	"debug/elf"
	"encoding/binary"
	"path"
)

// rubyContext is the thread local variable that points to what a thread of CRuby
// executes (vm_core.h, since Ruby 3.0).
const rubyContext = "ruby_current_ec"

// ruby looks for where the loader tells the place of that variable: a tls_index, two words
// whose first one is relocated (R_X86_64_DTPMOD64; ELF Handling For Thread-Local Storage, 3.4.6).
func (o *object) ruby(f *elf.File, symbols []elf.Symbol) {
	number := 0
	for i := range symbols {
		if symbols[i].Name == rubyContext && symbols[i].Section != elf.SHN_UNDEF && elf.ST_TYPE(symbols[i].Info) == elf.STT_TLS {
			number = i + 1 // the first symbol is left out
		}
	}
	s := f.Section(".rela.dyn")
	if number == 0 || s == nil || s.Size > maxSection {
		return
	}
	b, err := s.Data()
	if err != nil {
		return
	}
	// Elf64_Rela: offset, info, addend.
	for ; len(b) >= 24; b = b[24:] {
		info := binary.LittleEndian.Uint64(b[8:])
		if elf.R_X86_64(elf.R_TYPE64(info)) == elf.R_X86_64_DTPMOD64 && int(elf.R_SYM64(info)) == number {
			o.rubyThread = binary.LittleEndian.Uint64(b)
			return
		}
	}
}

// ruby is the address of the tls_index in a process, 0 if it is not known. Ruby has to be a
// library: a program that contains it has its thread local variables elsewhere.
func (e *Examiner) ruby(pid uint32, exe string, modules []module) uint64 {
	for _, m := range modules {
		if kind, _ := kindOfLibrary(path.Base(m.path)); kind != Ruby || m.path == exe {
			continue
		}
		if o := e.object(pid, m.path); o != nil && o.rubyThread != 0 {
			return m.start + o.rubyThread - o.start
		}
	}
	return 0
}
