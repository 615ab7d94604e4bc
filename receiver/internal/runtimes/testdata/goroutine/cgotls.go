// SPDX-License-Identifier: Apache-2.0

//go:build cgo && tls

package main

// #include <unistd.h>
// static __thread long counter = 7;
// static __thread char text[200];
// static __thread long aligned __attribute__((aligned(64)));
// static int bump(void) { return ++text[counter & 7] + counter++ + aligned++; }
import "C"

func work() { C.bump() }

func block() { C.read(0, C.CBytes(make([]byte, 1)), 1) }
