// SPDX-License-Identifier: Apache-2.0

// Package exchange defines what every protocol parser produces and every
// signal builder consumes: one request with its response, on one connection,
// as one process saw it.
//
// In: nothing. Out: types. It must never know about BPF, about pipelines, or
// about any particular protocol.
package exchange
