// SPDX-License-Identifier: Apache-2.0

// Package cassandra understands the native protocol of CQL, versions 3 to 5, on one
// connection: segments with holes in, exchanges out.
//
// Every frame has a stream id, and a response has that of its request: that is all that
// pairing needs, however many are in flight. A request that takes the id of one still in
// flight shows that a response was not seen.
//
// # What is a span
//
// QUERY, PREPARE, EXECUTE and BATCH with their responses. None are made of what drivers do
// for themselves: STARTUP, OPTIONS (also their heartbeat), REGISTER and authentication,
// which is secret; nor of EVENT, which nobody asked for.
//
// db.operation.name and db.collection.name are those of the statement: CQL has one of each
// (see package sqltext). A batch has the operation BATCH and that of its statements, where
// they have the same.
//
// # Prepared statements
//
// Ids are the server's, not the connection's (section 4.2.5.4): drivers prepare on one
// connection and execute on all. So statements are kept per address of a server.
//
// # Version 5
//
// Behind the handshake, frames travel in envelopes (chapter 2): up to 128 KiB, with a
// checksum of the header, by which they are recognised. See envelope.go.
//
// # Compression
//
// LZ4 and Snappy are undone where STARTUP was seen, which names the algorithm, of frames up
// to 64 KiB (LZ4: of larger ones the beginning). Otherwise the span says nothing of the
// statement: stream id and opcode are in the clear. Envelopes are LZ4 or nothing.
//
// References:
//   - https://github.com/apache/cassandra/blob/trunk/doc/native_protocol_v4.spec
//   - https://github.com/apache/cassandra/blob/trunk/doc/native_protocol_v5.spec
//   - https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md
package cassandra
