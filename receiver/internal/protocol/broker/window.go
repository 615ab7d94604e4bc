// SPDX-License-Identifier: Apache-2.0

package broker

import "github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"

var (
	// dense is for small messages: the boundaries may be anywhere.
	dense = protocol.Window{Sent: 64 << 10, Received: 64 << 10, After: 65535}
	// sparse is for bulk: what is not seen is passed over by lengths.
	sparse = protocol.Window{Sent: 16 << 10, Received: 16 << 10, After: 2048}
)

const (
	// Mean sizes of messages, in bytes, at which the window changes.
	sparseFrom = 256 << 10
	denseFrom  = 64 << 10
)

// density is the mean size of messages, by exponential decay.
type density struct{ mean uint64 }

// Note tells how long a message was, on the wire.
func (b *Base) Note(dir protocol.Direction, size uint64) {
	d := &b.density[dir]
	d.mean += size/8 - d.mean/8
	small := func(limit uint64) bool {
		for i := range b.density {
			if m := b.density[i].mean; m > 0 && m < limit {
				return true
			}
		}
		return false
	}
	switch {
	case b.window == dense && d.mean > sparseFrom && !small(denseFrom):
		b.window = sparse
	case b.window == sparse && d.mean < denseFrom:
		b.window = dense
	}
}

// Window implements protocol.Parser.
func (b *Base) Window() protocol.Window { return b.window }
