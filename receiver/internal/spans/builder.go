// SPDX-License-Identifier: Apache-2.0

package spans

import (
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/sampling"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/workload"
)

// ScopeName is the instrumentation scope of everything the receiver emits.
const ScopeName = "github.com/otelcol-ebpf/otelcol-ebpf/receiver"

// SchemaURL of resources and scopes.
const SchemaURL = "https://opentelemetry.io/schemas/1.43.0"

// Span flags of OTLP (opentelemetry/proto/trace/v1, SpanFlags): the W3C trace
// flags in the lowest byte, and whether the parent is known to be in another
// process.
const (
	flagSampled     = 0x01
	flagRandom      = 0x02
	flagHasIsRemote = 0x100
	flagIsRemote    = 0x200
)

// Options configure a Builder.
type Options struct {
	// Clock is shared by all builders; required.
	Clock *Clock
	// Sampler decides for workloads that have none of their own; nil keeps
	// everything.
	Sampler *sampling.Sampler
	// SamplerFor, if set, is asked once per workload and batch; nil means
	// Sampler.
	SamplerFor func(*workload.Workload) *sampling.Sampler
	// Version of the scope.
	Version string
	// Contexts is where what other readers learn about contexts is found; nil
	// if there are no others.
	Contexts *causality.Table
	// Lagging reports whether another reader may still have to read what
	// happened at a time (CLOCK_MONOTONIC, ns).
	Lagging func(time uint64) bool
	// Unread is the same of all readers, this one included.
	Unread func(time uint64) bool
}

// late is how long after a server has answered its caller's send may return, and so
// be reported: the caller may have been preempted in it, for a while on busy machines. ns.
const late = 50_000_000

// Builder makes batches of spans. It belongs to one goroutine.
type Builder struct {
	o      Options
	traces ptrace.Traces
	count  int
	groups map[*workload.Workload]*group
	last   *group // of the exchange before, often of the next one too
	fresh  int    // added since the last batch
	// held are spans of the batch whose context is not settled.
	held []heldSpan
	// waiting are those of servers without a caller, in no batch yet, in the order they
	// ended; of tried, the caller was looked for once. Where a workload is missing, a span
	// has been taken out.
	waiting []heldSpan
	tried   int
	late    int // that wait
}

// heldSpan is one about which a reader that lags behind may learn more.
type heldSpan struct {
	span    ptrace.Span
	request causality.Request
	sampler *sampling.Sampler
	version uint64 // of the table when its context was settled
	// workload and until are of those that wait: what happens until then
	// (CLOCK_MONOTONIC, ns) may tell who the caller is.
	workload *workload.Workload
	until    uint64
}

// group is where the spans of one workload go in the current batch.
type group struct {
	workload *workload.Workload
	sampler  *sampling.Sampler
	opened   bool
	spans    ptrace.SpanSlice
}

// NewBuilder makes an empty Builder.
func NewBuilder(o Options) *Builder {
	return &Builder{o: o, traces: ptrace.NewTraces(), groups: map[*workload.Workload]*group{}}
}

// Len is the number of spans in the current batch, and of those that wait for one.
func (b *Builder) Len() int { return b.count + b.late }

// Fresh is the number of spans that were added since the last batch was taken.
func (b *Builder) Fresh() int { return b.fresh }

// Take hands over the current batch and begins a new one. Spans of whom more will be known
// soon are left for a later batch; but not from the last one.
func (b *Builder) Take(last bool) ptrace.Traces {
	b.release(last)
	dropped := false
	for i := range b.held {
		if h := &b.held[i]; !b.settle(h) {
			h.span.SetTraceID(pcommon.TraceID{})
			dropped = true
		}
	}
	clear(b.held)
	t := b.traces
	b.traces = ptrace.NewTraces()
	b.held = b.held[:0]
	b.count, b.fresh = 0, 0
	b.last = nil
	clear(b.groups)
	if dropped {
		prune(t)
	}
	return t
}

// Add turns a finished exchange into a span of the current batch and reports
// whether it did: not if the sampler drops the trace, nor if traces are
// suppressed for the exchange. The answer is what red.Shard.End wants to know.
// Nothing of x is kept.
func (b *Builder) Add(x *exchange.Exchange) bool {
	if x.Workload == nil {
		return false
	}
	g := b.last
	if g == nil || g.workload != x.Workload {
		g = b.group(x.Workload)
	}
	if traces, _ := x.Detail.Suppressed(x); traces {
		return false
	}
	keep := g.sampler.Sample(x.Context.TraceID, decision(&x.Context))
	held := b.mayChange(x)
	if !keep && !(held && x.Identity.Trace != x.Identity.Seed) {
		return false
	}
	b.fresh++
	waits := held && x.Role == exchange.RoleServer && x.Identity.Parent == 0
	var s ptrace.Span
	if waits {
		s = ptrace.NewSpan()
	} else {
		s = b.append(g)
	}
	if held {
		version := b.o.Contexts.Version()
		if !keep {
			version = ^version // dropped unless something new is learned
		}
		h := heldSpan{span: s, request: causality.Request{Identity: x.Identity, Remote: x.Remote, Role: x.Role}, sampler: g.sampler, version: version}
		if waits {
			h.workload, h.until = x.Workload, x.End+late
			b.waiting = append(b.waiting, h)
			b.late++
		} else {
			b.held = append(b.held, h)
		}
	}
	put(s, &x.Context)
	if x.Remote.State != "" && x.Remote.Valid && utf8.ValidString(x.Remote.State) {
		s.TraceState().FromRaw(x.Remote.State)
	}
	s.SetName(x.Detail.SpanName(x))
	s.SetKind(x.Detail.SpanKind(x))
	// One offset for both ends, so that the duration is exact even when the
	// clock is measured at this moment.
	start := b.o.Clock.Wall(x.Start)
	s.SetStartTimestamp(start)
	s.SetEndTimestamp(start + pcommon.Timestamp(max(x.End, x.Start)-x.Start))
	if code := x.Detail.SpanStatus(x); code != ptrace.StatusCodeUnset {
		s.Status().SetCode(code)
	}
	x.Detail.PutSpanAttributes(x, s.Attributes())
	if !x.Context.LinkSpanID.IsEmpty() {
		putLink(s, &x.Context)
	}
	if l, ok := x.Detail.(exchange.Linker); ok {
		putLinks(s, l.Links(x))
	}
	return true
}

