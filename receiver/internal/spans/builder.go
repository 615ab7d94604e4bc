// SPDX-License-Identifier: Apache-2.0

package spans

import (
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

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
}

// Builder makes batches of spans. It belongs to one goroutine.
type Builder struct {
	o      Options
	traces ptrace.Traces
	count  int
	groups map[*workload.Workload]*group
	last   *group // of the exchange before, often of the next one too
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

// Len is the number of spans in the current batch.
func (b *Builder) Len() int { return b.count }

// Take hands over the current batch and begins a new one.
func (b *Builder) Take() ptrace.Traces {
	t := b.traces
	b.traces = ptrace.NewTraces()
	b.count = 0
	b.last = nil
	clear(b.groups)
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
	trace := x.TraceID()
	if !g.sampler.Sample(trace, parent(x)) {
		return false
	}
	if traces, _ := x.Detail.Suppressed(x); traces {
		return false
	}
	if !g.opened {
		b.open(g)
	}
	s := g.spans.AppendEmpty()
	b.count++

	flags := uint32(flagSampled | flagHasIsRemote)
	s.SetTraceID(trace)
	s.SetSpanID(x.Identity.SpanID)
	s.SetParentSpanID(x.ParentSpanID())
	if x.Remote.Valid {
		flags |= uint32(x.Remote.Flags & flagRandom)
		// In a client's own request the context is that of the process
		// itself: a span of an SDK, or the one that was injected.
		if x.Role == exchange.RoleServer {
			flags |= flagIsRemote
		}
		if x.Remote.State != "" && utf8.ValidString(x.Remote.State) {
			s.TraceState().FromRaw(x.Remote.State)
		}
	}
	s.SetFlags(flags)
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
	return true
}

// parent is the caller's decision. Only the request itself can tell it.
func parent(x *exchange.Exchange) sampling.Parent {
	switch {
	case !x.Remote.Valid:
		return sampling.ParentUnknown
	case x.Remote.Flags&flagSampled != 0:
		return sampling.ParentSampled
	default:
		return sampling.ParentDropped
	}
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
