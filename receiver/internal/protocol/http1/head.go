// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
)

const (
	// maxHead bounds a message head, in bytes. It is also as far as the
	// kernel extends a copy that has no empty line in it.
	maxHead = 64 << 10
	// maxField bounds the header values kept (Host, User-Agent), in bytes.
	maxField = 1 << 10
)

// coding is what Transfer-Encoding says about the framing.
type coding uint8

const (
	codingNone coding = iota
	// codingChunked: chunked is the final coding.
	codingChunked
	// codingOther: something else is (RFC 9112 section 6.3 rule 4).
	codingOther
)

// head is a parsed message head. Its slices point into the bytes parsed.
type head struct {
	method, target  []byte
	host, userAgent []byte
	parent          []byte
	// others is what was parsed from the first header on that may be one of
	// trace context, apart from traceparent; nil if there is none. Few requests
	// have any, and all pay for the size of this struct.
	others []byte
	// length is Content-Length; -1 if there is none, -2 if it is invalid or
	// contradicts itself.
	length  int64
	status  int
	version httpconv.Version
	coding  coding
	// parents counts traceparent headers, up to 2; stated: there is a
	// tracestate.
	parents uint8
	stated  bool
	expect  bool
	// cut: the end of the head was not seen, the framing is unknown.
	cut bool
	// folded: there was a folded line (RFC 9112 section 5.2); values may be
	// incomplete until it is unfolded.
	folded bool
	// h2c: a 101 response that goes on as HTTP/2.
	h2c bool
	// telling: there are headers that tell an application (application.go).
	telling bool
}

const (
	lengthNone    = -1
	lengthInvalid = -2
)

// line cuts the first line off b, without its line end. ok is false if b has no
// line end.
func line(b []byte) (l, rest []byte, ok bool) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return nil, b, false
	}
	rest = b[i+1:]
	if i > 0 && b[i-1] == '\r' {
		i--
	}
	return b[:i], rest, true
}

// parseRequest parses the request head at the start of b. It returns its
// length, 0 if it is not complete, or -1 if it is no request. With cut the
// complete lines in b are all there is.
func (h *head) parseRequest(b []byte, cut bool) int {
	first, rest, ok := line(b)
	if !ok {
		return 0
	}
	if !h.requestLine(first) {
		return -1
	}
	return h.headers(b, len(b)-len(rest), inRequest, cut)
}

// parseResponse is parseRequest for a response head.
func (h *head) parseResponse(b []byte, cut bool) int {
	first, rest, ok := line(b)
	if !ok {
		return 0
	}
	if !h.statusLine(first) {
		return -1
	}
	return h.headers(b, len(b)-len(rest), inResponse, cut)
}

// What a header line's first byte says about it, as bits.
const (
	inRequest  = 1 << iota // it may be one that is wanted of requests
	inResponse             // or of responses
	// picky: most lines that begin so are not wanted; worth sorts them out.
	picky
	either = inRequest | inResponse
)

// wanted maps the first bytes of the lines that header looks at.
var wanted = [256]uint8{
	'a': inRequest | picky, 'A': inRequest | picky, // Authorization
	'b': inRequest, 'B': inRequest, // B3
	'c': either, 'C': either, // Content-Length
	'e': inRequest, 'E': inRequest, // Expect
	'h': inRequest, 'H': inRequest, // Host
	't': either, 'T': either, // Traceparent, Tracestate, Transfer-Encoding
	'u': inRequest, 'U': inRequest, // User-Agent, Uber-Trace-Id
	'x': either | picky, 'X': either | picky, // X-B3-TraceId and so on, X-Amzn-Trace-Id; those that tell an application
	' ': either, '\t': either, // a folded line
	'\r': either, '\n': either, // the end
}

