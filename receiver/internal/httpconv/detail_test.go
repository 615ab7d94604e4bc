// SPDX-License-Identifier: Apache-2.0

package httpconv

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/route"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/workload"
)

func settings(t testing.TB, o Options, r route.Options) *Settings {
	t.Helper()
	var err error
	o.Routes, err = route.New(r)
	require.NoError(t, err)
	s, err := NewSettings("protocols.http", o)
	require.NoError(t, err)
	return s
}

// message is what a test says about an exchange.
type message struct {
	role                        exchange.Role
	method, target, host, agent string
	status                      int
	secure, cut, unix           bool
	failure                     exchange.Failure
	version                     Version
	requestBody, responseBody   int64
	local, peer, path           string
}

func (m message) exchange(t testing.TB, s *Settings) (*exchange.Exchange, *Detail) {
	t.Helper()
	d := &Detail{Settings: s, Strings: intern.New(0)}
	d.Reset()
	d.Secure, d.TargetCut, d.Version, d.Status = m.secure, m.cut, m.version, m.status
	d.Method, d.Target = append(d.Method, m.method...), append(d.Target, m.target...)
	d.Host, d.UserAgent = append(d.Host, m.host...), append(d.UserAgent, m.agent...)
	if m.requestBody != 0 {
		d.RequestBody = m.requestBody
	}
	if m.responseBody != 0 {
		d.ResponseBody = m.responseBody
	}
	c := &exchange.Connection{ID: 1, Role: m.role, Path: m.path}
	if m.unix {
		c.Transport = exchange.TransportUnix
	}
	if m.local != "" {
		c.Local = netip.MustParseAddrPort(m.local)
	}
	if m.peer != "" {
		c.Peer = netip.MustParseAddrPort(m.peer)
	}
	return &exchange.Exchange{
		Measured:   exchange.Unmeasured,
		Connection: c, Role: m.role, Failure: m.failure, Detail: d, Start: 1e9, End: 1e9 + 25e6,
		Workload: &workload.Workload{Instance: &workload.Instance{Key: "i"}},
	}, d
}

func attributes(x *exchange.Exchange) map[string]any {
	m := pcommon.NewMap()
	x.Detail.PutSpanAttributes(x, m)
	return m.AsRaw()
}

var patterns = route.Options{Patterns: []string{"/users/{id}", "/static/*"}}

const (
	server = exchange.RoleServer
	client = exchange.RoleClient
)

