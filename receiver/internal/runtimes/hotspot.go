// SPDX-License-Identifier: Apache-2.0

package runtimes

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path"
	"slices"
)

// JVM says where a HotSpot virtual machine has what tells which thread has made an object,
// and so whose task another one runs (bpf/java.h). Everything in it is what the machine says
// of itself (gHotSpotVMStructs, which its serviceability agent reads; vmStructs.cpp).
type JVM struct {
	// ThreadModule is the address of the number of libjvm's module of thread local
	// variables, ThreadOffset where in them a thread has its JavaThread, bytes.
	ThreadModule uint64
	ThreadOffset uint32
	// Collections is the address of the count of collections, 32 bits, Collecting that of
	// whether there is one now, 8 bits.
	Collections, Collecting uint64
	// CallStub is the return address of the first Java method of a thread.
	CallStub uint64
	// HeapStart and HeapEnd are the addresses that objects can have.
	HeapStart, HeapEnd uint64
	// A reference of 32 bits is (an object's address - OopBase) >> OopShift; Wide: they
	// have 64 bits.
	OopBase  uint64
	OopShift uint8
	Wide     bool
	// TLABStart, TLABTop and TLABEnd are those of a JavaThread's current allocation
	// buffer, offsets in bytes.
	TLABStart, TLABTop, TLABEnd uint16
	// ThreadObject is where a JavaThread has its java.lang.Thread, or, if ThreadHandle, the
	// address where that is; offset in bytes.
	ThreadObject uint16
	ThreadHandle bool
	// A class is at ClassBase + what its objects have in their headers << ClassShift. Supers
	// is the offset in it of the class between it and Object, or itself, bytes.
	ClassBase  uint64
	ClassShift uint8
	Supers     uint16
	// FutureTask is the address of that class, 0 if it has not been loaded, and Runner the
	// offset in its objects of the java.lang.Thread that runs them, bytes.
	FutureTask uint64
	Runner     uint16
	// Waiters is the offset in them of who waits for the result, and Waiter, in that, of the
	// java.lang.Thread; 0 if not known.
	Waiters, Waiter uint16
	// Writer is the class, as in objects' headers, of what writes to connections for
	// java.net.http, 0 if it has not been loaded; WriterTube, TubeChannel and
	// ChannelDescriptor are the offsets that lead from it to the descriptor, bytes.
	Writer                                     uint32
	WriterTube, TubeChannel, ChannelDescriptor uint16
	// Steps lead from objects of some classes to others that say more. There are none
	// before the classes have been loaded.
	Steps [maxSteps]JVMStep
}

// JVMStep leads from an object of a class to one that it refers to.
type JVMStep struct {
	// Class as its objects have it in their header; 0: no step.
	Class uint32
	// Offset of the reference, bytes; 0: its objects outlive requests, and tell nothing; 1:
	// each is made for one request, by who sends it.
	Offset uint32
}

const maxSteps = 24

// hotspotSymbols are the variables that describe a HotSpot.
var hotspotSymbols = []string{
	"gHotSpotVMStructs", "gHotSpotVMStructEntryTypeNameOffset", "gHotSpotVMStructEntryFieldNameOffset", "gHotSpotVMStructEntryTypeStringOffset",
	"gHotSpotVMStructEntryIsStaticOffset", "gHotSpotVMStructEntryOffsetOffset", "gHotSpotVMStructEntryAddressOffset",
	"gHotSpotVMStructEntryArrayStride",
	"gHotSpotVMTypes", "gHotSpotVMTypeEntryTypeNameOffset", "gHotSpotVMTypeEntrySizeOffset", "gHotSpotVMTypeEntryArrayStride",
}

// hotspot looks for what describes a HotSpot, and for where the loader tells the module of
// its thread local variables.
func (o *object) hotspot(f *elf.File, symbols []elf.Symbol) {
	found := map[string]uint64{}
	for i := range symbols {
		if symbols[i].Section != elf.SHN_UNDEF && slices.Contains(hotspotSymbols, symbols[i].Name) {
			found[symbols[i].Name] = symbols[i].Value
		}
	}
	s := f.Section(".rela.dyn")
	if len(found) != len(hotspotSymbols) || s == nil || s.Size > maxSection {
		return
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_TLS {
			o.tlsSize = p.Memsz
		}
	}
	b, err := s.Data()
	if err != nil {
		return
	}
	// Elf64_Rela: offset, info, addend. Variables that are not exported have no symbol there.
	for ; len(b) >= 24; b = b[24:] {
		info := binary.LittleEndian.Uint64(b[8:])
		if elf.R_X86_64(elf.R_TYPE64(info)) == elf.R_X86_64_DTPMOD64 && elf.R_SYM64(info) == 0 {
			o.hotspotSymbols, o.tlsModule = found, binary.LittleEndian.Uint64(b)
			return
		}
	}
}

