// SPDX-License-Identifier: Apache-2.0

//go:build cgo && !tls

package main

// #include <stdlib.h>
import "C"

import "syscall"

func work() { C.abs(3) }

func block() { syscall.Read(0, make([]byte, 1)) }