func TestSpans(t *testing.T) {
	for _, c := range []struct {
		name    string
		message message
		span    string
		status  ptrace.StatusCode
		want    map[string]any
	}{
		{"server", message{role: server, method: "GET", target: "/users/7?q=a&b=c", host: "example.com", agent: "curl/8", status: 200,
			version: Version11, local: "10.0.0.1:8080", peer: "10.0.0.2:51234", requestBody: -1, responseBody: 5},
			"GET /users/{id}", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "GET", "http.route": "/users/{id}", "url.path": "/users/7", "url.query": "q=a&b=c", "url.scheme": "http",
				"http.response.status_code": int64(200), "http.response.body.size": int64(5),
				"server.address": "example.com", "server.port": int64(80),
				"client.address": "10.0.0.2", "network.peer.address": "10.0.0.2", "network.peer.port": int64(51234),
				"network.protocol.version": "1.1", "user_agent.original": "curl/8"}},
		{"client", message{role: client, method: "POST", target: "/users/7?q=a", host: "example.com:8443", agent: "curl/8", status: 201, secure: true,
			version: Version2, local: "10.0.0.1:51234", peer: "10.0.0.2:8443", requestBody: 12},
			"POST /users/{id}", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "POST", "url.full": "https://example.com:8443/users/7?q=a", "url.template": "/users/{id}",
				"http.response.status_code": int64(201), "http.request.body.size": int64(12),
				"server.address": "example.com", "server.port": int64(8443),
				"network.peer.address": "10.0.0.2", "network.peer.port": int64(8443), "network.protocol.version": "2"}},
		{"unmatched has no route and only the method for a name", message{role: server, method: "GET", target: "/other", host: "h", status: 200},
			"GET", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "GET", "url.path": "/other", "url.scheme": "http", "http.response.status_code": int64(200),
				"server.address": "h", "server.port": int64(80)}},
		{"unknown method", message{role: server, method: "get", target: "/users/7", host: "h", status: 200},
			"HTTP /users/{id}", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "_OTHER", "http.request.method_original": "get", "http.route": "/users/{id}", "url.path": "/users/7",
				"url.scheme": "http", "http.response.status_code": int64(200), "server.address": "h", "server.port": int64(80)}},
		{"unknown method without route", message{role: client, method: "PROPFIND", target: "/x", host: "h", status: 207},
			"HTTP", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "_OTHER", "http.request.method_original": "PROPFIND", "url.full": "http://h/x",
				"http.response.status_code": int64(207), "server.address": "h", "server.port": int64(80)}},
		{"4xx on the server", message{role: server, method: "QUERY", target: "/x", host: "h", status: 404},
			"QUERY", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "QUERY", "url.path": "/x", "url.scheme": "http", "http.response.status_code": int64(404),
				"server.address": "h", "server.port": int64(80)}},
		{"4xx on the client", message{role: client, method: "GET", target: "/x", host: "h", status: 404},
			"GET", ptrace.StatusCodeError, map[string]any{
				"http.request.method": "GET", "url.full": "http://h/x", "http.response.status_code": int64(404), "error.type": "404",
				"server.address": "h", "server.port": int64(80)}},
		{"5xx on the server", message{role: server, method: "GET", target: "/x", host: "h", status: 503},
			"GET", ptrace.StatusCodeError, map[string]any{
				"http.request.method": "GET", "url.path": "/x", "url.scheme": "http", "http.response.status_code": int64(503), "error.type": "503",
				"server.address": "h", "server.port": int64(80)}},
		{"no response", message{role: client, method: "GET", target: "/x", host: "h", failure: exchange.FailureReset},
			"GET", ptrace.StatusCodeError, map[string]any{
				"http.request.method": "GET", "url.full": "http://h/x", "error.type": "connection_reset",
				"server.address": "h", "server.port": int64(80)}},
		{"response cut short", message{role: server, method: "GET", target: "/x", host: "h", status: 200, failure: exchange.FailureEOF},
			"GET", ptrace.StatusCodeError, map[string]any{
				"http.request.method": "GET", "url.path": "/x", "url.scheme": "http", "http.response.status_code": int64(200), "error.type": "eof",
				"server.address": "h", "server.port": int64(80)}},
		{"error response cut short", message{role: server, method: "GET", target: "/x", host: "h", status: 500, failure: exchange.FailureEOF},
			"GET", ptrace.StatusCodeError, map[string]any{
				"http.request.method": "GET", "url.path": "/x", "url.scheme": "http", "http.response.status_code": int64(500), "error.type": "500",
				"server.address": "h", "server.port": int64(80)}},
		{"impossible status", message{role: server, method: "GET", target: "/x", host: "h", status: 99},
			"GET", ptrace.StatusCodeError, map[string]any{
				"http.request.method": "GET", "url.path": "/x", "url.scheme": "http", "http.response.status_code": int64(99), "error.type": "99",
				"server.address": "h", "server.port": int64(80)}},
		{"redirect", message{role: client, method: "GET", target: "/x", host: "h", status: 302},
			"GET", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "GET", "url.full": "http://h/x", "http.response.status_code": int64(302),
				"server.address": "h", "server.port": int64(80)}},
		{"absolute form", message{role: client, method: "GET", target: "HTTP://u:p@other:81?q", host: "ignored", status: 200, peer: "10.0.0.9:3128"},
			"GET", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "GET", "url.full": "http://REDACTED:REDACTED@other:81/?q", "http.response.status_code": int64(200),
				"server.address": "other", "server.port": int64(81), "network.peer.address": "10.0.0.9", "network.peer.port": int64(3128)}},
		{"absolute form on the server", message{role: server, method: "GET", target: "https://other/users/1", host: "ignored", status: 200},
			"GET /users/{id}", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "GET", "url.path": "/users/1", "http.route": "/users/{id}", "url.scheme": "https",
				"http.response.status_code": int64(200), "server.address": "other", "server.port": int64(443)}},
		{"CONNECT client", message{role: client, method: "CONNECT", target: "example.com:443", host: "example.com:443", status: 200, peer: "10.0.0.9:3128"},
			"CONNECT", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "CONNECT", "url.full": "//example.com:443", "http.response.status_code": int64(200),
				"server.address": "example.com", "server.port": int64(443), "network.peer.address": "10.0.0.9", "network.peer.port": int64(3128)}},
		{"CONNECT server", message{role: server, method: "CONNECT", target: "[2001:db8::1]:443", status: 200},
			"CONNECT", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "CONNECT", "url.scheme": "http", "http.response.status_code": int64(200),
				"server.address": "2001:db8::1", "server.port": int64(443)}},
		{"asterisk client", message{role: client, method: "OPTIONS", target: "*", host: "h", status: 200},
			"OPTIONS", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "OPTIONS", "url.full": "http://h", "http.response.status_code": int64(200),
				"server.address": "h", "server.port": int64(80)}},
		{"asterisk server", message{role: server, method: "OPTIONS", target: "*", host: "h", status: 200},
			"OPTIONS", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "OPTIONS", "url.path": "*", "url.scheme": "http", "http.response.status_code": int64(200),
				"server.address": "h", "server.port": int64(80)}},
		{"no Host on the server: the socket", message{role: server, method: "GET", target: "/x", status: 200, version: Version10,
			local: "10.0.0.1:8080", peer: "[2001:db8::2]:4000"},
			"GET", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "GET", "url.path": "/x", "url.scheme": "http", "http.response.status_code": int64(200),
				"server.address": "10.0.0.1", "server.port": int64(8080), "client.address": "2001:db8::2",
				"network.peer.address": "2001:db8::2", "network.peer.port": int64(4000), "network.protocol.version": "1.0"}},
		{"no Host on the client: the peer", message{role: client, method: "GET", target: "/x", status: 200, peer: "[2001:db8::2]:8080"},
			"GET", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "GET", "url.full": "http://[2001:db8::2]:8080/x", "http.response.status_code": int64(200),
				"server.address": "2001:db8::2", "server.port": int64(8080), "network.peer.address": "2001:db8::2", "network.peer.port": int64(8080)}},
		{"no Host, default port", message{role: client, method: "GET", target: "/x", status: 200, peer: "10.0.0.2:443", secure: true},
			"GET", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "GET", "url.full": "https://10.0.0.2/x", "http.response.status_code": int64(200),
				"server.address": "10.0.0.2", "server.port": int64(443), "network.peer.address": "10.0.0.2", "network.peer.port": int64(443)}},
		{"unix client", message{role: client, unix: true, path: "/run/docker.sock", method: "GET", target: "/info", host: "docker", status: 200},
			"GET", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "GET", "url.full": "http://docker/info", "http.response.status_code": int64(200),
				"server.address": "docker", "network.peer.address": "/run/docker.sock", "network.transport": "unix"}},
		{"unix client with the path for a host", message{role: client, unix: true, path: "/run/docker.sock", method: "GET", target: "/info",
			host: "%2Frun%2Fdocker.sock", status: 200},
			"GET", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "GET", "url.full": "http://%2Frun%2Fdocker.sock/info", "http.response.status_code": int64(200),
				"server.address": "/run/docker.sock", "network.peer.address": "/run/docker.sock", "network.transport": "unix"}},
		{"unix client without Host", message{role: client, unix: true, path: "@abstract", method: "GET", target: "/info", status: 200},
			"GET", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "GET", "url.full": "http+unix://%40abstract/info", "http.response.status_code": int64(200),
				"server.address": "@abstract", "network.peer.address": "@abstract", "network.transport": "unix"}},
		{"unix client without any name", message{role: client, unix: true, method: "GET", target: "/info", status: 200},
			"GET", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "GET", "url.full": "/info", "http.response.status_code": int64(200), "network.transport": "unix"}},
		{"unix server: the peer has no name", message{role: server, unix: true, path: "/run/x.sock", method: "GET", target: "/info", status: 200},
			"GET", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "GET", "url.path": "/info", "url.scheme": "http", "http.response.status_code": int64(200),
				"server.address": "/run/x.sock", "network.transport": "unix"}},
		{"target cut in the path", message{role: server, method: "GET", target: "/users/7", cut: true, host: "h", status: 200},
			"GET", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "GET", "url.path": "/users/7", "url.scheme": "http", "ebpf.url.truncated": true,
				"http.response.status_code": int64(200), "server.address": "h", "server.port": int64(80)}},
		{"target cut in the query", message{role: client, method: "GET", target: "/users/7?sig=abc", cut: true, host: "h", status: 200},
			"GET /users/{id}", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "GET", "url.full": "http://h/users/7?sig=REDACTED", "url.template": "/users/{id}", "ebpf.url.truncated": true,
				"http.response.status_code": int64(200), "server.address": "h", "server.port": int64(80)}},
		{"empty query", message{role: server, method: "GET", target: "/x?", host: "h", status: 200},
			"GET", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "GET", "url.path": "/x", "url.query": "", "url.scheme": "http", "http.response.status_code": int64(200),
				"server.address": "h", "server.port": int64(80)}},
		{"empty target", message{role: server, method: "GET", status: 400},
			"GET", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "GET", "url.scheme": "http", "http.response.status_code": int64(400)}},
		{"garbage", message{role: client, method: "\x00", target: "\xff\xfe?\x80", host: "a b", status: 200, peer: "10.0.0.2:80"},
			"HTTP", ptrace.StatusCodeUnset, map[string]any{
				"http.request.method": "_OTHER", "http.request.method_original": "\x00", "url.full": "http://10.0.0.2/\uFFFD?\uFFFD",
				"http.response.status_code": int64(200), "server.address": "10.0.0.2", "server.port": int64(80),
				"network.peer.address": "10.0.0.2", "network.peer.port": int64(80)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, d := c.message.exchange(t, settings(t, Options{}, patterns))
			kind := ptrace.SpanKindServer
			if c.message.role == client {
				kind = ptrace.SpanKindClient
			}
			for range 3 { // as it comes, and from the copies kept per connection
				require.Equal(t, c.span, d.SpanName(x))
				require.Equal(t, kind, d.SpanKind(x))
				require.Equal(t, c.status, d.SpanStatus(x))
				require.Equal(t, c.want, attributes(x))
			}
			d.Strings = nil
			require.Equal(t, c.want, attributes(x))
			m := pcommon.NewMap()
			m.PutStr("before", "x")
			d.PutSpanAttributes(x, m)
			require.Equal(t, len(c.want)+1, m.Len())
		})
	}
}

