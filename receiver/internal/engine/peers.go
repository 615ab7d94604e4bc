// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"runtime"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/capture"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/cluster"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/names"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/dns"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/workload"
)

const (
	// A connection's name is looked for again with its next exchanges, so often at most,
	// if other readers have not read in time what the process has looked up before.
	maxNamings = 3
	// How long a reader waits for another one, which may be held up by a process that it has
	// to look at; if that was not enough, it does not wait again for a while.
	patience      = time.Second
	answersWithin = 200 * time.Millisecond
	// Who is at the other end is looked for with the first exchanges, and then in intervals,
	// ns: what is in the cluster becomes known later than that it talks.
	promptMeets = 3
	meetAgain   = 1e9
	maxMeets    = 30
	// maxParties bounds what a reader remembers of who talks with whom.
	maxParties = 4096
	// What names have expired is looked after so often.
	namesInterval = time.Minute
)

// peers is what readers share to tell who is at the other end of connections.
type peers struct {
	names *names.Table // nil if peers.dns is off
	local bool
	// cluster is nil outside one, or if peers.kubernetes is off.
	cluster cluster.View
	swept   time.Time
}

// asker is who an exchange's process is for names: commands that come and go have nothing
// in common but the program.
func asker(x *exchange.Exchange) names.Asker {
	who := names.Asker{PID: x.PID}
	if i := x.Workload.Instance; !i.Transient() {
		who.Instance = i.Key
	}
	return who
}

// answered is dns.Options.Answered.
func (p *peers) answered(x *exchange.Exchange, a *dns.Answer) {
	if x.Workload != nil {
		p.names.Learn(asker(x), &names.Answer{Name: a.Name, Addresses: a.Addresses, TTL: a.TTL, Time: x.End})
	}
}

// sweep forgets what is too old, now and then.
func (p *peers) sweep(now time.Time) {
	if p.names != nil && now.Sub(p.swept) >= namesInterval {
		p.swept = now
		p.names.Sweep(monotonic())
	}
}

// answers reads what a reader's ring has for the others.
type answers struct {
	reader dns.Reader
	// sockets may be to name servers; their opening was scanned, but not read.
	sockets map[uint64]struct{}
}

// name settles by what name the server of a client's connection was looked up.
func (s *shard) name(x *exchange.Exchange) {
	c := x.Connection
	table := s.engine.peers.names
	if table == nil || c.Role == exchange.RoleServer || c.Transport != exchange.TransportTCP || c.Opened == 0 || !c.Peer.IsValid() {
		c.Known.Named = true
		return
	}
	if x.Role != exchange.RoleClient {
		return // of who is neither, some exchanges may be a client's
	}
	c.Known.Namings++
	c.Known.Named = c.Known.Namings >= maxNamings
	if !s.await(c.Opened) {
		return // what is not read yet may be another name
	}
	c.Known.Named = true
	c.ServerName = table.Find(asker(x), c.ID, c.Peer.Addr(), c.Opened)
}

// await waits until every reader has read, or scanned, the answers of name servers that came
// until a time (CLOCK_MONOTONIC, ns), and reports whether they all have. Readers that wait
// for each other scan meanwhile, so that nobody waits for long.
func (s *shard) await(time uint64) bool {
	if !s.behind(time) {
		return true
	}
	now := monotonic()
	if now < s.impatient {
		return false
	}
	deadline := now + uint64(answersWithin)
	for round := 0; ; round++ {
		s.scan()
		if round < 100 {
			runtime.Gosched()
		} else {
			pause()
		}
		if !s.behind(time) {
			return true
		}
		if now = monotonic(); now > deadline {
			s.impatient = now + uint64(patience)
			return false
		}
	}
}

// pause lets others work.
func pause() { time.Sleep(50 * time.Microsecond) }

// behind reports whether there is a reader that has to catch up with a time, and makes it
// do so.
func (s *shard) behind(time uint64) (behind bool) {
	for _, other := range s.engine.shards {
		if other == s || max(other.drained.Load(), other.scanned.Load()) >= time {
			continue
		}
		behind = true
		if !other.wanted.Swap(true) {
			other.ring.Wake()
		}
	}
	return behind
}

// scan looks for answers of name servers in what the reader has not come to yet.
func (s *shard) scan() {
	if s.ring == nil {
		return
	}
	began := monotonic()
	if s.ring.Scan(s.peek) {
		s.wanted.Store(false)
		s.scanned.Store(began)
	}
}

// resolves reports whether a connection may be to a name server.
func resolves(transport exchange.Transport, port uint16) bool {
	const domain = 53 // RFC 1035 section 4.2
	return transport == exchange.TransportUDP || transport == exchange.TransportTCP && port == domain
}