// headers parses the lines that begin at start and returns what parseRequest
// does. This loop is what the cost of an exchange is made of.
func (h *head) headers(b []byte, start int, want uint8, cut bool) int {
	h.length = lengthNone
	for rest := b[start:]; ; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			h.cut = cut
			if cut {
				return len(b)
			}
			return 0
		}
		c := rest[0]
		if w := wanted[c]; w&want != 0 && (w&picky == 0 || worth(c, rest[:i])) && h.header(rest, i, want) {
			return len(b) - len(rest) + i + 1
		}
		rest = rest[i+1:]
	}
}

// header parses the first line of b, which is n bytes and may end with a
// carriage return. It reports whether the line is empty, which is the end of
// the head.
func (h *head) header(b []byte, n int, want uint8) (end bool) {
	l := b[:n]
	if n > 0 && l[n-1] == '\r' {
		l = l[:n-1]
	}
	if len(l) == 0 {
		return true
	}
	switch l[0] | 0x20 {
	case 'a': // mayBeAuthorization
		if v, ok := value(l, "authorization"); ok {
			h.telling = h.telling || len(v) > len(httpconv.SignatureV4) && string(v[:len(httpconv.SignatureV4)]) == httpconv.SignatureV4
		}
	case 'b':
		if _, ok := value(l, "b3"); ok {
			h.other(b)
		}
	case 'c':
		if v, ok := value(l, "content-length"); ok {
			h.contentLength(v)
		} else if want&inResponse == 0 {
			if v, ok := value(l, "content-type"); ok {
				h.telling = h.telling || httpconv.IsGraphQL(v)
			}
		}
	case 'e':
		if v, ok := value(l, "expect"); ok {
			h.expect = equalFold(v, "100-continue")
		}
	case 'h':
		if v, ok := value(l, "host"); ok && h.host == nil {
			h.host = v
		}
	case 't':
		if v, ok := value(l, "transfer-encoding"); ok {
			h.transferEncoding(v)
		} else if want&inRequest == 0 {
			break
		} else if v, ok := value(l, "traceparent"); ok {
			h.parent = v
			h.parents = min(h.parents+1, 2)
		} else if _, ok := value(l, "tracestate"); ok {
			h.stated = true
			h.other(b)
		}
	case 'u':
		if v, ok := value(l, "user-agent"); ok {
			if h.userAgent == nil {
				h.userAgent = v
			}
		} else if _, ok := value(l, "uber-trace-id"); ok {
			h.other(b)
		}
	case 'x': // mayBeOther
		if want&inRequest == 0 {
			h.telling = h.telling || tells(l)
		} else if _, ok := value(l, "x-amzn-trace-id"); ok || l[2]|0x20 == 'b' && l[3] == '3' {
			h.other(b)
		}
	case ' ', '\t' | 0x20:
		h.folded = h.folded || folded(l)
	}
	return false
}

// worth sorts out, by a few bytes, most lines that begin as one that is wanted does.
func worth(c byte, l []byte) bool {
	if c|0x20 == 'a' {
		return mayBeAuthorization(l)
	}
	return mayBeOther(l)
}

// upgradesTo reports whether a response head names a protocol, in lower case, in its
// Upgrade header.
func upgradesTo(head []byte, name string) bool {
	for {
		l, rest, ok := line(head)
		if !ok || len(l) == 0 {
			return false
		}
		if v, ok := value(l, "upgrade"); ok && equalFold(v, name) {
			return true
		}
		head = rest
	}
}

// other notes that b begins with one of others.
func (h *head) other(b []byte) {
	if h.others == nil {
		h.others = b
	}
}

// folded tells a folded line from one whose first byte only looks like a space
// when case is ignored.
func folded(l []byte) bool { return l[0] == ' ' || l[0] == '\t' }

// unfold makes one line of each folded header (RFC 9112 section 5.2: obs-fold
// becomes spaces). Folded lines right after the start line belong to no header
// and are dropped, as section 2.2 allows. It changes b.
func unfold(b []byte) {
	first := bytes.IndexByte(b, '\n')
	for i := first + 1; i < len(b); {
		if b[i] != ' ' && b[i] != '\t' {
			break
		}
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			break
		}
		b[i] = '-' // a name nobody looks for
		i += n + 1
	}
	for i := first + 1; i+1 < len(b); i++ {
		if b[i] != '\n' || b[i+1] != ' ' && b[i+1] != '\t' || i == first {
			continue
		}
		b[i] = ' '
		if b[i-1] == '\r' {
			b[i-1] = ' '
		}
	}
}