// TestReuse runs different exchanges through one Detail, as parsers do.
func TestReuse(t *testing.T) {
	s := settings(t, Options{}, patterns)
	messages := []message{
		{role: server, method: "GET", target: "/users/7?q", host: "a:1", agent: "x", status: 200, version: Version11, local: "10.0.0.1:80", peer: "10.0.0.2:1"},
		{role: server, method: "GET", target: "/users/8", host: "a:1", agent: "y", status: 500, version: Version11, local: "10.0.0.1:80", peer: "10.0.0.2:1"},
		{role: server, method: "PUT", target: "/x", host: "a:1", status: 404, version: Version11, local: "10.0.0.1:80", peer: "10.0.0.2:1", requestBody: 3},
		{role: server, method: "PUT", target: "http://c/x", host: "a:1", status: 200, version: Version11, local: "10.0.0.1:80", peer: "10.0.0.2:1"},
		{role: server, method: "PUT", target: "/x", host: "b", status: 200, version: Version10, local: "10.0.0.1:80", peer: "10.0.0.2:1"},
		{role: server, method: "PUT", target: "/x", host: "b", status: 200, version: Version10, secure: true, local: "10.0.0.1:80", peer: "10.0.0.2:1"},
		{role: client, method: "PUT", target: "/x", host: "b", status: 200, version: Version10, peer: "10.0.0.3:1"},
		{role: client, method: "PUT", target: "/x", host: "b", status: 200, version: Version10, peer: "10.0.0.4:1"},
	}
	reused := &Detail{Settings: s, Strings: intern.New(2)}
	connections := map[string]*exchange.Connection{}
	for i := range 200 {
		m := messages[(i/3*7)%len(messages)] // in runs of three
		x, fresh := m.exchange(t, s)
		if c := connections[m.peer]; c != nil {
			x.Connection = c
		}
		connections[m.peer] = x.Connection
		x.Connection.ID = uint64(len(m.peer))
		want, name, key := attributes(x), fresh.SpanName(x), fresh.AppendMetricKey(x, nil)
		reused.Reset()
		reused.Secure, reused.Version, reused.Status = fresh.Secure, fresh.Version, fresh.Status
		reused.Method, reused.Target = append(reused.Method, fresh.Method...), append(reused.Target, fresh.Target...)
		reused.Host, reused.UserAgent = append(reused.Host, fresh.Host...), append(reused.UserAgent, fresh.UserAgent...)
		reused.RequestBody, reused.ResponseBody = fresh.RequestBody, fresh.ResponseBody
		x.Detail = reused
		require.Equal(t, want, attributes(x))
		require.Equal(t, name, reused.SpanName(x))
		require.Equal(t, key, reused.AppendMetricKey(x, nil))
	}
}

