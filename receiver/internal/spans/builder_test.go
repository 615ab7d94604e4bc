// SPDX-License-Identifier: Apache-2.0

package spans

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/route"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/sampling"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/workload"
)

func newWorkload(name string, pid uint32) *workload.Workload {
	i := &workload.Instance{Key: name, ServiceName: name, Metrics: pcommon.NewResource()}
	w := &workload.Workload{Instance: i, PID: pid, Traces: pcommon.NewResource()}
	w.Traces.Attributes().PutStr("service.name", name)
	w.Traces.Attributes().PutInt("process.pid", int64(pid))
	return w
}

// newExchange is a typical server exchange: twelve attributes.
func newExchange(t testing.TB, w *workload.Workload) (*exchange.Exchange, *httpconv.Detail) {
	routes, err := route.New(route.Options{Patterns: []string{"/api/users/{id}"}, Ignored: []string{"/health"}})
	require.NoError(t, err)
	settings, err := httpconv.NewSettings("", httpconv.Options{Routes: routes})
	require.NoError(t, err)
	d := &httpconv.Detail{Settings: settings, Strings: intern.New(0)}
	x := &exchange.Exchange{
		Connection: &exchange.Connection{
			Role:  exchange.RoleServer,
			Local: netip.MustParseAddrPort("10.0.0.1:8080"), Peer: netip.MustParseAddrPort("10.0.0.2:51234"),
		},
		Workload: w,
		Role:     exchange.RoleServer,
		Start:    1_000_000_000,
		End:      1_005_000_000,
		Measured: exchange.Unmeasured,
		Context:  exchange.Context{TraceID: pcommon.TraceID{1}, SpanID: pcommon.SpanID{2}, ParentID: pcommon.SpanID{3}},
		Detail:   d,
	}
	fill(d, 7)
	return x, d
}

func fill(d *httpconv.Detail, user int) {
	d.Reset()
	d.Version = httpconv.Version11
	d.Method = append(d.Method, "GET"...)
	d.Target = fmt.Appendf(d.Target, "/api/users/%d", user)
	d.Host = append(d.Host, "shop.example.com:8080"...)
	d.UserAgent = append(d.UserAgent, "Mozilla/5.0 (X11; Linux x86_64)"...)
	d.Status = 200
	d.RequestBody = 0
}

func testClock() *Clock {
	c := &Clock{}
	c.offset.Store(1_700_000_000_000_000_000)
	return c
}

func TestSpan(t *testing.T) {
	w := newWorkload("shop", 42)
	x, _ := newExchange(t, w)
	b := NewBuilder(Options{Clock: testClock(), Version: "1.2.3"})
	require.True(t, b.Add(x))
	require.Equal(t, 1, b.Len())
	traces := b.Take(true)
	require.Zero(t, b.Len())
	require.Zero(t, b.Take(true).SpanCount())

	require.Equal(t, 1, traces.ResourceSpans().Len())
	r := traces.ResourceSpans().At(0)
	require.Equal(t, semconv.SchemaURL, r.SchemaUrl())
	require.Equal(t, w.Traces.Attributes().AsRaw(), r.Resource().Attributes().AsRaw())
	require.Equal(t, 1, r.ScopeSpans().Len())
	scope := r.ScopeSpans().At(0)
	require.Equal(t, semconv.SchemaURL, scope.SchemaUrl())
	require.Equal(t, ScopeName, scope.Scope().Name())
	require.Equal(t, "1.2.3", scope.Scope().Version())

	s := scope.Spans().At(0)
	require.Equal(t, "GET /api/users/{id}", s.Name())
	require.Equal(t, ptrace.SpanKindServer, s.Kind())
	require.Equal(t, ptrace.StatusCodeUnset, s.Status().Code())
	require.Equal(t, pcommon.TraceID{1}, s.TraceID())
	require.Equal(t, pcommon.SpanID{2}, s.SpanID())
	require.Equal(t, pcommon.SpanID{3}, s.ParentSpanID())
	require.Equal(t, uint32(0x101), s.Flags())
	require.Equal(t, pcommon.Timestamp(1_700_000_001_000_000_000), s.StartTimestamp())
	require.Equal(t, 5*time.Millisecond, s.EndTimestamp().AsTime().Sub(s.StartTimestamp().AsTime()))
	require.Equal(t, map[string]any{
		"http.request.method": "GET", "http.route": "/api/users/{id}", "url.path": "/api/users/7", "url.scheme": "http",
		"http.response.status_code": int64(200), "server.address": "shop.example.com", "server.port": int64(8080),
		"client.address": "10.0.0.2", "network.peer.address": "10.0.0.2", "network.peer.port": int64(51234),
		"network.protocol.version": "1.1", "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64)",
	}, s.Attributes().AsRaw())
}

