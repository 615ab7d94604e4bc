// SPDX-License-Identifier: Apache-2.0

// Package intern turns short byte strings that keep coming back (host names,
// user agents, span names, paths) into Go strings without allocating.
//
// In: bytes that belong to somebody else and change afterwards. Out: strings
// that are valid UTF-8, as pdata demands. It must never know what the strings
// mean, and it must never be shared between goroutines.
package intern
