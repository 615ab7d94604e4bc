// SPDX-License-Identifier: Apache-2.0

// Package redis understands RESP2 and RESP3, what Redis, Valkey, KeyDB and Dragonfly
// speak: segments with gaps in, exchanges out.
//
// Every command is an exchange of its own, in pipelines too: Redis answers in order
// (package ordered). Bulk strings are passed over by their lengths, so most of their
// bytes need not be copied.
//
// What becomes of what is not simply a command and its reply:
//
//   - Transactions: MULTI, every command (ebpf.redis.queued, since +QUEUED says nothing of
//     its outcome) and EXEC, which has db.operation.batch.size. EXEC is as long as the
//     commands take.
//   - Commands that wait (BLPOP, XREAD with BLOCK, WAIT...): their duration is mostly
//     waiting and counts as it is; ebpf.db.blocking says so. A timeout is no error.
//   - Pub/sub: SUBSCRIBE and its kin end with the last confirmation. Messages and other
//     pushes answer nothing and are no exchanges.
//   - MOVED and ASK are errors by the conventions ("all error prefixes are"), with the node
//     they name in ebpf.redis.redirect.
//   - CLIENT REPLY OFF and SKIP: what is not answered lasts until it is sent and has
//     ebpf.db.unanswered.
//   - MONITOR, SYNC and PSYNC turn the connection into something else: nothing more is
//     reported of it.
//   - SELECT changes db.namespace for what follows; inside of a transaction nobody can tell
//     when, and there is none any more.
//
// db.query.text has the command with `?` for each argument, or as it was sent. The
// arguments of commands that carry passwords never show.
//
// References:
//   - RESP: https://redis.io/docs/latest/develop/reference/protocol-spec/
//   - RESP3: https://github.com/redis/redis-specifications/blob/master/protocol/RESP3.md
//   - Commands: https://redis.io/docs/latest/commands/
//   - Conventions: https://opentelemetry.io/docs/specs/semconv/db/redis/
package redis
