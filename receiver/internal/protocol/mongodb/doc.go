// SPDX-License-Identifier: Apache-2.0

// Package mongodb understands MongoDB's wire protocol on one connection: segments with
// holes in, exchanges out.
//
// Every message has a length, an id, and the id it responds to; that is all that pairing
// needs, however many are in flight. What is read of a message is its first 64 KiB:
// BSON documents tell how long their parts are, so what is needed is found by walking.
//
// # What is a span
//
// A command (OP_MSG, OP_QUERY) with its response. db.operation.name is the command,
// db.collection.name and db.namespace what it names. db.query.text is the command as
// JSON, with `?` for every value; documents to be inserted are one `?`. Fields of the
// session (lsid, $clusterTime and their like) are left out.
//
// None are made of what drivers do for themselves, as the drivers' own command
// monitoring has it: hello and isMaster, which set a connection up and watch the server
// (with maxAwaitTimeMS they wait for ten seconds, and with exhaust the server goes on
// responding without being asked), and authentication, which is secret. Nor of commands
// that ask for no response (moreToCome: writes with w: 0), because nobody can tell when
// they were done. Of exhaust cursors the first response ends the exchange; the others
// are responses without a request, and are no exchanges.
//
// # Errors
//
// db.response.status_code is the code of a response with ok: 0, of the first of its
// writeErrors, or of its writeConcernError; the name that belongs to it is
// ebpf.mongodb.code_name.
//
// # Compression
//
// OP_COMPRESSED is undone for snappy, zlib and zstd, if the message was copied whole and
// is not larger than 64 KiB (zlib: of larger ones the beginning). Otherwise the span says
// nothing of the command.
//
// References:
//   - https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
//   - https://github.com/mongodb/specifications/blob/master/source/message/OP_MSG.md
//   - https://github.com/mongodb/specifications/blob/master/source/compression/OP_COMPRESSED.md
//   - https://bsonspec.org/spec.html
package mongodb
