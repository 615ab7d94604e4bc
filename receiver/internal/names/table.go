// SPDX-License-Identifier: Apache-2.0

package names

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
)

const (
	// DefaultAddresses is how many addresses of processes are remembered; some 400 bytes
	// each, and the names.
	DefaultAddresses = 16384
	// grace is for how long an answer counts beyond its time to live, ns.
	grace = 3600e9
	// prompt is how soon a connection has moved its first bytes after the lookup that it
	// was opened for, where several names lead to its address. Longer than TCP's first
	// two retransmissions of a SYN (RFC 6298: 1 s and 2 s). ns.
	prompt = 4e9
	// Two lookups of a name that are closer than this are one program's that opens several
	// connections, ns.
	together = 1e9
	// restlessness is for how long, at least, a lookup is restless, ns.
	restlessness = 60e9
	// exited processes are forgotten after so long: their last connections may be read
	// later than their exit. ns.
	exitGrace = 10e9
	// Answers and connections are told of in the order they came in, but for so much, ns.
	disorder = 1e9
	// maxNames of one address in one process, and maxAnswers of the last seconds that are
	// kept of each.
	maxNames   = 8
	maxAnswers = 256
	// maxTold is how many answers of a process are known to have been told.
	maxTold = 1024
	// maxOpened is how many connections that were opened lately are remembered.
	maxOpened = 2048
)

// Answer is what a name server told a process.
type Answer struct {
	// Name is what was asked for, whatever aliases the answer went through.
	Name string
	// Addresses are of one family: IPv4's, or IPv6's.
	Addresses []netip.Addr
	// TTL is the shortest time to live on the way to the addresses, s.
	TTL uint32
	// Time is when the process read it. CLOCK_MONOTONIC, ns.
	Time uint64
}

// Asker is who looks up and connects.
type Asker struct {
	// PID is the process, in the host's pid namespace.
	PID uint32
	// Instance is the key of its service instance; "" if there is none that has
	// anything in common but the program.
	Instance string
}

// Table remembers. It is safe for concurrent use.
type Table struct {
	mu     sync.Mutex
	limit  int
	count  int
	scopes map[scopeKey]*scope
	// used is between the records that were used last and longest ago, in a ring of all:
	// its older and its newer one.
	used record
	// opened are connections that were opened lately, by their number.
	opened  [maxOpened]connection
	earlier []*connection // scratch space
}

// connection is one that was opened.
type connection struct {
	id      uint64
	pid     uint32
	address netip.Addr
	time    uint64
	// chosen: what for is settled: name.
	chosen bool
	name   string
}

// scopeKey is a process, or else an instance.
type scopeKey struct {
	pid      uint32
	instance string
}

// scope is what one process, or the processes of one instance, have looked up.
type scope struct {
	key       scopeKey
	addresses map[netip.Addr]*record
	lookups   map[string]*lookup
	exited    uint64 // 0 while it runs
	// told are the last answers, in no order.
	told     []told
	nextTold int
}

// told is what tells answers apart.
type told struct {
	time uint64
	name string
}

// lookup is a name as a scope asks for it.
type lookup struct {
	name string
	last [2]*answer // by family
	// unused is how many answers in a row nobody had connected for when the next one came.
	// Two make it restless: asked for whether anybody connects or not.
	unused   int
	restless uint64 // until when
	entries  int
}

// answer is shared by the entries of all its addresses.
type answer struct {
	time   uint64
	family int
	taken  bool // a connection was opened for it
}

// entry is a name of an address.
type entry struct {
	lookup  *lookup
	first   uint64 // answer
	expires uint64
	answers []*answer // the latest, as they were told
}

// record is an address, as a scope knows it.
type record struct {
	scope    *scope
	address  netip.Addr
	entries  []entry
	overflow bool // there were more names
	// unclear counts connections for which several answers waited, since a time.
	unclear      int
	unclearSince uint64
	newer, older *record
}

// New makes an empty Table for at most limit addresses; DefaultAddresses if 0.
func New(limit int) *Table {
	if limit <= 0 {
		limit = DefaultAddresses
	}
	t := &Table{limit: limit, scopes: map[scopeKey]*scope{}}
	t.used.newer, t.used.older = &t.used, &t.used
	return t
}

// Len is how many addresses are remembered.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

// Learn takes an answer. It may be told again, also with more known of who asked.
func (t *Table) Learn(who Asker, a *Answer) {
	if a.Name == "" || len(a.Addresses) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.learn(scopeKey{pid: who.PID}, a)
	if who.Instance != "" {
		t.learn(scopeKey{instance: who.Instance}, a)
	}
}

