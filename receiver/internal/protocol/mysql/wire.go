// SPDX-License-Identifier: Apache-2.0

package mysql

import "encoding/binary"

// Commands (MySQL: "Command Phase"; MariaDB: "Command Phase").
const (
	comQuit            = 0x01
	comInitDB          = 0x02
	comQuery           = 0x03
	comFieldList       = 0x04
	comCreateDB        = 0x05
	comDropDB          = 0x06
	comRefresh         = 0x07
	comShutdown        = 0x08
	comStatistics      = 0x09
	comProcessInfo     = 0x0a
	comProcessKill     = 0x0c
	comDebug           = 0x0d
	comPing            = 0x0e
	comChangeUser      = 0x11
	comBinlogDump      = 0x12
	comTableDump       = 0x13
	comRegisterSlave   = 0x15
	comStmtPrepare     = 0x16
	comStmtExecute     = 0x17
	comStmtSendLong    = 0x18
	comStmtClose       = 0x19
	comStmtReset       = 0x1a
	comSetOption       = 0x1b
	comStmtFetch       = 0x1c
	comBinlogDumpGTID  = 0x1e
	comResetConnection = 0x1f
	comStmtBulkExecute = 0xfa // MariaDB
)

// Capabilities that matter here (MySQL: "Capabilities Flags"). Those of MariaDB only
// begin at bit 32.
const (
	clientConnectWithDB        = 1 << 3
	clientCompress             = 1 << 5
	clientProtocol41           = 1 << 9
	clientSSL                  = 1 << 11
	clientSecureConnection     = 1 << 15
	clientPluginAuthLenenc     = 1 << 21
	clientSessionTrack         = 1 << 23
	clientDeprecateEOF         = 1 << 24
	clientOptionalMetadata     = 1 << 25
	clientZstd                 = 1 << 26
	clientQueryAttributes      = 1 << 27
	mariadbClientCacheMetadata = 1 << 36
)

// Status flags in OK and EOF packets.
const (
	statusMoreResults  = 0x0008
	statusCursorExists = 0x0040
	statusSessionState = 0x4000
)

// Headers of response packets.
const (
	headOK     = 0x00
	headInfile = 0xfb
	headEOF    = 0xfe
	headError  = 0xff
)

const (
	headSize = 4
	// maxPacket is the length of a packet's payload that is continued in the next.
	maxPacket = 1<<24 - 1
	// progress is the error code of a progress report (MariaDB).
	progress = 0xffff
	// fromPipeline is the statement id that stands for the statement prepared last
	// (MariaDB).
	fromPipeline = 0xffffffff
)