func TestResetKeepsWhatBelongsToTheConnection(t *testing.T) {
	d := &Detail{Settings: &Settings{}, Strings: intern.New(2), Secure: true, Status: 3, TargetCut: true, Version: Version2,
		Method: []byte("GET"), Target: []byte("/"), Host: []byte("h"), UserAgent: []byte("u"), RequestBody: 1, ResponseBody: 1}
	d.Reset()
	require.NotNil(t, d.Settings)
	require.NotNil(t, d.Strings)
	require.True(t, d.Secure)
	require.Zero(t, d.Status)
	require.False(t, d.TargetCut)
	require.Equal(t, VersionUnknown, d.Version)
	require.Empty(t, string(d.Method)+string(d.Target)+string(d.Host)+string(d.UserAgent))
	require.Equal(t, [2]int64{-1, -1}, [2]int64{d.RequestBody, d.ResponseBody})
	require.Positive(t, cap(d.Method))
	require.Same(t, Protocol, d.Protocol())
}

func TestHosts(t *testing.T) {
	for host, want := range map[string]struct {
		address string
		port    int
	}{
		"example.com":             {"example.com", 80},
		"example.com:":            {"example.com", 80},
		"example.com:8080":        {"example.com", 8080},
		"example.com:80":          {"example.com", 80},
		"example.com:http":        {"example.com", 80},
		"example.com:99999":       {"example.com", 80},
		"example.com:999999":      {"example.com", 80},
		"10.0.0.1:81":             {"10.0.0.1", 81},
		"[::1]":                   {"::1", 80},
		"[::1]:8080":              {"::1", 8080},
		"[fe80::1%25eth0]:8080":   {"fe80::1%25eth0", 8080},
		"::1":                     {"::1", 80},
		"user:secret@host:81":     {"host", 81},
		"[::1":                    {"192.0.2.1", 7},
		"[nonsense]:1":            {"192.0.2.1", 7},
		"[::1]x":                  {"192.0.2.1", 7},
		"a:b:c":                   {"192.0.2.1", 7},
		"":                        {"192.0.2.1", 7},
		"a b":                     {"192.0.2.1", 7},
		"a/b":                     {"192.0.2.1", 7},
		"\xff\xfe":                {"192.0.2.1", 7},
		":8080":                   {"192.0.2.1", 7},
		strings.Repeat("a", 2000): {strings.Repeat("a", 2000), 80},
	} {
		x, d := message{role: client, method: "GET", target: "/", host: host, peer: "192.0.2.1:7"}.exchange(t, &Settings{})
		for range 2 {
			address, port := d.server(x)
			require.Equal(t, want.address, address, "Host %q", host)
			require.Equal(t, want.port, port, "Host %q", host)
			require.NotContains(t, d.fullURL(x), "secret")
		}
	}
}

