// SPDX-License-Identifier: Apache-2.0

package httpconv

import (
	"bytes"
	"strings"

	"go.opentelemetry.io/collector/pdata/xpdata"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// Values of db.system.name.
const (
	systemElasticsearch = "elasticsearch"
	systemOpenSearch    = "opensearch"
)

// maxParameters is how many dynamic values a path has at most.
const maxParameters = 3

// parameter is a dynamic value of a path.
type parameter struct {
	key   string // db.operation.parameter.<name>; "" if there is none
	value []byte // percent-encoded
}

// endpoint is one of the API: a path in segments, and its identifier per method.
type endpoint struct {
	segments []string // a parameter is its attribute's key
	dynamic  []bool
	names    map[string]string // "" is any method
	// own: the path begins with the name of an API, or has one behind the index.
	own bool
}

// endpoints by how many segments they have.
var endpoints = parseEndpoints(elasticsearchAPI)

func parseEndpoints(text string) [7][]endpoint {
	var all [7][]endpoint
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		e := endpoint{names: map[string]string{}}
		for s := range strings.SplitSeq(strings.TrimPrefix(words[0], "/"), "/") {
			if s == "" {
				continue
			}
			name, dynamic := strings.CutPrefix(s, "{")
			if dynamic {
				s = attrOperationParameter + strings.TrimSuffix(name, "}")
			}
			e.own = e.own || !dynamic
			e.segments, e.dynamic = append(e.segments, s), append(e.dynamic, dynamic)
		}
		for _, w := range words[1:] {
			method, name, ok := strings.Cut(w, "=")
			if !ok {
				method, name = "", w
			}
			e.names[method] = name
		}
		all[len(e.segments)] = append(all[len(e.segments)], e)
	}
	return all
}

const attrIndexParameter = attrOperationParameter + "index"

// recognizeElasticsearch: the product is named by a header, or an answer begins as
// these servers' answers do where the path has the name of an API.
func (d *Detail) recognizeElasticsearch(a *application) bool {
	if a.system = a.product; a.system == "" {
		if !answersLikeElasticsearch(a.response) {
			return false
		}
		a.system = systemElasticsearch
		if bytes.HasPrefix(d.UserAgent, []byte(systemOpenSearch)) {
			a.system = systemOpenSearch
		}
	}
	var segments [len(endpoints)][]byte
	n := 0
	for rest := d.path(); len(rest) > 0; {
		rest = rest[1:] // the slash
		i := bytes.IndexByte(rest, '/')
		if i < 0 {
			i = len(rest)
		}
		if i > 0 {
			if n == len(segments) {
				return false
			}
			segments[n] = rest[:i]
			n++
		}
		rest = rest[i:]
	}
	if n == len(segments) {
		return false
	}
	for i := range endpoints[n] {
		e := &endpoints[n][i]
		if !e.own && a.product == "" || !e.match(segments[:n]) {
			continue
		}
		name := e.names[d.request.method]
		if name == "" {
			name = e.names[""]
		}
		if name == "" {
			continue
		}
		a.operation = name
		a.parameters = [maxParameters]parameter{}
		p := 0
		for j, dynamic := range e.dynamic {
			if dynamic {
				a.parameters[p] = parameter{e.segments[j], segments[j]}
				p++
			}
		}
		return true
	}
	return false
}

// match: names of indices do not begin with an underscore, "_all" excepted, so that
// they cannot be mistaken for those of APIs.
func (e *endpoint) match(path [][]byte) bool {
	for i, s := range e.segments {
		switch {
		case !e.dynamic[i]:
			if string(path[i]) != s {
				return false
			}
		case s == attrIndexParameter && path[i][0] == '_' && string(path[i]) != "_all":
			return false
		}
	}
	return true
}

// answersLikeElasticsearch judges the beginning of a body, white space aside.
func answersLikeElasticsearch(b []byte) bool {
	var buf [maxResponse]byte
	text := buf[:0]
	for _, c := range b {
		if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			text = append(text, c)
		}
	}
	for _, begins := range [...]string{
		`{"took":`, `{"_shards":{`, `{"_index":`, `{"_scroll_id":"`, `{"errors":false,"took":`, `{"errors":true,"took":`,
		`{"docs":[{"_index":`, `{"cluster_name":"`, `{"error":{"root_cause":[`,
	} {
		if len(text) >= len(begins) && string(text[:len(begins)]) == begins {
			return true
		}
	}
	return bytes.HasPrefix(text, []byte(`{"count":`)) && bytes.Contains(text, []byte(`,"_shards":{`))
}

// collection is what the request is about: an index or a list of them, if it names any
// and not a pattern.
func (d *Detail) collection(a *application) []byte {
	for i := range a.parameters {
		p := &a.parameters[i]
		if p.key != attrIndexParameter {
			continue
		}
		a.unescaped = unescape(a.unescaped[:0], p.value)
		if bytes.IndexByte(a.unescaped, '*') >= 0 || string(a.unescaped) == "_all" || a.unescaped[0] == '<' {
			return nil
		}
		return a.unescaped
	}
	return nil
}

// elasticsearchName is "{db.operation.name} {target}", the target being the index, else
// the cluster, else the server.
func (d *Detail) elasticsearchName(a *application, x *exchange.Exchange) string {
	target := d.collection(a)
	if len(target) == 0 {
		target = a.cluster
	}
	b := append(append(d.scratch[:0], a.operation...), ' ')
	if len(target) > 0 {
		b = append(b, target...)
	} else if address, port := d.server(x); address != "" && port != 0 {
		b = appendInt(append(append(b, address...), ':'), port)
	} else {
		b = b[:len(b)-1]
	}
	d.scratch = b
	return d.Strings.String(b)
}

func (d *Detail) putElasticsearch(a *application, b *xpdata.MapBuilder) {
	b.AppendEmpty(attrDBSystem).SetStr(a.system)
	b.AppendEmpty(attrDBOperation).SetStr(a.operation)
	d.put(b, attrDBCollection, d.collection(a))
	d.put(b, attrDBNamespace, a.cluster)
	d.put(b, attrElasticsearchNode, a.node)
	for i := range a.parameters {
		if p := &a.parameters[i]; p.key != "" {
			a.unescaped = unescape(a.unescaped[:0], p.value)
			d.put(b, p.key, a.unescaped)
		}
	}
	if d.Status != 0 {
		b.AppendEmpty(attrDBStatus).SetStr(d.statusText())
	}
}
