// SPDX-License-Identifier: Apache-2.0

package runtimes

import (
	"bufio"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery/procfs"
)

// toolchains are what layouts are verified with if RUNTIMES_TOOLCHAINS=1: of
// each minor version the first release and a late one. The go command
// downloads them (some 70 MB each).
var toolchains = []string{
	"go1.18", "go1.18.10", "go1.19", "go1.19.13", "go1.20", "go1.20.14", "go1.21.0", "go1.21.13", "go1.22.0", "go1.22.12",
	"go1.23.0", "go1.23.12", "go1.24.0", "go1.24.13", "go1.25.0", "go1.25.7", "go1.26.0", "go1.26.8", "go1.27.0", "go1.27.2",
}

// eachToolchain runs a test with the toolchain that runs the tests ("local"),
// and with the others if asked to.
func eachToolchain(t *testing.T, test func(t *testing.T, toolchain string)) {
	all := []string{"local"}
	if os.Getenv("RUNTIMES_TOOLCHAINS") == "1" {
		all = append(all, toolchains...)
	}
	for _, toolchain := range all {
		t.Run(toolchain, func(t *testing.T) { test(t, toolchain) })
	}
}

// build builds testdata/goroutine and returns the executable. An option is one
// of go build or a NAME=value of its environment.
func build(t *testing.T, toolchain string, options ...string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/goroutine")))
	// Not in testdata: Go takes a directory with a go.mod for another module.
	require.NoError(t, os.WriteFile(dir+"/go.mod", []byte("module goroutine\n\ngo 1.18\n"), 0o644))
	args := []string{"build", "-buildvcs=false", "-o", dir + "/program"}
	env := []string{"GOTOOLCHAIN=" + toolchain, "GO111MODULE=on", "GOWORK=off", "GOFLAGS=-mod=mod", "GOEXPERIMENT="}
	for _, option := range options {
		if strings.HasPrefix(option, "-") {
			args = append(args, option)
		} else {
			env = append(env, option)
		}
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "GOROOT=") { // the test's is not the toolchain's
			cmd.Env = append(cmd.Env, variable)
		}
	}
	// Go 1.19 cannot index a toolchain that is in the module cache, nor can 1.20.
	cmd.Env = append(append(cmd.Env, "GODEBUG=goindex=0"), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return dir + "/program"
}

// start runs a program that prints a line when it is ready and ends when its
// input does. It returns that line.
func start(t testing.TB, name string, args ...string) (pid uint32, line string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		stdin.Close()
		io.Copy(io.Discard, stdout)
		cmd.Wait()
	})
	line, err = bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	return uint32(cmd.Process.Pid), strings.TrimSpace(line)
}

