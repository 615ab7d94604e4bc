// SPDX-License-Identifier: Apache-2.0

//go:build cgo && !tls

package main

// #include <stdlib.h>
import "C"

func work() { C.abs(3) }
