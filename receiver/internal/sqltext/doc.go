// SPDX-License-Identifier: Apache-2.0

// Package sqltext makes of the text of a query what may be reported of it: the text
// without its literals, and a summary of few different values (semantic conventions
// v1.43.0, docs/db/database-spans.md).
//
// In: SQL or CQL as it was sent, perhaps cut at its end. Out: bytes and interned strings.
// It must never know about protocols, and it judges nothing: what is not SQL comes out
// without literals too.
//
// # Operation and collection
//
// The conventions forbid to take db.operation.name and db.collection.name from the text
// of systems whose texts can have several of them: PostgreSQL, MySQL, SQL at large. A
// statement of CQL concerns one table, so for Cassandra they may be taken from
// [Summary].
package sqltext
