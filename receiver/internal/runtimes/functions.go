// SPDX-License-Identifier: Apache-2.0

package runtimes

import (
	"debug/elf"
	"fmt"
	"os"
	"strings"
)

// Function is a place in a file that processes run, where they tell what they do.
type Function struct {
	Name FunctionName
	// Path as the process sees it.
	Path string
	// Offset in the file of the function's first instruction that the kernel can
	// watch without having to single-step it, and before which the first
	// argument's register does not change.
	Offset uint64
}

// FunctionName is what a Function is.
type FunctionName string

const (
	// TaskInit and SetResult are asyncio's Task.__init__ and Future.set_result, as
	// implemented in C.
	TaskInit  FunctionName = "task_init"
	SetResult FunctionName = "set_result"
	// QueuePut is queue.SimpleQueue.put, as implemented in C.
	QueuePut FunctionName = "queue_put"
	// UVLoopWrite is what writes on uvloop's connections.
	UVLoopWrite FunctionName = "uvloop_write"
	// NodeDeferred is what Node calls when it turns from what it has read to other
	// things: for timers, for what threads of its pool or V8 have done, and, in every
	// turn of its loop, for setImmediate.
	NodeDeferred FunctionName = "node_deferred"
	// NodeSubmit is what gives work, its second argument, to the pool of threads; NodeDone
	// goes on when it, the first argument, is done.
	NodeSubmit FunctionName = "node_submit"
	NodeDone   FunctionName = "node_done"
	// TokioWake is what wakes up a tokio task, its first argument.
	TokioWake FunctionName = "tokio_wake"
	// TokioSpawn is what takes over a new tokio task, its second argument.
	TokioSpawn FunctionName = "tokio_spawn"
	// HAProxyAccept is what is called with each new stream, its first argument, and
	// HAProxyProcess is what works on one, its second argument.
	HAProxyAccept  FunctionName = "haproxy_accept"
	HAProxyProcess FunctionName = "haproxy_process"
)

// object is what an ELF file tells that brings a runtime, or a part of one.
type object struct {
	// start is the address of the file's beginning: 0 if it can be anywhere.
	start uint64
	// pyRuntime is the address of _PyRuntime, 0 if it is not there.
	pyRuntime uint64
	// rubyThread is the address of the tls_index of ruby_current_ec, 0 if it is not there.
	rubyThread uint64
	// hotspotSymbols are the addresses of those, nil if they are not all there; tlsModule is
	// that of the number of its module of thread local variables, tlsSize their size.
	hotspotSymbols     map[string]uint64
	tlsModule, tlsSize uint64
	// tokioTask as in Process.
	tokioTask int32
	functions []Function
}

// functions of a file that a process has mapped.
func (e *Examiner) functions(pid uint32, path string) []Function {
	o := e.object(pid, path)
	if o == nil {
		return nil
	}
	functions := make([]Function, 0, len(o.functions))
	for _, f := range o.functions {
		f.Path = path
		functions = append(functions, f)
	}
	return functions
}

// libuvFunctions are what takes work for the pool of threads, what is called when
// something is done, and then for each kind of work. The argument of the first (its
// second) and the last is the work's struct uv__work (libuv since 1.0).
var libuvFunctions = map[string]FunctionName{
	"uv__work_submit": NodeSubmit, "uv__work_done": NodeDeferred,
	"uv__queue_done": NodeDone, "uv__fs_done": NodeDone, "uv__random_done": NodeDone,
	"uv__getaddrinfo_done": NodeDone, "uv__getnameinfo_done": NodeDone,
}

// libuv looks for what Node calls for what threads of its pool do (files, names,
// compression). Only programs that have not been stripped tell where it is.
func (o *object) libuv(f *elf.File, local []elf.Symbol) {
	if len(o.functions) == 0 || o.functions[0].Name != NodeDeferred {
		return
	}
	var done []Function
	for i := range local {
		name, ok := libuvFunctions[local[i].Name]
		if !ok {
			continue
		}
		if at, ok := watchable(f, local[i].Value); ok {
			done = append(done, Function{Name: name, Offset: at})
		}
	}
	if len(done) == len(libuvFunctions) {
		o.functions = append(o.functions, done...)
	}
}

// object is what a file tells, from memory if it was seen before; nil if it
// cannot be read.
func (e *Examiner) object(pid uint32, path string) *object {
	f, err := os.Open(e.fs.Path(pid, "root") + path)
	if err != nil {
		return nil
	}
	defer f.Close()
	i, err := e.remember(f, e.modules, maxModules, func(f *os.File) (any, error) { return readObject(f, path) })
	if err != nil {
		return nil
	}
	return i.(*object)
}

func readObject(file *os.File, path string) (o *object, err error) {
	// As in readExecutable.
	defer func() {
		if panicked := recover(); panicked != nil {
			o, err = nil, fmt.Errorf("malformed: %v", panicked)
		}
	}()
	f, err := elf.NewFile(file)
	if err != nil {
		return nil, err
	}
	if f.Class != elf.ELFCLASS64 || f.Machine != elf.EM_X86_64 {
		return nil, fmt.Errorf("machine %v", f.Machine)
	}
	o = &object{}
	for _, s := range f.Progs {
		if s.Type == elf.PT_LOAD {
			o.start = s.Vaddr - s.Off
			break
		}
	}
	symbols, _ := f.DynamicSymbols()
	turns := false
	for i := range symbols {
		if symbols[i].Section == elf.SHN_UNDEF {
			continue
		}
		switch symbols[i].Name {
		case "_PyRuntime":
			o.pyRuntime = symbols[i].Value
		case "_ZN4node11Environment9RunTimersEP10uv_timer_s", "_ZN4node11Environment14CheckImmediateEP10uv_check_s",
			"_ZN4node22PerIsolatePlatformData28FlushForegroundTasksInternalEv":
			if at, ok := watchable(f, symbols[i].Value); ok {
				o.functions = append(o.functions, Function{Name: NodeDeferred, Offset: at})
				turns = turns || strings.Contains(symbols[i].Name, "CheckImmediate")
			}
		}
	}
	if !turns {
		// Without what is called in every turn, the others would say too little.
		o.functions = nil
	}
	o.haproxy(f, symbols)
	o.ruby(f, symbols)
	o.hotspot(f, symbols)
	local, _ := f.Symbols()
	o.tokio(f, local)
	o.libuv(f, local)
	if uvloopModule.MatchString(path) {
		o.functions = append(o.functions, uvloopFunctions(f)...)
	} else if o.pyRuntime != 0 || isPythonModule([]byte(path)) {
		t := newPointers(f)
		o.functions = append(append(o.functions, asyncioFunctions(f, t)...), queueFunctions(f, t)...)
	}
	return o, nil
}
