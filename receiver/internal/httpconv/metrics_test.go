// SPDX-License-Identifier: Apache-2.0

package httpconv

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	conv "go.opentelemetry.io/otel/semconv/v1.43.0/httpconv"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/route"
)

func TestNamesAreThoseOfTheConventions(t *testing.T) {
	for ours, theirs := range map[string]string{
		attrClientAddress:      string(semconv.ClientAddressKey),
		attrErrorType:          string(semconv.ErrorTypeKey),
		attrRequestBodySize:    string(semconv.HTTPRequestBodySizeKey),
		attrRequestMethod:      string(semconv.HTTPRequestMethodKey),
		attrRequestMethodOrig:  string(semconv.HTTPRequestMethodOriginalKey),
		attrResponseBodySize:   string(semconv.HTTPResponseBodySizeKey),
		attrResponseStatusCode: string(semconv.HTTPResponseStatusCodeKey),
		attrRoute:              string(semconv.HTTPRouteKey),
		attrPeerAddress:        string(semconv.NetworkPeerAddressKey),
		attrPeerPort:           string(semconv.NetworkPeerPortKey),
		attrProtocolName:       string(semconv.NetworkProtocolNameKey),
		attrProtocolVersion:    string(semconv.NetworkProtocolVersionKey),
		attrTransport:          string(semconv.NetworkTransportKey),
		attrServerAddress:      string(semconv.ServerAddressKey),
		attrServerPort:         string(semconv.ServerPortKey),
		attrURLFull:            string(semconv.URLFullKey),
		attrURLPath:            string(semconv.URLPathKey),
		attrURLQuery:           string(semconv.URLQueryKey),
		attrURLScheme:          string(semconv.URLSchemeKey),
		attrURLTemplate:        string(semconv.URLTemplateKey),
		attrUserAgent:          string(semconv.UserAgentOriginalKey),
		methodOther:            semconv.HTTPRequestMethodOther.Value.AsString(),
		"unix":                 semconv.NetworkTransportUnix.Value.AsString(),
	} {
		require.Equal(t, theirs, ours)
	}
}

// instrument is what the generated instruments have in common.
type instrument interface {
	Name() string
	Unit() string
	Description() string
}

func TestInstrumentsAreThoseOfTheConventions(t *testing.T) {
	for i, want := range []instrument{conv.ServerRequestDuration{}, conv.ServerRequestBodySize{}, conv.ServerResponseBodySize{}} {
		requireInstrument(t, want, Protocol.Instruments(exchange.RoleServer)[i])
	}
	for i, want := range []instrument{conv.ClientRequestDuration{}, conv.ClientRequestBodySize{}, conv.ClientResponseBodySize{}} {
		requireInstrument(t, want, Protocol.Instruments(exchange.RoleClient)[i])
	}
	requireInstrument(t, conv.ServerActiveRequests{}, Protocol.Active)
	require.Equal(t, "http", Protocol.Name)
	require.Equal(t, []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}, Protocol.Server[0].Bounds)
	require.IsIncreasing(t, Protocol.Server[1].Bounds)
}

func requireInstrument(t *testing.T, want instrument, got exchange.Instrument) {
	require.Equal(t, want.Name(), got.Name)
	require.Equal(t, want.Unit(), got.Unit)
	require.Equal(t, want.Description(), got.Description)
}

func TestMeasure(t *testing.T) {
	x, d := message{role: server, method: "POST", target: "/", requestBody: 7}.exchange(t, &Settings{})
	values := make([]float64, 3)
	d.Measure(x, values)
	require.Equal(t, 0.025, values[0])
	require.Equal(t, 7.0, values[1])
	require.True(t, math.IsNaN(values[2]))
	d.RequestBody, d.ResponseBody = 0, 0
	x.End = x.Start - 1
	d.Measure(x, values)
	require.Equal(t, []float64{0, 0, 0}, values)
}

