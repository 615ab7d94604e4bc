// SPDX-License-Identifier: Apache-2.0

package causality

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// Identities of the tests' requests: a caller's and its server's end, a request
// made for that one, and its server's end.
const (
	call = 1<<48 + iota
	served
	next
	nextServed
)

func remote(n byte, flags byte) exchange.Remote {
	return exchange.Remote{Valid: true, TraceID: pcommon.TraceID{n}, SpanID: pcommon.SpanID{n}, Flags: flags}
}

func begin(t *Table, r Request) Request {
	t.Begin(&exchange.Exchange{Identity: r.Identity, Remote: r.Remote, Role: r.Role})
	return r
}

func server(id exchange.Identity, r exchange.Remote) Request {
	return Request{Identity: id, Remote: r, Role: exchange.RoleServer}
}

func client(id exchange.Identity, r exchange.Remote) Request {
	return Request{Identity: id, Remote: r, Role: exchange.RoleClient}
}

func TestRoot(t *testing.T) {
	table := NewTable(NewIDs())
	r := begin(table, server(exchange.Identity{Seed: served, Trace: served}, exchange.Remote{}))
	c := table.Resolve(&r)
	require.Equal(t, exchange.Context{TraceID: table.ids.TraceID(served), SpanID: table.ids.SpanID(served)}, c)
	require.Zero(t, table.Version())
}

func TestParentOfTheKernel(t *testing.T) {
	table := NewTable(NewIDs())
	r := client(exchange.Identity{Seed: next, Trace: served, Parent: served, Method: exchange.MethodThread}, exchange.Remote{})
	c := table.Resolve(&r)
	require.Equal(t, table.ids.TraceID(served), c.TraceID)
	require.Equal(t, table.ids.SpanID(served), c.ParentID)
	require.Equal(t, exchange.MethodThread, c.Method)
	require.False(t, c.Remote)
}

// A link is no parent, and the linked request keeps its own trace.
func TestLink(t *testing.T) {
	table := NewTable(NewIDs())
	r := client(exchange.Identity{Seed: next, Trace: next, Parent: served, Linked: call, Method: exchange.MethodAmbiguous}, exchange.Remote{})
	c := table.Resolve(&r)
	require.True(t, c.ParentID.IsEmpty())
	require.Equal(t, table.ids.TraceID(next), c.TraceID)
	require.Equal(t, table.ids.TraceID(call), c.LinkTraceID)
	require.Equal(t, table.ids.SpanID(served), c.LinkSpanID)
}

func TestServerFasterThanItsClient(t *testing.T) {
	table := NewTable(NewIDs())
	end := begin(table, server(exchange.Identity{Seed: served, Trace: served}, exchange.Remote{}))
	child := begin(table, client(exchange.Identity{Seed: next, Trace: served, Parent: served, Method: exchange.MethodThread}, exchange.Remote{}))
	begin(table, client(exchange.Identity{Seed: call, Trace: call, Peer: served}, exchange.Remote{}))
	c := table.Resolve(&end)
	require.Equal(t, table.ids.SpanID(call), c.ParentID)
	require.Equal(t, exchange.MethodConnection, c.Method)
	require.True(t, c.Remote)
	require.Equal(t, table.ids.TraceID(call), c.TraceID)
	require.Equal(t, c.TraceID, table.Resolve(&child).TraceID)
}

// A trace that a request names is that of all that was made for it.
func TestNamedTrace(t *testing.T) {
	table := NewTable(NewIDs())
	r := begin(table, server(exchange.Identity{Seed: served, Trace: served}, remote(7, 3)))
	c := table.Resolve(&r)
	require.Equal(t, exchange.Context{
		TraceID: pcommon.TraceID{7}, SpanID: table.ids.SpanID(served), ParentID: pcommon.SpanID{7}, Method: exchange.MethodHeader,
		Decided: true, Sampled: true, Random: true, Remote: true,
	}, c)
	child := client(exchange.Identity{Seed: next, Trace: served, Parent: served, Method: exchange.MethodThread}, exchange.Remote{})
	c = table.Resolve(&child)
	require.Equal(t, pcommon.TraceID{7}, c.TraceID)
	require.Equal(t, table.ids.SpanID(served), c.ParentID)
	require.True(t, c.Decided && c.Sampled)
	require.True(t, table.Named())

	deferred := remote(8, 0)
	deferred.Deferred = true
	r = begin(table, server(exchange.Identity{Seed: nextServed, Trace: nextServed}, deferred))
	require.False(t, table.Resolve(&r).Decided)
}