// jvm is nil if the process has no HotSpot whose layout is known for certain, or not yet.
func (e *Examiner) jvm(pid uint32, modules []module) *JVM {
	for _, m := range modules {
		if kind, _ := kindOfLibrary(path.Base(m.path)); kind != Java {
			continue
		}
		o := e.object(pid, m.path)
		if o == nil || o.hotspotSymbols == nil {
			continue
		}
		f, err := os.Open(e.fs.Path(pid, "mem"))
		if err != nil {
			return nil
		}
		defer f.Close()
		h := hotspot{memory: f, base: m.start - o.start, symbols: o.hotspotSymbols}
		return h.examine(o)
	}
	return nil
}

// hotspot reads the memory of a process. Addresses that are not there have zeros.
type hotspot struct {
	memory  *os.File
	base    uint64 // of libjvm
	symbols map[string]uint64
	fields  map[string]vmField // by "Type.field"
	sizes   map[string]uint64  // of types
}

// vmField is an offset, or the address of a static one.
type vmField struct {
	kind    string
	static  bool
	offset  uint64
	address uint64
}

func (h *hotspot) read(b []byte, address uint64) bool {
	if address < 4096 || address >= 1<<62 {
		clear(b)
		return false
	}
	n, _ := h.memory.ReadAt(b, int64(address))
	clear(b[n:])
	return n == len(b)
}

func (h *hotspot) word(address uint64) uint64 {
	var b [8]byte
	h.read(b[:], address)
	return binary.LittleEndian.Uint64(b[:])
}

func (h *hotspot) word32(address uint64) uint32 { return uint32(h.word(address)) }

func (h *hotspot) variable(name string) uint64 { return h.word(h.base + h.symbols[name]) }

// text is a C string, its first bytes.
func (h *hotspot) text(address uint64) string {
	var b [96]byte
	h.read(b[:], address)
	i := bytes.IndexByte(b[:], 0)
	if i < 0 {
		return ""
	}
	return string(b[:i])
}

// table reads an array of records up to one that begins with what is no pointer, at most as
// many as any release has, several times.
func (h *hotspot) table(name string, stride, key uint64) (records [][]byte) {
	const most = 20000
	at := h.variable(name)
	if stride < 16 || stride > 256 || key+8 > stride {
		return nil
	}
	chunk := make([]byte, stride*512)
	for len(records) < most {
		h.read(chunk, at)
		for b := chunk; len(b) > 0; b = b[stride:] {
			if binary.LittleEndian.Uint64(b[key:]) == 0 {
				return records
			}
			records = append(records, bytes.Clone(b[:stride]))
		}
		at += uint64(len(chunk))
	}
	return nil
}

// describe reads what the machine says of the types and fields that are wanted.
func (h *hotspot) describe() bool {
	at := func(name string) uint64 { return h.variable("gHotSpotVM" + name) }
	texts := map[uint64]string{} // the linker has merged most of them
	text := func(p uint64) string {
		s, ok := texts[p]
		if !ok {
			s = h.text(p)
			texts[p] = s
		}
		return s
	}
	h.fields, h.sizes = map[string]vmField{}, map[string]uint64{}
	owner, field, kind := at("StructEntryTypeNameOffset"), at("StructEntryFieldNameOffset"), at("StructEntryTypeStringOffset")
	static, offset, address := at("StructEntryIsStaticOffset"), at("StructEntryOffsetOffset"), at("StructEntryAddressOffset")
	stride := at("StructEntryArrayStride")
	if max(owner, field, kind, static, offset, address)+8 > stride {
		return false
	}
	for _, b := range h.table("gHotSpotVMStructs", stride, owner) {
		name := text(binary.LittleEndian.Uint64(b[owner:]))
		if !wantedTypes[name] {
			continue
		}
		h.fields[name+"."+text(binary.LittleEndian.Uint64(b[field:]))] = vmField{
			kind: text(binary.LittleEndian.Uint64(b[kind:])), static: binary.LittleEndian.Uint32(b[static:]) != 0,
			offset: binary.LittleEndian.Uint64(b[offset:]), address: binary.LittleEndian.Uint64(b[address:]),
		}
	}
	owner, offset, stride = at("TypeEntryTypeNameOffset"), at("TypeEntrySizeOffset"), at("TypeEntryArrayStride")
	if max(owner, offset)+8 > stride {
		return false
	}
	for _, b := range h.table("gHotSpotVMTypes", stride, owner) {
		if name := text(binary.LittleEndian.Uint64(b[owner:])); wantedTypes[name] {
			h.sizes[name] = binary.LittleEndian.Uint64(b[offset:])
		}
	}
	return true
}

