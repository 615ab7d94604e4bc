// SPDX-License-Identifier: Apache-2.0

package httpconv

import (
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// Attribute names of semantic conventions v1.43.0; a test compares them with
// the Go semconv package, which is too heavy a type for the hot path.
const (
	attrClientAddress      = "client.address"
	attrErrorType          = "error.type"
	attrRequestBodySize    = "http.request.body.size"
	attrRequestMethod      = "http.request.method"
	attrRequestMethodOrig  = "http.request.method_original"
	attrResponseBodySize   = "http.response.body.size"
	attrResponseStatusCode = "http.response.status_code"
	attrRoute              = "http.route"
	attrPeerAddress        = "network.peer.address"
	attrPeerPort           = "network.peer.port"
	attrProtocolVersion    = "network.protocol.version"
	attrTransport          = "network.transport"
	attrServerAddress      = "server.address"
	attrServerPort         = "server.port"
	attrURLFull            = "url.full"
	attrURLPath            = "url.path"
	attrURLQuery           = "url.query"
	attrURLScheme          = "url.scheme"
	attrURLTemplate        = "url.template"
	attrUserAgent          = "user_agent.original"

	// attrURLTruncated is our own: the target was longer than what was seen.
	attrURLTruncated = "ebpf.url.truncated"
)

// PutSpanAttributes implements exchange.Detail.
func (d *Detail) PutSpanAttributes(x *exchange.Exchange, m pcommon.Map) {
	r := d.parsed()
	client := x.Role == exchange.RoleClient
	template := d.template(x)
	errorType := d.errorType(x)
	other := r.method == methodOther

	// One allocation of the right size: attributes are most of a span's
	// memory.
	n := maxEndpointAttributes
	if e := &d.endpoint; e.ready && m.Len() == 0 && e.matches(d, x) {
		n = e.attributes.Len()
	}
	n += 1 + count(other) + count(template != "") + count(d.Status != 0) + count(errorType != "") +
		count(d.RequestBody > 0) + count(d.ResponseBody > 0) + count(d.TargetCut)
	if client {
		n++ // url.full
	} else {
		n += count(len(r.path) > 0) + count(r.hasQuery) + count(len(d.UserAgent) > 0)
	}
	m.EnsureCapacity(m.Len() + n)

	d.putEndpoint(x, m)
	m.PutStr(attrRequestMethod, r.method)
	if other {
		m.PutStr(attrRequestMethodOrig, d.Strings.String(d.Method))
	}
	if client {
		m.PutStr(attrURLFull, d.fullURL(x))
		if template != "" {
			m.PutStr(attrURLTemplate, template)
		}
	} else {
		if template != "" {
			m.PutStr(attrRoute, template)
		}
		if len(r.path) > 0 {
			m.PutStr(attrURLPath, d.Strings.String(r.path))
		}
		if r.hasQuery {
			d.scratch = d.appendQuery(d.scratch[:0])
			m.PutStr(attrURLQuery, d.Strings.String(d.scratch))
		}
	}
	if d.TargetCut {
		m.PutBool(attrURLTruncated, true)
	}
	if d.Status != 0 {
		m.PutInt(attrResponseStatusCode, int64(d.Status))
	}
	if errorType != "" {
		m.PutStr(attrErrorType, errorType)
	}
	if d.RequestBody > 0 {
		m.PutInt(attrRequestBodySize, d.RequestBody)
	}
	if d.ResponseBody > 0 {
		m.PutInt(attrResponseBodySize, d.ResponseBody)
	}
	if !client && len(d.UserAgent) > 0 {
		m.PutStr(attrUserAgent, d.Strings.String(d.UserAgent))
	}
}

// maxEndpointAttributes is how many attributes putEndpoint puts at most.
const maxEndpointAttributes = 8

// endpoint holds the attributes that follow from the two ends of a connection
// and the Host header: half of a span's attributes, the same for nearly every
// exchange of a connection. Copying them is cheaper than putting them one by
// one, which looks each key up. The copy is only made when the second exchange
// in a row has the same ones, so that a connection shared by many hosts pays
// nothing.
type endpoint struct {
	known, ready bool // known: the key below is set; ready: attributes are
	connection   *exchange.Connection
	id           uint64
	role         exchange.Role
	version      Version
	scheme       string
	host         string // the Host header
	attributes   pcommon.Map
}

func (e *endpoint) matches(d *Detail, x *exchange.Exchange) bool {
	r := &d.request
	return e.known && e.connection == x.Connection && e.role == x.Role && e.version == d.Version &&
		e.scheme == r.scheme && e.host == string(d.Host) && len(r.authority) == 0 &&
		(x.Connection == nil || e.id == x.Connection.ID)
}

// putEndpoint puts the attributes of the two ends.
func (d *Detail) putEndpoint(x *exchange.Exchange, m pcommon.Map) {
	e := &d.endpoint
	switch {
	case !e.matches(d, x):
		d.putEndpointAttributes(x, m)
		if len(d.request.authority) > 0 || len(d.Host) > 256 {
			return
		}
		host := e.host
		if host != string(d.Host) {
			host = string(d.Host)
		}
		*e = endpoint{known: true, connection: x.Connection, role: x.Role, version: d.Version, scheme: d.request.scheme, host: host}
		if x.Connection != nil {
			e.id = x.Connection.ID
		}
	case m.Len() > 0:
		d.putEndpointAttributes(x, m)
	default:
		if !e.ready {
			e.attributes = pcommon.NewMap()
			e.attributes.EnsureCapacity(maxEndpointAttributes)
			d.putEndpointAttributes(x, e.attributes)
			e.ready = true
		}
		e.attributes.CopyTo(m)
	}
}

func (d *Detail) putEndpointAttributes(x *exchange.Exchange, m pcommon.Map) {
	r := &d.request
	client := x.Role == exchange.RoleClient
	if !client {
		m.PutStr(attrURLScheme, r.scheme)
	}
	if address, port := d.server(x); address != "" {
		m.PutStr(attrServerAddress, address)
		if port != 0 {
			m.PutInt(attrServerPort, int64(port))
		}
	}
	if address, port := socketAddress(x.Connection, false); address != "" {
		if !client {
			m.PutStr(attrClientAddress, address)
		}
		m.PutStr(attrPeerAddress, address)
		if port != 0 {
			m.PutInt(attrPeerPort, int64(port))
		}
	}
	if version := d.Version.String(); version != "" {
		m.PutStr(attrProtocolVersion, version)
	}
	if x.Connection != nil && x.Connection.Transport == exchange.TransportUnix {
		m.PutStr(attrTransport, "unix")
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}
