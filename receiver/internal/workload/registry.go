// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"sync"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/cluster"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/container"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery/procfs"
)

const (
	defaultMaxWorkloads = 16384
	defaultGrace        = 10 * time.Second
	// linger is how long an Instance without processes is kept, so that a
	// service made of short-lived ones keeps its pointer and its series.
	linger = 5 * time.Minute
	// recheck is how often the pid of an exited process is looked at while
	// segments still arrive for it.
	recheck = 100 * time.Millisecond
	// sweepBatch is how many cached processes one Sweep verifies.
	sweepBatch = 256
	// commSlots is how many executed processes are remembered by name.
	commSlots = 4096
)

// Options configure a Registry. The zero value is useful.
type Options struct {
	// ProcRoot is a proc filesystem that shows the host's pid namespace;
	// default /proc.
	ProcRoot string
	// Decide gives the decision of discovery rules on a process; nil where there are
	// none.
	Decide func(pid uint32) discovery.Decision
	// Dropped is told the key of an instance that nobody asks about any more. It must
	// not call the Registry.
	Dropped func(key string)
	// Containers finds the names of containers; nil: one of the registry's own.
	Containers *container.Finder
	// Cluster knows the pods of this node; nil outside Kubernetes.
	Cluster cluster.View
	// Version of this distribution, for telemetry.distro.version.
	Version string
	// HostName and HostID replace what is found on the host.
	HostName, HostID string
	// CommandArgs adds process.command_args to traces. Arguments may hold
	// secrets.
	CommandArgs bool
	// MaxWorkloads bounds the cache; default 16384. Beyond it, what was not
	// looked up lately is evicted.
	MaxWorkloads int
	// Grace is how long an exited process is remembered; default 10 s.
	Grace time.Duration
}

// Registry knows the workload of every process. It is safe for concurrent
// use, and has no goroutine of its own: its owner calls Sweep now and then.
type Registry struct {
	options          Options
	fs               procfs.FS
	scanner          *discovery.Scanner
	containers       *container.Finder
	hostName, hostID string
	now              func() time.Time

	table table

	mu      sync.Mutex
	entries []*entry // all in table, in no order
	hand    int      // of the clock that evicts
	cursor  int      // of Sweep
	// exits are exiting entries in the order they expire. Those already
	// removed are skipped.
	exits     []*entry
	instances map[string]*holder
	// claims maps (namespace, name, instance id), which is what exporters tell
	// metrics apart by, to the key of the instance that has it.
	claims map[claim]string
	// names remembers the names of programs, by process.image.
	names  map[string]string
	idle   int // holders without processes
	tidied time.Time

	// executed remembers comm and generation of processes that called
	// execve, by pid modulo its size.
	executed [commSlots]execution
}

type execution struct {
	pid        uint32
	generation uint32
	comm       string
}

// holder counts the processes of an Instance.
type holder struct {
	instance  *Instance
	identity  identity
	claim     claim
	processes int
	idleSince time.Time
}

type claim struct{ namespace, name, id string }

// NewRegistry returns an empty Registry.
func NewRegistry(options Options) *Registry {
	if options.ProcRoot == "" {
		options.ProcRoot = "/proc"
	}
	if options.MaxWorkloads <= 0 {
		options.MaxWorkloads = defaultMaxWorkloads
	}
	if options.Grace <= 0 {
		options.Grace = defaultGrace
	}
	fs := procfs.FS{Root: options.ProcRoot}
	r := &Registry{
		options:    options,
		fs:         fs,
		scanner:    discovery.NewScanner(options.ProcRoot),
		containers: options.Containers,
		hostName:   options.HostName,
		hostID:     options.HostID,
		now:        time.Now,
		table:      newTable(options.MaxWorkloads),
		instances:  map[string]*holder{},
		claims:     map[claim]string{},
		names:      map[string]string{},
	}
	if r.containers == nil {
		r.containers = container.NewFinder(fs)
	}
	if r.hostName == "" {
		r.hostName = hostName(r.fs)
	}
	if r.hostID == "" {
		r.hostID = hostID(r.fs)
	}
	return r
}

// Lookup returns the workload of a process (thread group id, host's pid
// namespace); never nil. The first call for a process reads /proc: tens to
// hundreds of microseconds.
func (r *Registry) Lookup(pid uint32) *Workload {
	if e := r.table.get(pid); e != nil && !e.exiting.Load() {
		if !e.used.Load() { // do not dirty the cache line on every call
			e.used.Store(true)
		}
		return e.workload
	}
	return r.lookupSlow(pid)
}

