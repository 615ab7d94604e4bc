// SPDX-License-Identifier: Apache-2.0

// Package causality settles which trace and which parent an exchange has.
//
// The kernel decides most of it at the moment a request moves
// (bpf/causality.h), but three things are only known here: the context that
// callers write into their requests, because the kernel knows no protocol; that
// a server was faster than its client's system call returned; and that a
// request came in several turns (100-continue). They are kept in a Table, under
// the identities that the kernel gave, for the exchanges they concern: those may
// be read by other goroutines, from other rings, a little earlier or later.
//
// In: exchanges. Out: their Context. It knows no protocol and no pdata batches.
package causality
