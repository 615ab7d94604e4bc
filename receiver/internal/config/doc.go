// SPDX-License-Identifier: Apache-2.0

// Package config is the receiver's configuration: what a user writes under
// `receivers: ebpf:`, its defaults, and what is wrong with it.
//
// In: a confmap. Out: a Config that the engine may trust after Validate. It
// must never look at the machine it runs on: a configuration is valid or not
// independent of kernel, privileges and running processes.
//
// Every option's doc comment is the text of the reference table in README.md
// (a test compares the two).
package config