func (r *Registry) lookupSlow(pid uint32) *Workload {
	if e := r.table.get(pid); e != nil {
		// Exited. Its last segments are still its own, unless the pid has
		// been given to a new process.
		now := r.now().UnixNano()
		last := e.checked.Load()
		if now-last < int64(recheck) || !e.checked.CompareAndSwap(last, now) {
			return e.workload
		}
		if stat, ok := r.fs.Stat(pid); !ok || stat.StartTime == e.startTime || stat.Zombie() {
			return e.workload
		}
		r.mu.Lock()
		r.remove(e)
		r.mu.Unlock()
	}
	generation, comm := r.execution(pid)
	f := r.examine(pid, comm)
	return r.publish(f, generation)
}

func (r *Registry) execution(pid uint32) (generation uint32, comm string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := &r.executed[pid%commSlots]
	if x.pid == pid {
		comm = x.comm
	}
	return x.generation, comm
}

// Exec tells that a process runs a new executable. comm is its short name, as
// a last resort for a process that is gone before it is looked at.
func (r *Registry) Exec(pid uint32, comm string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := &r.executed[pid%commSlots]
	x.pid, x.comm = pid, comm
	x.generation++
	if e := r.table.get(pid); e != nil {
		r.remove(e)
	}
}

// Hint tells the short name of a process that does something, in case it is
// gone before it is looked at.
func (r *Registry) Hint(pid uint32, comm string) {
	if r.table.get(pid) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// What exec told is longer than a comm.
	if x := &r.executed[pid%commSlots]; x.pid != pid {
		x.pid, x.comm = pid, comm
	}
}

// Exit tells that a process (all its threads) has exited. Its workload is kept
// for the grace period, as its last segments may still be on the way.
func (r *Registry) Exit(pid uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.table.get(pid); e != nil {
		r.expire(e, r.now())
	}
	r.tidy(r.now())
}

// Invalidate makes the next Lookup look at a process afresh, for example
// because it listens on a port now and rules ask for ports.
func (r *Registry) Invalidate(pid uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.table.get(pid); e != nil {
		r.remove(e)
	}
}

// Len is how many processes are cached.
func (r *Registry) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.entries)
}

// Sweep frees what has expired and finds processes whose notification was
// lost. Call it every few seconds.
func (r *Registry) Sweep() {
	r.mu.Lock()
	r.tidied = time.Time{}
	r.tidy(r.now())
	batch := make([]*entry, 0, min(sweepBatch, len(r.entries)))
	for range min(sweepBatch, len(r.entries)) {
		r.cursor++
		if r.cursor >= len(r.entries) {
			r.cursor = 0
		}
		if e := r.entries[r.cursor]; !e.exiting.Load() {
			batch = append(batch, e)
		}
	}
	r.mu.Unlock()

	for _, e := range batch {
		stat, ok := r.fs.Stat(e.pid)
		gone := !ok || stat.Zombie()
		other := ok && (stat.StartTime != e.startTime || !stat.Zombie() && r.fs.Exe(e.pid) != e.exe)
		if !gone && !other {
			continue
		}
		r.mu.Lock()
		if r.table.get(e.pid) == e { // else removed meanwhile
			if gone {
				r.expire(e, r.now())
			} else {
				r.remove(e)
			}
		}
		r.mu.Unlock()
	}
}

// expire marks an entry for removal after the grace period.
func (r *Registry) expire(e *entry, now time.Time) {
	if e.exiting.Load() {
		return
	}
	e.expires = now.Add(r.options.Grace)
	e.exiting.Store(true)
	r.exits = append(r.exits, e)
}

// tidy frees what has expired, at most once per second.
func (r *Registry) tidy(now time.Time) {
	if now.Sub(r.tidied) < time.Second {
		return
	}
	r.tidied = now
	n := 0
	for n < len(r.exits) && !now.Before(r.exits[n].expires) {
		r.remove(r.exits[n])
		n++
	}
	if n > 0 {
		r.exits = append(r.exits[:0], r.exits[n:]...)
		clear(r.exits[len(r.exits) : len(r.exits)+n])
	}
	if r.idle == 0 {
		return
	}
	// A flood of short-lived processes must not fill memory with instances.
	patience := linger
	if r.idle > r.options.MaxWorkloads {
		patience = 0
	}
	for _, h := range r.instances {
		if h.processes == 0 && now.Sub(h.idleSince) >= patience {
			r.drop(h)
		}
	}
}

