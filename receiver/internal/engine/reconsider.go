// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"maps"
	"sync"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery"
)

const (
	// Where rules ask for languages, young processes are looked at so often: after a
	// quarter of their age, within these bounds, until they are settled. An embedded
	// interpreter's library is loaded within a second of the start, mostly.
	minLook, maxLook = 250 * time.Millisecond, 500 * time.Millisecond
	settledAge       = 30 * time.Second
	// maxRecent bounds them. In a storm of commands the oldest are not looked at again
	// before the next look at everything.
	maxRecent = 1024
	// maxLooks bounds what is done at once: a look takes a tenth of a millisecond.
	maxLooks = 64
	// Pods that changed are looked at again after so long, for processes that were
	// forked at that very moment.
	lookAgain = time.Second
	// Changes that come in a row are looked at together.
	gather = 200 * time.Millisecond
)

// recent are young processes.
type recent struct {
	mu        sync.Mutex
	processes map[uint32]youngProcess
}

type youngProcess struct{ started, next time.Time }

func (r *recent) add(pid uint32, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.processes == nil {
		r.processes = map[uint32]youngProcess{}
	}
	if len(r.processes) >= maxRecent {
		if _, ok := r.processes[pid]; !ok {
			return
		}
	}
	r.processes[pid] = youngProcess{now, now.Add(minLook)}
}

func (r *recent) remove(pid uint32) {
	r.mu.Lock()
	delete(r.processes, pid)
	r.mu.Unlock()
}

// due are the processes to be looked at now.
func (r *recent) due(now time.Time) (pids []uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for pid, p := range r.processes {
		if now.Before(p.next) {
			continue
		}
		if len(pids) == maxLooks {
			break
		}
		age := now.Sub(p.started)
		pids = append(pids, pid)
		if age > settledAge {
			delete(r.processes, pid)
			continue
		}
		p.next = now.Add(min(max(age/4, minLook), maxLook))
		r.processes[pid] = p
	}
	return pids
}

// changedPods are those a cluster.View has told of, by uid.
type changedPods struct {
	wake chan struct{}

	mu   sync.Mutex
	uids map[string]struct{}
}

// add is called by the View and does not wait.
func (c *changedPods) add(uid string) {
	c.mu.Lock()
	if c.uids == nil {
		c.uids = map[string]struct{}{}
	}
	c.uids[uid] = struct{}{}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *changedPods) take() map[string]struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	uids := c.uids
	c.uids = nil
	return uids
}

// run judges again what changes, until stop is closed.
func (s *selection) run(stop <-chan struct{}) {
	if s.any {
		return
	}
	ticker := time.NewTicker(minLook / 2)
	defer ticker.Stop()
	var again map[string]struct{}
	var at, last time.Time
	for {
		var wake <-chan struct{}
		if time.Since(last) >= gather {
			wake = s.pods.wake
		}
		select {
		case <-stop:
			return
		case <-wake:
			uids := s.pods.take()
			s.reconsider(uids)
			last = time.Now()
			if again == nil {
				again, at = uids, last.Add(lookAgain)
			} else {
				maps.Copy(again, uids)
			}
		case now := <-ticker.C:
			for _, pid := range s.recent.due(now) {
				s.examine(pid)
			}
			if again != nil && now.After(at) {
				s.reconsider(again)
				again = nil
			}
		}
	}
}

// reconsider judges the processes of these pods again.
func (s *selection) reconsider(uids map[string]struct{}) {
	containers := map[string]struct{}{}
	for uid := range uids {
		if pod, ok := s.cluster.Pod(uid); ok {
			for id := range pod.Containers {
				containers[id] = struct{}{}
			}
		}
	}
	for _, pid := range discovery.Scan("/proc") {
		container, uid := s.locate(pid)
		if pod, ok := s.cluster.Pod(uid); ok {
			uid = pod.UID // a static pod's is not what its cgroup says
		}
		_, changed := uids[uid]
		if !changed {
			_, changed = containers[container]
		}
		if !changed {
			// A pod that is gone has taken its containers along, and the uid a
			// cgroup tells may be that of a static pod's file.
			v, known := s.verdict(pid)
			changed = known && v.decision.Rule != nil && v.decision.Rule.Kubernetes != nil && container != ""
		}
		if changed {
			s.examine(pid)
		}
	}
}