// requestLine parses method SP target SP version.
func (h *head) requestLine(l []byte) bool {
	n := len(l) - len(" "+versionPrefix+"1")
	if n < 3 || l[n] != ' ' || string(l[n+1:n+1+len(versionPrefix)]) != versionPrefix {
		return false
	}
	if !h.minor(l[len(l)-1]) {
		return false
	}
	i := 0
	for tokenByte[l[i]] { // ends at the space at n at the latest
		i++
	}
	if i == 0 || i > maxMethod || i+1 >= n || l[i] != ' ' {
		return false
	}
	h.method, h.target = l[:i], l[i+1:n]
	return visible(h.target)
}

// visible reports whether no byte of b is a space, a control character or DEL.
func visible(b []byte) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for len(b) >= 8 {
		x := binary.LittleEndian.Uint64(b)
		del := x ^ 0x7f*ones
		if ((x-(' '+1)*ones)&^x|(del-ones)&^del)&high != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

func (h *head) minor(c byte) bool {
	switch c {
	case '1':
		h.version = httpconv.Version11
	case '0':
		h.version = httpconv.Version10
	default:
		return false
	}
	return true
}

// statusLine parses version SP status [SP reason].
func (h *head) statusLine(l []byte) bool {
	const status = len(versionPrefix + "1 ")
	if len(l) < status+3 || string(l[:len(versionPrefix)]) != versionPrefix || !h.minor(l[status-2]) || l[status-1] != ' ' {
		return false
	}
	a, b, c := l[status], l[status+1], l[status+2]
	if !digit(a) || !digit(b) || !digit(c) || a == '0' {
		return false
	}
	if len(l) > status+3 && l[status+3] != ' ' {
		return false
	}
	h.status = int(a-'0')*100 + int(b-'0')*10 + int(c-'0')
	return true
}

// value is the value of header line l if its name is name (lower case).
func value(l []byte, name string) ([]byte, bool) {
	n := len(name)
	if len(l) <= n || l[n] != ':' && l[n] != ' ' && l[n] != '\t' || !equalName(l[:n], name) {
		return nil, false
	}
	l = l[n:]
	if l[0] != ':' {
		// Whitespace before the colon is wrong (RFC 9112 section 5.1), but
		// who accepts it acts on it.
		l = trim(l)
		if len(l) == 0 || l[0] != ':' {
			return nil, false
		}
	}
	return trim(l[1:]), true
}

// contentLength takes a Content-Length value: digits, or a list of the same
// number (RFC 9110 section 8.6).
func (h *head) contentLength(v []byte) {
	for more := true; more; {
		item := v
		i := bytes.IndexByte(v, ',')
		if more = i >= 0; more {
			item, v = v[:i], v[i+1:]
		}
		n := int64(lengthInvalid)
		for j, c := range trim(item) {
			if j == 0 {
				n = 0
			}
			if !digit(c) || n > (math.MaxInt64-9)/10 {
				n = lengthInvalid
				break
			}
			n = n*10 + int64(c-'0')
		}
		if h.length != lengthNone && h.length != n {
			n = lengthInvalid
		}
		h.length = n
	}
}

// transferEncoding takes one Transfer-Encoding line; of several the last has
// the final coding.
func (h *head) transferEncoding(v []byte) {
	if i := bytes.LastIndexByte(v, ','); i >= 0 {
		v = trim(v[i+1:])
	}
	switch {
	case equalFold(v, "chunked"):
		h.coding = codingChunked
	case equalFold(v, "identity") && h.coding == codingNone:
		// RFC 2616's way to say nothing; gone since RFC 7230.
	default:
		h.coding = codingOther
	}
}
