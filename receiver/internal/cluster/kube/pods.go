// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"maps"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/cluster"
)

const (
	// configHash is kubelet's uid of a static pod: 32 hex digits, and what its
	// cgroup is called. The API server gives the pod's mirror another uid.
	configHash = "kubernetes.io/config.hash"
	// lastApplied is a copy of the whole object.
	lastApplied = "kubectl.kubernetes.io/last-applied-configuration"
)

// pod is one of this node's.
type pod struct {
	// facts is what the pod itself says: no namespace's labels, and the owner that
	// it names.
	facts cluster.Pod
	next  object // who may know more of the owner
	hash  string // of a static pod
	place located
	// says is what is published; nil while the pod's namespace is not known yet.
	says *cluster.Pod
}

// located is a pod as a peer.
type located struct {
	namespace, name, uid string
	owner                cluster.Owner
	next                 object
	// addresses of its own: none of a pod in the host's network, or that is over.
	addresses []netip.Addr
	leaving   bool
}

// strip takes out what a pod does not need; most of it are managedFields and the
// containers' specifications.
func stripPod(p *corev1.Pod) {
	p.ManagedFields, p.Finalizers = nil, nil
	delete(p.Annotations, lastApplied)
	p.Spec = corev1.PodSpec{NodeName: p.Spec.NodeName, HostNetwork: p.Spec.HostNetwork}
	s := &p.Status
	p.Status = corev1.PodStatus{
		Phase: s.Phase, PodIPs: s.PodIPs,
		ContainerStatuses:          stripContainers(s.ContainerStatuses),
		InitContainerStatuses:      stripContainers(s.InitContainerStatuses),
		EphemeralContainerStatuses: stripContainers(s.EphemeralContainerStatuses),
	}
}

func stripContainers(list []corev1.ContainerStatus) []corev1.ContainerStatus {
	for i, c := range list {
		list[i] = corev1.ContainerStatus{Name: c.Name, ContainerID: c.ContainerID}
		if t := c.LastTerminationState.Terminated; t != nil {
			list[i].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ContainerID: t.ContainerID}
		}
	}
	return list
}

// stripPeer leaves what a peer needs of a pod.
func stripPeer(p *corev1.Pod) {
	stripPod(p)
	p.Annotations = nil
	p.Labels = hashLabel(p.Labels)
	p.Status = corev1.PodStatus{Phase: p.Status.Phase, PodIPs: p.Status.PodIPs}
}

func hashLabel(labels map[string]string) map[string]string {
	const key = "pod-template-hash"
	if hash, ok := labels[key]; ok {
		return map[string]string{key: hash}
	}
	return nil
}

func newPod(p *corev1.Pod) *pod {
	stripPod(p)
	out := &pod{
		facts: cluster.Pod{
			UID: string(p.UID), Namespace: p.Namespace, Name: p.Name, Node: p.Spec.NodeName,
			Labels: p.Labels, Annotations: p.Annotations,
			Containers: map[string]string{},
		},
		hash:  p.Annotations[configHash],
		place: newLocated(p),
	}
	out.facts.Owner, out.next = out.place.owner, out.place.next
	for _, list := range [][]corev1.ContainerStatus{
		p.Status.InitContainerStatuses, p.Status.ContainerStatuses, p.Status.EphemeralContainerStatuses,
	} {
		for _, c := range list {
			// The last one too: what it has sent may still be on its way here.
			if t := c.LastTerminationState.Terminated; t != nil {
				out.contains(t.ContainerID, c.Name)
			}
			out.contains(c.ContainerID, c.Name)
		}
	}
	return out
}

// contains takes a container id as runtimes write it: containerd://4f...
func (p *pod) contains(id, name string) {
	if _, bare, ok := strings.Cut(id, "://"); ok {
		id = bare
	}
	if id != "" {
		p.facts.Containers[id] = name
	}
}

func newLocated(p *corev1.Pod) located {
	l := located{namespace: p.Namespace, name: p.Name, uid: string(p.UID), leaving: p.DeletionTimestamp != nil}
	l.owner, l.next = ownerOf(p)
	if p.Spec.HostNetwork || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return l
	}
	for _, ip := range p.Status.PodIPs {
		if a, err := netip.ParseAddr(ip.IP); err == nil {
			l.addresses = append(l.addresses, a.Unmap())
		}
	}
	return l
}

func equal(a, b *cluster.Pod) bool {
	return a.UID == b.UID && a.Namespace == b.Namespace && a.Name == b.Name && a.Node == b.Node && a.Owner == b.Owner &&
		maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations) &&
		maps.Equal(a.NamespaceLabels, b.NamespaceLabels) && maps.Equal(a.NamespaceAnnotations, b.NamespaceAnnotations) &&
		maps.Equal(a.Containers, b.Containers)
}
