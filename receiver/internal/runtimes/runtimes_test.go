// SPDX-License-Identifier: Apache-2.0

package runtimes

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery/procfs"
)

func TestNames(t *testing.T) {
	for base, want := range map[string]Process{
		"node":           {Kind: Node},
		"node-22":        {Kind: Node, Version: "22"},
		"deno":           {Kind: Node},
		"python":         {Kind: Python},
		"python3":        {Kind: Python, Version: "3"},
		"python3.11":     {Kind: Python, Version: "3.11"},
		"python3.13t":    {Kind: Python, Version: "3.13"},
		"python3.12-dbg": {Kind: Python, Version: "3.12"},
		"python-dbg":     {Kind: Python},
		"pypy3.9":        {Kind: Python, Version: "3.9"},
		"java":           {Kind: Java},
		"ruby3.1":        {Kind: Ruby, Version: "3.1"},
		"php8.2":         {Kind: PHP, Version: "8.2"},
		"php-fpm8.2":     {Kind: PHP, Version: "8.2"},
		"php-fpm":        {Kind: PHP},
		"perl5.36.0":     {Kind: Perl, Version: "5.36.0"},
		"beam.smp":       {Kind: Erlang},
		"dotnet":         {Kind: DotNet},
		"nginx":          {Kind: Nginx},
		"haproxy":        {Kind: HAProxy},
		"envoy":          {Kind: Envoy},
		"apache2":        {Kind: Apache},
		"httpd":          {Kind: Apache},
		"nodemon":        {},
		"pythonista":     {},
		"javac":          {},
		"python3-config": {},
		"3":              {},
		"":               {},
	} {
		kind, version := kindOfExecutable(base)
		assert.Equal(t, want, Process{Kind: kind, Version: version}, base)
	}
	for base, want := range map[string]Process{
		"libpython3.11.so.1.0":                     {Kind: Python, Version: "3.11"},
		"libpython3.7m.so.1.0":                     {Kind: Python, Version: "3.7"},
		"libpython3.so":                            {Kind: Python, Version: "3"},
		"libpypy3.9-c.so":                          {Kind: Python, Version: "3.9"},
		"libjvm.so":                                {Kind: Java},
		"libnode.so.115":                           {Kind: Node},
		"libruby-3.1.so.3.1":                       {Kind: Ruby, Version: "3.1"},
		"libruby.so.3.4":                           {Kind: Ruby},
		"libphp8.2.so":                             {Kind: PHP, Version: "8.2"},
		"libphp.so":                                {Kind: PHP},
		"libcoreclr.so":                            {Kind: DotNet},
		"libcoreclrtraceptprovider.so":             {},
		"libpython3.11.so.debug":                   {Kind: Python, Version: "3.11"},
		"libpythonic.so":                           {},
		"libnodeenv.so":                            {},
		"libc.so.6":                                {},
		"math.cpython-311-x86_64-linux-gnu.so":     {},
		"libboost_python311.so.1.74.0":             {},
		"libjvmcicompiler.so":                      {},
		"libphpcpp.so.2.2":                         {},
		"libruby_not.so":                           {},
		"mylibpython3.11.so":                       {},
		"libpython3.11.sock":                       {},
		"libpython3.11_d.so":                       {},
		"python311.so":                             {},
		"libnode-addon-api-7.1.so.but.not.runtime": {},
	} {
		kind, version := kindOfLibrary(base)
		assert.Equal(t, want, Process{Kind: kind, Version: version}, base)
	}
}

func TestKindString(t *testing.T) {
	seen := map[string]bool{}
	for kind := Unknown; kind <= Apache; kind++ {
		assert.NotEmpty(t, kind.String())
		assert.False(t, seen[kind.String()], kind.String())
		seen[kind.String()] = true
	}
	assert.Equal(t, "unknown", (Apache + 1).String())
}

