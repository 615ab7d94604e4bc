// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"sync"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// maxWires of a generation. Ends that are seen more than one to two generations apart
// do not find each other.
const maxWires = 1 << 16

// wires brings both ends of connections together, whichever readers have them.
type wires struct {
	mu            sync.Mutex
	recent, older map[uint64]*exchange.Wire
}

// end is called with every end of a connection that is seen.
func (w *wires) end(key, now uint64) *exchange.Wire {
	wire := w.expect(key, now)
	if wire != nil {
		wire.Ends.Add(1)
	}
	return wire
}

// expect is the same for one that is going to be seen.
func (w *wires) expect(key, now uint64) *exchange.Wire {
	if key == 0 {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	wire := w.recent[key]
	if wire == nil {
		wire = w.older[key]
	}
	if wire == nil {
		wire = &exchange.Wire{Key: key, Since: now}
	}
	if w.recent == nil || len(w.recent) >= maxWires {
		w.older, w.recent = w.recent, map[uint64]*exchange.Wire{}
	}
	w.recent[key] = wire
	return wire
}
