// SPDX-License-Identifier: Apache-2.0

package runtimes

import (
	"bufio"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery/procfs"
)

// layout reads what PythonOffsets locate and compares it with what Python itself
// says. It is told the offsets and the address of the key on a line.
const layout = `
import asyncio, contextvars, ctypes, queue, sys
print('ready', flush=True)
context, task_context, callback, task_of, frames, key = map(int, sys.stdin.readline().split())
word = lambda at: int.from_bytes(ctypes.string_at(at, 8), 'little')
api = ctypes.pythonapi
api.PyThreadState_Get.restype = api.PyThread_tss_get.restype = ctypes.c_void_p
api.PyThread_tss_get.argtypes = [ctypes.c_void_p]
state = api.PyThreadState_Get()
assert api.PyThread_tss_get(key) == state, 'key'
own = contextvars.copy_context()
assert own.run(lambda: word(state + context)) == id(own), 'context'
if frames:
    assert word(word(state + frames) + 8) == 16384, 'frames'

async def waits(future):
    assert word(id(asyncio.current_task()) + task_context) == word(state + context), 'task_context'
    await future

async def main():
    future = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(waits(future))
    await asyncio.sleep(0)
    assert word(word(id(future) + callback) + task_of) == id(task), 'callback'
    future.set_result(None)
    await task

asyncio.run(main())
print('right', flush=True)
sys.stdin.read()
`

// Every Python that is installed and known must be what is expected of it.
func TestPythons(t *testing.T) {
	pythons, _ := filepath.Glob("/usr/bin/python3.?*")
	versions, _ := filepath.Glob(os.Getenv("HOME") + "/.pyenv/versions/3.*/bin/python3.?*")
	tested := 0
	for _, python := range append(pythons, versions...) {
		m := pythonImage.FindStringSubmatch(filepath.Base(python))
		if m == nil {
			continue
		}
		var minor int
		_, _ = fmt.Sscan(m[1], &minor)
		if _, known := pythonReleases[minor]; !known {
			continue
		}
		tested++
		t.Run(python, func(t *testing.T) { testPython(t, python, minor) })
	}
	require.NotZero(t, tested, "testbed/install.sh installs python3")
}

func testPython(t *testing.T, python string, minor int) {
	cmd := exec.Command(python, "-c", layout)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var said strings.Builder
	cmd.Stderr = &said
	require.NoError(t, cmd.Start())
	defer func() { in.Close(); _ = cmd.Wait() }()
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())

	p, err := NewExaminer(procfs.FS{}).Examine(uint32(cmd.Process.Pid))
	require.NoError(t, err)
	require.NotNil(t, p.Python)
	o := p.Python
	assert.Equal(t, pythonReleases[minor], o.PythonOffsets)
	_, err = fmt.Fprintln(in, o.Context, o.TaskContext, o.FutureCallback, o.CallbackTask, o.Frames, o.Key)
	require.NoError(t, err)
	if !lines.Scan() {
		_ = cmd.Wait()
		t.Fatal(said.String())
	}
	assert.Equal(t, "right", lines.Text())

	symbols := map[FunctionName]string{
		TaskInit: "_asyncio_Task___init__", SetResult: "_asyncio_Future_set_result", QueuePut: "_queue_SimpleQueue_put",
	}
	found := map[FunctionName]int{}
	for _, f := range p.Functions {
		found[f.Name]++
		checkFunction(t, f, symbols[f.Name])
	}
	assert.Equal(t, map[FunctionName]int{TaskInit: 1, SetResult: 1, QueuePut: 1}, found)
}

// checkFunction compares a function with the symbol that it should be, where the
// file has symbols.
func checkFunction(t *testing.T, f Function, symbol string) {
	file, err := elf.Open(f.Path)
	require.NoError(t, err)
	defer file.Close()
	symbols, err := file.Symbols()
	if err != nil {
		return // stripped
	}
	for _, s := range symbols {
		if at, ok := fileOffset(file, s.Value); ok && s.Name == symbol && elf.ST_TYPE(s.Info) == elf.STT_FUNC {
			assert.True(t, f.Offset >= at && f.Offset < at+min(s.Size, 48), "%s at %#x, symbol at %#x", f.Name, f.Offset, at)
			return
		}
	}
	t.Errorf("no symbol %s in %s", symbol, f.Path)
}

