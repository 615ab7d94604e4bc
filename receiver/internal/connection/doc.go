// SPDX-License-Identifier: Apache-2.0

// Package connection turns what the probes report into byte streams with gaps,
// finds out which protocol each connection speaks, and feeds its parser.
//
// In: openings, segments and ends of connections, in order per connection.
// Out: calls on protocol parsers, and policies for the kernel: how much to
// copy, and which connections nobody wants. It must never know about BPF or
// about any particular protocol.
package connection
