// SPDX-License-Identifier: Apache-2.0

// Package recorded is for tests: conversations of real clients and servers, and what every
// parser has to make of them, however they are cut, copied and lost.
//
// A package of a protocol keeps them in testdata/recorded, a text file each; `make corpus`
// records them anew (testbed/protocols/corpus). Lines of such a file are, in this order:
//
//	# who talks with whom, and about what
//	datagrams                 the transport is UDP: every piece is a datagram
//	exchanges 5 GET           what the client counted: so many exchanges with this line
//	messages 100 send orders  the same of messages, where the client's library decides how
//	                          many of them go into one exchange
//	own CLIENT                what the client's library does by itself, as often as it likes
//	1 c KjENCiQ0DQpQSU5HDQo=  what the client of connection 1 sent with one call, in base64
//	1 s K1BPTkcNCg==          what its server sent
//	1 c -                     the client ended its direction
//
// Pieces are in the order in which a proxy between the two has read them. The line of an
// exchange is the name of its span and, if it has one, its status: see Line.
package recorded