// mayChange reports whether the exchange's context depends on what another
// reader may not have read yet: a caller's end of it, or the context that the
// trace's first request named.
func (b *Builder) mayChange(x *exchange.Exchange) bool {
	if b.o.Contexts == nil {
		return false
	}
	id := &x.Identity
	if x.Remote.Valid {
		// The client's end of it may be the better parent.
		return x.Role == exchange.RoleServer && id.Parent == 0 && x.Connection.Wire.Shared(x.End)
	}
	switch {
	case id.Trace != id.Seed:
		return b.o.Contexts.Named() && b.o.Lagging(x.Start)
	case x.Role == exchange.RoleServer && id.Parent == 0:
		// Its caller may be here, and have been slower.
		return x.Connection.Wire.Shared(x.End)
	default:
		return false
	}
}

// settle asks again about a span that was held, and reports whether its trace is sampled.
func (b *Builder) settle(h *heldSpan) bool {
	version := b.o.Contexts.Version()
	if h.version == version {
		return true
	}
	h.version = version
	c := b.o.Contexts.Resolve(&h.request)
	if !h.sampler.Sample(c.TraceID, decision(&c)) {
		h.version = ^version
		return false
	}
	put(h.span, &c)
	if c.Method != h.request.Identity.Method {
		putMethod(h.span.Attributes(), c.Method)
	}
	return true
}

// release puts spans that have waited for their caller into the batch: those whose caller
// is known now, or will not be any more. A span is asked about when it comes here first and
// when nothing new can come, however long readers lag behind in between.
func (b *Builder) release(all bool) {
	ready := 0
	for ready < len(b.waiting) {
		h := &b.waiting[ready]
		if h.workload != nil {
			if !all && b.o.Unread(h.until) {
				break
			}
			b.admit(h, b.settle(h))
		}
		ready++
	}
	b.waiting = b.waiting[ready:]
	for i := max(b.tried-ready, 0); i < len(b.waiting); i++ {
		h := &b.waiting[i]
		if b.settle(h) && !h.span.ParentSpanID().IsEmpty() {
			b.admit(h, true)
		}
	}
	if b.late == 0 {
		b.waiting = nil
	}
	b.tried = len(b.waiting)
}

// admit ends the waiting of a span: in the batch, if its trace is sampled.
func (b *Builder) admit(h *heldSpan, sampled bool) {
	if sampled {
		h.span.MoveTo(b.append(b.group(h.workload)))
	}
	*h = heldSpan{}
	b.late--
}

// prune takes out spans without an id.
func prune(t ptrace.Traces) {
	t.ResourceSpans().RemoveIf(func(r ptrace.ResourceSpans) bool {
		r.ScopeSpans().RemoveIf(func(s ptrace.ScopeSpans) bool {
			s.Spans().RemoveIf(func(s ptrace.Span) bool { return s.TraceID().IsEmpty() })
			return s.Spans().Len() == 0
		})
		return r.ScopeSpans().Len() == 0
	})
}

// put fills in where a span is in its trace.
func put(s ptrace.Span, c *exchange.Context) {
	flags := uint32(flagSampled | flagHasIsRemote)
	if c.Random {
		flags |= flagRandom
	}
	if c.Remote {
		flags |= flagIsRemote
	}
	s.SetTraceID(c.TraceID)
	s.SetSpanID(c.SpanID)
	s.SetParentSpanID(c.ParentID)
	s.SetFlags(flags)
}

// decision is that of the trace's beginning.
func decision(c *exchange.Context) sampling.Parent {
	switch {
	case !c.Decided:
		return sampling.ParentUnknown
	case c.Sampled:
		return sampling.ParentSampled
	default:
		return sampling.ParentDropped
	}
}

// append adds an empty span to a group.
func (b *Builder) append(g *group) ptrace.Span {
	if !g.opened {
		b.open(g)
	}
	b.count++
	return g.spans.AppendEmpty()
}

func (b *Builder) group(w *workload.Workload) *group {
	g := b.groups[w]
	if g == nil {
		g = &group{workload: w, sampler: b.o.Sampler}
		if b.o.SamplerFor != nil {
			if s := b.o.SamplerFor(w); s != nil {
				g.sampler = s
			}
		}
		b.groups[w] = g
	}
	b.last = g
	return g
}

// open adds the workload's resource to the batch.
func (b *Builder) open(g *group) {
	r := b.traces.ResourceSpans().AppendEmpty()
	r.SetSchemaUrl(SchemaURL)
	g.workload.Traces.CopyTo(r.Resource())
	s := r.ScopeSpans().AppendEmpty()
	s.SetSchemaUrl(SchemaURL)
	s.Scope().SetName(ScopeName)
	s.Scope().SetVersion(b.o.Version)
	g.opened = true
	g.spans = s.Spans()
}
