// SPDX-License-Identifier: Apache-2.0

package runtimes

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery/procfs"
)

// Every Java that is installed must be what is expected of it, with the collectors whose heap
// is known (ZGC does not say where it is).
func TestHotSpot(t *testing.T) {
	javas, _ := filepath.Glob("/usr/lib/jvm/*/bin/java")
	var tested []string
	for _, java := range javas {
		real, err := filepath.EvalSymlinks(java)
		require.NoError(t, err)
		if slices.Contains(tested, real) {
			continue
		}
		tested = append(tested, real)
		for _, collector := range []string{"Serial", "Parallel", "G1", "Shenandoah"} {
			t.Run(filepath.Base(filepath.Dir(filepath.Dir(real)))+"/"+collector, func(t *testing.T) { testHotSpot(t, real, collector) })
		}
	}
	require.NotEmpty(t, tested, "testbed/install.sh installs java")
}

func testHotSpot(t *testing.T, java, collector string) {
	pid, line := start(t, java, "-Xmx256m", "-XX:+Use"+collector+"GC", "testdata/Hand.java")
	var maker, worker uint32
	var reference, wide uint64
	_, err := fmt.Sscan(line, &maker, &worker, &reference, &wide)
	require.NoError(t, err, line)
	p, err := NewExaminer(procfs.FS{}).Examine(pid)
	require.NoError(t, err)
	require.Equal(t, Java, p.Kind)
	v := p.JVM
	require.NotNil(t, v)
	t.Logf("%+v", *v)

	require.Equal(t, wide == 1, v.Wide)
	object := reference
	if !v.Wide {
		object = v.OopBase + reference<<v.OopShift
	}
	assert.Less(t, object-v.HeapStart, v.HeapEnd-v.HeapStart, "the heap has it")

	threads := javaThreads(t, pid)
	require.Contains(t, threads, maker)
	require.Contains(t, threads, worker)
	m := memoryOf(t, pid)
	in := func(tid uint32) bool {
		thread := threads[tid].address
		start, top, end := m.at(thread, v.TLABStart), m.at(thread, v.TLABTop), m.at(thread, v.TLABEnd)
		t.Logf("thread %d: %#x %#x %#x", tid, start, top, end)
		assert.LessOrEqual(t, start, top)
		assert.LessOrEqual(t, top, end)
		return object-start < top-start
	}
	assert.True(t, in(maker), "its maker's buffer has it")
	assert.False(t, in(worker))
	for tid, thread := range threads {
		module := m.word(v.ThreadModule)
		block := m.word(m.word(thread.pointer+8) + 16*module)
		assert.Equal(t, thread.address, m.word(block+uint64(v.ThreadOffset)), "of thread %d", tid)
	}

	// The first frames of the worker.
	const native, frames = 1024, 256
	words := make([]byte, 8*native)
	pointer := threads[worker].pointer
	_, err = m.file.ReadAt(words, int64(pointer)-int64(len(words)))
	require.NoError(t, err)
	at := -1
	for i := native - 1; i >= 0 && at < 0; i-- {
		if binary.LittleEndian.Uint64(words[8*i:]) == v.CallStub {
			at = i
		}
	}
	require.GreaterOrEqual(t, at, 0, "the first Java method has been called")
	found := 0
	for i := at - 1; i >= max(0, at-frames); i-- {
		w := binary.LittleEndian.Uint64(words[8*i:])
		if w == object || !v.Wide && (w&0xffffffff == reference || w>>32 == reference) {
			t.Logf("the task is %d words below", at-i)
			found++
		}
	}
	t.Logf("the first Java frame is %d words below the thread pointer", native-at)
	assert.NotZero(t, found, "its first frames have the task")

	// The task says who runs it, and who waits.
	class := v.ClassBase + uint64(uint32(m.word(object+8)))<<v.ClassShift
	assert.Equal(t, v.FutureTask, m.word(class+uint64(v.Supers)))
	field := func(object uint64, offset uint16) uint64 {
		if v.Wide {
			return m.word(object + uint64(offset))
		}
		return v.OopBase + uint64(uint32(m.word(object+uint64(offset))))<<v.OopShift
	}
	threadObject := func(tid uint32) uint64 {
		at := m.word(threads[tid].address + uint64(v.ThreadObject))
		if v.ThreadHandle {
			at = m.word(at)
		}
		return at
	}
	assert.Equal(t, threadObject(worker), field(object, v.Runner), "who runs it")
	require.NotZero(t, v.Waiters)
	assert.Eventually(t, func() bool {
		waiter := field(object, v.Waiters)
		return waiter != v.OopBase && field(waiter, v.Waiter) == threadObject(maker)
	}, 5*time.Second, time.Millisecond, "who waits for it")

	lead, end := 0, 0
	for _, s := range v.Steps {
		switch {
		case s.Offset > 1:
			lead++
			assert.Less(t, s.Offset, uint32(256))
			assert.GreaterOrEqual(t, s.Offset, uint32(8))
			assert.NotZero(t, s.Class)
		case s.Offset == 1:
			end++
		}
	}
	assert.Equal(t, len(steps)-2, lead, "all classes with steps are there")
	assert.Equal(t, 1, end)
	assert.NotZero(t, v.Writer)
}

type javaThread struct{ address, pointer uint64 }

// javaThreads by their ids.
func javaThreads(t *testing.T, pid uint32) map[uint32]javaThread {
	e := NewExaminer(procfs.FS{})
	maps, err := os.ReadFile(procfs.FS{}.Path(pid, "maps"))
	require.NoError(t, err)
	mapped, err := readMappings(strings.NewReader(string(maps)), "", false)
	require.NoError(t, err)
	require.Len(t, mapped.modules, 1)
	library := mapped.modules[0]
	o := e.object(pid, library.path)
	require.NotNil(t, o)
	h := hotspot{memory: memoryOf(t, pid).file, base: library.start - o.start, symbols: o.hotspotSymbols}
	require.True(t, h.describe())
	var missing bool
	list := h.static(&missing, "ThreadsSMRSupport._java_thread_list")
	threads := h.word(list + h.offset(&missing, "ThreadsList._threads"))
	all := map[uint32]javaThread{}
	for i := range uint64(h.word32(list + h.offset(&missing, "ThreadsList._length"))) {
		thread := h.word(threads + 8*i)
		os := h.word(thread + h.offset(&missing, "Thread._osthread", "JavaThread._osthread"))
		all[h.word32(os+h.offset(&missing, "OSThread._thread_id"))] = javaThread{thread, h.word(os + h.offset(&missing, "OSThread._pthread_id"))}
	}
	require.False(t, missing)
	return all
}
