// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

// names are what metadata calls the topics of the messages.
func (h *harness) names(topics map[string]string) {
	for id, name := range topics {
		b, err := base64.RawURLEncoding.DecodeString(id)
		require.NoError(h.t, err)
		h.parser.shared.tables.name(topicID(b), name)
	}
}

func (h *harness) exchange(p pair) {
	h.request(p.request)
	h.response(p.response)
}

// The connection that names a topic may be read after one that uses its id.
func TestNameComesLater(t *testing.T) {
	t.Parallel()
	p := message1(t, apiFetch, 13)
	named, nameless := wanted(apiFetch, 12), wanted(apiFetch, 13)
	both := map[string]string{alpha: "alpha", beta: "beta"}
	other := message1(t, apiListOffsets, 7)
	for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer} {
		// With the next segment, with the next tick, and with the end.
		h := newHarness(t, role)
		h.exchange(p)
		end := h.now
		require.Empty(t, h.ended)
		h.names(both)
		h.request(other.request)
		require.Len(t, h.ended, 2)
		require.Equal(t, end, h.ended[0].end)
		h.response(other.response)
		require.Equal(t, append(named, wanted(apiListOffsets, 7)...), h.texts())

		h = newHarness(t, role)
		h.exchange(p)
		h.parser.Tick(h.now + patience - 1)
		require.Empty(t, h.ended)
		h.names(both)
		h.parser.Tick(h.now + 1)
		require.Len(t, h.ended, 2)
		require.Equal(t, named, h.texts())

		h = newHarness(t, role)
		h.exchange(p)
		h.names(both)
		require.Equal(t, named, h.texts())

		// Nobody says: the next ones do not wait again, until somebody does.
		h = newHarness(t, role)
		h.exchange(p)
		h.parser.Tick(h.now + patience)
		require.Len(t, h.ended, 2)
		h.exchange(p.as(100))
		require.Len(t, h.ended, 4)
		h.names(both)
		h.exchange(p.as(101))
		require.Equal(t, append(append(append([]string{}, nameless...), nameless...), named...), h.texts())

		// No more wait than there is room for.
		h = newHarness(t, role)
		for i := range maxHeld {
			h.exchange(p.as(int32(i)))
		}
		require.Len(t, h.parser.held.operations, maxHeld)
		require.Len(t, h.ended, maxHeld)

		// What was complete when the bytes stopped to fit is reported.
		h = newHarness(t, role)
		h.exchange(p)
		for range maxStrikes + 1 {
			h.request([]byte("GET / HTTP/1.1\r\n\r\n"))
			h.parser.requests.synced = true
		}
		require.ErrorIs(t, h.err, protocol.ErrMismatch)
		require.Equal(t, nameless, h.texts())
	}
}

// Waiting costs no memory per message.
func TestHeldAllocations(t *testing.T) {
	m := newPump(message1(t, apiFetch, 13))
	for range maxHeld {
		m.run()
	}
	require.Len(t, m.parser.(*parser).held.operations, maxHeld)
	require.Zero(t, testing.AllocsPerRun(1000, m.run))
}

// So may the one on which a consumer names its group.
func TestGroupComesLater(t *testing.T) {
	t.Parallel()
	p := message1(t, apiFetch, 12)
	h := newHarness(t, exchange.RoleClient)
	h.parser.held.groupless = false
	h.exchange(p)
	require.Empty(t, h.ended)
	h.parser.Tick(h.now + patience - 1)
	require.Empty(t, h.ended)
	o := h.parser.held.operations[0]
	h.parser.shared.tables.join(member{o.x.PID, o.d.Client}, "readers", h.now)
	h.parser.Tick(h.now)
	require.Len(t, h.ended, 2)
	for _, text := range h.texts() {
		require.Contains(t, text, "name=readers")
	}

	// One that has none does not wait again.
	h = newHarness(t, exchange.RoleClient)
	h.parser.held.groupless = false
	h.exchange(p)
	h.parser.Tick(h.now + patience)
	require.Len(t, h.ended, 2)
	h.exchange(p.as(100))
	require.Len(t, h.ended, 4)
}
