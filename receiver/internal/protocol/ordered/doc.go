// SPDX-License-Identifier: Apache-2.0

// Package ordered pairs requests of databases with responses that come in their order
// and have no ids.
//
// Order is all there is, so one message that was missed shifts everything behind it.
// A Pairing therefore knows whether it is certain:
//
//   - Requests passed unseen: those in flight came before and keep their places; new
//     ones are not begun.
//   - Responses passed unseen: everything in flight is abandoned.
//   - The connection is older than we are: there may be requests in flight that were
//     not seen. A server reads on when it has answered, so that is over with the next
//     turn. A client is on probation: what seems to be its exchanges is held back for
//     some turns. If it turns out to send requests while others are unanswered, they
//     are abandoned.
//
// Pairing becomes certain again when nothing can be outstanding: with the first request
// of a turn, if the connection was seen to wait for all responses before, or after a
// second of silence.
package ordered
