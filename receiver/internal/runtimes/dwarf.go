// SPDX-License-Identifier: Apache-2.0

package runtimes

import (
	"debug/dwarf"
	"debug/elf"
	"encoding/binary"
	"strings"
)

// maxDWARF bounds the debugging information that is read, in bytes before
// compression; all of it is in memory for a moment.
const maxDWARF = 256 << 20

// dwarfOffsets reads the layout from a program's debugging information. ok is
// false if there is none, or something is missing in it. TLSG and WriteErrCh
// are not in it.
func dwarfOffsets(f *elf.File) (o GoOffsets, ok bool) {
	var size uint64
	for _, s := range f.Sections {
		if strings.HasPrefix(s.Name, ".debug_") || strings.HasPrefix(s.Name, ".zdebug_") {
			size += s.Size
		}
	}
	if size == 0 || size > maxDWARF {
		return GoOffsets{}, false
	}
	data, err := f.DWARF()
	if err != nil {
		return GoOffsets{}, false
	}
	structs := map[string]dwarf.Offset{"runtime.g": 0, "runtime.m": 0, "runtime.hchan": 0, "runtime.sudog": 0}
	r := data.Reader()
	if !findStructs(r, structs) {
		return GoOffsets{}, false
	}
	for _, field := range []struct {
		name, path string
		to         *uint16
	}{
		{"runtime.g", "stack.hi", &o.StackHi},
		{"runtime.g", "m", &o.M},
		{"runtime.g", "param", &o.Param},
		{"runtime.g", "atomicstatus", &o.AtomicStatus},
		{"runtime.g", "goid", &o.GoID},
		{"runtime.g", "startpc", &o.StartPC},
		{"runtime.g", "waiting", &o.Waiting},
		{"runtime.m", "g0", &o.MG0},
		{"runtime.m", "procid", &o.MProcID},
		{"runtime.m", "curg", &o.MCurG},
		{"runtime.hchan", "qcount", &o.ChanQCount},
		{"runtime.hchan", "dataqsiz", &o.ChanDataQSize},
		{"runtime.hchan", "buf", &o.ChanBuf},
		{"runtime.hchan", "elemsize", &o.ChanElemSize},
		{"runtime.hchan", "closed", &o.ChanClosed},
		{"runtime.hchan", "sendx", &o.ChanSendX},
		{"runtime.hchan", "recvx", &o.ChanRecvX},
		{"runtime.hchan", "recvq.first", &o.ChanRecvQ},
		{"runtime.hchan", "sendq.first", &o.ChanSendQ},
		{"runtime.sudog", "g", &o.SudogG},
		{"runtime.sudog", "next", &o.SudogNext},
		{"runtime.sudog", "elem", &o.SudogElem},
		{"runtime.sudog", "isSelect", &o.SudogIsSelect},
		{"runtime.sudog", "c", &o.SudogC},
	} {
		offset, ok := fieldOffset(r, structs[field.name], field.path)
		if !ok {
			return GoOffsets{}, false
		}
		*field.to = offset
	}
	o.ParentGoID, _ = fieldOffset(r, structs["runtime.g"], "parentGoid") // 0 before Go 1.21
	return o, true
}

// The types are walked by hand, because data.Type follows them by recursion:
// a malicious program could make it use up the stack, which ends the Collector.

// findStructs fills in where the types that have the map's names are, and
// reports whether it has found all.
func findStructs(r *dwarf.Reader, structs map[string]dwarf.Offset) bool {
	for missing := len(structs); missing > 0; {
		entry, err := r.Next()
		if err != nil || entry == nil {
			return false
		}
		if entry.Tag == dwarf.TagCompileUnit {
			continue // Go's types are its children
		}
		r.SkipChildren()
		if entry.Tag != dwarf.TagStructType {
			continue
		}
		name, _ := entry.Val(dwarf.AttrName).(string)
		if offset, wanted := structs[name]; wanted && offset == 0 {
			structs[name] = entry.Offset
			missing--
		}
	}
	return true
}

// fieldOffset is the offset of a field, or a field's field, from the beginning
// of the struct that is described at an offset of the debugging information. Of
// what the runtime wraps in a struct it is the offset of the value:
// runtime.maybeTraceablePtr.vu ("Source of truth"; vp is for the garbage
// collector, and may be nil), runtime/internal/atomic.Uint32.value.
func fieldOffset(r *dwarf.Reader, of dwarf.Offset, path string) (offset uint16, ok bool) {
	name, rest, nested := strings.Cut(path, ".")
	offset, fieldType, ok := member(r, of, name)
	if !ok {
		return 0, false
	}
	inner, isStruct := underlyingStruct(r, fieldType)
	var within uint16
	switch {
	case nested && isStruct:
		within, ok = fieldOffset(r, inner, rest)
	case nested:
		return 0, false
	case isStruct:
		for _, value := range []string{"vu", "maybeTraceablePtr.vu", "value"} {
			if within, ok = fieldOffset(r, inner, value); ok {
				break
			}
		}
	}
	return offset + within, ok
}

// member is a field of a struct: its offset from the struct's beginning and
// the entry of its type.
func member(r *dwarf.Reader, of dwarf.Offset, name string) (offset uint16, fieldType dwarf.Offset, ok bool) {
	r.Seek(of)
	if entry, err := r.Next(); err != nil || entry == nil || !entry.Children {
		return 0, 0, false
	}
	for {
		entry, err := r.Next()
		if err != nil || entry == nil || entry.Tag == 0 { // the end of the fields
			return 0, 0, false
		}
		r.SkipChildren()
		if entry.Tag != dwarf.TagMember || entry.Val(dwarf.AttrName) != name {
			continue
		}
		location, isConstant := entry.Val(dwarf.AttrDataMemberLoc).(int64)
		if !isConstant {
			location, ok = plusConstant(entry.Val(dwarf.AttrDataMemberLoc))
			if !ok {
				return 0, 0, false
			}
		}
		fieldType, ok = entry.Val(dwarf.AttrType).(dwarf.Offset)
		return uint16(location), fieldType, ok && location >= 0 && location < 1<<14
	}
}

// plusConstant is N of the location expression DW_OP_plus_uconst N.
func plusConstant(expression any) (n int64, ok bool) {
	const plusUconst = 0x23
	b, _ := expression.([]byte)
	if len(b) < 2 || b[0] != plusUconst {
		return 0, false
	}
	u, read := binary.Uvarint(b[1:]) // LEB128
	return int64(u), read == len(b)-1 && u < 1<<14
}

// underlyingStruct follows the names of a type to the struct that it is.
func underlyingStruct(r *dwarf.Reader, of dwarf.Offset) (dwarf.Offset, bool) {
	for range 8 {
		r.Seek(of)
		entry, err := r.Next()
		if err != nil || entry == nil {
			return 0, false
		}
		switch entry.Tag {
		case dwarf.TagStructType:
			return entry.Offset, true
		case dwarf.TagTypedef:
			of, _ = entry.Val(dwarf.AttrType).(dwarf.Offset)
		default:
			return 0, false
		}
	}
	return 0, false
}
