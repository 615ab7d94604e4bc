// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// Resume implements protocol.Successor: a connection that was HTTP/1.1 up to here (RFC
// 7540 section 3.2). The request that asked for it is answered on stream 1; both ends
// begin with their prefaces.
func (h *http2) Resume(host protocol.Host, u *protocol.Upgrade) protocol.Parser {
	p := newParser(host, h.o, u.Requests)
	p.dirs[u.Requests].fresh = true
	responses := &p.dirs[u.Requests.Other()]
	p.begin(responses)
	responses.seen = true
	p.newest, p.strays = 1, false

	from, ok := u.Request.Detail.(*httpconv.Detail)
	c := p.open(1)
	if !ok || c == nil {
		return p
	}
	c.requested, c.adopted, c.kernel = true, true, u.Request.Identity.Seed
	x := &c.x
	x.PID, x.TID, x.Role = u.Request.PID, u.Request.TID, u.Request.Role
	x.Start, x.Identity, x.Remote, x.Measured = u.Request.Start, u.Request.Identity, u.Request.Remote, u.Request.Measured
	d := &c.http
	d.Reset()
	d.Version, d.Secure, d.TargetCut = httpconv.Version2, from.Secure, from.TargetCut
	d.Method = append(d.Method[:0], from.Method...)
	d.Target = append(d.Target[:0], from.Target...)
	d.Host = append(d.Host[:0], from.Host...)
	d.UserAgent = append(d.UserAgent[:0], from.UserAgent...)
	c.requestBody = from.RequestBody
	p.classify(c, classHTTP)
	return p
}
