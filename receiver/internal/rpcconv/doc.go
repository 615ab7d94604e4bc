// SPDX-License-Identifier: Apache-2.0

// Package rpcconv maps remote procedure calls to spans and metrics as the semantic
// conventions v1.43.0 have them (docs/rpc/rpc-spans.md, grpc.md, rpc-metrics.md).
//
// In: what a parser read off the wire (Detail). Out: span names, kinds, status and
// attributes, metric attributes and values. It must never know how calls are framed.
//
// Whether a server knows a method cannot be told from outside: rpc.method is always
// the one that was asked for, never _OTHER.
package rpcconv
