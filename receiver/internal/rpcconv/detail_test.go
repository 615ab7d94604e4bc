// SPDX-License-Identifier: Apache-2.0

package rpcconv

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	semrpc "go.opentelemetry.io/otel/semconv/v1.43.0/rpcconv"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

func TestNames(t *testing.T) {
	t.Parallel()
	require.EqualValues(t, semconv.RPCSystemNameKey, attrSystem)
	require.EqualValues(t, semconv.RPCSystemNameGRPC.Value.AsString(), grpc)
	require.EqualValues(t, semconv.RPCMethodKey, attrMethod)
	require.EqualValues(t, semconv.RPCResponseStatusCodeKey, attrStatus)
	require.EqualValues(t, semconv.ErrorTypeKey, attrErrorType)
	for _, tc := range []struct {
		have                    exchange.Instrument
		name, description, unit string
	}{
		{Protocol.Server[0], semrpc.ServerCallDuration{}.Name(), semrpc.ServerCallDuration{}.Description(), semrpc.ServerCallDuration{}.Unit()},
		{Protocol.Client[0], semrpc.ClientCallDuration{}.Name(), semrpc.ClientCallDuration{}.Description(), semrpc.ClientCallDuration{}.Unit()},
	} {
		require.Equal(t, tc.name, tc.have.Name)
		require.Equal(t, tc.description, tc.have.Description)
		require.Equal(t, tc.unit, tc.have.Unit)
	}
}

func newExchange(role exchange.Role, d *Detail) *exchange.Exchange {
	d.Settings = &Settings{}
	return &exchange.Exchange{
		Role: role, Detail: d, Measured: exchange.Unmeasured, Start: 1e9, End: 3e9,
		Connection: &exchange.Connection{Role: role, Local: netip.MustParseAddrPort("10.0.0.1:40000"), Peer: netip.MustParseAddrPort("10.0.0.2:50051")},
	}
}

func TestSpans(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		role   exchange.Role
		code   Code
		fail   exchange.Failure
		status ptrace.StatusCode
		want   map[string]any
	}{
		"client": {exchange.RoleClient, OK, 0, ptrace.StatusCodeUnset, map[string]any{
			"rpc.response.status_code": "OK", "server.address": "greeter", "server.port": int64(50051), "network.peer.address": "10.0.0.2", "network.peer.port": int64(50051),
		}},
		"client, not found": {exchange.RoleClient, NotFound, 0, ptrace.StatusCodeError, map[string]any{
			"rpc.response.status_code": "NOT_FOUND", "error.type": "NOT_FOUND",
			"server.address": "greeter", "server.port": int64(50051), "network.peer.address": "10.0.0.2", "network.peer.port": int64(50051),
		}},
		"server, not found": {exchange.RoleServer, NotFound, 0, ptrace.StatusCodeUnset, map[string]any{
			"rpc.response.status_code": "NOT_FOUND", "client.address": "10.0.0.2",
			"server.address": "greeter", "server.port": int64(40000), "network.peer.address": "10.0.0.2", "network.peer.port": int64(50051),
		}},
		"server, failed": {exchange.RoleServer, DataLoss, 0, ptrace.StatusCodeError, map[string]any{
			"rpc.response.status_code": "DATA_LOSS", "error.type": "DATA_LOSS", "client.address": "10.0.0.2",
			"server.address": "greeter", "server.port": int64(40000), "network.peer.address": "10.0.0.2", "network.peer.port": int64(50051),
		}},
		"client, closed": {exchange.RoleClient, NoCode, exchange.FailureReset, ptrace.StatusCodeError, map[string]any{
			"error.type":     "connection_reset",
			"server.address": "greeter", "server.port": int64(50051), "network.peer.address": "10.0.0.2", "network.peer.port": int64(50051),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &Detail{Path: []byte("/helloworld.Greeter/SayHello"), Authority: []byte("greeter"), Code: tc.code}
			x := newExchange(tc.role, d)
			x.Failure = tc.fail
			m := pcommon.NewMap()
			d.PutSpanAttributes(x, m)
			tc.want["rpc.system.name"], tc.want["rpc.method"] = "grpc", "helloworld.Greeter/SayHello"
			require.Equal(t, tc.want, m.AsRaw())
			require.Equal(t, "helloworld.Greeter/SayHello", d.SpanName(x))
			require.Equal(t, tc.status, d.SpanStatus(x))
			metric := pcommon.NewMap()
			d.PutMetricAttributes(x, metric)
			for k, v := range metric.AsRaw() {
				require.Equal(t, tc.want[k], v, k)
			}
			_, there := metric.Get("server.address")
			require.Equal(t, tc.role == exchange.RoleClient, there)
			var values [1]float64
			d.Measure(x, values[:])
			require.Equal(t, 2.0, values[0])
		})
	}
}

// The table of docs/rpc/grpc.md.
func TestErrors(t *testing.T) {
	t.Parallel()
	servers := map[string]bool{"UNKNOWN": true, "DEADLINE_EXCEEDED": true, "UNIMPLEMENTED": true, "INTERNAL": true, "UNAVAILABLE": true, "DATA_LOSS": true}
	for c := OK; c < codes; c++ {
		require.Equal(t, c != OK, c.IsError(true))
		require.Equal(t, servers[c.String()], c.IsError(false), c.String())
		require.Equal(t, c, ParseCode([]byte{'0' + byte(c/10), '0' + byte(c%10)}))
	}
	require.Equal(t, Unknown, ParseCode([]byte("17")))
	require.Equal(t, Unknown, ParseCode([]byte("-1")))
	require.Equal(t, Unknown, ParseCode(nil))
	require.Empty(t, NoCode.String())
}

// Equal keys for equal attributes, others for others.
func TestMetricKey(t *testing.T) {
	t.Parallel()
	d := &Detail{Path: []byte("/a.B/C"), Code: OK}
	key := func(x *exchange.Exchange) string { return string(d.AppendMetricKey(x, nil)) }
	x := newExchange(exchange.RoleClient, d)
	first := key(x)
	require.Equal(t, first, key(x))
	d.Code = Internal
	require.NotEqual(t, first, key(x))
	d.Code, d.Path = OK, []byte("/a.B/D")
	require.NotEqual(t, first, key(x))
	d.Path, d.Authority = []byte("/a.B/C"), []byte("other")
	require.NotEqual(t, first, key(x))
}

// Reporting an export would make the next one.
func TestExportsAreNotReported(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/opentelemetry.proto.collector.trace.v1.TraceService/Export": true,
		"/shop.Cart/Add": false,
	} {
		d := &Detail{}
		d.Path = append(d.Path[:0], path...)
		traces, metrics := d.Suppressed(&exchange.Exchange{})
		require.Equal(t, want, traces, path)
		require.Equal(t, want, metrics, path)
	}
}

func TestExportsTraces(t *testing.T) {
	for path, want := range map[string]bool{
		"/opentelemetry.proto.collector.trace.v1.TraceService/Export":     true,
		"/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": false,
		"/shop.Cart/Export": false,
	} {
		d := &Detail{Settings: &Settings{}, Path: []byte(path)}
		export, done := d.ExportsTraces()
		require.Equal(t, want, export, path)
		require.True(t, done, path)
		d.Code = 14
		_, done = d.ExportsTraces()
		require.False(t, done, path)
	}
}
