// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/protocoltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Notations of chapter 3.

func be(v, n int) string {
	b := make([]byte, 8)
	binary.BigEndian.PutUint64(b, uint64(v))
	return string(b[8-n:])
}

func str(s string) string  { return be(len(s), 2) + s }
func long(s string) string { return be(len(s), 4) + s }

// frame makes one of version v; the flags are 0.
func frame(v, stream, op int, body string) string { return flagged(v, 0, stream, op, body) }

func flagged(v, flags, stream, op int, body string) string {
	return be(v, 1) + be(flags, 1) + be(stream, 2) + be(op, 1) + be(len(body), 4) + body
}

// flags are the width they have in version v.
func flags(v, f int) string {
	if v >= 5 {
		return be(f, 4)
	}
	return be(f, 1)
}

func query(v, stream int, text string) string {
	return frame(v, stream, opQuery, long(text)+be(4, 2)+flags(v, queryPageSize)+be(5000, 4))
}

func prepare(v, stream int, text string) string {
	body := long(text)
	if v >= 5 {
		body += be(0, 4)
	}
	return frame(v, stream, opPrepare, body)
}

func execute(v, stream int, id string, values ...string) string {
	body := str(id)
	if v >= 5 {
		body += str("metadata")
	}
	body += be(1, 2) + flags(v, queryValues|queryPageSize) + be(len(values), 2)
	for _, x := range values {
		body += long(x)
	}
	return frame(v, stream, opExecute, body+be(100, 4))
}

// member of a batch: a text, or an id behind "#".
func batch(v, stream int, members ...string) string {
	body := be(0, 1) + be(len(members), 2)
	for _, m := range members {
		if id, ok := strings.CutPrefix(m, "#"); ok {
			body += be(1, 1) + str(id)
		} else {
			body += be(0, 1) + long(m)
		}
		body += be(1, 2) + long("secret")
	}
	return frame(v, stream, opBatch, body+be(6, 2)+flags(v, 0))
}

func result(v, stream, kind int, body string) string {
	return frame(v|response, stream, opResult, be(kind, 4)+body)
}

func void(v, stream int) string { return result(v, stream, resultVoid, "") }

func rows(v, stream, n int) string {
	body := be(rowsGlobal, 4) + be(2, 4) + str("shop") + str("t") + str("a") + be(0x0d, 2) + str("b") + be(0x21, 2) + be(0x09, 2) + be(0x0d, 2) + be(n, 4)
	for i := range n {
		body += long(fmt.Sprint("value ", i)) + be(-1, 4)
	}
	return result(v, stream, resultRows, body)
}

func prepared(v, stream int, id string) string {
	return result(v, stream, resultPrepared, str(id)+be(0, 4)+be(0, 4)+be(0, 4))
}

func failure(v, stream, code int) string {
	return frame(v|response, stream, opError, be(code, 4)+str("no"))
}

func startup(v int, more ...string) string {
	body := be(1+len(more)/2, 2) + str("CQL_VERSION") + str("3.0.0")
	for _, m := range more {
		body += str(m)
	}
	return frame(v, 0, opStartup, body)
}

func ready(v int) string { return frame(v|response, 0, opReady, "") }

// seal makes an envelope (version 5) of whole frames, or of a part of one.
func seal(payload string, whole bool) string {
	v := len(payload)
	if whole {
		v |= 1 << 17
	}
	h := []byte{byte(v), byte(v >> 8), byte(v >> 16)}
	c := crc24(h)
	return string(append(h, byte(c), byte(c>>8), byte(c>>16))) + payload + "crc3"
}

// packed makes an envelope of LZ4.
func packed(payload string) string {
	z := pack(payload)
	v := uint64(len(z)) | uint64(len(payload))<<17 | 1<<34
	h := []byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24), byte(v >> 32)}
	c := crc24(h)
	return string(append(h, byte(c), byte(c>>8), byte(c>>16))) + z + "crc3"
}

// pack makes a block of LZ4: runs of one byte become matches, the rest are literals.
func pack(s string) string {
	var b strings.Builder
	length := func(n int) {
		for n -= 15; n >= 255; n -= 255 {
			b.WriteByte(255)
		}
		b.WriteByte(byte(n))
	}
	sequence := func(literals string, match int) {
		b.WriteByte(byte(min(len(literals), 15)<<4 | min(max(match-4, 0), 15)))
		if len(literals) >= 15 {
			length(len(literals))
		}
		b.WriteString(literals)
		if match > 0 {
			b.WriteString("\x01\x00")
			if match-4 >= 15 {
				length(match - 4)
			}
		}
	}
	from := 0
	for i := 1; i < len(s); {
		n := 0
		for i+n < len(s) && s[i+n] == s[i-1] {
			n++
		}
		if n >= 8 {
			sequence(s[from:i], n)
			i += n
			from = i
		}
		i++
	}
	sequence(s[min(from, len(s)):], 0)
	return b.String()
}

func lz4Body(f string) string {
	h := parseHeader([]byte(f))
	return flagged(int(h.version), flagCompressed|int(h.flags), int(h.stream), int(h.op), be(len(f)-headSize, 4)+pack(f[headSize:]))
}

// line is an exchange as text.
func line(e *protocoltest.Ended) string {
	b := e.Name
	for _, k := range []string{
		"db.operation.name", "db.collection.name", "db.namespace", "db.query.text", "db.response.status_code", "error.type", "db.response.returned_rows",
		"db.operation.batch.size", attrConsistency, attrPageSize, "ebpf.db.query.truncated", "ebpf.db.query.unknown",
	} {
		if v, ok := e.Attributes[k]; ok {
			b += fmt.Sprintf(" %s=%v", k[strings.LastIndexByte(k, '.')+1:], v)
		}
	}
	return b
}

func lines(h *protocoltest.Harness) (out []string) {
	for i := range h.Ended {
		out = append(out, line(&h.Ended[i]))
	}
	return out
}