func TestContext(t *testing.T) {
	for _, c := range []struct {
		name    string
		context exchange.Context
		flags   uint32
	}{
		{"root", exchange.Context{}, 0x101},
		{"in this process", exchange.Context{ParentID: pcommon.SpanID{8}, Decided: true, Sampled: true}, 0x101},
		{"remote", exchange.Context{ParentID: pcommon.SpanID{8}, Remote: true}, 0x301},
		{"random", exchange.Context{ParentID: pcommon.SpanID{8}, Remote: true, Random: true}, 0x303},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, _ := newExchange(t, newWorkload("shop", 1))
			x.Context = c.context
			x.Context.TraceID = pcommon.TraceID{9}
			for _, valid := range []bool{false, true} {
				x.Remote = exchange.Remote{Valid: valid, State: "vendor=1"}
				b := NewBuilder(Options{Clock: testClock()})
				require.True(t, b.Add(x))
				s := b.Take(true).ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
				require.Equal(t, pcommon.TraceID{9}, s.TraceID())
				require.Equal(t, c.context.ParentID, s.ParentSpanID())
				require.Equal(t, c.flags, s.Flags())
				require.Equal(t, map[bool]string{true: "vendor=1"}[valid], s.TraceState().AsRaw())
			}
		})
	}
}

// What the kernel knows beyond bytes, and what it does not.
func TestObserved(t *testing.T) {
	x, _ := newExchange(t, newWorkload("shop", 1))
	attributes := func(role exchange.Role) map[string]any {
		x.Role = role
		b := NewBuilder(Options{Clock: testClock()})
		require.True(t, b.Add(x))
		all := b.Take(true).ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Attributes().AsRaw()
		for k := range all {
			if !strings.HasPrefix(k, "ebpf.") {
				delete(all, k)
			}
		}
		return all
	}
	require.Empty(t, attributes(exchange.RoleServer))
	x.Context.Method = exchange.MethodConnection
	x.Measured = exchange.Measured{QueueTime: 1_500_000, ThreadCPU: 20, RunQueue: 0, RTT: 45, Retransmits: 2}
	require.Equal(t, map[string]any{
		"ebpf.parent.method": "connection", "ebpf.socket.queue_time": 1.5, "ebpf.thread.cpu_time": 20e-6,
		"ebpf.thread.runqueue_time": 0.0, "ebpf.tcp.rtt": 45e-6, "ebpf.tcp.retransmits": int64(2),
	}, attributes(exchange.RoleServer))
	require.Equal(t, map[string]any{
		"ebpf.parent.method": "connection", "ebpf.tcp.rtt": 45e-6, "ebpf.tcp.retransmits": int64(2),
	}, attributes(exchange.RoleClient))
}

func TestGroupsByWorkload(t *testing.T) {
	a, b := newWorkload("a", 1), newWorkload("b", 2)
	x, _ := newExchange(t, nil)
	builder := NewBuilder(Options{Clock: testClock()})
	for round := range 2 {
		for i := range 30 {
			x.Workload = a
			if i%3 == 0 {
				x.Workload = b
			}
			builder.Add(x)
		}
		traces := builder.Take(true)
		require.Equal(t, 30, traces.SpanCount(), "round %d", round)
		require.Equal(t, 2, traces.ResourceSpans().Len())
		for i, want := range []struct {
			name  string
			count int
		}{{"b", 10}, {"a", 20}} {
			r := traces.ResourceSpans().At(i)
			name, _ := r.Resource().Attributes().Get("service.name")
			require.Equal(t, want.name, name.Str())
			require.Equal(t, want.count, r.ScopeSpans().At(0).Spans().Len())
		}
	}
}

func TestSamplersAndSuppression(t *testing.T) {
	never, err := sampling.New("sampler", "always_off", "")
	require.NoError(t, err)
	parentBased, err := sampling.New("sampler", "parentbased_always_off", "")
	require.NoError(t, err)
	quiet, asked := newWorkload("quiet", 1), newWorkload("asked", 2)
	b := NewBuilder(Options{Clock: testClock(), SamplerFor: func(w *workload.Workload) *sampling.Sampler {
		switch w {
		case quiet:
			return never
		case asked:
			return parentBased
		}
		return nil
	}})
	x, d := newExchange(t, nil)
	require.False(t, b.Add(x))
	x.Workload = quiet
	require.False(t, b.Add(x))
	x.Workload = asked
	require.False(t, b.Add(x))
	require.Zero(t, b.Take(true).ResourceSpans().Len()) // no empty resources
	x.Context.Decided, x.Context.Sampled = true, true
	require.True(t, b.Add(x))
	x.Context.Sampled = false
	require.False(t, b.Add(x))
	x.Workload = newWorkload("other", 3)
	require.True(t, b.Add(x))
	d.Reset()
	d.Target = append(d.Target, "/health"...)
	require.False(t, b.Add(x))
	require.Equal(t, 2, b.Len())
}