func TestRedaction(t *testing.T) {
	custom := settings(t, Options{SensitiveQueryKeys: []string{"token"}}, route.Options{})
	none := settings(t, Options{SensitiveQueryKeys: []string{}}, route.Options{})
	for _, c := range []struct {
		settings    *Settings
		query, want string
	}{
		{&Settings{}, "q=OpenTelemetry&sig=abc", "q=OpenTelemetry&sig=REDACTED"},
		{&Settings{}, "AWSAccessKeyId=a&Signature=b&sig=c&X-Goog-Signature=d", "AWSAccessKeyId=REDACTED&Signature=REDACTED&sig=REDACTED&X-Goog-Signature=REDACTED"},
		{&Settings{}, "X-Amz-Signature=a&X-Amz-Credential=b&X-Amz-Security-Token=c&X-Amz-Date=d", "X-Amz-Signature=REDACTED&X-Amz-Credential=REDACTED&X-Amz-Security-Token=REDACTED&X-Amz-Date=d"},
		{&Settings{}, "SIG=a&sig&sig=&=x&&", "SIG=a&sig&sig=REDACTED&=x&&"},
		{&Settings{}, "s%69g=a&%73%69%67=b&%zz=c&sig%=d", "s%69g=REDACTED&%73%69%67=REDACTED&%zz=c&sig%=d"},
		{&Settings{}, "sig=a=b", "sig=REDACTED"},
		{custom, "token=a&sig=b", "token=REDACTED&sig=b"},
		{none, "token=a&sig=b", "token=a&sig=b"},
	} {
		x, _ := message{role: server, method: "GET", target: "/x?" + c.query, host: "h"}.exchange(t, c.settings)
		require.Equal(t, c.want, attributes(x)["url.query"])
		x, _ = message{role: client, method: "GET", target: "/x?" + c.query, host: "h"}.exchange(t, c.settings)
		require.Equal(t, "http://h/x?"+c.want, attributes(x)["url.full"])
	}
	for target, want := range map[string]string{
		"http://user@h/x":        "http://REDACTED@h/x",
		"http://user:pw@h/x":     "http://REDACTED:REDACTED@h/x",
		"http://a:b@c:d@h:1/x@y": "http://REDACTED:REDACTED@h:1/x@y",
		"http://h/x@y?z@w":       "http://h/x@y?z@w",
	} {
		x, _ := message{role: client, method: "GET", target: target}.exchange(t, &Settings{})
		require.Equal(t, want, attributes(x)["url.full"])
	}
}

