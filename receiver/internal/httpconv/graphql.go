// SPDX-License-Identifier: Apache-2.0

package httpconv

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/xpdata"
)

// IsGraphQL reports whether a media type is one of GraphQL's
// (https://graphql.github.io/graphql-over-http/draft/, section 4).
func IsGraphQL(mediaType []byte) bool {
	const prefix = "application/graphql"
	if len(mediaType) < len(prefix) || !bytes.EqualFold(mediaType[:len(prefix)], []byte(prefix)) {
		return false
	}
	rest := mediaType[len(prefix):]
	if i := bytes.IndexAny(rest, "; "); i >= 0 {
		rest = rest[:i]
	}
	return bytes.EqualFold(rest, []byte("-response+json")) || bytes.EqualFold(rest, []byte("+json"))
}

// graphQLPath: its last segment is graphql or gql.
func (d *Detail) graphQLPath() bool {
	if !bytes.Contains(d.Target, []byte("gql")) && !bytes.Contains(d.Target, []byte("graphql")) {
		return false
	}
	d.parsed()
	path := bytes.TrimSuffix(d.path(), []byte("/"))
	i := bytes.LastIndexByte(path, '/')
	last := path[i+1:]
	return i >= 0 && (string(last) == "graphql" || string(last) == "gql")
}

// mayBeGraphQL judges the beginning of a body: an object, or a list of them. If it is
// strict, its first member has to be one of a request of GraphQL.
func mayBeGraphQL(b []byte, strict bool) bool {
	b = skipSpace(b)
	if len(b) > 0 && b[0] == '[' {
		b = skipSpace(b[1:])
	}
	if len(b) == 0 {
		return true
	}
	if b[0] != '{' {
		return false
	}
	if b = skipSpace(b[1:]); len(b) == 0 || !strict {
		return len(b) == 0 || b[0] == '"'
	}
	for _, key := range [...]string{`"query"`, `"operationName"`, `"variables"`, `"extensions"`} {
		if n := min(len(key), len(b)); string(b[:n]) == key[:n] {
			return true
		}
	}
	return false
}

func skipSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\r' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}

// recognizeGraphQL: a document in a place that is GraphQL's, by its path or media type.
func (d *Detail) recognizeGraphQL(a *application) bool {
	path := d.graphQLPath()
	a.document, a.name, a.operationType = a.document[:0], a.name[:0], ""
	cut, found := false, false
	switch {
	case string(d.Method) == "POST" && len(a.request) > 0:
		if !path && !a.graphQLType && !a.graphQLResponse {
			return false
		}
		found, cut = a.readRequest(a.request)
	case string(d.Method) == "GET" && path:
		var v []byte
		if v, found = parameterOf(d.query(), "query"); found {
			a.document = unescapeQuery(a.document, v)
			cut = d.TargetCut
		}
		if name, ok := parameterOf(d.query(), "operationName"); ok && len(name) <= maxText {
			a.name = unescapeQuery(a.name, name)
		}
	default:
		return false
	}
	if len(a.name) > 0 && !isGraphQLName(a.name) {
		return false
	}
	if !found {
		return len(a.name) > 0 // of a document the server knows, or that comes later
	}
	doc := document{rest: a.document, cut: cut}
	if !doc.read(a.name) {
		return false
	}
	a.operationType = doc.operation
	if len(a.name) == 0 {
		a.name = append(a.name, doc.name...)
	}
	return true
}

func (d *Detail) putGraphQL(a *application, b *xpdata.MapBuilder) {
	if a.operationType != "" {
		b.AppendEmpty(attrGraphQLType).SetStr(a.operationType)
	}
	d.put(b, attrGraphQLName, a.name)
}

// unescapeQuery is unescape for what is in a query, where a plus is a space.
func unescapeQuery(b, v []byte) []byte {
	from := len(b)
	for len(v) > 0 {
		i := bytes.IndexByte(v, '+')
		if i < 0 {
			return unescape(b, v)
		}
		b = append(unescape(b, v[:i]), ' ')
		v = v[i+1:]
	}
	return b[:max(from, len(b))]
}

