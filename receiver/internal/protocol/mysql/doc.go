// SPDX-License-Identifier: Apache-2.0

// Package mysql understands the protocol of MySQL and MariaDB on one connection:
// segments with holes in, exchanges out.
//
// The server greets, the client logs in; then the client sends commands, and the server
// answers them in order. Most clients wait for an answer before they send the next
// command; those of MariaDB may not (PREPARE and EXECUTE with the statement id -1, and
// batches), so commands in flight are a queue.
//
// # What is a span
//
// Every command that has a response, from its first byte to the last one of the
// response: texts with all their results (a multi-statement or a CALL is one span),
// preparing, executing, fetching, and small ones like COM_PING. Logging in, closing a
// statement, sending long data and COM_QUIT are not.
//
//   - db.system.name is mariadb or mysql by the version in the greeting; mysql where the
//     connection is older than we are, as MariaDB's protocol is a dialect of MySQL's.
//   - db.namespace is the connection's default database: from the login, COM_INIT_DB,
//     USE, COM_CHANGE_USER, and what the server tells by session tracking.
//   - db.response.status_code is the number of the error, as the conventions for both
//     systems have it; the SQLSTATE is ebpf.mysql.sqlstate.
//   - db.response.returned_rows counts the rows of all results, if all of them passed
//     in sight.
//   - db.operation.name is set for what is not a text: PREPARE, FETCH, PING...
//
// # Holes
//
// Packets are passed over by their lengths. Where a boundary falls into a hole, the
// response ends with the last segment before the next command (what the client does to
// send it is proof); its rows and its status are not known. Responses of which the
// beginning was not seen, and anything else in flight with them, are abandoned.
//
// # Compression
//
// zlib and zstd are undone: of each compressed packet up to 64 KiB, which is enough
// for the texts and the boundaries of ordinary results.
//
// # Prepared statements
//
// Statement ids are valid for a connection. A statement that was prepared before we
// came has no text (ebpf.db.query.unknown).
//
// References:
//   - MySQL: https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html
//   - MariaDB: https://mariadb.com/docs/server/reference/clientserver-protocol
package mysql