func TestUnmatchedModes(t *testing.T) {
	for _, c := range []struct {
		mode                                     route.Unmatched
		other, id, root, asterisk, notFound, cut string
	}{
		{route.UnmatchedUnset, "", "", "", "", "", ""},
		{route.UnmatchedWildcard, "/**", "/**", "/**", "", "/**", ""},
		{route.UnmatchedPath, "/other", "/other/42", "/", "", "/nothing/here", ""},
		{route.UnmatchedHeuristic, "/other", "/other/{id}", "/", "", "", ""},
	} {
		s := settings(t, Options{}, route.Options{Patterns: patterns.Patterns, Unmatched: c.mode})
		for target, want := range map[string]string{"/other": c.other, "/other/42": c.id, "/": c.root, "*": c.asterisk, "/users/7": "/users/{id}"} {
			x, d := message{role: server, method: "GET", target: target, host: "h", status: 200}.exchange(t, s)
			require.Equal(t, want, d.template(x), "%s %s", c.mode, target)
			_, guessed := attributes(x)[attrRouteGuessed]
			require.Equal(t, want != "" && target != "/users/7", guessed, "%s %s", c.mode, target)
			x, d = message{role: client, method: "GET", target: target, host: "h", status: 200}.exchange(t, s)
			if target != "/users/7" {
				want = "" // clients: from patterns only
			}
			require.Equal(t, want, d.template(x), "%s %s", c.mode, target)
		}
		x, d := message{role: server, method: "GET", target: "/nothing/here", host: "h", status: 404}.exchange(t, s)
		require.Equal(t, c.notFound, d.template(x), c.mode)
		x, d = message{role: server, method: "GET", target: "/other", cut: true, host: "h", status: 200}.exchange(t, s)
		require.Equal(t, c.cut, d.template(x), c.mode)
	}
}

