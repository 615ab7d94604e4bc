// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"slices"
	"strings"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/cluster"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/container"
)

// kube is what Kubernetes calls the container a process is in. Outside
// Kubernetes names.Container is what the runtime calls it. It is comparable: a pod
// that changes is another *cluster.Pod.
type kube struct {
	names container.Names
	// pod as the API server has it; nil without one, and before it has told.
	pod *cluster.Pod
}

// readKube asks the cluster and the container's runtime, and mends what the cgroup
// path hides.
func (r *Registry) readKube(pid uint32, where *container.Place) (k kube) {
	if where.ID == "" {
		return k
	}
	k.names = r.containers.Names(pid, where.ID)
	if k.names.Pod != "" {
		where.Kubernetes = true
		if where.Pod == "" && container.IsUUID(k.names.UID) {
			where.Pod = k.names.UID
		}
	}
	view := r.options.Cluster
	if view == nil {
		return k
	}
	pod, name, ok := view.Container(where.ID)
	if !ok {
		if !where.Kubernetes || where.Pod == "" {
			return k
		}
		// The kubelet tells of a new container a second or so late.
		if pod, ok = view.Pod(where.Pod); !ok {
			return k
		}
		name = k.names.Container
	}
	where.Kubernetes, where.Pod = true, pod.UID
	k.pod = pod
	k.names = container.Names{Container: name, Pod: pod.Name, Namespace: pod.Namespace, UID: pod.UID}
	return k
}

// instance is service.instance.id by the conventions; empty if part of it is not
// known.
func (k *kube) instance() string {
	n := &k.names
	if n.Namespace == "" || n.Pod == "" || n.Container == "" {
		return ""
	}
	return n.Namespace + "." + n.Pod + "." + n.Container
}

// annotations that users give resource attributes by.
const annotationPrefix = "resource.opentelemetry.io/"

// fill adds what the pod says about its service to what the process was told. The
// order is that of "Service attributes in Kubernetes" in the semantic conventions
// v1.43.0, labels included, as k8s_attributes has it: both name a service the same.
// Without the pod, k8s_attributes is left to do this.
func (k *kube) fill(d *declared) {
	pod := k.pod
	if pod == nil {
		return
	}
	first := func(to *string, values ...string) {
		for _, v := range values {
			if *to == "" {
				*to = clean(v)
			}
		}
	}
	a, l := pod.Annotations, pod.Labels
	first(&d.name, a[annotationPrefix+"service.name"], l["app.kubernetes.io/instance"], l["app.kubernetes.io/name"],
		pod.Owner.Name, pod.Name, k.names.Container)
	first(&d.namespace, a[annotationPrefix+"service.namespace"], pod.Namespace)
	first(&d.version, a[annotationPrefix+"service.version"], l["app.kubernetes.io/version"])
	first(&d.instance, a[annotationPrefix+"service.instance.id"])

	told := func(key string) bool {
		return slices.ContainsFunc(d.attributes, func(a attribute) bool { return a.key == key })
	}
	var more []attribute
	for name, value := range a {
		key, ok := strings.CutPrefix(name, annotationPrefix)
		switch {
		case !ok, key == "", value == "", told(key):
		case key == "service.name", key == "service.namespace", key == "service.version", key == "service.instance.id":
		case strings.HasPrefix(key, "process."), strings.HasPrefix(key, "telemetry."):
		default:
			more = append(more, attribute{clean(key), clean(value)})
		}
	}
	slices.SortFunc(more, func(a, b attribute) int { return strings.Compare(a.key, b.key) })
	d.attributes = append(d.attributes, more[:min(len(more), max(maxDeclared-len(d.attributes), 0))]...)
}

// owners are the kinds of owners that have an attribute.
var owners = map[string]string{
	"Deployment": "k8s.deployment.name", "ReplicaSet": "k8s.replicaset.name", "StatefulSet": "k8s.statefulset.name",
	"DaemonSet": "k8s.daemonset.name", "CronJob": "k8s.cronjob.name", "Job": "k8s.job.name",
}

// resource puts the attributes of the container and its pod.
func (k *kube) resource(put func(key, value string)) {
	if k.names.Pod == "" {
		put("container.name", clean(k.names.Container))
		return
	}
	put("k8s.container.name", clean(k.names.Container))
	put("k8s.pod.name", clean(k.names.Pod))
	put("k8s.namespace.name", clean(k.names.Namespace))
	if k.pod == nil {
		return
	}
	put("k8s.node.name", clean(k.pod.Node))
	if key := owners[k.pod.Owner.Kind]; key != "" {
		put(key, clean(k.pod.Owner.Name))
	}
}

// PodChanged makes the processes of a pod be looked at afresh, because the cluster
// says something else about it now. Their instances keep their series.
func (r *Registry) PodChanged(uid string) {
	var containers map[string]string
	if view := r.options.Cluster; view != nil {
		if pod, ok := view.Pod(uid); ok {
			containers = pod.Containers
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := 0; i < len(r.entries); {
		e := r.entries[i]
		_, in := containers[e.holder.identity.container]
		if !in && (uid == "" || e.holder.identity.pod != uid) || e.exiting.Load() {
			i++
			continue
		}
		r.remove(e) // another takes its place in the list
	}
}