func TestMetricAttributes(t *testing.T) {
	plain := settings(t, Options{}, patterns)
	withAddress := settings(t, Options{ServerAddressOnMetrics: true}, patterns)
	for _, c := range []struct {
		name     string
		settings *Settings
		message  message
		want     map[string]any
	}{
		{"server", plain, message{role: server, method: "GET", target: "/users/7?q", host: "h:1", agent: "x", status: 200, version: Version11, peer: "10.0.0.1:2"},
			map[string]any{"http.request.method": "GET", "http.route": "/users/{id}", "url.scheme": "http", "http.response.status_code": int64(200), "network.protocol.version": "1.1"}},
		{"server with address", withAddress, message{role: server, method: "GET", target: "/", host: "h:1", status: 500, secure: true},
			map[string]any{"http.request.method": "GET", "url.scheme": "https", "http.response.status_code": int64(500), "error.type": "500", "server.address": "h", "server.port": int64(1)}},
		{"client", plain, message{role: client, method: "GET", target: "/users/7", host: "h", status: 404, version: Version2},
			map[string]any{"http.request.method": "GET", "url.template": "/users/{id}", "http.response.status_code": int64(404), "error.type": "404",
				"network.protocol.version": "2", "server.address": "h", "server.port": int64(80)}},
		{"failure", plain, message{role: client, method: "FOO", target: "/x", failure: exchange.FailureTimeout, peer: "10.0.0.1:99"},
			map[string]any{"http.request.method": "_OTHER", "error.type": "timeout", "server.address": "10.0.0.1", "server.port": int64(99)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, d := c.message.exchange(t, c.settings)
			m := pcommon.NewMap()
			d.PutMetricAttributes(x, m)
			require.Equal(t, c.want, m.AsRaw())
			m = pcommon.NewMap()
			d.PutActiveAttributes(x, m)
			require.Equal(t, 2, m.Len())
		})
	}
}

// TestKeysAreEqualExactlyForEqualAttributes is the contract of AppendMetricKey.
func TestKeysAreEqualExactlyForEqualAttributes(t *testing.T) {
	for _, s := range []*Settings{
		settings(t, Options{}, patterns), settings(t, Options{ServerAddressOnMetrics: true}, patterns),
		settings(t, Options{}, route.Options{Unmatched: route.UnmatchedPath}),
	} {
		for _, role := range []exchange.Role{server, client} {
			metric, active := map[string]string{}, map[string]string{}
			for i := range 4000 {
				m := message{
					role:    role,
					method:  []string{"GET", "POST", "FOO", "BAR"}[i%4],
					target:  []string{"/users/1", "/users/2", "/x", "*", "http://h/x"}[i/4%5],
					host:    []string{"h", "h:80", "h:81", "g"}[i/20%4],
					status:  []int{0, 200, 404, 500, 768 + 200}[i/80%5],
					version: Version(i / 400 % 2), secure: i/800%2 == 1,
					failure: exchange.Failure(i / 1600 % 3),
				}
				x, d := m.exchange(t, s)
				a := pcommon.NewMap()
				d.PutMetricAttributes(x, a)
				check(t, metric, string(d.AppendMetricKey(x, nil)), fmt.Sprint(a.AsRaw()))
				a = pcommon.NewMap()
				d.PutActiveAttributes(x, a)
				check(t, active, string(d.AppendActiveKey(x, nil)), fmt.Sprint(a.AsRaw()))
			}
		}
	}
}

// check finds two keys for one text and two texts for one key.
func check(t *testing.T, seen map[string]string, key, text string) {
	t.Helper()
	if old, ok := seen["key "+key]; ok {
		require.Equal(t, old, text)
	}
	if old, ok := seen["text "+text]; ok {
		require.Equal(t, []byte(old), []byte(key), text)
	}
	seen["key "+key], seen["text "+text] = text, key
}

func TestMetricsDoNotAllocate(t *testing.T) {
	x, d := message{role: client, method: "GET", target: "/users/7?q=1", host: "h", status: 404, version: Version11}.exchange(t, settings(t, Options{}, patterns))
	key := make([]byte, 0, 256)
	values := make([]float64, 3)
	f := func() {
		d.request, d.route = request{}, resolvedRoute{}
		d.Suppressed(x)
		d.AppendActiveKey(x, key)
		d.AppendMetricKey(x, key)
		d.Measure(x, values)
		d.SpanName(x)
	}
	f()
	require.Zero(t, testing.AllocsPerRun(100, f))
}

// With metrics.kernel there are histograms of what only the kernel knows.
func TestKernelMetrics(t *testing.T) {
	s, err := NewSettings("", Options{KernelMetrics: true})
	require.NoError(t, err)
	d := &Detail{Settings: s}
	p := d.Protocol()
	require.Len(t, p.Server, 8)
	require.Len(t, p.Client, 5)
	require.Equal(t, Protocol.Server, p.Server[:3])
	x := &exchange.Exchange{Role: exchange.RoleServer, Measured: exchange.Measured{QueueTime: 1500, ThreadCPU: exchange.NotMeasured, RunQueue: 20, RTT: 40, Retransmits: 2}}
	values := make([]float64, 8)
	d.Measure(x, values)
	require.Equal(t, 0.0015, values[3])
	require.True(t, math.IsNaN(values[4]))
	require.Equal(t, []float64{20e-6, 40e-6, 2}, values[5:])
	x.Role = exchange.RoleClient
	d.Measure(x, values[:5])
	require.Equal(t, []float64{40e-6, 2}, values[3:5])
	x.Measured = exchange.Unmeasured
	d.Measure(x, values[:5])
	require.True(t, math.IsNaN(values[3]) && math.IsNaN(values[4]))
}
