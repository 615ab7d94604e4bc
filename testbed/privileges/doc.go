// SPDX-License-Identifier: Apache-2.0

// Package privileges tests what distribution/README.md and README.md say about rights: with
// the capabilities named there, and nothing else, the Collector sees everything that it
// sees as root, and of each one that is taken away the log or the error says what it is for.
//
// Requests go through a chain of services of another user, each in another language and
// watched in another way; see forward/ and forward.js, forward.py.
package privileges