func (t *Table) learn(key scopeKey, a *Answer) {
	s := t.scope(key, a.Time)
	if s == nil {
		s = &scope{key: key, addresses: map[netip.Addr]*record{}, lookups: map[string]*lookup{}}
		t.scopes[key] = s
	}
	if !s.news(told{a.Time, a.Name}) {
		return
	}
	l := s.lookups[a.Name]
	if l == nil {
		l = &lookup{name: a.Name}
		s.lookups[a.Name] = l
	}
	family := 0
	if !a.Addresses[0].Is4() {
		family = 1
	}
	fresh := &answer{time: a.Time, family: family}
	if before := l.last[family]; before == nil || a.Time > before.time {
		if before != nil && !before.taken && a.Time-before.time > together {
			if l.unused++; l.unused >= 2 {
				l.restless = a.Time + max(restlessness, 4*(a.Time-before.time))
			}
		}
		l.last[family] = fresh
	}
	l.entries++ // not forgotten while it is being worked on
	for _, address := range a.Addresses {
		t.add(s, l, address, a, fresh)
	}
	l.release(s)
}

// news reports whether it was not told of an answer before.
func (s *scope) news(a told) bool {
	if slices.Contains(s.told, a) {
		return false
	}
	if len(s.told) < maxTold {
		s.told = append(s.told, a)
		return true
	}
	s.told[s.nextTold] = a
	s.nextTold = (s.nextTold + 1) % maxTold
	return true
}

func (l *lookup) release(s *scope) {
	if l.entries--; l.entries == 0 && s.lookups[l.name] == l {
		delete(s.lookups, l.name)
	}
}

func (t *Table) add(s *scope, l *lookup, address netip.Addr, a *Answer, fresh *answer) {
	r := s.addresses[address]
	if r == nil {
		for t.count >= t.limit {
			t.forget(t.used.newer)
		}
		// Making room may have forgotten the scope's last record.
		t.scopes[s.key] = s
		r = &record{scope: s, address: address}
		s.addresses[address] = r
		t.count++
	} else {
		r.unlink()
	}
	t.link(r)
	e := r.entry(l)
	if e == nil {
		if len(r.entries) >= maxNames {
			r.overflow = true
			r.entries[0].lookup.release(s)
			r.entries = append(r.entries[:0], r.entries[1:]...)
		}
		r.entries = append(r.entries, entry{lookup: l, first: a.Time})
		l.entries++
		e = &r.entries[len(r.entries)-1]
	}
	e.first = min(e.first, a.Time)
	e.expires = max(e.expires, a.Time+uint64(a.TTL)*1e9+grace)
	e.add(fresh)
}

// add keeps an answer, and drops those that nobody can wait for any more.
func (e *entry) add(fresh *answer) {
	if n := len(e.answers); n > 0 && e.answers[n-1] == fresh {
		return // it names the address twice
	}
	e.answers = slices.DeleteFunc(e.answers, func(a *answer) bool { return fresh.time > a.time+prompt+disorder })
	if len(e.answers) >= maxAnswers {
		e.answers = slices.Delete(e.answers, 0, 1)
		e.lookup.restless = max(e.lookup.restless, fresh.time+restlessness)
	}
	e.answers = append(e.answers, fresh)
}

func (r *record) entry(l *lookup) *entry {
	for i := range r.entries {
		if r.entries[i].lookup == l {
			return &r.entries[i]
		}
	}
	return nil
}

// scope finds what there is of a process or an instance at a time; nil if there is
// nothing.
func (t *Table) scope(key scopeKey, time uint64) *scope {
	s := t.scopes[key]
	if s != nil && s.exited != 0 && time > s.exited {
		t.drop(s) // another process has the pid
		return nil
	}
	return s
}

// Open says that a process has opened a connection, whose first bytes moved at a time
// (CLOCK_MONOTONIC, ns). It may be told again.
func (t *Table) Open(id uint64, pid uint32, address netip.Addr, time uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &t.opened[id%maxOpened]
	if c.id != id {
		*c = connection{id: id, pid: pid, address: address, time: time}
	}
}

// Find is the name by which the process that opened a connection, as Open was told, looked
// its address up; "" if that is not certain. To be asked once for a connection, when all
// answers and connections up to the time it was opened at have been told.
func (t *Table) Find(who Asker, id uint64, address netip.Addr, opened uint64) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := &t.opened[id%maxOpened]
	if own.id == id && own.chosen {
		return own.name
	}
	for _, key := range [...]scopeKey{{pid: who.PID}, {instance: who.Instance}} {
		if key == (scopeKey{}) {
			continue
		}
		s := t.scope(key, opened)
		if s == nil {
			continue
		}
		r := s.addresses[address]
		if r == nil {
			continue
		}
		if key.pid != 0 && len(r.entries) > 1 {
			t.settle(r, id, opened)
		}
		if name, known := r.choose(opened); known {
			r.unlink()
			t.link(r)
			if own.id == id {
				own.chosen, own.name = true, name
			}
			return name
		}
	}
	return ""
}

