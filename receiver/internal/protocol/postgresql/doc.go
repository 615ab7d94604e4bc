// SPDX-License-Identifier: Apache-2.0

// Package postgresql understands version 3 of PostgreSQL's frontend/backend protocol
// (documentation, chapter 55) on one connection: bytes with holes in, exchanges out.
//
// An exchange is a Query message, an Execute message or a FunctionCall, with the
// answer: a Query of several statements is one. A Parse that the server refuses is one
// too if no Execute follows it in its group, because that is how drivers which prepare
// first learn of a mistake. Authentication, Bind, Describe, Close and the like are
// none.
//
// The server answers every message in order, so a queue of what was asked pairs them
// (pairing.go). After an error the server skips everything up to the next Sync; those
// Executes fail with error.type pipeline_aborted.
//
// Bytes that were not copied are passed over by the length of the message they are in.
// Where a message begins in them, and it is not the end of a group (request.go), the
// exchanges concerned are abandoned, and the boundary is found again where a turn
// begins (requests) or at a ReadyForQuery that ends a segment (responses).
//
// db.namespace is `{database}|{schema}` with the schema of the session's start: from
// the startup message, or from what the server reports of search_path (PostgreSQL 18).
// Without that it is the database. db.operation.name and db.collection.name are not
// taken from texts, as the conventions say. Texts with parameters are reported as they
// are, all others without literals.
package postgresql
