// SPDX-License-Identifier: Apache-2.0

package runtimes

import (
	"debug/dwarf"
	"debug/elf"
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
	structs := map[string]*dwarf.StructType{"runtime.g": nil, "runtime.m": nil, "runtime.hchan": nil, "runtime.sudog": nil}
	if !findStructs(data, structs) {
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
		offset, ok := fieldOffset(structs[field.name], field.path)
		if !ok {
			return GoOffsets{}, false
		}
		*field.to = offset
	}
	o.ParentGoID, _ = fieldOffset(structs["runtime.g"], "parentGoid") // 0 before Go 1.21
	return o, true
}

// findStructs fills in the types that have the map's names, and reports
// whether it has found all.
func findStructs(data *dwarf.Data, structs map[string]*dwarf.StructType) bool {
	missing := len(structs)
	r := data.Reader()
	for missing > 0 {
		entry, err := r.Next()
		if err != nil || entry == nil {
			return false
		}
		if entry.Tag == dwarf.TagCompileUnit {
			continue
		}
		r.SkipChildren()
		if entry.Tag != dwarf.TagStructType {
			continue
		}
		name, _ := entry.Val(dwarf.AttrName).(string)
		if known, wanted := structs[name]; !wanted || known != nil {
			continue
		}
		t, err := data.Type(entry.Offset)
		if err != nil {
			return false
		}
		structs[name], _ = t.(*dwarf.StructType)
		missing--
	}
	return true
}

// fieldOffset is the offset of a field, or a field's field, from the struct's
// beginning. Of what the runtime wraps in a struct it is the offset of the
// value: runtime.maybeTraceablePtr.vu ("Source of truth"; vp is for the garbage
// collector, and may be nil), runtime/internal/atomic.Uint32.value.
func fieldOffset(s *dwarf.StructType, path string) (offset uint16, ok bool) {
	if s == nil {
		return 0, false
	}
	name, rest, nested := strings.Cut(path, ".")
	for _, field := range s.Field {
		if field.Name != name || field.ByteOffset < 0 || field.ByteOffset >= 1<<15 {
			continue
		}
		inner, isStruct := underlying(field.Type).(*dwarf.StructType)
		switch {
		case nested:
			offset, ok = fieldOffset(inner, rest)
		case !isStruct:
			ok = true
		default:
			for _, within := range []string{"vu", "maybeTraceablePtr", "value"} {
				if offset, ok = fieldOffset(inner, within); ok {
					break
				}
			}
		}
		return offset + uint16(field.ByteOffset), ok
	}
	return 0, false
}

func underlying(t dwarf.Type) dwarf.Type {
	for {
		named, ok := t.(*dwarf.TypedefType)
		if !ok {
			return t
		}
		t = named.Type
	}
}