// remove forgets an entry; it may have been removed before.
func (r *Registry) remove(e *entry) {
	if e.slot >= len(r.entries) || r.entries[e.slot] != e {
		return
	}
	r.table.remove(e)
	last := len(r.entries) - 1
	r.entries[e.slot] = r.entries[last]
	r.entries[e.slot].slot = e.slot
	r.entries[last] = nil
	r.entries = r.entries[:last]
	if e.holder.processes--; e.holder.processes == 0 {
		e.holder.idleSince = r.now()
		r.idle++
	}
}

func (r *Registry) drop(h *holder) {
	delete(r.instances, h.instance.Key)
	if r.claims[h.claim] == h.instance.Key {
		delete(r.claims, h.claim)
	}
	r.idle--
	if r.options.Dropped != nil {
		r.options.Dropped(h.instance.Key)
	}
}

// evict makes room by the clock algorithm: a second chance for what was
// looked up since the hand last passed.
func (r *Registry) evict() {
	for len(r.entries) >= r.options.MaxWorkloads {
		if r.hand >= len(r.entries) {
			r.hand = 0
		}
		if e := r.entries[r.hand]; e.exiting.Load() || !e.used.Swap(false) {
			r.remove(e) // another takes its slot
			continue
		}
		r.hand++
	}
}

// publish makes a finding visible, unless another goroutine was faster or the
// process has executed something else meanwhile.
func (r *Registry) publish(f *finding, generation uint32) *Workload {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	r.tidy(now)
	current := r.table.get(f.PID)
	if current != nil && current.startTime == f.StartTime {
		return current.workload
	}
	h := r.hold(&f.identity)
	w := &Workload{
		Instance:  h.instance,
		PID:       f.PID,
		Traces:    r.newTraces(h.instance, &f.process),
		Discovery: f.decision,
	}
	if r.executed[f.PID%commSlots].generation != generation {
		return w // right for what was asked, but not for the next call
	}
	if f.gone && f.identity.name == UnknownService {
		return w // whoever asks next may have been told its name
	}
	if current != nil {
		r.remove(current)
	}
	r.evict()
	e := &entry{
		pid: f.PID, workload: w, startTime: f.StartTime, exe: f.exe,
		holder: h, slot: len(r.entries),
	}
	e.checked.Store(now.UnixNano())
	r.entries = append(r.entries, e)
	if h.processes++; h.processes == 1 {
		r.idle--
	}
	r.table.put(e)
	if f.gone {
		r.expire(e, now)
	}
	return w
}

// hold returns the holder of an instance; a new one is idle.
func (r *Registry) hold(id *identity) *holder {
	h := r.instances[id.key]
	if h == nil && id.formerKey != "" {
		if h = r.instances[id.formerKey]; h != nil {
			id.key = id.formerKey
		}
	}
	if h != nil {
		r.renew(h, id)
		return h
	}
	for range 2 {
		owner := r.claimant(id, "")
		if owner == nil {
			break
		}
		if owner.identity.container == id.container {
			// Exporters could not tell the two apart.
			return owner
		}
		// Two containers were told the same id. Behind the exporters one would
		// overwrite the other's metrics.
		id.instID = r.anotherID(id)
	}
	h = &holder{idleSince: r.now()}
	r.idle++
	r.settle(h, id)
	return h
}

// renew gives an instance the resource of the container that it is in now (a pod's
// container was restarted), or what has become known of its pod since.
func (r *Registry) renew(h *holder, id *identity) {
	before := &h.identity
	if id.container == before.container && (id.kube == before.kube || id.kube.pod == nil && before.kube.pod != nil) {
		return
	}
	if r.claimant(id, before.key) != nil {
		id.instID = r.anotherID(id)
	}
	if r.claims[h.claim] == before.key {
		delete(r.claims, h.claim)
	}
	r.settle(h, id)
}

// anotherID is for an instance whose own id somebody in another container has.
func (r *Registry) anotherID(id *identity) string {
	return r.instanceID("again/" + id.container + "/" + id.namespace + "/" + id.name + "/" + id.instID)
}

// claimant is the holder, other than that of a key, whose metrics exporters take for
// those of id; nil if there is none.
func (r *Registry) claimant(id *identity, than string) *holder {
	if id.instID == "" {
		return nil // k8s_attributes sets it
	}
	owner, taken := r.claims[claim{id.namespace, id.name, id.instID}]
	if !taken || owner == than {
		return nil
	}
	return r.instances[owner]
}

// settle makes a holder one of this identity.
func (r *Registry) settle(h *holder, id *identity) {
	h.identity = *id
	h.claim = claim{}
	if id.instID != "" {
		h.claim = claim{id.namespace, id.name, id.instID}
		r.claims[h.claim] = id.key
	}
	h.instance = r.newInstance(*id)
	r.instances[id.key] = h
}
