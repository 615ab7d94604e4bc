// SPDX-License-Identifier: Apache-2.0

package nats

import "bytes"

const (
	// maxLine is the longest line that is looked at, in bytes. Servers accept 4 KiB of
	// clients; their own INFO can be longer, and is passed over.
	maxLine = 32 << 10
	// maxPayload is the largest message taken for one; 1 MiB is the default, 64 MiB the
	// most a server can be set to.
	maxPayload = 64 << 20
	// maxHeader is how much of a message's headers is looked at.
	maxHeader = 16 << 10
)

type op uint8

const (
	opNone op = iota
	opInfo
	opConnect
	opPub
	opHpub
	opSub
	opUnsub
	opMsg
	opHmsg
	opPing
	opPong
	opOK
	opErr
)

// line is a line of the protocol, as it was parsed; the bytes are those of the stream.
type line struct {
	op                  op
	subject, reply, sid []byte
	// queue of a SUB.
	queue []byte
	// header is the length of the headers, total that of headers and payload; of UNSUB,
	// the number of messages it is for.
	header, total uint64
	// rest of CONNECT, INFO and -ERR.
	rest []byte
}

// parse reads a line without its end. Operations are not case sensitive. client says who
// sends it.
func (l *line) parse(b []byte, client bool) bool {
	*l = line{}
	word, rest := cut(b)
	switch len(word) {
	case 3:
		switch {
		case is(word, "PUB") && client:
			return l.message(opPub, rest)
		case is(word, "SUB") && client:
			l.op = opSub
			var f [4][]byte
			switch fields(rest, &f) {
			case 2:
				l.subject, l.sid = f[0], f[1]
			case 3:
				l.subject, l.queue, l.sid = f[0], f[1], f[2]
			default:
				return false
			}
			return true
		case is(word, "MSG") && !client:
			return l.message(opMsg, rest)
		case is(word, "+OK") && !client:
			l.op = opOK
			return true
		}
	case 4:
		switch {
		case is(word, "HPUB") && client:
			return l.message(opHpub, rest)
		case is(word, "HMSG") && !client:
			return l.message(opHmsg, rest)
		case is(word, "PING"):
			l.op = opPing
			return len(rest) == 0
		case is(word, "PONG"):
			l.op = opPong
			return len(rest) == 0
		case is(word, "-ERR") && !client:
			l.op, l.rest = opErr, rest
			return true
		case is(word, "INFO") && !client:
			l.op, l.rest = opInfo, rest
			return true
		}
	case 5:
		if is(word, "UNSUB") && client {
			l.op = opUnsub
			var f [4][]byte
			n := fields(rest, &f)
			l.sid = f[0]
			ok := n == 1
			if n == 2 {
				l.total, ok = number(f[1])
			}
			return ok
		}
	case 7:
		if is(word, "CONNECT") && client {
			l.op, l.rest = opConnect, rest
			return true
		}
	}
	return false
}

// message reads what is behind PUB, HPUB, MSG and HMSG: a subject, of messages the
// subscription's id, a subject to reply to if there is one, and one or two lengths.
func (l *line) message(o op, rest []byte) bool {
	var f [5][]byte
	n := fieldsN(rest, f[:])
	l.op = o
	lengths := 1
	if o == opHpub || o == opHmsg {
		lengths = 2
	}
	names := n - lengths
	want := 1
	if o == opMsg || o == opHmsg {
		want = 2
	}
	if names != want && names != want+1 {
		return false
	}
	var ok bool
	if l.total, ok = number(f[n-1]); !ok || l.total > maxPayload {
		return false
	}
	if lengths == 2 {
		if l.header, ok = number(f[n-2]); !ok || l.header > l.total {
			return false
		}
	}
	l.subject = f[0]
	if want == 2 {
		l.sid = f[1]
	}
	if names == want+1 {
		l.reply = f[want]
	}
	return true
}

// is compares without case; word is in capitals.
func is(b []byte, word string) bool {
	for i := range b {
		c := b[i]
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// cut splits behind the first word.
func cut(b []byte) (word, rest []byte) {
	i := 0
	for i < len(b) && b[i] != ' ' && b[i] != '\t' {
		i++
	}
	j := i
	for j < len(b) && (b[j] == ' ' || b[j] == '\t') {
		j++
	}
	return b[:i], b[j:]
}

func fields(b []byte, f *[4][]byte) int { return fieldsN(b, f[:]) }

// fieldsN splits into words, and returns how many there are; len(f)+1 if too many.
func fieldsN(b []byte, f [][]byte) int {
	n := 0
	for len(b) > 0 {
		var word []byte
		if word, b = cut(b); len(word) == 0 {
			continue
		}
		if n == len(f) {
			return n + 1
		}
		f[n] = word
		n++
	}
	return n
}

func number(b []byte) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 9 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + uint64(c-'0')
	}
	return n, true
}

// headers calls f with every header of a block that begins with a version line, and
// returns the status behind the version, 0 if there is none.
func headers(b []byte, f func(name, value []byte)) (status int) {
	first := true
	for len(b) > 0 {
		var l []byte
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			l, b = bytes.TrimSuffix(b[:i], []byte("\r")), b[i+1:]
		} else {
			l, b = b, nil
		}
		if first {
			first = false
			if _, rest := cut(l); len(rest) >= 3 {
				if n, ok := number(rest[:3]); ok {
					status = int(n)
				}
			}
			continue
		}
		if i := bytes.IndexByte(l, ':'); i > 0 {
			f(l[:i], bytes.TrimSpace(l[i+1:]))
		}
	}
	return status
}

// contains reports whether a pattern of a subscription matches a subject: `*` stands for a
// token, a final `>` for all that follow.
func contains(pattern string, subject []byte) bool {
	i := 0
	for i < len(pattern) {
		switch {
		case pattern[i] == '>' && i == len(pattern)-1:
			return len(subject) > 0
		case pattern[i] == '*' && (i+1 == len(pattern) || pattern[i+1] == '.'):
			n := bytes.IndexByte(subject, '.')
			if n < 0 {
				n = len(subject)
			}
			if n == 0 {
				return false
			}
			subject = subject[n:]
			i++
		case len(subject) == 0 || subject[0] != pattern[i]:
			return false
		default:
			subject = subject[1:]
			i++
		}
	}
	return len(subject) == 0
}