func open(t *testing.T, path string) *elf.File {
	t.Helper()
	f, err := elf.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// The table is what debugging information says, on both architectures.
func TestReleases(t *testing.T) {
	eachToolchain(t, func(t *testing.T, toolchain string) {
		for _, arch := range []string{"amd64", "arm64"} {
			f := open(t, build(t, toolchain, "GOARCH="+arch, "CGO_ENABLED=0"))
			version := toolchain
			if toolchain == "local" {
				version = runtime.Version()
			}
			minor := goMinor(version)
			require.NotZero(t, minor, version)
			want, ok := releaseOffsets(minor)
			require.True(t, ok, "a newer Go: verify its layout, and that of %s.0", version)
			want.WriteErrCh = 0
			got, ok := dwarfOffsets(f)
			require.True(t, ok)
			assert.Equal(t, want, got, arch)
		}
	})
}

func TestGoMinor(t *testing.T) {
	for version, want := range map[string]int{
		"go1.22.3":                        22,
		"go1.21.0 X:nocoverageredesign":   21,
		"go1.20":                          20,
		"go1.18 X:unified":                18,
		"go1.26rc1":                       26,
		"go1.26.8-custom":                 26,
		"go1.22.4 (Red Hat 1.22.4-1.el9)": 22,
		"go1.100.0":                       100,
		"devel go1.27-abcdef":             0,
		"go1.27-devel_abcdef":             0,
		"go1.27.1-devel_abcdef":           0,
		"go1.26beta1":                     0,
		"go1.26-20250101-RC00 cl/1":       0,
		"go2.22.3":                        0,
		"unknown":                         0,
		"":                                0,
		"go1.9999999999999999999999.1":    0,
	} {
		assert.Equal(t, want, goMinor(version), version)
	}
	for _, minor := range []int{0, 17, newestRelease + 1} {
		_, ok := releaseOffsets(minor)
		assert.False(t, ok, "1.%d", minor)
	}
}

// A version that is not in the table has a layout only if the program says so.
func TestOtherVersions(t *testing.T) {
	program := open(t, build(t, "local", "CGO_ENABLED=0"))
	want := *goOffsets(program, runtime.Version())
	want.WriteErrCh = 0
	for _, version := range []string{"devel go1.99-abcdef", "go1.99.1", ""} {
		got := goOffsets(program, version)
		require.NotNil(t, got, version)
		assert.Equal(t, want, *got, version)
	}
	stripped := open(t, build(t, "local", "CGO_ENABLED=0", "-ldflags=-s -w"))
	assert.NotNil(t, goOffsets(stripped, runtime.Version()))
	assert.Nil(t, goOffsets(stripped, "go1.99.1"))
	program.Class, program.Machine = elf.ELFCLASS32, elf.EM_386
	assert.Nil(t, goOffsets(program, runtime.Version()))
}

// memory of a running process.
type memory struct {
	t    *testing.T
	file *os.File
}

func memoryOf(t *testing.T, pid uint32) memory {
	file, err := os.Open(procfs.FS{}.Path(pid, "mem"))
	require.NoError(t, err)
	t.Cleanup(func() { file.Close() })
	return memory{t, file}
}

func (m memory) word(address uint64) uint64 {
	m.t.Helper()
	var b [8]byte
	_, err := m.file.ReadAt(b[:], int64(address))
	require.NoError(m.t, err, "%#x", address)
	return binary.NativeEndian.Uint64(b[:])
}

func (m memory) at(base uint64, offset uint16) uint64 {
	m.t.Helper()
	return m.word(base + uint64(offset))
}

// goroutine is what a line of the program goroutine says.
type goroutine struct{ goid, g, register, threadPointer, thread, requester uint64 }

func parseGoroutine(t *testing.T, line string) goroutine {
	t.Helper()
	var r goroutine
	_, err := fmt.Sscan(line, &r.goid, &r.g, &r.register, &r.threadPointer, &r.thread, &r.requester)
	require.NoError(t, err, line)
	return r
}

// What is found in a process is what it says of itself, in every way a program
// can be built.
func TestRealGoroutine(t *testing.T) {
	type variant struct {
		name    string
		options []string
	}
	variants := []variant{
		{"static", []string{"CGO_ENABLED=0"}},
		{"static stripped", []string{"CGO_ENABLED=0", "-ldflags=-s -w", "-trimpath"}},
		{"pie", []string{"CGO_ENABLED=0", "-buildmode=pie"}},
		{"cgo", []string{"CGO_ENABLED=1"}},
		{"cgo pie stripped", []string{"CGO_ENABLED=1", "-buildmode=pie", "-ldflags=-s -w"}},
		{"cgo static stripped", []string{"CGO_ENABLED=1", "-ldflags=-s -w -linkmode external -extldflags=-static"}},
		{"cgo tls", []string{"CGO_ENABLED=1", "-tags=tls"}},
		{"cgo tls stripped", []string{"CGO_ENABLED=1", "-tags=tls", "-ldflags=-s -w"}},
		{"cgo tls pie stripped", []string{"CGO_ENABLED=1", "-tags=tls", "-buildmode=pie", "-ldflags=-s -w"}},
		{"cgo tls static pie", []string{"CGO_ENABLED=1", "-tags=tls", "-buildmode=pie", "-ldflags=-linkmode external -extldflags=-static-pie"}},
	}
	eachToolchain(t, func(t *testing.T, toolchain string) {
		variants := variants
		if toolchain != "local" {
			variants = []variant{variants[1], variants[8]} // the others need no other Go
		}
		for _, v := range variants {
			t.Run(v.name, func(t *testing.T) {
				pid, line := start(t, build(t, toolchain, v.options...))
				is := parseGoroutine(t, line)
				p, err := NewExaminer(procfs.FS{}).Examine(pid)
				require.NoError(t, err)
				assert.Equal(t, Go, p.Kind)
				version := toolchain
				if toolchain == "local" {
					version = runtime.Version()
				}
				assert.Equal(t, version, p.Version)
				o := p.Go
				require.NotNil(t, o)

				assert.Equal(t, is.g, is.register)
				m := memoryOf(t, pid)
				if runtime.GOARCH == "amd64" {
					require.Negative(t, o.TLSG)
					current := func() uint64 { return m.word(is.threadPointer + uint64(int64(o.TLSG))) }
					if strings.Contains(v.name, "tls") {
						for range 1000 { // it is about to call C
							if current() != is.g {
								break
							}
							time.Sleep(time.Millisecond)
						}
						thread := m.at(current(), o.M)
						assert.Equal(t, current(), m.at(thread, o.MG0))
						assert.Equal(t, is.g, m.at(thread, o.MCurG))
					} else {
						assert.Equal(t, is.g, current())
					}
				}
				assert.Equal(t, is.goid, m.at(is.g, o.GoID))
				if o.ParentGoID != 0 {
					assert.Equal(t, uint64(1), m.at(is.g, o.ParentGoID), "main's")
				}
				thread := m.at(is.g, o.M)
				assert.Equal(t, is.g, m.at(thread, o.MCurG))
				assert.Equal(t, is.thread, m.at(thread, o.MProcID))
				assert.Equal(t, thread, m.at(m.at(thread, o.MG0), o.M))
				assert.Greater(t, m.at(is.g, o.StackHi), m.word(is.g), "stack.hi, stack.lo")
			})
		}
	})
}

// The requester of net/http.Transport is found from the goroutine that writes
// its request.
func TestRealRequester(t *testing.T) {
	eachToolchain(t, func(t *testing.T, toolchain string) {
		pid, line := start(t, build(t, toolchain, "-ldflags=-s -w"), "-request")
		is := parseGoroutine(t, line)
		p, err := NewExaminer(procfs.FS{}).Examine(pid)
		require.NoError(t, err)
		o := p.Go
		require.NotNil(t, o)

		m := memoryOf(t, pid)
		channel := m.word(m.at(is.g, o.StackHi) - uint64(o.WriteErrCh))
		require.NotZero(t, channel)
		assert.Equal(t, uint64(0), m.at(channel, o.ChanQCount))
		assert.Equal(t, uint64(1), m.at(channel, o.ChanDataQSize))
		assert.Equal(t, uint16(16), uint16(m.at(channel, o.ChanElemSize)))
		assert.Zero(t, uint32(m.at(channel, o.ChanClosed)))
		assert.Zero(t, m.at(channel, o.ChanSendQ))
		waiter := m.at(channel, o.ChanRecvQ)
		require.NotZero(t, waiter, "the requester waits")
		assert.Equal(t, channel, m.at(waiter, o.SudogC))
		assert.Equal(t, byte(1), byte(m.at(waiter, o.SudogIsSelect)))
		requester := m.at(waiter, o.SudogG)
		assert.Equal(t, is.requester, m.at(requester, o.GoID))
		const waiting = 4 // _Gwaiting
		assert.Equal(t, uint32(waiting), uint32(m.at(requester, o.AtomicStatus)))
		first := m.at(requester, o.Waiting)
		require.NotZero(t, first, "the sudogs of its select")
		assert.Equal(t, requester, m.at(first, o.SudogG))
	})
}
