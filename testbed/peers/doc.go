// SPDX-License-Identifier: Apache-2.0

// Package peers compares by what name spans call the other end of connections with what
// the clients asked for: programs in Go, C, Python, Node and Java that look names up
// with a real name server, and then talk to Redis, PostgreSQL and HTTP servers. Every
// request carries the name that it was made for.
package peers
