// SPDX-License-Identifier: Apache-2.0

// Package procfs reads the few files of /proc that tell who a process is.
//
// In: a process id. Out: plain values; a file that is gone, unreadable or
// malformed yields the zero value, never an error, because the process may
// exit between any two reads. It must never know what the values are used for.
package procfs