// readRequest takes the beginning of a body and finds the document and the operation's
// name. found: there is a document; cut: it goes on.
func (a *application) readRequest(b []byte) (found, cut bool) {
	b = skipSpace(b)
	if len(b) > 0 && b[0] == '[' {
		b = skipSpace(b[1:])
	}
	if len(b) == 0 || b[0] != '{' {
		return false, false
	}
	named := false
	for b = skipSpace(b[1:]); len(b) > 0 && b[0] == '"'; {
		var key, value []byte
		var whole bool
		if key, b, whole = text(b); !whole {
			return found, cut
		}
		if b = skipSpace(b); len(b) == 0 || b[0] != ':' {
			return found, cut
		}
		if b = skipSpace(b[1:]); len(b) == 0 {
			return found, cut
		}
		switch {
		case b[0] == '"':
			value, b, whole = text(b)
			switch {
			case string(key) == "query" && !found:
				a.document = appendText(a.document, value)
				found, cut = true, !whole
			case string(key) == "operationName" && !named && whole && len(value) <= maxText:
				a.name = appendText(a.name, value)
				named = true
			}
		default:
			b, whole = skipValue(b)
		}
		if !whole {
			return found, cut
		}
		if b = skipSpace(b); len(b) == 0 || b[0] != ',' {
			return found, cut
		}
		b = skipSpace(b[1:])
	}
	return found, cut
}

// text is the string of JSON that b begins with, still escaped. whole: its end is there.
func text(b []byte) (s, rest []byte, whole bool) {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return b[1:i], b[i+1:], true
		}
	}
	return b[1:], nil, false
}

// skipValue passes over a value that is no string.
func skipValue(b []byte) (rest []byte, whole bool) {
	depth := 0
	for len(b) > 0 {
		switch b[0] {
		case '"':
			if _, b, whole = text(b); !whole {
				return nil, false
			}
			continue
		case '{', '[':
			depth++
		case '}', ']', ',':
			if depth == 0 {
				return b, true // behind a number or a word
			}
			if b[0] != ',' {
				if depth--; depth == 0 {
					return b[1:], true
				}
			}
		}
		b = b[1:]
	}
	return nil, false
}

// appendText appends a string of JSON with its escapes undone (RFC 8259 section 7).
func appendText(to, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			to = append(to, s[i])
			continue
		}
		if i++; i == len(s) {
			break
		}
		switch c := s[i]; c {
		case 'n':
			to = append(to, '\n')
		case 't':
			to = append(to, '\t')
		case 'r':
			to = append(to, '\r')
		case 'b', 'f':
			to = append(to, ' ')
		case 'u':
			r, n := rune(0), 0
			for ; n < 4 && i+1+n < len(s); n++ {
				v := unhex(s[i+1+n])
				if v > 15 {
					break
				}
				r = r<<4 | rune(v)
			}
			i += n
			if n < 4 || utf16.IsSurrogate(r) {
				r = utf8.RuneError
			}
			to = utf8.AppendRune(to, r)
		default:
			to = append(to, c)
		}
	}
	return to
}

// document reads GraphQL as far as to know which operations it has
// (https://spec.graphql.org/October2021/#sec-Language).
type document struct {
	rest []byte
	// cut: it goes on behind rest.
	cut bool
	// operation is the type of the operation that is executed, and name its name; ""
	// if they are not known.
	operation string
	name      []byte
}

