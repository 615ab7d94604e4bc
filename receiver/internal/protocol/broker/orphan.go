// SPDX-License-Identifier: Apache-2.0

package broker

const maxOrphans = 64

// Orphan is what ends an exchange and was reported before its beginning: another thread
// read the answer before the call that sent the message returned.
type Orphan struct {
	// Kind, Channel, ID and Text are what it is found by.
	Kind    uint8
	Channel uint16
	ID      uint64
	// Multiple: it stands for all ids up to ID.
	Multiple bool
	Text     string
	// Error is error.type.
	Error string

	time uint64
}

// Orphaned keeps what nothing waits for, for a while.
func (b *Base) Orphaned(o Orphan) {
	b.Host.Stats.Unmatched++
	o.time = b.S.Time
	if b.norphans == maxOrphans {
		copy(b.orphans[:], b.orphans[1:])
		b.norphans--
	}
	b.orphans[b.norphans] = o
	b.norphans++
}

// Adopt looks for what ended an exchange before it was known: it has come since the
// exchange's first byte moved. It reports whether the exchange is over.
func (b *Base) Adopt(s *Slot, kind uint8, channel uint16, id uint64) bool {
	for i := 0; i < b.norphans; i++ {
		o := &b.orphans[i]
		if o.time < s.X.Start || o.Kind != kind || o.Channel != channel || o.ID != id && (!o.Multiple || id > o.ID) || o.Text != s.Text {
			continue
		}
		if o.Error != "" {
			s.D.Error = o.Error
		}
		time := o.time
		if !o.Multiple {
			copy(b.orphans[i:], b.orphans[i+1:b.norphans])
			b.norphans--
			b.Host.Stats.Unmatched--
		}
		if !s.begun {
			s.begun = true
			b.Host.Sink.Begin(&s.X)
		}
		b.report(s, time, &b.S.Measured, false)
		return true
	}
	return false
}
