// SPDX-License-Identifier: Apache-2.0

package runtimes

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// pointers are those in the data of an ELF file as it will be in memory, of
// things in the same file.
type pointers struct {
	file *elf.File
	// relocated by address, where the loader makes them.
	relocated map[uint64]uint64
}

// maxSection bounds what is read of a section, bytes.
const maxSection = 64 << 20

func newPointers(f *elf.File) *pointers {
	p := &pointers{file: f, relocated: map[uint64]uint64{}}
	s := f.Section(".rela.dyn")
	if s == nil || s.Size > maxSection {
		return p
	}
	b, err := s.Data()
	if err != nil {
		return p
	}
	// Elf64_Rela: offset, info, addend.
	for ; len(b) >= 24; b = b[24:] {
		if elf.R_X86_64(binary.LittleEndian.Uint64(b[8:])) == elf.R_X86_64_RELATIVE {
			p.relocated[binary.LittleEndian.Uint64(b)] = binary.LittleEndian.Uint64(b[16:])
		}
	}
	return p
}

// at is the pointer at an address, ok if there is one.
func (p *pointers) at(address uint64) (to uint64, ok bool) {
	if to, ok = p.relocated[address]; ok || p.file.Type == elf.ET_DYN {
		return to, ok
	}
	to, ok = word(p.file, address)
	return to, ok && to != 0
}

// to is the addresses of pointers to one of several addresses.
func (p *pointers) to(targets []uint64) (found []uint64) {
	for _, target := range targets {
		for at, to := range p.relocated {
			if to == target {
				found = append(found, at)
			}
		}
		if p.file.Type == elf.ET_DYN {
			continue
		}
		pattern := binary.LittleEndian.AppendUint64(nil, target)
		for _, s := range p.file.Sections {
			if s.Type != elf.SHT_PROGBITS || s.Flags&elf.SHF_WRITE == 0 {
				continue
			}
			found = append(found, within(s, pattern, 8)...)
		}
	}
	return found
}

// text is the addresses of a string that ends, and begins, with what is no part of
// it.
func (p *pointers) text(text string) (found []uint64) {
	for _, s := range p.file.Sections {
		if s.Type != elf.SHT_PROGBITS || s.Flags&elf.SHF_ALLOC == 0 || s.Flags&(elf.SHF_WRITE|elf.SHF_EXECINSTR) != 0 {
			continue
		}
		for _, at := range within(s, []byte("\x00"+text+"\x00"), 1) {
			found = append(found, at+1)
		}
	}
	return found
}

// within is the addresses in a section of what is aligned there.
func within(s *elf.Section, pattern []byte, align uint64) (found []uint64) {
	if s.Size > maxSection {
		return nil
	}
	b, err := s.Data()
	if err != nil {
		return nil
	}
	for from := 0; ; {
		i := bytes.Index(b[from:], pattern)
		if i < 0 {
			return found
		}
		from += i
		if at := s.Addr + uint64(from); at%align == 0 {
			found = append(found, at)
		}
		from++
	}
}

// word is what the file has at an address.
func word(f *elf.File, address uint64) (uint64, bool) {
	var b [8]byte
	if !read(f, address, b[:]) {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b[:]), true
}

func read(f *elf.File, address uint64, b []byte) bool {
	for _, s := range f.Progs {
		if s.Type == elf.PT_LOAD && address >= s.Vaddr && address-s.Vaddr+uint64(len(b)) <= s.Filesz {
			_, err := s.ReadAt(b, int64(address-s.Vaddr))
			return err == nil
		}
	}
	return false
}

// watchable is the offset in the file of the first instruction of a function that
// the kernel emulates when a probe is there (push, conditional jumps: arch/x86/
// kernel/uprobes.c, push_setup_xol_ops and branch_setup_xol_ops); others it has to
// single-step, which takes thirty times as long. Only what compilers put before, and
// what does not change the first argument (RDI) nor jumps, may precede it.
func watchable(f *elf.File, address uint64) (offset uint64, ok bool) {
	var code [48]byte
	if !read(f, address, code[:]) {
		return 0, false
	}
	for at := 0; at < len(code)-16; {
		b := code[at:]
		switch {
		case b[0] >= 0x50 && b[0] <= 0x57, // push
			b[0] == 0x41 && b[1] >= 0x50 && b[1] <= 0x57,
			b[0] >= 0x70 && b[0] <= 0x7f, // jcc
			b[0] == 0x0f && b[1] >= 0x80 && b[1] <= 0x8f:
			return fileOffset(f, address+uint64(at))
		case bytes.HasPrefix(b, []byte{0xf3, 0x0f, 0x1e, 0xfa}): // endbr64
			at += 4
		case bytes.HasPrefix(b, []byte{0x48, 0x83, 0xec}): // sub $imm8, %rsp
			at += 4
		case bytes.HasPrefix(b, []byte{0x48, 0x83, 0x7f}): // cmpq $imm8, disp8(%rdi)
			at += 5
		case bytes.HasPrefix(b, []byte{0x48, 0x8b, 0x07}), // mov (%rdi), %rax
			bytes.HasPrefix(b, []byte{0x48, 0x85}) && b[2] >= 0xc0: // test of registers
			at += 3
		case bytes.HasPrefix(b, []byte{0x48, 0x8d, 0x4c, 0x24}), // lea disp8(%rsp), %rcx
			bytes.HasPrefix(b, []byte{0x48, 0x8d, 0x54, 0x24}): // lea disp8(%rsp), %rdx
			at += 5
		case bytes.HasPrefix(b, []byte{0x48, 0x8b, 0x57}): // mov disp8(%rdi), %rdx
			at += 4
		case bytes.HasPrefix(b, []byte{0x48, 0x8b, 0x97}): // mov disp32(%rdi), %rdx
			at += 7
		case bytes.HasPrefix(b, []byte{0x8b, 0x42}): // mov disp8(%rdx), %eax
			at += 3
		case bytes.HasPrefix(b, []byte{0x85, 0xc0}): // test %eax, %eax
			at += 2
		case b[0] == 0xa8: // test $imm8, %al
			at += 2
		case b[0] == 0x66 || b[0] == 0x2e: // prefixes of what fills up lines of code
			at++
		case bytes.HasPrefix(b, []byte{0x0f, 0x1f, 0x84}): // nopl disp32(%rax,%rax,1)
			at += 8
		default:
			return 0, false
		}
	}
	return 0, false
}

func fileOffset(f *elf.File, address uint64) (uint64, bool) {
	for _, s := range f.Progs {
		if s.Type == elf.PT_LOAD && s.Flags&elf.PF_X != 0 && address >= s.Vaddr && address-s.Vaddr < s.Filesz {
			return address - s.Vaddr + s.Off, true
		}
	}
	return 0, false
}
