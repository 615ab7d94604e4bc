// SPDX-License-Identifier: Apache-2.0

package runtimes

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// maxStatic is how many ranges of static data a Process has: the executable's
// and the library's.
const maxStatic = 2

// mappings is what the memory map of a process tells.
type mappings struct {
	// kind of the runtime in a library, Unknown if there is none.
	kind    Kind
	version string
	// static data of Python, the largest range first.
	static []Range
	// modules are the files with parts of Python, Ruby or Java in them.
	modules []module
}

// mappings reads /proc/PID/maps. exe is the executable's path, python whether
// that is a Python.
func (e *Examiner) mappings(pid uint32, exe string, python bool) (mappings, error) {
	f, err := os.Open(e.fs.Path(pid, "maps"))
	if err != nil {
		return mappings{}, err
	}
	defer f.Close()
	return readMappings(f, exe, python)
}

// readMappings reads lines as of proc_pid_maps(5):
//
//	7f0000000000-7f0000021000 rw-p 00001000 fe:00 1234    /usr/lib/libpython3.11.so.1.0
func readMappings(r io.Reader, exe string, python bool) (mappings, error) {
	var (
		m mappings
		// current is the range that what is mapped next may continue, and
		// file its file.
		current *Range
		file    string
		ranges  []*Range
	)
	exe = strings.ReplaceAll(exe, "\n", `\012`) // seq_file_path in show_map_vma
	lines := bufio.NewReaderSize(r, 20<<10)     // a path may be 4 KiB, all newlines (4 bytes each)
	for {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return mappings{}, err // no path is as long
		}
		if err != nil && len(line) == 0 {
			if err == io.EOF {
				break
			}
			return mappings{}, err
		}
		start, end, perms, offset, name, ok := parseMapping(line)
		if !ok {
			continue
		}
		isPython, isRuby, isJava := python && string(name) == exe, false, false
		if i := bytes.LastIndexByte(name, '/'); i >= 0 && !isPython {
			if kind, version := kindOfLibrary(string(name[i+1:])); kind != Unknown {
				isPython, isRuby, isJava = kind == Python, kind == Ruby, kind == Java
				if m.kind == Unknown || m.version == "" && m.kind == kind {
					m.kind, m.version = kind, version
				}
			}
		}
		if offset == 0 && len(m.modules) < maxPythonModules && (isPython || isRuby || isJava || isPythonModule(name)) {
			m.modules = append(m.modules, module{string(name), start})
		}
		writable := perms == "rw"
		// .bss is what the file does not have: anonymous memory right after it.
		continues := current != nil && current.End == start && writable &&
			(len(name) == 0 || string(name) == file)
		switch {
		case continues:
			current.End = end
		case isPython && writable:
			current, file = &Range{start, end}, string(name)
			ranges = append(ranges, current)
		default:
			current = nil
		}
	}
	slices.SortStableFunc(ranges, func(a, b *Range) int { return cmp.Compare(b.End-b.Start, a.End-a.Start) })
	for _, r := range ranges[:min(len(ranges), maxStatic)] {
		m.static = append(m.static, *r)
	}
	return m, nil
}

// maxPythonModules is amply what a process has of them.
const maxPythonModules = 8

// isPythonModule tells files that python wants to see.
func isPythonModule(name []byte) bool {
	return bytes.HasSuffix(name, []byte(".so")) &&
		(pythonModule.Match(name[bytes.LastIndexByte(name, '/')+1:]) || uvloopModule.Match(name))
}

// parseMapping parses a line. name is without the mark of a deleted file and
// shares the line's memory; it is empty for anonymous memory.
func parseMapping(line []byte) (start, end uint64, perms string, offset uint64, name []byte, ok bool) {
	var fields [5][]byte // range, permissions, offset, device, inode
	rest := bytes.TrimSuffix(line, []byte("\n"))
	for i := range fields {
		fields[i], rest, _ = bytes.Cut(bytes.TrimLeft(rest, " "), []byte(" "))
	}
	first, last, ok := bytes.Cut(fields[0], []byte("-"))
	if !ok || len(fields[1]) < 4 {
		return 0, 0, "", 0, nil, false
	}
	start, err := strconv.ParseUint(string(first), 16, 64)
	if err != nil {
		return 0, 0, "", 0, nil, false
	}
	end, err = strconv.ParseUint(string(last), 16, 64)
	if err != nil || end < start {
		return 0, 0, "", 0, nil, false
	}
	if offset, err = strconv.ParseUint(string(fields[2]), 16, 64); err != nil {
		return 0, 0, "", 0, nil, false
	}
	name = bytes.TrimSuffix(bytes.TrimLeft(rest, " "), []byte(" (deleted)"))
	return start, end, string(fields[1][:2]), offset, name, true
}
