// SPDX-License-Identifier: Apache-2.0

package names

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

const second = 1_000_000_000

var (
	one = netip.MustParseAddr("10.0.0.1")
	two = netip.MustParseAddr("10.0.0.2")
	six = netip.MustParseAddr("fd00::1")
)

// event is an answer, or a connection with the name it has to get.
type event struct {
	at   float64 // s
	pid  uint32
	inst string
	// An answer:
	name string
	to   []netip.Addr
	ttl  uint32
	// or a connection; late: it is asked about when it is reported by a later event.
	open netip.Addr
	want string
	late int
	// or an exit.
	exit bool
}

func answered(at float64, name string, to ...netip.Addr) event {
	return event{at: at, pid: 1, name: name, to: to, ttl: 30}
}

func opened(at float64, to netip.Addr, want string) event {
	return event{at: at, pid: 1, open: to, want: want}
}

// until is a connection that is asked about n events later only.
func (e event) until(n int) event {
	e.late = n
	return e
}

func (e event) by(pid uint32, instance string) event {
	e.pid, e.inst = pid, instance
	return e
}

func TestNames(t *testing.T) {
	t.Parallel()
	for name, events := range map[string][]event{
		"the one name": {
			answered(1, "a", one), opened(1.1, one, "a"), opened(500, one, "a"), opened(600, two, ""),
		},
		"only what was looked up before": {
			answered(2, "a", one), opened(1.9, one, ""), opened(2.1, one, "a"),
		},
		"round robin": {
			answered(1, "a", one, two), opened(1.1, two, "a"), opened(1.2, one, "a"), answered(2, "a", two, one), opened(2.1, two, "a"),
		},
		"not by others": {
			answered(1, "a", one), opened(1.1, one, "").by(2, ""),
		},
		"by another process of the instance": {
			answered(1, "a", one).by(1, "container/x"), opened(1.1, one, "a").by(2, "container/x"), opened(1.2, one, "").by(3, "container/y"),
		},
		"the own lookups come first": {
			answered(1, "a", one).by(1, "container/x"), answered(1, "b", one).by(2, "container/x"),
			opened(1.1, one, "b").by(2, "container/x"), opened(1.1, one, "a").by(1, "container/x"), opened(1.1, one, "").by(3, "container/x"),
		},
		"two names, one after the other": {
			answered(1, "a", one), opened(1.1, one, "a"), answered(2, "b", one), opened(2.1, one, "b"), answered(3, "a", one), opened(3.1, one, "a"),
		},
		"two names, and a connection without a lookup": {
			answered(1, "a", one), opened(1.1, one, "a"), answered(2, "b", one), opened(2.1, one, "b"), opened(2.2, one, ""), opened(9, one, ""),
		},
		"two names at once": {
			answered(1, "a", one), answered(1.1, "b", one), opened(1.2, one, ""), opened(1.3, one, ""),
		},
		"two names at once, and then one after the other": {
			answered(1, "a", one), answered(1.1, "b", one), opened(1.2, one, ""), opened(1.3, one, ""),
			answered(2, "a", one), opened(2.1, one, "a"), answered(2.2, "b", one), opened(2.3, one, "b"), opened(2.4, one, ""),
		},
		"two names, the later connection is asked about first": {
			answered(1, "a", one), opened(1.1, one, "a").until(3), answered(2, "b", one), opened(2.1, one, "b"), opened(2.2, one, ""),
		},
		"two names, and connections that nobody asks about": {
			answered(1, "a", one), opened(1.1, one, "a"), answered(2, "b", one), opened(2.1, one, "").until(99), answered(2.2, "a", one), opened(2.3, one, "a"),
		},
		"two names, the lookup was long ago": {
			answered(1, "a", one), opened(1.1, one, "a"), answered(2, "b", one), opened(8, one, ""),
		},
		"several connections for as many lookups": {
			answered(1, "z", one), opened(1.1, one, "z"),
			answered(2, "a", one), answered(2.01, "a", one), answered(2.02, "a", one),
			opened(2.1, one, "a"), opened(2.1, one, "a"), opened(2.2, one, "a"), opened(2.3, one, ""),
		},
		"a resolver that asks again and again": {
			answered(1, "a", one), answered(1, "b", one), answered(6, "b", one), answered(11, "b", one), opened(11.5, one, ""),
			// Nobody does any more.
			answered(100, "b", one), opened(100.1, one, "b"), answered(101, "a", one), opened(101.1, one, "a"),
		},
		"both families": {
			answered(1, "a", one), answered(1.01, "a", six), opened(1.1, one, "a"),
			answered(5, "b", one), answered(5.01, "b", six), opened(5.1, six, "b"),
			answered(9, "a", one), answered(9.01, "a", six), opened(9.1, one, "a"),
		},
		"answers get too old": {
			answered(1, "a", one), opened(3630, one, "a"), opened(3632, one, ""),
		},
		"an address that has moved": {
			answered(1, "a", one), answered(3700, "b", one), opened(3800, one, "b"),
		},
		"a process id is used again": {
			answered(1, "a", one), {at: 2, pid: 1, exit: true}, opened(1.9, one, "a"), opened(2.1, one, ""),
		},
		"told of the later answer first": {
			answered(3, "a", one), answered(2, "b", one), answered(1, "a", one), opened(1.1, one, "a"), opened(2.1, one, "b"), opened(3.1, one, "a"),
		},
		"many answers are told before the connections, and then again": append(func() (list []event) {
			for range 2 {
				for i := range 40 {
					list = append(list, answered(float64(i)/100, []string{"a", "b"}[i%2], one))
				}
			}
			return list
		}(), func() (list []event) {
			for i := range 40 {
				list = append(list, opened(float64(i)/100+0.005, one, []string{"a", "b"}[i%2]))
			}
			return append(list, opened(0.4, one, ""))
		}()...),
		"told twice, in any order": {
			answered(1, "z", one), opened(1, one, "z"),
			answered(2, "a", one), opened(2.1, one, "a"), answered(2, "a", one), opened(2.2, one, ""),
			answered(3.1, "a", one), answered(3, "a", one), opened(3.2, one, "a"), opened(3.2, one, "a"), opened(3.2, one, ""),
		},
		"more names than are kept": append(func() (list []event) {
			for i := range maxNames + 1 {
				list = append(list, answered(1, fmt.Sprint("n", i), one))
			}
			return list
		}(), opened(100, one, "")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := New(0)
			for i, e := range events {
				time := uint64(e.at * second)
				who := Asker{PID: e.pid, Instance: e.inst}
				switch {
				case e.exit:
					table.Exit(e.pid, time)
				case e.name != "":
					table.Learn(who, &Answer{Name: e.name, Addresses: e.to, TTL: e.ttl, Time: time})
				default:
					table.Open(uint64(i+1), e.pid, e.open, time)
				}
				for j, o := range events[:i+1] {
					if o.open.IsValid() && j+o.late == i {
						require.Equal(t, o.want, table.Find(Asker{PID: o.pid, Instance: o.inst}, uint64(j+1), o.open, uint64(o.at*second)), "event %d", j)
					}
				}
			}
		})
	}
}

