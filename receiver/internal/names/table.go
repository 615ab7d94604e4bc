// SPDX-License-Identifier: Apache-2.0

package names

import (
	"net/netip"
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
	// exited processes are forgotten after so long: their last connections may be read
	// later than their exit. ns.
	exitGrace = 10e9
	// maxNames of one address in one process, and maxAnswers of those that are kept of
	// each.
	maxNames   = 8
	maxAnswers = 4
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
}

// lookup is a name as a scope asks for it.
type lookup struct {
	name string
	last [2]*answer // by family
	// restless: it was asked for again before anybody had connected.
	restless bool
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
	answers [maxAnswers]*answer // the latest, newest first
}

// record is an address, as a scope knows it.
type record struct {
	scope        *scope
	address      netip.Addr
	entries      []entry
	overflow     bool // there were more names
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
	l := s.lookups[a.Name]
	if l == nil {
		l = &lookup{name: a.Name}
		s.lookups[a.Name] = l
	}
	family := 0
	if !a.Addresses[0].Is4() {
		family = 1
	}
	if s.knows(l, a) {
		return
	}
	fresh := &answer{time: a.Time, family: family}
	if before := l.last[family]; before == nil || a.Time > before.time {
		if before != nil && !before.taken && a.Time-before.time > together {
			l.restless = true
		}
		l.last[family] = fresh
	}
	l.entries++ // not forgotten while it is being worked on
	for _, address := range a.Addresses {
		t.add(s, l, address, a, fresh)
	}
	l.release(s)
}

// knows reports whether it was told of an answer before.
func (s *scope) knows(l *lookup, a *Answer) bool {
	r := s.addresses[a.Addresses[0]]
	if r == nil {
		return false
	}
	e := r.entry(l)
	if e == nil {
		return false
	}
	for _, known := range e.answers {
		if known != nil && known.time == a.Time {
			return true
		}
	}
	return false
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
	e.expires = max(e.expires, a.Time+uint64(a.TTL)*1e9+grace)
	if e.answers[0] != fresh { // an answer may name an address twice
		copy(e.answers[1:], e.answers[:maxAnswers-1])
		e.answers[0] = fresh
	}
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

// Find is the name by which whoever opened a connection to an address looked that up; ""
// if that is not certain. opened is when its first bytes moved (CLOCK_MONOTONIC, ns). To
// be asked once for a connection, in the order they are opened in.
func (t *Table) Find(who Asker, address netip.Addr, opened uint64) string {
	t.mu.Lock()
	defer t.mu.Unlock()
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
		if name, known := r.choose(opened); known {
			r.unlink()
			t.link(r)
			return name
		}
	}
	return ""
}

// choose picks the name of a connection; known is false if no name leads here.
func (r *record) choose(opened uint64) (name string, known bool) {
	var only, awaited *entry
	names, waiting := 0, 0
	restless := false
	for i := range r.entries {
		e := &r.entries[i]
		if e.first > opened || e.expires < opened {
			continue
		}
		names++
		only = e
		restless = restless || e.lookup.restless
		if e.pending(opened) {
			waiting++
			awaited = e
		}
	}
	switch {
	case names == 0:
		return "", false
	case names == 1 && !r.overflow:
		only.take(opened)
		return only.lookup.name, true
	case waiting == 1 && !restless && !r.overflow:
		awaited.take(opened)
		return awaited.lookup.name, true
	}
	return "", true
}

// pending reports whether an answer waits for its connection at a time.
func (e *entry) pending(opened uint64) bool {
	for _, a := range e.answers {
		if a != nil && !a.taken && a.time <= opened && opened-a.time <= prompt {
			return true
		}
	}
	return false
}

// take marks the oldest answer that waits as used, and with it the other family's of the
// same lookup.
func (e *entry) take(opened uint64) {
	for i := maxAnswers - 1; i >= 0; i-- {
		a := e.answers[i]
		if a == nil || a.taken || a.time > opened {
			continue
		}
		a.taken = true
		other := e.lookup.last[1-a.family]
		if other != nil && other.time <= opened && max(a.time, other.time)-min(a.time, other.time) <= together {
			other.taken = true
		}
		return
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