// peek learns from a record that is going to be read later.
func (s *shard) peek(b []byte) {
	switch capture.Kind(b) {
	case capture.KindOpen:
		o := capture.AsOpen(b)
		if o == nil {
			return
		}
		if s.engine.peers.local {
			s.uses(o, s.engine.wires.expect(o.Wire, o.Time))
		}
		s.opened(o)
		if resolves(exchange.Transport(o.Transport), o.PeerPort) {
			if s.answers.sockets == nil {
				s.answers.sockets = map[uint64]struct{}{}
			}
			s.answers.sockets[o.Conn] = struct{}{}
		}
	case capture.KindSegment:
		r, data := capture.AsSegment(b)
		if r == nil || s.engine.peers.names == nil || r.Dir != 0 || len(data) < 12 {
			return
		}
		if _, ok := s.answers.sockets[r.Conn]; !ok {
			if c := s.tracker.Connection(r.Conn); c == nil || !resolves(c.Transport, c.Peer.Port()) {
				return
			}
		}
		if int(data[0])<<8|int(data[1]) == len(data)-2 {
			data = data[2:] // on TCP the length may come with the message, or by itself
		}
		if a, ok := s.answers.reader.Answer(data); ok {
			s.engine.peers.names.Learn(names.Asker{PID: r.Tgid}, &names.Answer{Name: a.Name, Addresses: a.Addresses, TTL: a.TTL, Time: r.Time})
		}
	}
}

// uses tells who has an end of a connection. Its name comes first: another reader may look
// at once, and find the process gone.
func (s *shard) uses(o *capture.Open, wire *exchange.Wire) {
	s.engine.processes.Hint(o.Tgid, o.Name())
	wire.Use(exchange.Role(o.Role), o.Tgid)
}

// opened tells of a connection that a client may have opened.
func (s *shard) opened(o *capture.Open) {
	table := s.engine.peers.names
	if table != nil && !o.Midstream() && exchange.Role(o.Role) == exchange.RoleClient && exchange.Transport(o.Transport) == exchange.TransportTCP {
		table.Open(o.Conn, o.Tgid, o.PeerAddr().Addr(), o.Time)
	}
}

// who identifies a Party.
type who struct {
	instance *workload.Instance
	peer     cluster.Peer
}

// meet finds out who is at the other end of a connection.
func (s *shard) meet(x *exchange.Exchange) {
	c, p := x.Connection, &s.engine.peers
	if !p.local && p.cluster == nil {
		c.Known.Met = true
		return
	}
	var w who
	settled := true
	first := c.Known.Meets == 0
	if p.local && c.Wire != nil && x.Role != exchange.RoleUnknown {
		other := exchange.RoleServer
		if x.Role == exchange.RoleServer {
			other = exchange.RoleClient
		}
		pid := c.Wire.User(other)
		if pid == 0 && first && c.Wire.Shared(x.End) {
			// The other end may be here: further on in this ring, or with a slower reader.
			s.scan()
			s.await(x.End)
			pid = c.Wire.User(other)
		}
		switch {
		case pid != 0:
			w.instance = s.engine.processes.Lookup(pid).Instance
		case c.Wire.Shared(x.End):
			settled = false
		}
	}
	if p.cluster != nil && c.Peer.IsValid() && c.Transport != exchange.TransportUnix {
		found := false
		if w.peer, found = p.cluster.Peer(c.Peer); !found && w.instance == nil && c.Known.Meets < maxMeets {
			settled = false
		}
	}
	if !settled && c.Known.Meets >= promptMeets {
		c.Known.Again = x.End + meetAgain
	}
	c.Known.Meets = min(c.Known.Meets, maxMeets) + 1
	c.Known.Met = settled
	if w != (who{}) {
		c.Party = s.party(w)
	}
}

// party is the same for all connections with the same peer.
func (s *shard) party(w who) *exchange.Party {
	if p := s.parties[w]; p != nil {
		return p
	}
	p := newParty(w)
	if s.parties == nil || len(s.parties) >= maxParties {
		s.parties = map[who]*exchange.Party{}
	}
	s.parties[w] = p
	return p
}

func newParty(w who) *exchange.Party {
	p := &exchange.Party{}
	switch k := &w.peer; {
	case w.instance != nil && w.instance.ServiceName != "" && w.instance.ServiceName != workload.UnknownService:
		p.Service = w.instance.ServiceName
		if v, ok := w.instance.Metrics.Attributes().Get("service.namespace"); ok && v.Type() == pcommon.ValueTypeStr {
			p.Namespace = v.Str()
		}
	case k.Owner.Name != "":
		// By the rules for service.name in Kubernetes, where nobody has chosen one.
		p.Service, p.Namespace = k.Owner.Name, k.Namespace
	case k.Service != "":
		p.Service, p.Namespace = k.Service, k.Namespace
	}
	put := func(key, value string) {
		if value != "" {
			p.Attributes = append(p.Attributes, exchange.PartyAttribute{Key: key, Value: value})
		}
	}
	put(exchange.AttrPeerPodNamespace, w.peer.Namespace)
	put(exchange.AttrPeerPod, w.peer.Pod)
	put(exchange.AttrPeerService, w.peer.Service)
	if kind := w.peer.Owner.Kind; kind != "" {
		put(exchange.AttrPeerOwner(strings.ToLower(kind)), w.peer.Owner.Name)
	}
	return p
}