func TestMappings(t *testing.T) {
	const host = `5650a0000000-5650a0001000 r--p 00000000 fe:00 10                 /usr/bin/uwsgi
5650a0001000-5650a0002000 rw-p 00001000 fe:00 10                 /usr/bin/uwsgi
5650a0002000-5650a0003000 rw-p 00000000 00:00 0
5650a1000000-5650a1100000 rw-p 00000000 00:00 0                  [heap]
7f0000000000-7f0000100000 r--p 00000000 fe:00 11                 /usr/lib/libpython3.11.so.1.0
7f0000100000-7f0000110000 r--p 00100000 fe:00 11                 /usr/lib/libpython3.11.so.1.0
7f0000110000-7f0000120000 rw-p 00110000 fe:00 11                 /usr/lib/libpython3.11.so.1.0
7f0000120000-7f0000140000 rw-p 00000000 00:00 0
7f0000200000-7f0000210000 rw-p 00000000 00:00 0
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                  [stack]
`
	lib := Range{0x7f0000110000, 0x7f0000140000}
	m, err := readMappings(strings.NewReader(host), "/usr/bin/uwsgi", false)
	require.NoError(t, err)
	assert.Equal(t, mappings{Python, "3.11", []Range{lib}, []module{{"/usr/lib/libpython3.11.so.1.0", 0x7f0000000000}}}, m)

	m, err = readMappings(strings.NewReader(host), "/usr/bin/uwsgi", true)
	require.NoError(t, err)
	assert.Equal(t, []Range{lib, {0x5650a0001000, 0x5650a0003000}}, m.static, "both, if the host is a Python")

	// Pieces of a mapping are one range, a deleted file is still mapped, and
	// of more than two ranges the largest are kept.
	const odd = "1000-2000 rw-p 00000000 fe:00 10   /opt/my python\\012 (deleted)\n" +
		"2000-3000 rw-p 00001000 fe:00 10   /opt/my python\\012 (deleted)\n" +
		"3000-4000 r--p 00000000 00:00 0\n" +
		"4000-5000 rw-p 00000000 00:00 0\n" +
		"6000-7000 rw-p 00000000 fe:00 11   /opt/libpython3.so\n" +
		"9000-c000 rw-p 00000000 fe:00 11   /opt/libpython3.12.so.1.0 (deleted)\n" +
		"not a line\n" +
		"c000-d000 rw-p 00000000 00:00 0" // cut
	m, err = readMappings(strings.NewReader(odd), "/opt/my python\n", true)
	require.NoError(t, err)
	assert.Equal(t, []Range{{0x9000, 0xd000}, {0x1000, 0x3000}}, m.static)
	assert.Equal(t, Python, m.kind)

	m, err = readMappings(strings.NewReader("1000-2000 r-xp 00000000 fe:00 10   /jvm/lib/server/libjvm.so\n"), "/opt/launcher", false)
	require.NoError(t, err)
	assert.Equal(t, mappings{kind: Java, modules: []module{{"/jvm/lib/server/libjvm.so", 0x1000}}}, m)

	_, err = readMappings(strings.NewReader(strings.Repeat("x", 100<<10)), "", false)
	assert.Error(t, err)
	m, err = readMappings(strings.NewReader(""), "", false)
	require.NoError(t, err)
	assert.Zero(t, m)
}

func FuzzMappings(f *testing.F) {
	f.Add("7f0000110000-7f0000120000 rw-p 00110000 fe:00 11                 /usr/lib/libpython3.11.so.1.0\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, _ := readMappings(strings.NewReader(text), "/usr/bin/python3", true)
		assert.LessOrEqual(t, len(m.static), maxStatic)
		for _, r := range m.static {
			assert.LessOrEqual(t, r.Start, r.End)
		}
	})
}

// Everything that runs is somebody's, and may be made to do harm.
func FuzzExecutable(f *testing.F) {
	text := append(append(append([]byte{}, loadG...), 0xf0, 0xff, 0xff, 0xff), "/rustc/rustc version 1.0 "...)
	for _, machine := range []elf.Machine{elf.EM_X86_64, elf.EM_AARCH64} {
		var b bytes.Buffer
		header := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 2}
		copy(header.Ident[:], "\x7fELF\x02\x01\x01")
		size := uint64(64 + 2*56 + len(text))
		binary.Write(&b, binary.LittleEndian, header)
		binary.Write(&b, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: 7, Vaddr: 1 << 12, Filesz: size, Memsz: size, Align: 8})
		binary.Write(&b, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_TLS), Memsz: 16, Align: 8})
		b.Write(text)
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := readExecutable(bytes.NewReader(b))
		if err != nil {
			assert.Zero(t, p)
		}
		if program, err := elf.NewFile(bytes.NewReader(b)); err == nil {
			assert.LessOrEqual(t, tlsOfG(program), int32(0))
		}
	})
}

const waitPython = "print('ready', flush=True); import sys; sys.stdin.read()"

