// SPDX-License-Identifier: Apache-2.0

//go:build !cgo

package main

import "syscall"

func work() {}

func block() { syscall.Read(0, make([]byte, 1)) }
