// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/container"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery"
)

// examine reads who a process is. comm is its name as the kernel last told,
// for one that is gone.
func (r *Registry) examine(pid uint32, comm string) *finding {
	for range 3 {
		f := r.look(pid)
		if f == nil {
			break
		}
		// What was read is of one process only if the pid still is its.
		stat, ok := r.fs.Stat(pid)
		if !ok || stat.Zombie() {
			f.gone = true // no exit notification will follow
		}
		if !ok || stat.StartTime == f.StartTime {
			return f
		}
	}
	return r.unknown(pid, comm)
}

// unknown is for a process of which nothing can be read.
func (r *Registry) unknown(pid uint32, comm string) *finding {
	f := &finding{gone: true}
	f.PID, f.Comm = pid, comm
	f.identity.name = nameOfComm(comm)
	f.identity.key = programKey(f.identity.name)
	f.identity.instID = r.instanceID(f.identity.key)
	f.decision = r.decide(pid)
	if rule := f.decision.Rule; rule != nil && rule.ServiceName != "" {
		f.identity.name = rule.ServiceName
		f.identity.key += "#" + rule.ServiceName
	}
	return f
}

// UnknownService is service.name where there is nothing to go by (semantic conventions).
const UnknownService = "unknown_service"

// nameOfComm is for programs of which only the short name is known.
func nameOfComm(comm string) string {
	if name := clean(comm); name != "" {
		return name
	}
	return UnknownService
}

// transientAge is how old a process must be to be an instance of its own even
// if it listens nowhere.
const transientAge = 30 * time.Second

// programKey is the instance all short-lived runs of a program share.
func programKey(name string) string { return "program/" + name }

// transient reports whether a process looks like a command that comes and goes
// (curl in a loop, cron jobs): young, and nobody can call it. Each of them would
// be a series for as long as backends remember one.
func (r *Registry) transient(p *process) bool {
	return r.age(p.StartTime) < transientAge && len(r.scanner.ListeningPorts(p.PID)) == 0
}

// look examines a process that is there; nil if it is not.
func (r *Registry) look(pid uint32) *finding {
	p := r.open(pid)
	if p == nil {
		return nil
	}
	where := r.readPlace(p)
	kube := r.readKube(pid, &where)
	r.readImage(p)
	f := &finding{}
	f.decision = r.decide(pid)
	d := readDeclared(p.env, p.args, isJVM(p.exe))
	if rule := f.decision.Rule; rule != nil {
		if rule.ServiceName != "" {
			d.name = rule.ServiceName
		}
		if rule.ServiceNamespace != "" {
			d.namespace = rule.ServiceNamespace
		}
	}
	if where.ID != "" && where.Partial && !where.Kubernetes && d.inKubernetes {
		where.Kubernetes = true // kubepods is above what we can see
	}
	if where.Kubernetes && where.Partial && where.Pod == "" {
		where.Pod = container.PodFromMounts(r.fs.MountInfo(pid))
	}
	suffix := ""
	if d.name != "" || d.namespace != "" {
		suffix = "#" + d.namespace + "/" + d.name
	}
	kube.fill(&d)

	id := &f.identity
	id.namespace, id.version, id.attributes = d.namespace, d.version, d.attributes
	id.container, id.pod, id.kube = where.ID, where.Pod, kube
	r.place(id, p, where, d)

	if d.instance != "" {
		// Whatever the instance was found to be, what the exporters go by
		// is this.
		id.key = "declared/" + where.ID + "/" + id.namespace + "/" + id.name + "/" + d.instance
		id.instID, id.formerKey = d.instance, ""
	} else if suffix != "" {
		id.key += suffix
		if id.formerKey != "" {
			id.formerKey += suffix
		}
	}
	f.process = *p
	return f
}

// place finds the instance a process belongs to, and its name.
func (r *Registry) place(id *identity, p *process, where container.Place, d declared) {
	id.name = d.name
	switch {
	case where.Kubernetes && where.Unit == "":
		// What is not known of the pod is left to k8s_attributes: service.name,
		// and service.instance.id if need be.
		id.key = "container/" + where.ID
		if where.ID == "" {
			id.key = "pod/" + where.Pod
		}
		if id.instID = id.kube.instance(); id.instID != "" {
			// A container that was started anew is the same instance.
			id.formerKey = id.key
			id.key = "pod/" + id.instID
		}
	case where.ID != "" && where.Unit == "":
		id.key = "container/" + where.ID
		id.instID = where.ID
		if id.name == "" {
			// Part of the key, as an entrypoint may have executed what it
			// prepared since the instance was first seen.
			id.name = r.nameOf(r.containerMain(p))
			id.key += "/" + id.name
		}
	default:
		r.placeOnHost(id, p, where, d)
	}
}

// placeOnHost is for processes outside containers, and for those of a systemd
// that is a container's init.
func (r *Registry) placeOnHost(id *identity, p *process, where container.Place, d declared) {
	root := p
	if where.Unit == "" || isSpawner(where.Unit) {
		// A worker may have been moved from its master's unit (sshd does,
		// for sessions).
		root = r.family(p)
		where = r.readPlace(root)
	}
	if where.Unit != "" && (!isSpawner(where.Unit) || r.isUnitMain(root)) {
		id.key = "unit/" + where.ID + where.UnitPath
		if id.name == "" {
			id.name = unitName(where.Unit)
		}
	} else if root == p && p.Zombie() {
		if id.name == "" {
			id.name = nameOfComm(p.Comm)
		}
		id.key = programKey(id.name)
	} else if root == p && r.transient(p) {
		if id.name == "" {
			id.name = r.nameOf(p)
		}
		id.key = programKey(id.name)
	} else {
		id.key = "process/" + root.image()
		if id.name == "" {
			id.name = r.nameOf(root)
		}
	}
	id.instID = r.instanceID(id.key)
}

// age of a process by its start time, in clock ticks (of 10 ms, as user space
// is shown on every Linux) since boot.
func (r *Registry) age(start uint64) time.Duration {
	up, ok := r.fs.Uptime()
	if !ok {
		return transientAge
	}
	return up - time.Duration(start)*10*time.Millisecond
}

// nameOf is the name of the program a process runs, as it was when it was
// first looked at: many write a title over their arguments later.
func (r *Registry) nameOf(p *process) string {
	image := p.image()
	r.mu.Lock()
	name, ok := r.names[image]
	r.mu.Unlock()
	if ok {
		return name
	}
	name, _ = r.program(p).name()
	name = clean(name)
	if name == "" {
		name = nameOfComm(p.Comm)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.names) >= r.options.MaxWorkloads {
		clear(r.names) // only spares work
	}
	r.names[image] = name
	return name
}

func (r *Registry) decide(pid uint32) discovery.Decision {
	if r.options.Decide == nil {
		return discovery.Decision{Selected: true}
	}
	return r.options.Decide(pid)
}