// A proxy hands the header on as it came: its own span stands between. An SDK
// in the process puts a span of its own there, which then is the parent.
func TestHeaderOfAClient(t *testing.T) {
	table := NewTable(NewIDs())
	begin(table, server(exchange.Identity{Seed: served, Trace: served}, remote(7, 1)))
	id := exchange.Identity{Seed: next, Trace: served, Parent: served, Method: exchange.MethodEventLoop}
	forwarded := client(id, remote(7, 1))
	require.Equal(t, table.ids.SpanID(served), table.Resolve(&forwarded).ParentID)
	own := remote(7, 1)
	own.SpanID = pcommon.SpanID{9}
	sdk := client(id, own)
	require.Equal(t, pcommon.SpanID{9}, table.Resolve(&sdk).ParentID)
	require.False(t, table.Resolve(&sdk).Remote)

	// The other end of either is its child, not a child of what is named.
	end := server(exchange.Identity{Seed: nextServed, Trace: served, Parent: next, Method: exchange.MethodConnection}, own)
	c := table.Resolve(&end)
	require.Equal(t, table.ids.SpanID(next), c.ParentID)
	require.Equal(t, pcommon.TraceID{7}, c.TraceID)
}

// A load balancer names a trace but no span of it.
func TestTraceWithoutSpan(t *testing.T) {
	table := NewTable(NewIDs())
	named := remote(7, 1)
	named.SpanID = pcommon.SpanID{}
	r := begin(table, server(exchange.Identity{Seed: served, Trace: served}, named))
	c := table.Resolve(&r)
	require.Equal(t, pcommon.TraceID{7}, c.TraceID)
	require.True(t, c.ParentID.IsEmpty())
	require.Equal(t, exchange.MethodNone, c.Method)
	require.False(t, c.Remote)
}

func TestTableIsBounded(t *testing.T) {
	table := NewTable(NewIDs())
	for i := range uint64(3 * maxEntries) {
		table.update(i+1, func(e *entry) { e.named = true })
	}
	require.LessOrEqual(t, len(table.recent)+len(table.older), 2*maxEntries)
	require.True(t, table.get(3*maxEntries).named)
	require.False(t, table.get(1).named)
}

// A process whose requests have no spans of ours stands in nobody's way: what it asked for
// hangs below the span its SDK names, else below what it was asked by.
func TestHidden(t *testing.T) {
	table := NewTable(NewIDs())
	hide := func(r Request) {
		begin(table, r)
		table.Hide(&exchange.Exchange{Identity: r.Identity, Remote: r.Remote, Role: r.Role})
	}
	caller := exchange.Identity{Seed: served, Trace: call, Parent: call, Method: exchange.MethodConnection}
	hide(server(caller, exchange.Remote{}))
	made := exchange.Identity{Seed: next, Trace: call, Parent: served, Method: exchange.MethodThread}
	hide(client(made, exchange.Remote{}))
	r := begin(table, server(exchange.Identity{Seed: nextServed, Trace: call, Parent: next, Method: exchange.MethodConnection}, exchange.Remote{}))
	c := table.Resolve(&r)
	require.Equal(t, table.ids.TraceID(call), c.TraceID)
	require.Equal(t, table.ids.SpanID(call), c.ParentID, "the caller's span is the next one that exists")
	require.Equal(t, exchange.MethodConnection, c.Method)

	// Its SDK says what it asks for, and in which span.
	sdk := remote(7, flagSampled)
	r = begin(table, server(exchange.Identity{Seed: nextServed, Trace: call, Parent: next, Method: exchange.MethodConnection}, sdk))
	c = table.Resolve(&r)
	require.Equal(t, sdk.TraceID, c.TraceID)
	require.Equal(t, sdk.SpanID, c.ParentID)
	require.Equal(t, exchange.MethodHeader, c.Method)

	// Nobody asked the process.
	hide(client(exchange.Identity{Seed: 99, Trace: 99}, exchange.Remote{}))
	r = begin(table, server(exchange.Identity{Seed: 100, Trace: 99, Parent: 99, Method: exchange.MethodConnection}, exchange.Remote{}))
	c = table.Resolve(&r)
	require.True(t, c.ParentID.IsEmpty())
	require.Equal(t, exchange.MethodNone, c.Method)
	require.False(t, c.Remote)
}