var wantedTypes = map[string]bool{
	"Thread": true, "JavaThread": true, "ThreadLocalAllocBuffer": true, "OSThread": true, "ThreadsSMRSupport": true,
	"ThreadsList": true, "Universe": true, "CollectedHeap": true, "MemRegion": true, "StubRoutines": true,
	"CompressedOops": true, "CompressedKlassPointers": true, "ClassLoaderDataGraph": true, "ClassLoaderData": true,
	"Klass": true, "InstanceKlass": true, "Symbol": true, "ConstantPool": true, "Array<u2>": true, "Array<u1>": true,
}

// field finds one by any of its names.
func (h *hotspot) field(names ...string) (vmField, bool) {
	for _, name := range names {
		if f, ok := h.fields[name]; ok {
			return f, true
		}
	}
	return vmField{}, false
}

// offset of a field; missing is set if there is none.
func (h *hotspot) offset(missing *bool, names ...string) uint64 {
	f, ok := h.field(names...)
	if !ok || f.static || f.offset >= 1<<16 {
		*missing = true
	}
	return f.offset
}

// static is the value of a static field.
func (h *hotspot) static(missing *bool, names ...string) uint64 {
	f, ok := h.field(names...)
	if !ok || !f.static {
		*missing = true
		return 0
	}
	return h.word(f.address)
}

func (h *hotspot) examine(o *object) *JVM {
	if !h.describe() {
		return nil
	}
	var missing bool
	tlab := h.offset(&missing, "Thread._tlab", "JavaThread._tlab")
	heap := h.static(&missing, "Universe._collectedHeap")
	reserved := heap + h.offset(&missing, "CollectedHeap._reserved")
	v := &JVM{
		ThreadModule: h.base + o.tlsModule,
		Collections:  heap + h.offset(&missing, "CollectedHeap._total_collections"),
		Collecting:   heap + h.offset(&missing, "CollectedHeap._is_stw_gc_active", "CollectedHeap._is_gc_active"),
		CallStub:     h.static(&missing, "StubRoutines._call_stub_return_address"),
		HeapStart:    h.word(reserved + h.offset(&missing, "MemRegion._start")),
		OopBase:      h.static(&missing, "CompressedOops._narrow_oop._base", "CompressedOops._base", "Universe._narrow_oop._base"),
		OopShift:     uint8(h.static(&missing, "CompressedOops._narrow_oop._shift", "CompressedOops._shift", "Universe._narrow_oop._shift")),
		TLABStart:    uint16(tlab + h.offset(&missing, "ThreadLocalAllocBuffer._start")),
		TLABTop:      uint16(tlab + h.offset(&missing, "ThreadLocalAllocBuffer._top")),
		TLABEnd:      uint16(tlab + h.offset(&missing, "ThreadLocalAllocBuffer._end")),
	}
	v.HeapEnd = v.HeapStart + 8*h.word(reserved+h.offset(&missing, "MemRegion._word_size"))
	if missing || heap == 0 || v.CallStub == 0 || v.HeapStart == 0 || v.HeapEnd <= v.HeapStart || v.OopShift > 8 {
		return nil // or it has just been started
	}
	// Without base and shift they have 32 bits where that is enough.
	v.Wide = v.OopBase == 0 && v.OopShift == 0 && v.HeapEnd > 1<<32
	var ok bool
	if v.ThreadOffset, ok = h.currentThread(o); !ok {
		return nil
	}
	h.findSteps(v)
	return v
}

// currentThread finds where in libjvm's thread local variables a thread has its JavaThread:
// where several have the address of their own.
func (h *hotspot) currentThread(o *object) (offset uint32, ok bool) {
	var missing bool
	list := h.static(&missing, "ThreadsSMRSupport._java_thread_list")
	length := h.word32(list + h.offset(&missing, "ThreadsList._length"))
	threads := h.word(list + h.offset(&missing, "ThreadsList._threads"))
	osThread := h.offset(&missing, "Thread._osthread", "JavaThread._osthread")
	pthread := h.offset(&missing, "OSThread._pthread_id")
	module := h.word(h.base + o.tlsModule)
	if missing || o.tlsSize > 4096 || module == 0 || module > 4096 {
		return 0, false
	}
	votes := map[uint32]int{}
	for i := range min(length, 64) {
		thread := h.word(threads + 8*uint64(i))
		// glibc: the thread pointer is the pthread_t; struct pthread.dtv; an array of two words.
		pointer := h.word(h.word(thread+osThread) + pthread)
		block := h.word(h.word(pointer+8) + 16*module)
		for at := uint64(0); at < o.tlsSize; at += 8 {
			if thread != 0 && h.word(block+at) == thread {
				votes[uint32(at)]++
			}
		}
	}
	for at, n := range votes {
		// A second variable may have the same for some threads.
		if n > votes[offset] || !ok || n == votes[offset] && at < offset {
			offset, ok = at, true
		}
	}
	return offset, ok && votes[offset] > 1
}