// What another reader learns before the batch leaves settles contexts, and with
// them whether the trace is sampled at all.
func TestSettlesLate(t *testing.T) {
	parentBased, err := sampling.New("sampler", "parentbased_always_off", "")
	require.NoError(t, err)
	for _, c := range []struct {
		name    string
		sampler *sampling.Sampler
		flags   byte
		spans   int
	}{
		{"sampled", nil, 1, 1},
		{"dropped", nil, 0, 0},
		{"kept by the caller", parentBased, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.sampler == nil {
				c.sampler, err = sampling.New("sampler", "parentbased_always_on", "")
				require.NoError(t, err)
			}
			table := causality.NewTable(causality.NewIDs())
			named := exchange.Remote{Valid: true, TraceID: pcommon.TraceID{7}, SpanID: pcommon.SpanID{7}, Flags: 1}
			// Such traffic has been seen.
			table.Begin(&exchange.Exchange{Role: exchange.RoleServer, Identity: exchange.Identity{Seed: 1, Trace: 1}, Remote: named})
			b := NewBuilder(Options{
				Clock: testClock(), Sampler: c.sampler, Contexts: table, Lagging: func(uint64) bool { return true },
			})
			x, _ := newExchange(t, newWorkload("shop", 1))
			x.Role = exchange.RoleClient
			x.Identity = exchange.Identity{Seed: 3, Trace: 2, Parent: 2, Method: exchange.MethodThread}
			x.Context = table.Resolve(&causality.Request{Identity: x.Identity, Role: x.Role})
			b.Add(x)
			named.Flags = c.flags
			table.Begin(&exchange.Exchange{Role: exchange.RoleServer, Identity: exchange.Identity{Seed: 2, Trace: 2}, Remote: named})
			traces := b.Take(true)
			require.Equal(t, c.spans, traces.SpanCount())
			if c.spans == 1 {
				s := traces.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
				require.Equal(t, pcommon.TraceID{7}, s.TraceID())
				require.Equal(t, x.Context.ParentID, s.ParentSpanID())
			}
		})
	}
}

// A server may have answered before its caller's send returned: the caller is found in
// this batch, in the next one, or not any more once all is read.
func TestCallerIsLate(t *testing.T) {
	for name, after := range map[string]int{"in the batch": 0, "in the next one": 1, "never": 2} {
		t.Run(name, func(t *testing.T) {
			table := causality.NewTable(causality.NewIDs())
			unread := true
			b := NewBuilder(Options{
				Clock: testClock(), Contexts: table, Lagging: func(uint64) bool { return false }, Unread: func(uint64) bool { return unread },
			})
			x, _ := newExchange(t, newWorkload("shop", 1))
			x.Role = exchange.RoleServer
			x.Connection.Wire = &exchange.Wire{Key: 1}
			x.Connection.Wire.Ends.Store(2)
			x.Identity = exchange.Identity{Seed: 2, Trace: 2}
			x.Context = table.Resolve(&causality.Request{Identity: x.Identity, Role: x.Role})
			require.True(t, b.Add(x))
			caller := &exchange.Exchange{Role: exchange.RoleClient, Identity: exchange.Identity{Seed: 3, Trace: 3, Peer: 2}}
			if after == 0 {
				table.Begin(caller)
			} else {
				require.Zero(t, b.Take(false).ResourceSpans().Len())
				require.Equal(t, 1, b.Len())
				require.Zero(t, b.Fresh())
				if after == 1 {
					table.Begin(caller)
				}
				unread = false
			}
			traces := b.Take(false)
			require.Zero(t, b.Len())
			require.Equal(t, 1, traces.SpanCount())
			s := traces.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
			require.Equal(t, x.Detail.SpanName(x), s.Name())
			if after == 2 {
				require.Equal(t, x.Context.TraceID, s.TraceID())
				require.True(t, s.ParentSpanID().IsEmpty())
				return
			}
			want := table.Resolve(&causality.Request{Identity: exchange.Identity{Seed: 3, Trace: 3}, Role: exchange.RoleClient})
			require.Equal(t, want.TraceID, s.TraceID())
			require.Equal(t, want.SpanID, s.ParentSpanID())
		})
	}
}