// settle chooses the names of the connections to an address that were opened before one.
func (t *Table) settle(r *record, id, opened uint64) {
	t.earlier = t.earlier[:0]
	for i := range t.opened {
		c := &t.opened[i]
		if c.id != id && !c.chosen && c.time <= opened && c.pid == r.scope.key.pid && c.address == r.address {
			t.earlier = append(t.earlier, c)
		}
	}
	slices.SortFunc(t.earlier, func(a, b *connection) int { return cmp.Compare(a.time, b.time) })
	for _, c := range t.earlier {
		if name, known := r.choose(c.time); known {
			c.chosen, c.name = true, name
		}
	}
}

// choose picks the name of a connection; known is false if no name leads here.
func (r *record) choose(opened uint64) (name string, known bool) {
	var only, awaited *entry
	names, waiting, answers := 0, 0, 0
	restless := r.overflow
	for i := range r.entries {
		e := &r.entries[i]
		if e.first > opened || e.expires < opened {
			continue
		}
		names++
		only = e
		restless = restless || e.lookup.restless > opened
		if n := e.pending(opened); n > 0 {
			waiting++
			answers += n
			awaited = e
		}
	}
	switch {
	case names == 0:
		return "", false
	case names == 1 && !r.overflow:
		only.take(opened)
		return only.lookup.name, true
	case waiting == 1:
		r.unclear = 0
		awaited.take(opened)
		if !restless {
			return awaited.lookup.name, true
		}
	case waiting > 1:
		// When there were as many connections as answers, none waits any more.
		if r.unclear == 0 || opened-r.unclearSince > prompt {
			r.unclear, r.unclearSince = 0, opened
		}
		if r.unclear++; r.unclear >= answers {
			r.unclear = 0
			for i := range r.entries {
				for r.entries[i].pending(opened) > 0 {
					r.entries[i].take(opened)
				}
			}
		}
	}
	return "", true
}

// pending is how many answers wait for their connections at a time.
func (e *entry) pending(opened uint64) (n int) {
	for _, a := range e.answers {
		if a.waits(opened) {
			n++
		}
	}
	return n
}

// waits reports whether an answer waits for its connection at a time.
func (a *answer) waits(opened uint64) bool {
	return !a.taken && a.time <= opened && opened-a.time <= prompt
}

// take marks the oldest answer that waits as used, and with it the other family's of the
// same lookup.
func (e *entry) take(opened uint64) {
	var oldest *answer
	for _, a := range e.answers {
		if a.waits(opened) && (oldest == nil || a.time < oldest.time) {
			oldest = a
		}
	}
	if oldest == nil {
		return
	}
	oldest.taken = true
	e.lookup.unused = 0
	other := e.lookup.last[1-oldest.family]
	if other != nil && other.time <= opened && max(oldest.time, other.time)-min(oldest.time, other.time) <= together {
		other.taken = true
	}
}

// Exit says that a process has exited.
func (t *Table) Exit(pid uint32, time uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.scopes[scopeKey{pid: pid}]; s != nil {
		s.exited = time
	}
}

// Sweep forgets what has expired, and processes that have exited a while ago.
func (t *Table) Sweep(now uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.scopes {
		if s.exited != 0 && now > s.exited+exitGrace {
			t.drop(s)
			continue
		}
		for _, r := range s.addresses {
			kept := r.entries[:0]
			for _, e := range r.entries {
				if e.expires < now {
					e.lookup.release(s)
					continue
				}
				kept = append(kept, e)
			}
			clear(r.entries[len(kept):])
			if r.entries = kept; len(kept) == 0 {
				t.forget(r)
			}
		}
	}
}

// drop forgets a scope.
func (t *Table) drop(s *scope) {
	for _, r := range s.addresses {
		t.forget(r)
	}
	delete(t.scopes, s.key)
}

// forget forgets an address, and its scope if that was the last.
func (t *Table) forget(r *record) {
	r.unlink()
	t.count--
	for i := range r.entries {
		r.entries[i].lookup.release(r.scope)
	}
	delete(r.scope.addresses, r.address)
	if len(r.scope.addresses) == 0 && t.scopes[r.scope.key] == r.scope {
		delete(t.scopes, r.scope.key)
	}
}

// link makes a record the most recently used one.
func (t *Table) link(r *record) {
	r.older, r.newer = t.used.older, &t.used
	r.older.newer, r.newer.older = r, r
}

func (r *record) unlink() {
	r.older.newer, r.newer.older = r.newer, r.older
	r.older, r.newer = nil, nil
}
