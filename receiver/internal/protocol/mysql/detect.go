// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"bytes"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// answer of a test: no, perhaps when there are more bytes, yes.
type answer uint8

const (
	no answer = iota
	maybe
	yes
)

// detect judges the evidence. A new connection begins with the server's greeting,
// which is unmistakable; on an older one a turn has to begin with a command whose
// bytes leave no doubt, or with a set of results.
func detect(e *protocol.Evidence) (protocol.Verdict, protocol.Direction) {
	return protocol.DetectByRole(e, detectIn)
}

// detectIn judges the evidence for commands that travel in direction req.
func detectIn(e *protocol.Evidence, req protocol.Direction) protocol.Verdict {
	requests, responses := e.Bytes[req], e.Bytes[req.Other()]
	g := greeting(responses)
	if g == yes {
		return protocol.Accepted
	}
	if !e.MidStream {
		// The client waits for the greeting.
		if len(requests) > 0 || g == no {
			return protocol.Rejected
		}
		return protocol.Undecided
	}
	if distinctCommand(requests) || results(responses) {
		return protocol.Accepted
	}
	return protocol.Undecided
}

// greeting recognises the initial handshake packet, protocol version 10.
func greeting(b []byte) answer {
	const (
		version = headSize + 1
		// shortest: version, thread id, data, filler, capabilities.
		shortest, longest, longestVersion = 1 + 2 + 4 + 8 + 1 + 2, 512, 128
	)
	if len(b) >= 1 && (int(b[0]) == 0 && len(b) >= 3) {
		return no
	}
	if len(b) >= 3 && (length(b) < shortest || length(b) > longest) || len(b) >= 4 && b[3] != 0 || len(b) >= 5 && b[4] != 10 {
		return no
	}
	for i := version; i < len(b); i++ {
		switch c := b[i]; {
		case c == 0:
			if i == version || i-version > longestVersion || i+14 > headSize+length(b) {
				return no
			}
			filler := i + 1 + 4 + 8
			if len(b) <= filler {
				return maybe
			}
			if b[filler] != 0 || !('0' <= b[version] && b[version] <= '9') {
				return no
			}
			return yes
		case c < ' ' || c > '~':
			return no
		}
	}
	if len(b) > version+longestVersion {
		return no
	}
	return maybe
}

// verbs are what texts begin with, in capitals.
var verbs = [...]string{
	"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "CALL", "SET", "SHOW", "BEGIN", "START", "COMMIT", "ROLLBACK",
	"CREATE", "ALTER", "DROP", "TRUNCATE", "WITH", "LOAD", "USE", "ANALYZE", "EXPLAIN", "LOCK", "UNLOCK", "SAVEPOINT", "RELEASE",
}

// verb reports whether a text begins with one, and something behind it, behind white
// space, parentheses and comments.
func verb(b []byte) bool {
	for {
		b = bytes.TrimLeft(b, " \t\r\n(")
		if !bytes.HasPrefix(b, []byte("/*")) {
			break
		}
		i := bytes.Index(b, []byte("*/"))
		if i < 0 {
			return false
		}
		b = b[i+2:]
	}
	for _, v := range verbs {
		if len(b) < len(v) || !bytes.EqualFold(b[:len(v)], []byte(v)) {
			continue
		}
		if len(b) == len(v) {
			return true
		}
		switch b[len(v)] {
		case ' ', '\t', '\r', '\n', '(', '*', '/', ';', '@', '`':
			return true
		}
	}
	return false
}

// fits reports whether a packet of that length can be the beginning of the bytes of a
// turn: its end, or a further command behind it, or more than was copied.
func fits(b []byte) bool {
	n := headSize + length(b)
	switch {
	case n == len(b):
		return true
	case n < len(b):
		return command(b[n:]) && (len(b)-n < headSize || n+headSize+length(b[n:]) <= len(b))
	}
	return len(b) >= 512
}

// distinctCommand recognises commands that no other protocol's bytes look like.
func distinctCommand(b []byte) bool {
	if len(b) < headSize+2 || !command(b) || !fits(b) {
		return false
	}
	body := b[headSize:min(len(b), headSize+length(b))]
	switch body[0] {
	case comQuery:
		return verb(queryText(body[1:], false, false))
	case comStmtPrepare:
		return verb(body[1:])
	case comStmtExecute:
		// Flags, and an iteration count that is always 1.
		return len(body) >= 10 && body[5] < 16 && body[6] == 1 && body[7] == 0 && body[8] == 0 && body[9] == 0
	}
	return false
}

// results recognises the beginning of a set of results: the number of columns, and the
// definition of the first one, which begins with the catalog "def".
func results(b []byte) bool {
	if len(b) < headSize+1+headSize+4 || length(b) == 0 || length(b) > 4 || b[3] != 1 || b[4] == 0 || b[4] > 0xfd {
		return false
	}
	n := headSize + length(b)
	d := b[n:]
	return len(d) >= headSize+4 && d[3] == 2 && length(d) >= 17 && length(d) < 1<<16 && string(d[headSize:headSize+4]) == "\x03def"
}

// command reports whether bytes begin with a packet that can be a command; it is
// asked where a message must begin, so little evidence is enough.
func command(b []byte) bool {
	if len(b) < headSize+1 || b[3] != 0 {
		return false
	}
	n := length(b)
	switch b[4] {
	case comQuit, comStatistics, comDebug, comPing, comResetConnection, comProcessInfo:
		return n == 1
	case comQuery, comInitDB, comCreateDB, comDropDB, comStmtPrepare, comFieldList:
		return n >= 2
	case comChangeUser:
		return n >= 3
	case comRefresh:
		return n == 2
	case comShutdown:
		return n <= 2
	case comSetOption:
		return n == 3
	case comProcessKill, comStmtClose, comStmtReset:
		return n == 5
	case comStmtFetch:
		return n == 9
	case comStmtExecute:
		return n >= 10
	case comStmtSendLong:
		return n >= 7
	case comStmtBulkExecute:
		return n >= 7
	case comBinlogDump, comBinlogDumpGTID, comRegisterSlave, comTableDump:
		return n >= 10
	}
	return false
}
