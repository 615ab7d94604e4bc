// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"sync/atomic"
	"time"
)

// table maps process ids to entries. Reading takes no lock: a bucket is an
// immutable chain behind an atomic pointer. Writers hold the registry's lock.
// Consecutive pids fall into consecutive buckets, so chains are short.
type table struct {
	mask    uint32
	buckets []atomic.Pointer[node]
}

type node struct {
	entry *entry
	next  *node
}

// entry is a cached Workload. Only the atomic fields change without the
// registry's lock.
type entry struct {
	pid      uint32
	workload *Workload
	// used is the reference bit of the clock that evicts.
	used atomic.Bool
	// exiting: the process has exited, and its pid may be anybody's soon.
	exiting atomic.Bool
	// checked is when the pid of an exiting entry was last looked at, unix ns.
	checked atomic.Int64

	startTime uint64
	exe       string
	holder    *holder
	expires   time.Time // valid if exiting
	slot      int       // index in Registry.entries
}

func newTable(capacity int) table {
	size := 1024
	for size < capacity {
		size *= 2
	}
	return table{mask: uint32(size - 1), buckets: make([]atomic.Pointer[node], size)}
}

func (t *table) get(pid uint32) *entry {
	for n := t.buckets[pid&t.mask].Load(); n != nil; n = n.next {
		if n.entry.pid == pid {
			return n.entry
		}
	}
	return nil
}

func (t *table) put(e *entry) {
	bucket := &t.buckets[e.pid&t.mask]
	bucket.Store(&node{entry: e, next: bucket.Load()})
}

func (t *table) remove(e *entry) {
	bucket := &t.buckets[e.pid&t.mask]
	var kept *node
	for n := bucket.Load(); n != nil; n = n.next {
		if n.entry != e {
			kept = &node{entry: n.entry, next: kept}
		}
	}
	bucket.Store(kept)
}