func TestRealPrograms(t *testing.T) {
	// The interpreter itself, not a version manager's shell script.
	const python = "/usr/bin/python3"
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/Wait.java", []byte(
		`public class Wait { public static void main(String[] a) throws Exception { System.out.println("ready"); System.in.read(); } }`), 0o644))
	require.NoError(t, os.WriteFile(dir+"/wait.rs", []byte(
		`fn main() { println!("ready"); std::io::stdin().read_line(&mut String::new()).unwrap(); }`), 0o644))
	for _, strip := range []string{"none", "symbols"} {
		out, err := exec.Command("rustc", "-C", "strip="+strip, "-o", dir+"/rust-"+strip, dir+"/wait.rs").CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	examiner := NewExaminer(procfs.FS{})
	for _, test := range []struct {
		want Kind
		run  []string
	}{
		{Node, []string{"node", "-e", "console.log('ready'); process.stdin.resume()"}},
		{Python, []string{python, "-c", waitPython}},
		{Java, []string{"java", "-XX:TieredStopAtLevel=1", dir + "/Wait.java"}},
		{Native, []string{"bash", "-c", "echo ready; read x"}},
		{Rust, []string{dir + "/rust-none"}},
		{Rust, []string{dir + "/rust-symbols"}},
	} {
		t.Run(filepath.Base(test.run[0]), func(t *testing.T) {
			pid, line := start(t, test.run[0], test.run[1:]...)
			assert.Equal(t, "ready", line)
			p, err := examiner.Examine(pid)
			require.NoError(t, err)
			assert.Equal(t, test.want, p.Kind, p.Kind.String())
			assert.Nil(t, p.Go)
			assert.Equal(t, test.want == Python, len(p.StaticData) > 0)
			if test.want == Rust {
				assert.Regexp(t, `^1\.\d+\.\d+`, p.Version)
			}
			if test.want == Python {
				assert.Regexp(t, `^3\.\d+`, p.Version)
			}
		})
	}
	// Servers, as they are when they only print their version: what is asked
	// here is what their executables are taken for.
	for name, want := range map[string]Kind{"nginx": Nginx, "haproxy": HAProxy} {
		exe, err := exec.LookPath(name)
		if err != nil {
			exe = "/usr/sbin/" + name
		}
		require.FileExists(t, exe)
		p, err := fake(t, exe, "").Examine(1)
		require.NoError(t, err)
		assert.Equal(t, want, p.Kind)
	}
}

// The GIL of a Python is in its static data, what its locks are is not.
func TestRealPythonStaticData(t *testing.T) {
	// _PyRuntime is where CPython has the GIL of the main interpreter. Bytes
	// objects are allocated.
	pid, line := start(t, "/usr/bin/python3", "-c", `
import ctypes, sys
print(ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime")), id(bytes(100)), flush=True)
sys.stdin.read()`)
	var static, allocated uint64
	_, err := fmt.Sscan(line, &static, &allocated)
	require.NoError(t, err)
	p, err := NewExaminer(procfs.FS{}).Examine(pid)
	require.NoError(t, err)
	in := func(address uint64) bool {
		for _, r := range p.StaticData {
			if r.Start <= address && address < r.End {
				return true
			}
		}
		return false
	}
	assert.True(t, in(static), "%#x in %#x", static, p.StaticData)
	assert.False(t, in(allocated), "%#x in %#x", allocated, p.StaticData)
}

// fake is an Examiner that sees one process, 1, of an executable.
func fake(t testing.TB, exe, maps string) *Examiner {
	root := t.TempDir()
	require.NoError(t, os.Mkdir(root+"/1", 0o755))
	require.NoError(t, os.Symlink(exe, root+"/1/exe"))
	require.NoError(t, os.WriteFile(root+"/1/maps", []byte(maps), 0o644))
	return NewExaminer(procfs.FS{Root: root})
}

