// SPDX-License-Identifier: Apache-2.0

// Package memcached understands the protocols of memcached over streams: text, meta
// commands and binary. Segments with gaps in, exchanges out.
//
// Text commands are answered in order. Commands with noreply are not answered; they last
// until they are sent and have ebpf.db.unanswered. (Errors are sent all the same. A client
// that makes them cannot tell them from other answers, and neither can we.)
//
// Quiet commands, meta ones with the flag q and binary ones, are answered only if there is
// news: a hit, or a failure. They end with the answer to a later command, and are found
// by their opaque, or the key that the answer has. Where there is neither, and several
// could be meant, they are abandoned.
//
// Retrievals have ebpf.memcached.hits and ebpf.memcached.misses, which count keys. That
// a key is not there, or was changed or not stored because of a condition, is
// db.response.status_code, but no error.
//
// References:
//   - Text and meta: https://github.com/memcached/memcached/blob/master/doc/protocol.txt
//   - Binary: https://github.com/memcached/memcached/wiki/BinaryProtocolRevamped
package memcached
