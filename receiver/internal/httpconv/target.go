// SPDX-License-Identifier: Apache-2.0

package httpconv

import (
	"bytes"
	"strconv"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/route"
)

// form of a request target, RFC 9112 section 3.2.
type form uint8

const (
	formOrigin    form = iota // /path?query
	formAbsolute              // http://host/path?query
	formAuthority             // host:port, of CONNECT
	formAsterisk              // *, of OPTIONS
	formOther                 // none of these, or empty
)

// request is what follows from the head of a request. It is computed once per
// exchange. Parts of the target are positions in it: pointers stored for every
// exchange are work for the garbage collector.
type request struct {
	parsed      bool
	form        form
	hasQuery    bool
	method      string
	scheme      string
	authority   part // of an absolute or authority form
	path, query part

	// With routed:
	routed                      bool
	ignoreTraces, ignoreMetrics bool
	pattern                     string // of routes.patterns
	routes                      *route.Matcher
}

// part is a range of Detail.Target.
type part struct{ from, to uint32 }

func (d *Detail) authority() []byte { return d.Target[d.request.authority.from:d.request.authority.to] }

func (d *Detail) query() []byte { return d.Target[d.request.query.from:d.request.query.to] }

// path of a target in absolute form is never empty (RFC 9110 section 4.2.3).
func (d *Detail) path() []byte {
	r := &d.request
	if r.form == formAbsolute && r.path.from == r.path.to {
		return rootPath
	}
	return d.Target[r.path.from:r.path.to]
}

func (d *Detail) parsed() *request {
	if !d.request.parsed {
		d.parse()
	}
	return &d.request
}

func (d *Detail) parse() {
	r := &d.request
	r.parsed, r.hasQuery = true, false
	r.authority, r.path, r.query = part{}, part{}, part{}
	r.method, r.scheme = d.Settings.method(d.Method), "http"
	if d.Secure {
		r.scheme = "https"
	}
	rest := d.Target
	length := uint32(len(rest))
	switch {
	case len(rest) > 0 && rest[0] == '/':
		r.form = formOrigin
	case len(rest) == 1 && rest[0] == '*':
		r.form = formAsterisk
	case string(d.Method) == "CONNECT":
		r.form = formAuthority
		r.authority.to = length
		return
	default:
		scheme, after, ok := bytes.Cut(rest, []byte("://"))
		if !ok || !isScheme(scheme) {
			r.form = formOther
			break
		}
		r.form = formAbsolute
		r.scheme = d.scheme(scheme)
		end := bytes.IndexAny(after, "/?#")
		if end < 0 {
			end = len(after)
		}
		rest = after[end:]
		r.authority = part{length - uint32(len(after)), length - uint32(len(rest))}
	}
	r.path = part{length - uint32(len(rest)), length}
	if i := bytes.IndexByte(rest, '?'); i >= 0 {
		r.path.to = r.path.from + uint32(i)
		r.query, r.hasQuery = part{r.path.to + 1, length}, true
	}
}

// routed is the request with what routes say about its path: those of the rule that
// selected the process, if it has any.
func (d *Detail) routed(x *exchange.Exchange) *request {
	r := d.parsed()
	if r.routed {
		return r
	}
	r.routed, r.pattern, r.ignoreTraces, r.ignoreMetrics = true, "", false, false
	r.routes = d.Settings.routes
	if x != nil && x.Workload != nil && x.Workload.Discovery.Rule != nil && x.Workload.Discovery.Rule.Routes != nil {
		r.routes = x.Workload.Discovery.Rule.Routes
	}
	// What follows a cut could change the verdict.
	if r.routes != nil && r.form != formAuthority && !d.pathCut() {
		path := d.path()
		r.pattern = r.routes.Match(path)
		r.ignoreTraces, r.ignoreMetrics = r.routes.Ignored(path)
	}
	return r
}

// pathCut: not even the path is complete.
func (d *Detail) pathCut() bool { return d.TargetCut && !d.request.hasQuery }

var rootPath = []byte("/")

func isScheme(s []byte) bool {
	for i, c := range s {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return len(s) > 0
}

func (d *Detail) scheme(s []byte) string {
	switch {
	case bytes.EqualFold(s, []byte("http")):
		return "http"
	case bytes.EqualFold(s, []byte("https")):
		return "https"
	}
	return d.Strings.String(bytes.ToLower(s))
}

// resolvedRoute is the route of the exchange, which for learned routes also
// depends on the status: computed at the end.
type resolvedRoute struct {
	resolved bool
	template string
}

// template is http.route for servers, url.template for clients; "" if none.
func (d *Detail) template(x *exchange.Exchange) string {
	if !d.route.resolved {
		d.route = resolvedRoute{resolved: true, template: d.resolve(x)}
	}
	return d.route.template
}

func (d *Detail) resolve(x *exchange.Exchange) string {
	r := d.routed(x)
	if r.pattern != "" || x.Role == exchange.RoleClient {
		return r.pattern
	}
	if r.form != formOrigin && r.form != formAbsolute || d.pathCut() {
		return ""
	}
	switch r.routes.Unmatched() {
	case route.UnmatchedWildcard:
		return route.Wildcard
	case route.UnmatchedPath:
		return d.Strings.String(d.path())
	case route.UnmatchedHeuristic:
		if x.Workload == nil || x.Workload.Instance == nil {
			return ""
		}
		if d.learner == nil || d.instance != x.Workload.Instance || d.learns != r.routes {
			d.instance, d.learns = x.Workload.Instance, r.routes
			d.learner = r.routes.Learner(d.instance.Key)
		}
		return d.learner.Route(d.path(), d.Status != 404)
	}
	return ""
}

// appendQuery appends the query with the values of sensitive keys redacted.
func (d *Detail) appendQuery(b []byte) []byte {
	rest := d.query()
	for {
		pair := rest
		i := bytes.IndexByte(rest, '&')
		if i >= 0 {
			pair = rest[:i]
		}
		if eq := bytes.IndexByte(pair, '='); eq >= 0 && d.sensitive(pair[:eq]) {
			b = append(append(b, pair[:eq+1]...), redacted...)
		} else {
			b = append(b, pair...)
		}
		if i < 0 {
			return b
		}
		b = append(b, '&')
		rest = rest[i+1:]
	}
}

const redacted = "REDACTED"

// sensitive also sees through percent-encoding, as servers do.
func (d *Detail) sensitive(key []byte) bool {
	if bytes.IndexByte(key, '%') < 0 {
		return d.Settings.isSensitive(key)
	}
	var buf [64]byte
	out := buf[:0]
	for i := 0; i < len(key) && len(out) < len(buf); i++ {
		c := key[i]
		if c == '%' && i+2 < len(key) {
			if v, err := strconv.ParseUint(string(key[i+1:i+3]), 16, 8); err == nil {
				c = byte(v)
				i += 2
			}
		}
		out = append(out, c)
	}
	return d.Settings.isSensitive(out)
}

func appendInt(b []byte, v int) []byte { return strconv.AppendInt(b, int64(v), 10) }
