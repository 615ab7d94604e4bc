// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"sync"
)

// changes calls who asked for changes, one call at a time, outside of every lock.
// Changes of one pod that come faster than calls return become one.
type changes struct {
	mu      sync.Mutex
	calls   []func(uid string)
	pending []string
	in      map[string]bool // what is in pending
	wake    chan struct{}
}

func newChanges() *changes {
	return &changes{in: map[string]bool{}, wake: make(chan struct{}, 1)}
}

func (c *changes) ask(call func(uid string)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, call)
}

// add is bounded by the pods of a node.
func (c *changes) add(uid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.calls) == 0 || c.in[uid] {
		return
	}
	c.in[uid] = true
	c.pending = append(c.pending, uid)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *changes) take() (uid string, calls []func(string), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) == 0 {
		return "", nil, false
	}
	uid, c.pending = c.pending[0], c.pending[1:]
	delete(c.in, uid)
	return uid, c.calls, true
}

func (c *changes) run(ctx context.Context) {
	for {
		for {
			uid, calls, ok := c.take()
			if !ok || ctx.Err() != nil {
				break
			}
			for _, call := range calls {
				call(uid)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
	}
}
