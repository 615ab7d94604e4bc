// SPDX-License-Identifier: Apache-2.0

package runtimes

import (
	"debug/elf"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// PythonOffsets say how to find what a thread of CPython is doing: its current
// contextvars.Context, which every asyncio task has one of (bpf/python.h).
// Offsets are in bytes. They depend on the minor version alone where Python is
// built as it is released: 64 bits, with an interpreter lock, without Py_DEBUG.
type PythonOffsets struct {
	// Context is that of PyThreadState.context.
	Context uint16
	// TaskContext is that of TaskObj.task_context, FutureCallback of
	// FutureObj.fut_callback0, CallbackTask that of the task in the callback of one
	// that waits (Modules/_asynciomodule.c).
	TaskContext, FutureCallback, CallbackTask uint16
	// Frames is that of PyThreadState.datastack_chunk; 0 before Python 3.11, which
	// has none.
	Frames uint16
	// key is that of the Py_tss_t that finds a thread's state, in _PyRuntime.
	key uint64
}

// Releases of Python 3 whose layout is known: TestPythonOffsets compares it with
// the debugging information of those that are installed.
var pythonReleases = map[int]PythonOffsets{
	9:  {Context: 240, TaskContext: 168, FutureCallback: 24, CallbackTask: 16, key: 584},
	10: {Context: 240, TaskContext: 176, FutureCallback: 24, CallbackTask: 24, key: 584},
	11: {Context: 224, TaskContext: 152, FutureCallback: 24, CallbackTask: 24, Frames: 296, key: 592},
	12: {Context: 208, TaskContext: 152, FutureCallback: 24, CallbackTask: 24, Frames: 232, key: 1544},
	13: {Context: 208, TaskContext: 136, FutureCallback: 24, CallbackTask: 24, Frames: 232, key: 2160},
}

// Interpreter is what is known of a process with CPython in it.
type Interpreter struct {
	PythonOffsets
	// Key is the address of the Py_tss_t of thread states in the process.
	Key uint64
}

var (
	// pythonImage as in python3.11 and libpython3.11.so.1.0, but not those of
	// other layouts: python3.11d, libpython3.13t.so.1.0.
	pythonImage  = regexp.MustCompile(`^(?:lib)?python3\.([0-9]{1,2})(?:\.so(?:\.1\.0)?)?$`)
	pythonModule = regexp.MustCompile(`^_(?:asyncio|queue)\.cpython-3[0-9]+-[^/]*\.so$`)
	uvloopModule = regexp.MustCompile(`/uvloop/loop\.cpython-3[0-9]+-[^/]*\.so$`)
)

// module is a file mapped into a process.
type module struct {
	path  string
	start uint64 // where its beginning is
}

// python is nil if the layout is not known for certain.
func (e *Examiner) python(pid uint32, modules []module) (*Interpreter, []Function) {
	var p *Interpreter
	var functions []Function
	main := ""
	for _, m := range modules {
		version := pythonImage.FindStringSubmatch(path.Base(m.path))
		if version == nil {
			functions = append(functions, e.functions(pid, m.path)...)
			continue
		}
		minor, _ := strconv.Atoi(version[1])
		o, ok := pythonReleases[minor]
		f := e.object(pid, m.path)
		if !ok || f == nil || f.pyRuntime == 0 {
			continue // python3.11 with all of it in libpython3.11
		}
		p = &Interpreter{PythonOffsets: o, Key: m.start + f.pyRuntime - f.start + o.key}
		main = m.path
	}
	if p == nil {
		return nil, nil
	}
	return p, append(functions, e.functions(pid, main)...) // what is built in
}

// uvloopFunctions need the file's symbols, which its packages have: other
// classes have methods of the same names.
func uvloopFunctions(f *elf.File) (functions []Function) {
	symbols, _ := f.Symbols()
	for i := range symbols {
		name := symbols[i].Name
		if elf.ST_TYPE(symbols[i].Info) != elf.STT_FUNC || !strings.HasPrefix(name, "__pyx_pw_6uvloop_4loop_8UVStream_") {
			continue
		}
		method := strings.TrimLeft(strings.TrimPrefix(name, "__pyx_pw_6uvloop_4loop_8UVStream_"), "0123456789")
		if method != "write" && method != "writelines" {
			continue
		}
		if at, ok := watchable(f, symbols[i].Value); ok {
			functions = append(functions, Function{Name: UVLoopWrite, Offset: at})
		}
	}
	return functions
}

// Of PyMethodDef: that of ml_meth, and its size.
const methodPointer, methodSize = 8, 32

// queueFunctions finds the method in SimpleQueue's table, in which it is not the last.
func queueFunctions(f *elf.File, t *pointers) (functions []Function) {
	next := t.text("put_nowait")
	for _, at := range t.to(t.text("put")) {
		name, ok := t.at(at + methodSize)
		if !ok || !slices.Contains(next, name) {
			continue
		}
		if method, ok := t.at(at + methodPointer); ok {
			if at, ok := watchable(f, method); ok {
				functions = append(functions, Function{Name: QueuePut, Offset: at})
			}
		}
	}
	return functions
}

// asyncioFunctions finds what Python finds them by: the slots of the type
// _asyncio.Task and the table of methods of Future. Their symbols are local, and
// stripped from what distributions install.
func asyncioFunctions(f *elf.File, t *pointers) (functions []Function) {
	add := func(name FunctionName, address uint64) {
		if at, ok := watchable(f, address); ok {
			functions = append(functions, Function{Name: name, Offset: at})
		}
	}
	const (
		pyTpInit  = 60  // Py_tp_init, Include/typeslots.h
		specSlots = 24  // PyType_Spec.slots
		typeName  = 24  // PyTypeObject.tp_name
		typeInit  = 296 // PyTypeObject.tp_init
		maxSlots  = 64
		slotSize  = 16
	)
	for _, at := range t.to(t.text("_asyncio.Task")) {
		if slots, ok := t.at(at + specSlots); ok { // since Python 3.12
			for i := range uint64(maxSlots) {
				slot, ok := word(f, slots+i*slotSize)
				if !ok || slot == 0 || slot > 200 {
					break
				}
				if init, ok := t.at(slots + i*slotSize + 8); ok && slot == pyTpInit {
					add(TaskInit, init)
				}
			}
		}
		if init, ok := t.at(at - typeName + typeInit); ok && len(functions) == 0 {
			add(TaskInit, init)
		}
	}
	if len(functions) != 1 {
		return nil
	}
	// Task has one of its own, which refuses; in Future's table the next but one is
	// add_done_callback.
	second := t.text("add_done_callback")
	for _, at := range t.to(t.text("set_result")) {
		if name, ok := t.at(at + 2*methodSize); !ok || !slices.Contains(second, name) {
			continue
		}
		if method, ok := t.at(at + methodPointer); ok {
			add(SetResult, method)
		}
	}
	return functions
}