func TestEmbeddingHosts(t *testing.T) {
	exe := t.TempDir() + "/host"
	copyFile(t, "/bin/true", exe)
	for maps, want := range map[string]Process{
		"": {Kind: Native},
		"1000-2000 r-xp 0 fe:00 1 /lib/libjvm.so\n":                                                       {Kind: Java},
		"1000-2000 rw-p 0 fe:00 1 /lib/libpython3.9.so.1.0\n":                                             {Kind: Python, Version: "3.9", StaticData: []Range{{0x1000, 0x2000}}},
		"1000-2000 r-xp 0 fe:00 1 /lib/libnode.so.108\n2000-3000 rw-p 0 fe:00 1 /lib/libpython3.9.so.1\n": {Kind: Node, StaticData: []Range{{0x2000, 0x3000}}},
	} {
		p, err := fake(t, exe, maps).Examine(1)
		require.NoError(t, err)
		assert.Equal(t, want, p, maps)
	}
	// A server that is known stays what it is, but its Python has a lock.
	copyFile(t, "/bin/true", filepath.Dir(exe)+"/apache2")
	p, err := fake(t, filepath.Dir(exe)+"/apache2", "1000-2000 rw-p 0 fe:00 1 /lib/libpython3.9.so.1.0\n").Examine(1)
	require.NoError(t, err)
	assert.Equal(t, Process{Kind: Apache, StaticData: []Range{{0x1000, 0x2000}}}, p)
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, b, 0o755))
}

func TestErrors(t *testing.T) {
	_, err := NewExaminer(procfs.FS{}).Examine(1 << 30)
	require.ErrorIs(t, err, os.ErrNotExist)

	exe := t.TempDir() + "/program"
	require.NoError(t, os.WriteFile(exe, []byte("#!/bin/sh\n"), 0o755))
	e := fake(t, exe, "")
	p, err := e.Examine(1)
	assert.Error(t, err)
	assert.Zero(t, p)
	assert.Empty(t, e.images, "it may be read the next time")

	copyFile(t, "/bin/true", exe)
	p, err = e.Examine(1)
	require.NoError(t, err)
	assert.Equal(t, Native, p.Kind)

	// Without a memory map it is not known whether it is something else.
	require.NoError(t, os.Remove(e.fs.Path(1, "maps")))
	_, err = e.Examine(1)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// Each file is parsed once, by whichever of its processes comes first, also
// if its name is somebody else's now.
func TestImagesAreRemembered(t *testing.T) {
	program := build(t, "local", "CGO_ENABLED=0")
	e := NewExaminer(procfs.FS{})
	first, _ := start(t, program)
	second, _ := start(t, program)
	require.NoError(t, os.Rename(program, program+".old"))
	copyFile(t, "/bin/cat", program) // an upgrade
	require.NoError(t, os.Remove(program+".old"))

	var wg sync.WaitGroup
	found := make([]Process, 16)
	for i := range found {
		wg.Go(func() {
			found[i], _ = e.Examine([]uint32{first, second}[i%2])
		})
	}
	wg.Wait()
	for _, p := range found {
		assert.Equal(t, Go, p.Kind)
		require.NotNil(t, p.Go)
		assert.Same(t, found[0].Go, p.Go)
	}
	assert.Len(t, e.images, 1)

	// What is there now is another file.
	p, err := fake(t, program, "").Examine(1)
	require.NoError(t, err)
	assert.Equal(t, Native, p.Kind)
}

func TestImagesAreBounded(t *testing.T) {
	exe := t.TempDir() + "/program"
	copyFile(t, "/bin/true", exe)
	e := fake(t, exe, "")
	for i := range maxImages {
		e.images[fileID{inode: uint64(i)}] = &image{}
	}
	for i := range 2 {
		modified := time.Unix(int64(i), 0) // an executable that was written to
		require.NoError(t, os.Chtimes(exe, modified, modified))
		_, err := e.Examine(1)
		require.NoError(t, err)
		assert.Len(t, e.images, i+1)
	}
}

func TestSearchOverlaps(t *testing.T) {
	const piece = 1 << 20
	for at := piece - 8; at <= piece+8; at++ {
		text := strings.Repeat("x", at) + "needle" + strings.Repeat("x", 100)
		assert.True(t, search(strings.NewReader(text), 2*piece, 8, func(b []byte) bool {
			return strings.Contains(string(b), "needle")
		}), at)
	}
	count := 0
	search(strings.NewReader(strings.Repeat("x", 5*piece)), 2*piece, 8, func(b []byte) bool {
		count += len(b)
		return false
	})
	assert.LessOrEqual(t, count, 2*piece+4*8, "limit")
}

func BenchmarkExamine(b *testing.B) {
	for name, exe := range map[string]string{"go": "/proc/self/exe", "native": "/bin/true"} {
		b.Run(name, func(b *testing.B) {
			if name == "go" {
				var err error
				exe, err = os.Executable()
				require.NoError(b, err)
			}
			e := fake(b, exe, "1000-2000 rw-p 0 fe:00 1 /lib/libc.so.6\n")
			for b.Loop() {
				if _, err := e.Examine(1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