func TestSuppressed(t *testing.T) {
	s := settings(t, Options{}, route.Options{Ignored: []string{"/health"}, IgnoreMode: route.IgnoreTraces})
	x, d := message{role: server, method: "GET", target: "/health?full", host: "h"}.exchange(t, s)
	traces, metrics := d.Suppressed(x)
	require.True(t, traces)
	require.False(t, metrics)
	x, d = message{role: server, method: "GET", target: "/health", cut: true, host: "h"}.exchange(t, s)
	traces, metrics = d.Suppressed(x)
	require.False(t, traces || metrics)
	x, d = message{role: client, method: "GET", target: "http://other/health", host: "h"}.exchange(t, s)
	traces, _ = d.Suppressed(x)
	require.True(t, traces)
}

func TestKnownMethods(t *testing.T) {
	s := settings(t, Options{KnownMethods: []string{"GET", "PROPFIND"}}, route.Options{})
	require.Equal(t, "PROPFIND", s.method([]byte("PROPFIND")))
	require.Equal(t, "_OTHER", s.method([]byte("POST"))) // a full override
	require.Equal(t, "_OTHER", settings(t, Options{KnownMethods: []string{}}, route.Options{}).method([]byte("GET")))
	for _, m := range DefaultKnownMethods() {
		require.Equal(t, m, new(Settings).method([]byte(m)))
		require.Equal(t, "_OTHER", new(Settings).method([]byte(strings.ToLower(m))))
	}
	for _, k := range DefaultSensitiveQueryKeys() {
		require.True(t, new(Settings).isSensitive([]byte(k)))
	}
	require.Nil(t, KnownMethodsFromEnvironment(""))
	require.Equal(t, []string{"GET", "FOO"}, KnownMethodsFromEnvironment("GET, FOO,"))

	_, err := NewSettings("protocols.http", Options{KnownMethods: []string{"GET", "A B"}})
	require.EqualError(t, err, `protocols.http.known_methods[1]: "A B" is not an HTTP method: write a token such as PROPFIND`)
	_, err = NewSettings("protocols.http", Options{SensitiveQueryKeys: []string{"a=b"}})
	require.EqualError(t, err, `protocols.http.sensitive_query_parameters[0]: "a=b" cannot be the name of a query parameter: write the name alone, such as token`)
}

// TestGarbage: nothing panics, and pdata only gets valid UTF-8.
func TestGarbage(t *testing.T) {
	for _, target := range []string{"", "*", "**", "/", "//", "///?", "?", "?#", "#", "http://", "http://?", "://", "1://x", "h-t.p+9://x", "http:/x", "\xff",
		"/\xff?\xff=\xff", "/%", "/?%=%&%1=%", "http://@", "http://[", "http://]:", "CONNECT", "host:1", ":", strings.Repeat("/a", 5000), "/" + strings.Repeat("\xc3", 300)} {
		for _, host := range []string{"", ":", "@", "[", "]", "\xff", "%2frun", "a@b@", strings.Repeat("x", 5000)} {
			for _, method := range []string{"", "GET", "CONNECT", "\xff\x00"} {
				for _, role := range []exchange.Role{exchange.RoleUnknown, server, client} {
					for _, connection := range []*exchange.Connection{nil, {}, {Transport: exchange.TransportUnix, Path: "\xff"}} {
						s := settings(t, Options{}, route.Options{Patterns: []string{"/{a}/*", "/*.x"}, Unmatched: route.UnmatchedHeuristic})
						x, d := message{role: role, method: method, target: target, host: host, agent: "\xff\xfe"}.exchange(t, s)
						x.Connection = connection
						require.True(t, utf8.ValidString(d.SpanName(x)))
						for _, put := range []func(*exchange.Exchange, pcommon.Map){d.PutSpanAttributes, d.PutMetricAttributes, d.PutActiveAttributes} {
							m := pcommon.NewMap()
							put(x, m)
							for k, v := range m.All() {
								require.True(t, utf8.ValidString(v.AsString()), "%s of %q %q", k, target, host)
							}
						}
					}
				}
			}
		}
	}
}

