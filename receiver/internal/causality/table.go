// SPDX-License-Identifier: Apache-2.0

package causality

import (
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

const (
	// An entry is kept for one to two generations. Children of a request that
	// takes longer than that lose the trace named in it.
	generation = 5 * time.Minute
	// maxEntries of a generation; more end it early.
	maxEntries = 1 << 17
	// maxHops bounds the walk from trace to trace.
	maxHops = 8
)

// W3C trace flags.
const (
	flagSampled = 0x01
	flagRandom  = 0x02
)

// Table holds what exchanges tell about the contexts of others. It is safe for
// concurrent use.
type Table struct {
	ids     IDs
	version atomic.Uint64 // changes with every entry
	mu      sync.RWMutex
	recent  map[uint64]entry
	older   map[uint64]entry
	since   time.Time
	named   atomic.Bool // requests have named contexts
}

// entry is about one identity.
type entry struct {
	// named: a request of this trace, or this request, came with a context.
	named  bool
	remote exchange.Remote
	// carried is the span of the request that this one is the other end of, where
	// the callers' node said so beside the request's bytes.
	carried pcommon.SpanID
	// parent and trace are identities: of the client's end of the same
	// request, and of the first request of its trace. 0 if not known.
	parent, trace uint64
	// hidden: the request has no span of ours; instead is the parent it would have had.
	hidden  bool
	instead pcommon.SpanID
}

// NewTable makes an empty Table.
func NewTable(ids IDs) *Table {
	return &Table{ids: ids, recent: map[uint64]entry{}, since: time.Now()}
}

// Version changes whenever something new is learned; 0 means nothing ever was.
func (t *Table) Version() uint64 { return t.version.Load() }

// Named reports whether requests have named contexts.
func (t *Table) Named() bool { return t.named.Load() }

// Begin learns what an exchange, whose request's head was just read, tells about
// others.
func (t *Table) Begin(x *exchange.Exchange) {
	id := &x.Identity
	if x.Role == exchange.RoleClient {
		if id.Peer != 0 {
			t.update(id.Peer, func(e *entry) { e.parent, e.trace = id.Seed, id.Trace })
		}
		return
	}
	if x.Remote.Valid {
		t.named.Store(true)
		t.update(id.Seed, func(e *entry) { e.named, e.remote = true, x.Remote })
		if id.Trace != id.Seed {
			t.update(id.Trace, func(e *entry) { e.named, e.remote = true, x.Remote })
		}
	}
}

// Hide learns that a request, whose head was just read, will have no span: what would be
// below it hangs below its parent.
func (t *Table) Hide(x *exchange.Exchange) {
	c := t.Resolve(&Request{Identity: x.Identity, Remote: x.Remote, Role: x.Role})
	t.update(x.Identity.Seed, func(e *entry) { e.hidden, e.instead = true, c.ParentID })
}

// Carried learns the context of the caller's end of a request, which came with it
// from another node, but not in its bytes.
func (t *Table) Carried(identity uint64, r exchange.Remote) {
	t.named.Store(true)
	t.update(identity, func(e *entry) { e.named, e.remote, e.carried = true, r, r.SpanID })
}

func (t *Table) update(identity uint64, set func(*entry)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.recent) >= maxEntries || time.Since(t.since) > generation {
		t.older, t.recent, t.since = t.recent, map[uint64]entry{}, time.Now()
	}
	e, ok := t.recent[identity]
	if !ok {
		e = t.older[identity]
	}
	set(&e)
	t.recent[identity] = e
	t.version.Add(1)
}

func (t *Table) get(identity uint64) entry {
	e, ok := t.recent[identity]
	if !ok {
		e = t.older[identity]
	}
	return e
}

// Request is what the context of an exchange is made of.
type Request struct {
	Identity exchange.Identity
	Remote   exchange.Remote
	Role     exchange.Role
}

// Resolve settles the context of a request, as far as is known now.
func (t *Table) Resolve(r *Request) exchange.Context {
	id := r.Identity
	c := exchange.Context{SpanID: t.ids.SpanID(id.Seed), Method: id.Method}
	if t.Version() != 0 {
		t.mu.RLock()
		defer t.mu.RUnlock()
		if id.Parent == 0 {
			own := t.get(id.Seed)
			if own.parent == 0 && id.Peer != 0 && r.Role != exchange.RoleClient {
				own = t.get(id.Peer)
			}
			if own.parent != 0 {
				id.Parent, id.Trace = own.parent, own.trace
				c.Method = exchange.MethodConnection
			}
		}
	}
	if r.Remote.Valid {
		name(&c, &r.Remote)
	} else {
		t.trace(id.Trace, &c)
	}
	switch {
	case c.Method.IsLink():
		var linked exchange.Context
		t.trace(id.Linked, &linked)
		c.LinkTraceID, c.LinkSpanID = linked.TraceID, t.span(id.Parent)
	case id.Parent != 0:
		c.ParentID = t.span(id.Parent)
		c.Remote = r.Role == exchange.RoleServer
		if c.ParentID.IsEmpty() { // hidden, and below nothing
			c.Remote, c.Method = false, exchange.MethodNone
		}
	case c.Method == exchange.MethodTCPOption:
		c.ParentID, c.Remote = t.get(id.Seed).carried, true
		if c.ParentID.IsEmpty() { // forgotten
			c.Method = exchange.MethodNone
		}
	}
	if r.Remote.Valid && !r.Remote.SpanID.IsEmpty() && !t.prefers(&id, r, c.Method) {
		c.ParentID, c.Method = r.Remote.SpanID, exchange.MethodHeader
		// In a client's own request the context is that of the process itself:
		// of a span of an SDK.
		c.Remote = r.Role == exchange.RoleServer
	}
	return c
}

// span is the id of a request's span, or of the one that stands for it.
func (t *Table) span(identity uint64) pcommon.SpanID {
	if t.Version() != 0 {
		if e := t.get(identity); e.hidden {
			return e.instead
		}
	}
	return t.ids.SpanID(identity)
}

// prefers reports whether what the kernel found is a better parent than the one
// the request names.
func (t *Table) prefers(id *exchange.Identity, r *Request, m exchange.Method) bool {
	if m == exchange.MethodTCPOption {
		// The client's end, too, on another node.
		return true
	}
	if id.Parent == 0 || m.IsLink() {
		return false
	}
	if r.Role != exchange.RoleClient {
		// The client's end of this very request: named there, too.
		return m == exchange.MethodConnection && !t.get(id.Parent).hidden
	}
	// A proxy passes on what it was sent. Whatever else is named is a span of
	// the process itself, which stands between.
	served := t.get(id.Parent)
	return served.named && served.remote.SpanID == r.Remote.SpanID && served.remote.TraceID == r.Remote.TraceID
}

// trace fills in the trace that begins with a request.
func (t *Table) trace(identity uint64, c *exchange.Context) {
	if t.Version() != 0 {
		for range maxHops {
			e := t.get(identity)
			if e.named {
				name(c, &e.remote)
				return
			}
			if e.trace == 0 || e.trace == identity {
				break
			}
			identity = e.trace
		}
	}
	c.TraceID = t.ids.TraceID(identity)
}

// name puts an exchange into the trace that a request named.
func name(c *exchange.Context, r *exchange.Remote) {
	c.TraceID = r.TraceID
	c.Decided = !r.Deferred
	c.Sampled = r.Flags&flagSampled != 0
	c.Random = r.Flags&flagRandom != 0
}
