// SPDX-License-Identifier: Apache-2.0

package runtimes

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// readExecutable tells what an ELF file says about the runtime in it.
func readExecutable(r io.ReaderAt) (p Process, err error) {
	// Anybody's executable is read here, and debug/elf says of itself that
	// it may panic on malicious ones.
	defer func() {
		if panicked := recover(); panicked != nil {
			p, err = Process{}, fmt.Errorf("malformed: %v", panicked)
		}
	}()
	f, err := elf.NewFile(r)
	if err != nil {
		return Process{}, err
	}
	if version, ok := goVersion(f, r); ok {
		return Process{Kind: Go, Version: version, Go: goOffsets(f, version)}, nil
	}
	if version, ok := rustVersion(f); ok {
		return Process{Kind: Rust, Version: version}, nil
	}
	return Process{Kind: Native}, nil
}

// goVersion is the version of Go a program was built with, empty if it does
// not tell. ok is false if it is no Go program.
func goVersion(f *elf.File, r io.ReaderAt) (version string, ok bool) {
	if info, err := buildinfo.Read(r); err == nil {
		return info.GoVersion, true
	}
	// An obfuscator may have damaged it.
	return "", f.Section(".gopclntab") != nil || f.Section(".data.rel.ro.gopclntab") != nil
}

var (
	// rustComment is what rustc writes into .comment; strip leaves it.
	rustComment = regexp.MustCompile(`rustc version ([0-9][^ \x00]*)`)
	// rustPath begins the paths of the standard library's sources, which its
	// panics have. The number is that of the compiler's commit.
	rustPath = regexp.MustCompile(`/rustc/[0-9a-f]{40}/library/`)
)

// rustVersion is the version of a Rust program, empty if it does not tell. ok
// is false if it does not look like one.
func rustVersion(f *elf.File) (version string, ok bool) {
	const longest = 64 // of what is looked for, bytes
	if s := f.Section(".comment"); s != nil {
		search(s, 64<<10, longest, func(b []byte) bool {
			if m := rustComment.FindSubmatch(b); m != nil {
				version, ok = string(m[1]), true
			}
			return ok
		})
	}
	if s := f.Section(".rodata"); s != nil && !ok {
		search(s, 32<<20, longest, func(b []byte) bool {
			ok = bytes.Contains(b, []byte("/rustc/")) && rustPath.Match(b)
			return ok
		})
	}
	return strings.TrimSpace(version), ok
}

// search passes the first limit bytes of r to found, in pieces that overlap by
// what found looks for, until it returns true.
func search(r io.ReaderAt, limit int64, longest int, found func([]byte) bool) bool {
	b := make([]byte, min(limit, 1<<20)+int64(longest))
	for at := int64(0); at < limit; at += int64(len(b) - longest) {
		n, err := r.ReadAt(b, at)
		if n > 0 && found(b[:n]) {
			return true
		}
		if err != nil {
			break
		}
	}
	return false
}
