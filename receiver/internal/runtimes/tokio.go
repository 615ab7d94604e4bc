// SPDX-License-Identifier: Apache-2.0

package runtimes

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
)

// Parts of the symbols of functions of tokio, in both ways that rustc mangles
// names (https://doc.rust-lang.org/rustc/symbol-mangling). They are not generic, so
// there is one of each, and wakers are called through a table.
const (
	tokioWakeByRef  = "5tokio7runtime4task5waker11wake_by_ref"
	tokioWakeByVal  = "5tokio7runtime4task5waker11wake_by_val"
	tokioSetCurrent = "5tokio7runtime7context19set_current_task_id"
	// A method of the runtime with several threads.
	tokioSpawn = "34schedule_option_task_without_yield"
)

// tokio looks for what tells about tasks. It needs the symbols, which are there
// unless a program has been stripped.
func (o *object) tokio(f *elf.File, symbols []elf.Symbol) {
	var wakers, functions []Function
	for i := range symbols {
		s := &symbols[i]
		switch {
		case elf.ST_TYPE(s.Info) != elf.STT_FUNC || !strings.Contains(s.Name, "5tokio7runtime"):
		case strings.Contains(s.Name, tokioSpawn):
			if at, ok := watchable(f, s.Value); ok {
				functions = append(functions, Function{Name: TokioSpawn, Offset: at})
			}
		case strings.Contains(s.Name, tokioWakeByRef), strings.Contains(s.Name, tokioWakeByVal):
			if at, ok := watchable(f, s.Value); ok {
				wakers = append(wakers, Function{Name: TokioWake, Offset: at})
			}
		case strings.Contains(s.Name, tokioSetCurrent):
			o.tokioTask = currentTask(f, s.Value)
		}
	}
	if len(wakers) != 2 || o.tokioTask == 0 {
		o.tokioTask = 0
		return
	}
	o.functions = append(append(o.functions, wakers...), functions...)
}

// Machine code of tokio's set_current_task_id, amd64: the thread local context, and
// the exchange of the number in it with the argument.
var (
	// mov %fs:0,%rax; lea disp32(%rax),%rax
	loadContext = []byte{0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, 0x48, 0x8d, 0x80}
	// mov disp8(%rax),%rcx; mov %rbx,disp8(%rax), the same
	loadTask, storeTask = []byte{0x48, 0x8b, 0x48}, []byte{0x48, 0x89, 0x58}
)

// currentTask is the place that the function at an address sets, relative to the
// thread pointer; 0 if it does not look as expected.
func currentTask(f *elf.File, address uint64) int32 {
	code := make([]byte, 160)
	if !read(f, address, code) {
		return 0
	}
	i := bytes.Index(code, loadContext)
	if i < 0 || i+len(loadContext)+4 > len(code) {
		return 0
	}
	code = code[i+len(loadContext):]
	context := int32(binary.LittleEndian.Uint32(code))
	for i := bytes.Index(code, loadTask); i >= 0 && i+8 <= len(code); i++ {
		if bytes.HasPrefix(code[i:], loadTask) && bytes.HasPrefix(code[i+4:], storeTask) && code[i+3] == code[i+7] {
			at := context + int32(int8(code[i+3]))
			if at >= 0 || at%wordSize != 0 {
				return 0
			}
			return at
		}
	}
	return 0
}
