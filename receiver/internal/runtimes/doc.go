// SPDX-License-Identifier: Apache-2.0

// Package runtimes tells which language runtime a process runs, and where a
// BPF program finds in it which request a thread works on: for Go the offsets
// to the current goroutine, for Python the static data that its locks are in.
//
// In: a process id and /proc. Out: a Process, a plain value. It must never
// know about connections, requests or BPF maps, and it never writes into a
// process or stops one.
//
// Executables are looked at through /proc/PID/exe, which is the file that
// runs, whatever became of its name and whichever mount namespace it is in.
// Each file is parsed once.
//
// The dynamic loader maps libraries after execve. A process that is examined
// before, and is known by its libraries only (libpython in an embedding host,
// libjvm under a launcher of its own), is Native then; examine it again when
// it communicates.
package runtimes