func FuzzDetail(f *testing.F) {
	f.Add([]byte("GET"), []byte("/a?b=c"), []byte("host:80"), true, 200)
	f.Add([]byte("CONNECT"), []byte("[::1]:443"), []byte("[::1]"), false, 500)
	f.Add([]byte("OPTIONS"), []byte("http://u:p@h?sig=x"), []byte(""), false, 0)
	routes, _ := route.New(route.Options{Patterns: []string{"/a/{b}"}, Unmatched: route.UnmatchedHeuristic, MaxNodes: 50})
	s, _ := NewSettings("", Options{Routes: routes, ServerAddressOnMetrics: true})
	table := intern.New(8)
	f.Fuzz(func(t *testing.T, method, target, host []byte, isClient bool, status int) {
		m := message{role: server, method: string(method), target: string(target), host: string(host), status: status, peer: "10.0.0.1:1"}
		if isClient {
			m.role = client
		}
		x, d := m.exchange(t, s)
		d.Strings = table
		before := bytes.Clone(d.Target)
		if !utf8.ValidString(d.SpanName(x)) {
			t.Fatal("span name is not UTF-8")
		}
		for k, v := range attributes(x) {
			if !utf8.ValidString(fmt.Sprint(v)) {
				t.Fatalf("%s is not UTF-8: %q", k, v)
			}
		}
		d.AppendMetricKey(x, nil)
		if !bytes.Equal(before, d.Target) {
			t.Fatal("the target was changed")
		}
	})
}

// The rule that selected a process may have routes of its own.
func TestRoutesOfRule(t *testing.T) {
	own, err := route.New(route.Options{Patterns: []string{"/{own}/*"}, Ignored: []string{"/quiet"}, Unmatched: route.UnmatchedWildcard})
	require.NoError(t, err)
	s := settings(t, Options{}, route.Options{Patterns: patterns.Patterns, Ignored: []string{"/health"}})
	for _, c := range []struct {
		rule          *discovery.Rule
		target        string
		want          string
		ignoredTraces bool
	}{
		{nil, "/users/7", "/users/{id}", false},
		{&discovery.Rule{}, "/users/7", "/users/{id}", false},
		{&discovery.Rule{Routes: own}, "/users/7", "/{own}/*", false},
		{&discovery.Rule{Routes: own}, "/users", "/**", false},
		{&discovery.Rule{Routes: own}, "/quiet", "/**", true},
		{&discovery.Rule{Routes: own}, "/health", "/**", false},
		{nil, "/health", "", true},
	} {
		x, d := message{role: server, method: "GET", target: c.target, host: "h", status: 200}.exchange(t, s)
		w := *x.Workload
		w.Discovery = discovery.Decision{Selected: true, Rule: c.rule}
		x.Workload = &w
		traces, metrics := d.Suppressed(x)
		require.Equal(t, c.ignoredTraces, traces, c.target)
		require.Equal(t, c.ignoredTraces, metrics, c.target)
		require.Equal(t, c.want, d.template(x), c.target)
	}
}

func TestExportsTraces(t *testing.T) {
	for target, want := range map[string]bool{"/v1/traces": true, "/otlp/v1/traces?x=y": true, "/v1/metrics": false, "/v1/traces/1": false} {
		for status, done := range map[int]bool{200: true, 202: true, 404: false, 0: false} {
			_, d := message{role: client, method: "POST", target: target, host: "h", status: status}.exchange(t, &Settings{})
			export, accepted := d.ExportsTraces()
			require.Equal(t, want, export, target)
			require.Equal(t, done, accepted, target)
		}
		_, d := message{role: client, method: "GET", target: target, host: "h", status: 200}.exchange(t, &Settings{})
		export, _ := d.ExportsTraces()
		require.False(t, export, target)
	}
}
