// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

const (
	// maxOrphans is how many responses may wait for their requests, maxOrphan how much
	// of each is kept.
	maxOrphans = 4
	maxOrphan  = 4 << 10
)

// orphan is a response that came before its request. On a client a send is reported when
// the call returns, and by then another thread may have read the response already.
type orphan struct {
	used     bool
	id       int32
	size     uint64 // of what follows the correlation id
	data     []byte // the first bytes of that
	begun    uint64 // the time of its first segment
	done     bool
	end      uint64
	measured exchange.Measured
}

// orphaned acts on a response that answers no request that is known.
func (p *parser) orphaned(id int32, size uint32) {
	sd := &p.responses
	p.host.Stats.Unmatched++
	if p.raw || p.role != exchange.RoleClient {
		p.hidden, p.hiddenAt = true, p.now // the end of its request has not been seen yet
		sd.begin(8, uint64(size)-4)
		return
	}
	o := &p.orphans[0]
	for i := range p.orphans {
		if q := &p.orphans[i]; !q.used {
			o = q
			break
		} else if q.begun < o.begun {
			o = q
		}
	}
	body := sd.stream.Available()[8:]
	rest := uint64(size) - leastResponse
	*o = orphan{
		used: true, id: id, size: rest, begun: p.now,
		data: append(o.data[:0], body[:min(uint64(len(body)), rest, maxOrphan)]...),
	}
	sd.begin(8, rest)
	sd.orphan = o
}

// adopt gives a request the response that came before it.
func (p *parser) adopt(c *call) {
	for i := range p.orphans {
		o := &p.orphans[i]
		if !o.used {
			continue
		}
		if o.id != c.id || c.origin.First > o.begun {
			continue
		}
		o.used = false
		p.host.Stats.Unmatched--
		p.proven = true
		sd := &p.responses
		saved := sd.call
		if known(c.key, c.version) {
			p.decodeOrphan(c, o)
		}
		sd.call = saved
		if o.done {
			p.answered(c, o.end, &o.measured)
			return
		}
		if sd.orphan == o {
			sd.call, sd.orphan = c, nil
		}
		return
	}
}

// decodeOrphan decodes what was kept of a response.
func (p *parser) decodeOrphan(c *call, o *orphan) {
	sd := &p.responses
	current, decoder, position := c.current, sd.decoder, p.about // another response may be in the middle
	defer func() {
		sd.decoder, c.current, p.about = decoder, current, position
	}()
	c.current, p.about = nil, about{}
	sd.call = c
	sd.decoder.reset(responseLayouts[c.key][c.version])
	b, remaining := o.data, o.size
	for {
		n, st := sd.decoder.run(b, remaining)
		if st == done {
			return
		}
		if st == short && n <= uint64(len(b)) && remaining > uint64(len(b)) {
			skip, ok := sd.decoder.escape()
			if ok && n == uint64(len(b)) {
				n += min(skip, remaining-n)
			} else if ok {
				n = min(n+skip, remaining)
			} else {
				st = invalid
			}
		} else if st == short && n <= uint64(len(b)) {
			st = invalid
		}
		if st == invalid {
			p.lose(sd)
			return
		}
		remaining -= min(n, remaining)
		b = b[min(n, uint64(len(b))):]
	}
}