// length is that of a packet's payload; b is at least three bytes.
func length(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// lenenc reads a length-encoded integer; n is its size, 0 if b is too short or has none.
func lenenc(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	switch b[0] {
	case 0xfb, 0xff:
		return 0, 0
	case 0xfc:
		n = 3
	case 0xfd:
		n = 4
	case 0xfe:
		n = 9
	default:
		return uint64(b[0]), 1
	}
	if len(b) < n {
		return 0, 0
	}
	for i := n - 1; i > 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	return v, n
}

// cut reads a length-encoded string.
func cut(b []byte) (text, rest []byte, ok bool) {
	v, n := lenenc(b)
	if n == 0 || v > uint64(len(b)-n) {
		return nil, nil, false
	}
	b = b[n:]
	return b[:v], b[v:], true
}

// terminated reads a string that ends with a zero byte.
func terminated(b []byte) (text, rest []byte, ok bool) {
	for i := range b {
		if b[i] == 0 {
			return b[:i], b[i+1:], true
		}
	}
	return nil, nil, false
}

// okay is what an OK or EOF packet says.
type okay struct {
	status uint16
	// schema is the new default database, if tracked.
	schema  []byte
	tracked bool
}

// parseEOF reads an EOF packet's payload of five bytes.
func parseEOF(b []byte) okay { return okay{status: binary.LittleEndian.Uint16(b[3:])} }

// parseOK reads the payload of an OK packet, which may be cut. ok is false if it ends
// before the status.
func parseOK(b []byte) (o okay, ok bool) {
	b = b[1:]
	for range 2 { // affected rows, last insert id
		_, n := lenenc(b)
		if n == 0 {
			return o, false
		}
		b = b[n:]
	}
	if len(b) < 4 {
		return o, false
	}
	o.status = binary.LittleEndian.Uint16(b)
	b = b[4:]
	if o.status&statusSessionState == 0 {
		return o, true
	}
	_, b, ok = cut(b) // info
	if !ok {
		return o, true
	}
	states, _, ok := cut(b)
	if !ok {
		return o, true
	}
	for len(states) > 0 {
		kind := states[0]
		var data []byte
		if data, states, ok = cut(states[1:]); !ok {
			break
		}
		if kind == 1 { // SESSION_TRACK_SCHEMA
			if name, _, ok := cut(data); ok {
				o.schema, o.tracked = name, true
			}
		}
	}
	return o, true
}

// binarySize is the size of a value in the binary protocol (MySQL: "Binary Protocol
// Value"), -1 if it is not known or b is too short.
func binarySize(kind byte, b []byte) int {
	n := 0
	switch kind {
	case 0x06: // NULL
	case 0x01: // TINY
		n = 1
	case 0x02, 0x0d: // SHORT, YEAR
		n = 2
	case 0x03, 0x09, 0x04: // LONG, INT24, FLOAT
		n = 4
	case 0x08, 0x05: // LONGLONG, DOUBLE
		n = 8
	case 0x0a, 0x07, 0x0c, 0x0b: // DATE, TIMESTAMP, DATETIME, TIME
		if len(b) == 0 {
			return -1
		}
		n = 1 + int(b[0])
	default:
		v, size := lenenc(b)
		if size == 0 || v > uint64(len(b)) {
			return -1
		}
		n = size + int(v)
	}
	if n > len(b) {
		return -1
	}
	return n
}

// queryText is the text in the payload of COM_QUERY behind its first byte; attributes
// says that query attributes come before it, if that is known.
func queryText(b []byte, attributes, known bool) []byte {
	if !attributes && (known || len(b) < 2 || b[0] != 0 || b[1] != 1) {
		return b
	}
	count, n := lenenc(b)
	if n == 0 || count > uint64(len(b)) {
		return nil
	}
	b = b[n:]
	if _, n = lenenc(b); n == 0 {
		return nil
	}
	b = b[n:]
	if count == 0 {
		return b
	}
	bitmap := b
	skip := (int(count) + 7) / 8
	if len(b) < skip+1 || b[skip] != 1 {
		return nil
	}
	b = b[skip+1:]
	types := b
	for range count {
		if len(b) < 2 {
			return nil
		}
		var ok bool
		if _, b, ok = cut(b[2:]); !ok {
			return nil
		}
	}
	for i := range int(count) {
		kind := types[0]
		_, types, _ = cut(types[2:])
		if bitmap[i/8]>>(i%8)&1 != 0 {
			continue
		}
		n := binarySize(kind, b)
		if n < 0 {
			return nil
		}
		b = b[n:]
	}
	return b
}

// bulkRows counts the sets of parameters in COM_STMT_BULK_EXECUTE, from behind its
// flags; 0 if they cannot be counted (MariaDB: "COM_STMT_BULK_EXECUTE").
func bulkRows(b []byte, params int) int64 {
	if params == 0 || len(b) < 2*params {
		return 0
	}
	types := b[:2*params]
	b = b[2*params:]
	var rows int64
	for len(b) > 0 {
		for i := range params {
			if len(b) == 0 {
				return 0
			}
			indicator := b[0]
			b = b[1:]
			if indicator > 3 {
				return 0
			}
			if indicator != 0 {
				continue // NULL, DEFAULT, IGNORE
			}
			n := binarySize(types[2*i], b)
			if n < 0 {
				return 0
			}
			b = b[n:]
		}
		rows++
	}
	return rows
}