// check that the table's counts and references fit together.
func (t *Table) check(tb testing.TB) {
	records := 0
	for key, s := range t.scopes {
		require.Equal(tb, key, s.key)
		require.NotEmpty(tb, s.addresses)
		held := map[*lookup]int{}
		for _, r := range s.addresses {
			records++
			require.NotEmpty(tb, r.entries)
			for i := range r.entries {
				held[r.entries[i].lookup]++
			}
		}
		require.Len(tb, s.lookups, len(held))
		for l, n := range held {
			require.Equal(tb, n, l.entries)
			require.Same(tb, l, s.lookups[l.name])
		}
	}
	require.Equal(tb, t.count, records)
	linked := 0
	for r := t.used.newer; r != &t.used; r = r.newer {
		linked++
		require.Same(tb, r, r.newer.older)
	}
	require.Equal(tb, records, linked)
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	table := New(100)
	random := rand.New(rand.NewPCG(1, 2))
	address := func() netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(random.IntN(60))}) }
	for i := range 20000 {
		now := uint64(i) * second
		who := Asker{PID: uint32(random.IntN(20) + 1)}
		if random.IntN(2) == 0 {
			who.Instance = fmt.Sprint("i", random.IntN(5))
		}
		switch random.IntN(10) {
		case 0:
			table.Exit(who.PID, now)
		case 1:
			table.Sweep(now)
		case 2, 3, 4:
			id := uint64(i)
			if random.IntN(3) > 0 {
				table.Open(id, who.PID, address(), now)
			}
			table.Find(who, id, address(), now)
		default:
			a := Answer{Name: fmt.Sprint("n", random.IntN(30)), TTL: uint32(random.IntN(5000)), Time: now}
			for range random.IntN(4) + 1 {
				a.Addresses = append(a.Addresses, address())
			}
			table.Learn(who, &a)
		}
		require.LessOrEqual(t, table.Len(), 100)
		if i%100 == 0 {
			table.check(t)
		}
	}
	table.check(t)
	table.Sweep(1 << 62)
	require.Zero(t, table.Len())
	require.Empty(t, table.scopes)
}

// The least recently used address makes room.
func TestForgetsTheOldest(t *testing.T) {
	t.Parallel()
	table := New(2)
	who := Asker{PID: 1}
	three := netip.MustParseAddr("10.0.0.3")
	table.Learn(who, &Answer{Name: "a", Addresses: []netip.Addr{one}, TTL: 60, Time: 1})
	table.Learn(who, &Answer{Name: "b", Addresses: []netip.Addr{two}, TTL: 60, Time: 2})
	require.Equal(t, "a", table.Find(who, 3, one, 3))
	table.Learn(who, &Answer{Name: "c", Addresses: []netip.Addr{three}, TTL: 60, Time: 4})
	require.Equal(t, "a", table.Find(who, 5, one, 5))
	require.Empty(t, table.Find(who, 5, two, 5))
	require.Equal(t, "c", table.Find(who, 5, three, 5))
}

func BenchmarkFind(b *testing.B) {
	table := New(0)
	who := Asker{PID: 1, Instance: "unit/x"}
	table.Learn(who, &Answer{Name: "a", Addresses: []netip.Addr{one}, TTL: 60, Time: 1})
	b.ReportAllocs()
	id := uint64(0)
	for b.Loop() {
		id++
		table.Open(id, 1, one, 2)
		table.Find(who, id, one, 2)
	}
}