func TestNode(t *testing.T) {
	node, err := exec.LookPath("node")
	require.NoError(t, err)
	pid, _ := start(t, node, "-e", "console.log('ready'); process.stdin.resume()")
	p, err := NewExaminer(procfs.FS{}).Examine(pid)
	require.NoError(t, err)
	require.Equal(t, Node, p.Kind)
	names := map[FunctionName]int{}
	for _, f := range p.Functions {
		names[f.Name]++
	}
	// Timers, setImmediate, V8's own tasks; and the pool of threads, with five kinds of work.
	want := map[FunctionName]int{NodeDeferred: 3}
	file, err := elf.Open(node)
	require.NoError(t, err)
	defer file.Close()
	if _, err := file.Symbols(); err == nil {
		want = map[FunctionName]int{NodeDeferred: 4, NodeSubmit: 1, NodeDone: 5}
	}
	assert.Equal(t, want, names)
}

// The causality tests' program, and what it is without symbols.
func TestTokio(t *testing.T) {
	const program = "../../../testbed/_build/causality/rust/release/causality"
	if _, err := os.Stat(program); err != nil {
		t.Skip("testbed/causality has not been built")
	}
	file, err := os.Open(program)
	require.NoError(t, err)
	defer file.Close()
	o, err := readObject(file, program)
	require.NoError(t, err)
	assert.Negative(t, o.tokioTask)
	names := map[FunctionName]int{}
	for _, f := range o.functions {
		names[f.Name]++
	}
	assert.Equal(t, map[FunctionName]int{TokioWake: 2, TokioSpawn: 1}, names)

	stripped := filepath.Join(t.TempDir(), "stripped")
	require.NoError(t, exec.Command("strip", "-o", stripped, program).Run())
	file, err = os.Open(stripped)
	require.NoError(t, err)
	defer file.Close()
	o, err = readObject(file, stripped)
	require.NoError(t, err)
	assert.Zero(t, o.tokioTask)
	assert.Empty(t, o.functions)
}

func TestWatchable(t *testing.T) {
	for _, test := range []struct {
		name string
		code []byte
		want int // -1: none
	}{
		{"push", []byte{0x55}, 0},
		{"push of a new register", []byte{0x41, 0x57}, 0},
		{"endbr64; push", []byte{0xf3, 0x0f, 0x1e, 0xfa, 0x55}, 4},
		{"sub; cmp; je", []byte{0x48, 0x83, 0xec, 0x08, 0x48, 0x83, 0x7f, 0x10, 0x00, 0x74, 0x10}, 9},
		{"test; je", []byte{0x48, 0x85, 0xf6, 0x74, 0x32}, 3},
		{"the first argument is overwritten", []byte{0x48, 0x89, 0xf7, 0x55}, -1},
		{"ret", []byte{0xc3}, -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			code := append(test.code, make([]byte, 64)...)
			f := &elf.File{Progs: []*elf.Prog{{
				ProgHeader: elf.ProgHeader{Type: elf.PT_LOAD, Flags: elf.PF_X, Vaddr: 0x1000, Off: 0x200, Filesz: uint64(len(code))},
				ReaderAt:   strings.NewReader(string(code)),
			}}}
			at, ok := watchable(f, 0x1000)
			assert.Equal(t, test.want >= 0, ok)
			if ok {
				assert.Equal(t, uint64(0x200+test.want), at)
			}
		})
	}
}

// Every library that a process has mapped is somebody's, too.
func FuzzObject(f *testing.F) {
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "_asyncio.cpython-311-x86_64-linux-gnu.so")
		require.NoError(t, os.WriteFile(path, b, 0o644))
		file, err := os.Open(path)
		require.NoError(t, err)
		defer file.Close()
		_, _ = readObject(file, path)
	})
}
