// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bytes"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
)

// mayBeAuthorization reports whether a header line that begins with an A may be an
// Authorization; most are Accept and its kin.
func mayBeAuthorization(l []byte) bool { return len(l) > 1 && l[1]|0x20 == 'u' }

// tells reports whether a line of a response tells an application.
func tells(l []byte) bool {
	for _, f := range [...]httpconv.Field{
		httpconv.FieldAmzRequestID, httpconv.FieldAmzID2, httpconv.FieldElasticProduct, httpconv.FieldOpenSearchVersion,
	} {
		if _, ok := value(l, f.String()); ok {
			return true
		}
	}
	return false
}

// tellRequest gives a Detail the headers of the request at hand that tell an
// application.
func (p *parser) tellRequest(d *httpconv.Detail) {
	p.fields(func(f httpconv.Field, v []byte) { d.RequestField(f, v) })
}

// tellResponse does so with the headers of the response at hand.
func (p *parser) tellResponse(d *httpconv.Detail) {
	p.fields(func(f httpconv.Field, v []byte) { d.ResponseField(f, v) })
	p.typed = p.typed && p.size > 1
}

// fields passes on those of the head at hand that are known to httpconv.
func (p *parser) fields(pass func(httpconv.Field, []byte)) {
	_, rest, _ := line(p.lines)
	for {
		l, more, ok := line(rest)
		if !ok || len(l) == 0 {
			return
		}
		rest = more
		i := bytes.IndexByte(l, ':')
		var name [32]byte
		if i <= 0 || i > len(name) {
			continue
		}
		n := 0
		for _, c := range trim(l[:i]) {
			if 'A' <= c && c <= 'Z' {
				c |= 0x20
			}
			name[n] = c
			n++
		}
		if f, ok := httpconv.FieldOf(name[:n]); ok {
			pass(f, trim(l[i+1:]))
		}
	}
}

// tellOrphan keeps what the response at hand tells, of which the request is not there yet.
func (p *parser) tellOrphan() {
	switch {
	case p.lines != nil && p.early == nil:
		p.early = &httpconv.Detail{Settings: p.settings, Strings: p.host.Strings}
	case p.early == nil:
		return
	}
	p.early.Reset()
	if p.lines != nil {
		p.tellResponse(p.early)
	}
}

// undecided is a stream's want when a body begins of which it depends on the first bytes
// whether more are wanted.
const undecided = 1 << 30

// take gives the beginning of a body to who wants it.
func (p *parser) take(st *stream, b []byte) {
	if st.want == undecided {
		st.want = 0
		if httpconv.MayAnswer(b) && st.slot != nil {
			st.want = st.slot.d.WantsResponse()
		}
		if st.want == 0 {
			return
		}
	}
	switch sl := st.slot; {
	case sl == nil:
		st.want = 0
	case st == &p.req:
		st.want = sl.d.TakeRequest(b)
		p.typed = p.typed || sl.d.WantsType()
	default:
		st.want = sl.d.TakeResponse(b)
	}
}
