// SPDX-License-Identifier: Apache-2.0

// Package current tells what its caller runs on.
package current

// G is the current g.
func G() uintptr

// Register is what the register that Go code has g in contains.
func Register() uintptr

// ThreadPointer is the FS base, 0 on arm64.
func ThreadPointer() uintptr
