// SPDX-License-Identifier: Apache-2.0

package kafka

import "github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"

const (
	// fullWindow is the most that is copied of a turn. Records are the bulk of what
	// Kafka moves: the heads of their batches are somewhere among them.
	fullWindow = 64 << 10
	// denseAfter is for connections with small messages, of which every call may have
	// some; bulkAfter for those with large ones: the head of a message that begins
	// with the segment, and that of its first batch.
	denseAfter = 65535
	bulkAfter  = 4 << 10
	// bulk is the mean size of messages from which on they are large.
	bulk = 16 << 10
	// period is after how many messages that is looked at.
	period = 32
)

// traffic is what the messages of a connection are like.
type traffic struct {
	messages, bytes uint64
}

// note counts a message.
func (t *traffic) note(size uint64) {
	t.messages++
	t.bytes += size
}

// adapt asks for as much as messages of that size need.
func (p *parser) adapt() {
	t := &p.traffic
	if t.messages < period {
		return
	}
	w := protocol.Window{Sent: fullWindow, Received: fullWindow, After: denseAfter}
	if t.bytes/t.messages >= bulk {
		w.After = bulkAfter
	}
	p.window = w
	*t = traffic{}
}
