// SPDX-License-Identifier: Apache-2.0

// Package names remembers what processes looked addresses up by, so that the other end
// of a connection can be called what the client asked for.
//
// In: answers of name servers, as the processes got them, and connections, as they are
// opened. Out: the name a connection was opened for, or nothing. It must never know
// about the protocol the answers came in, about sockets or telemetry.
//
// # What is believed
//
// A name counts for a connection if the process that uses it has looked it up before,
// or, failing that, another process of its service instance (a container, a unit, a
// master and its workers) has: nobody else's lookups do.
//
// Where one name leads to the address, it is that one. Where several do (virtual hosts,
// a database's writer and reader on one machine), it is the one of which an answer has
// just come that no connection was opened for yet: programs look up, and then connect. If
// that is not exactly one (several at once, or a resolver that remembers answers, or asks
// again and again whether anybody connects or not), it is none: the address is never
// wrong.
//
// Answers count for their time to live and an hour, since programs go on with an address
// they have. Memory is bounded: what was not used for longest is forgotten.
package names