// read reports whether it is a document with an operation. wanted is the name of the
// one to execute; empty if there is but one.
func (d *document) read(wanted []byte) bool {
	operations := 0
	for {
		d.ignored()
		if len(d.rest) == 0 {
			break
		}
		operation, name := "query", []byte(nil)
		if d.rest[0] != '{' {
			operation = operationType(d.word())
			switch operation {
			case "query", "mutation", "subscription":
				d.ignored()
				name = d.word()
				if len(d.rest) == 0 && d.cut && len(name) > 0 {
					name = nil // it may go on
				}
			case "fragment":
				operation = ""
			default:
				// A word that was cut is none only if there was an operation before.
				return operations > 0 && d.cut && len(d.rest) == 0 && d.settle(operations, wanted)
			}
			d.ignored()
			if operation == "" {
				for len(d.word()) > 0 { // name on Type
					d.ignored()
				}
			}
			if len(d.rest) > 0 && d.rest[0] != '{' && d.rest[0] != '(' && d.rest[0] != '@' {
				return false
			}
			if len(d.rest) == 0 && !d.cut {
				return false
			}
		} else if !d.selects() {
			return false
		}
		if operation != "" {
			operations++
			if operations == 1 || len(wanted) > 0 && string(name) == string(wanted) {
				d.operation, d.name = operation, name
			}
		}
		if !d.skipSelection() {
			if !d.cut {
				return false
			}
			break
		}
	}
	return operations > 0 && d.settle(operations, wanted)
}

// operationType is a word that a definition begins with; "" if it is none.
func operationType(word []byte) string {
	switch string(word) {
	case "query":
		return "query"
	case "mutation":
		return "mutation"
	case "subscription":
		return "subscription"
	case "fragment":
		return "fragment"
	}
	return ""
}

// settle forgets the operation if another may be the one that is executed.
func (d *document) settle(operations int, wanted []byte) bool {
	switch {
	case len(wanted) == 0 && operations > 1:
		return false // which no server executes
	case len(wanted) > 0 && string(d.name) != string(wanted):
		d.operation, d.name = "", nil
	}
	return true
}

// selects reports whether the set of selections at the beginning of rest has one.
func (d *document) selects() bool {
	inner := document{rest: d.rest[1:]}
	inner.ignored()
	if len(inner.rest) == 0 {
		return d.cut
	}
	return inner.rest[0] == '.' || nameByte(inner.rest[0], true)
}

// ignored skips white space, commas and comments.
func (d *document) ignored() {
	for len(d.rest) > 0 {
		switch d.rest[0] {
		case ' ', '\t', '\n', '\r', ',':
			d.rest = d.rest[1:]
		case '#':
			i := bytes.IndexAny(d.rest, "\n\r")
			if i < 0 {
				i = len(d.rest)
			}
			d.rest = d.rest[i:]
		default:
			const bom = "\uFEFF"
			if !bytes.HasPrefix(d.rest, []byte(bom)) {
				return
			}
			d.rest = d.rest[len(bom):]
		}
	}
}

// word takes the name that rest begins with, if there is one.
func (d *document) word() []byte {
	n := 0
	for n < len(d.rest) && nameByte(d.rest[n], n == 0) {
		n++
	}
	w := d.rest[:n]
	d.rest = d.rest[n:]
	return w
}

// skipSelection passes over everything up to the end of a set of selections. It
// reports whether the end is there.
func (d *document) skipSelection() bool {
	braces, parentheses := 0, 0
	for len(d.rest) > 0 {
		switch c := d.rest[0]; c {
		case '#':
			d.ignored()
			continue
		case '"':
			if !d.skipText() {
				return false
			}
			continue
		case '(', '[':
			parentheses++
		case ')', ']':
			parentheses--
		case '{':
			braces++
		case '}':
			if braces--; braces == 0 && parentheses <= 0 {
				d.rest = d.rest[1:]
				return true
			}
		}
		d.rest = d.rest[1:]
	}
	return false
}

// skipText passes over a string, or a block string.
func (d *document) skipText() bool {
	const block = `"""`
	if bytes.HasPrefix(d.rest, []byte(block)) {
		for i := len(block); i+len(block) <= len(d.rest); i++ {
			if d.rest[i] == '\\' {
				i++
			} else if string(d.rest[i:i+len(block)]) == block {
				d.rest = d.rest[i+len(block):]
				return true
			}
		}
		d.rest = nil
		return false
	}
	_, rest, whole := text(d.rest)
	d.rest = rest
	return whole
}

func nameByte(c byte, first bool) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || !first && c >= '0' && c <= '9'
}

func isGraphQLName(b []byte) bool {
	for i, c := range b {
		if !nameByte(c, i == 0) {
			return false
		}
	}
	return len(b) > 0
}