func TestTraceStateMustBeText(t *testing.T) {
	x, _ := newExchange(t, newWorkload("shop", 1))
	x.Remote = exchange.Remote{Valid: true, Flags: 1, State: "a=\xff"}
	b := NewBuilder(Options{Clock: testClock()})
	b.Add(x)
	require.Empty(t, b.Take(true).ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).TraceState().AsRaw())
}

func TestEndBeforeStart(t *testing.T) {
	x, _ := newExchange(t, newWorkload("shop", 1))
	x.End = x.Start - 1
	b := NewBuilder(Options{Clock: testClock()})
	b.Add(x)
	s := b.Take(true).ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
	require.Equal(t, s.StartTimestamp(), s.EndTimestamp())
}

func TestClock(t *testing.T) {
	c := NewClock()
	for range 5 {
		want := time.Now()
		got := c.Wall(uint64(read(unix.CLOCK_MONOTONIC))).AsTime()
		require.WithinDuration(t, want, got, 20*time.Millisecond) // a busy machine may preempt us in between
		require.Less(t, c.Measure().Abs(), 20*time.Millisecond)
	}
}

// BenchmarkFloor is what pdata alone costs for the span of BenchmarkAdd, with
// every string a constant: the other benchmarks are to be read against it.
func BenchmarkFloor(b *testing.B) {
	var list ptrace.SpanSlice
	open := func() {
		list = ptrace.NewTraces().ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	}
	open()
	b.ReportAllocs()
	for b.Loop() {
		s := list.AppendEmpty()
		s.SetTraceID(pcommon.TraceID{1})
		s.SetSpanID(pcommon.SpanID{1})
		s.SetName("GET /api/users/{id}")
		s.SetKind(ptrace.SpanKindServer)
		s.SetStartTimestamp(1)
		s.SetEndTimestamp(2)
		m := s.Attributes()
		m.EnsureCapacity(12)
		m.PutStr("http.request.method", "GET")
		m.PutStr("http.route", "/api/users/{id}")
		m.PutStr("url.path", "/api/users/7")
		m.PutStr("url.scheme", "http")
		m.PutInt("http.response.status_code", 200)
		m.PutStr("server.address", "shop.example.com")
		m.PutInt("server.port", 8080)
		m.PutStr("client.address", "10.0.0.2")
		m.PutStr("network.peer.address", "10.0.0.2")
		m.PutInt("network.peer.port", 51234)
		m.PutStr("network.protocol.version", "1.1")
		m.PutStr("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)")
		if list.Len() == 512 {
			open()
		}
	}
}

// BenchmarkAdd is a server span with twelve attributes, in batches of 512.
func BenchmarkAdd(b *testing.B) {
	x, d := newExchange(b, newWorkload("shop", 1))
	builder := NewBuilder(Options{Clock: testClock()})
	bench(b, builder, x, d, func(i int) int { return i % 100 })
}

// BenchmarkAddUniquePaths never finds the path in the string table.
func BenchmarkAddUniquePaths(b *testing.B) {
	x, d := newExchange(b, newWorkload("shop", 1))
	builder := NewBuilder(Options{Clock: testClock()})
	bench(b, builder, x, d, func(i int) int { return i })
}

func BenchmarkAddClient(b *testing.B) {
	x, d := newExchange(b, newWorkload("shop", 1))
	x.Role, x.Connection.Role = exchange.RoleClient, exchange.RoleClient
	builder := NewBuilder(Options{Clock: testClock()})
	bench(b, builder, x, d, func(i int) int { return i % 100 })
}

// BenchmarkAddDropped is an exchange that head sampling drops.
func BenchmarkAddDropped(b *testing.B) {
	x, d := newExchange(b, newWorkload("shop", 1))
	never, _ := sampling.New("sampler", "always_off", "")
	builder := NewBuilder(Options{Clock: testClock(), Sampler: never})
	bench(b, builder, x, d, func(i int) int { return i % 100 })
}

func bench(b *testing.B, builder *Builder, x *exchange.Exchange, d *httpconv.Detail, user func(int) int) {
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		// What a parser does is part of the measurement, but for the text.
		target := d.Target[:0]
		fill2(d, append(target, "/api/users/"...), user(i))
		builder.Add(x)
		if builder.Len() == 512 {
			builder.Take(true)
		}
		i++
	}
}

func fill2(d *httpconv.Detail, target []byte, user int) {
	d.Reset()
	d.Version = httpconv.Version11
	d.Method = append(d.Method, "GET"...)
	n := len(target)
	for user > 0 || len(target) == n {
		target = append(target, byte('0'+user%10))
		user /= 10
	}
	d.Target = target
	d.Host = append(d.Host, "shop.example.com:8080"...)
	d.UserAgent = append(d.UserAgent, "Mozilla/5.0 (X11; Linux x86_64)"...)
	d.Status = 200
	d.RequestBody = 0
}
