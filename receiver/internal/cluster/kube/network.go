// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/cluster"
)

// network is who has which address.
type network struct {
	pods      map[netip.Addr][]*located
	services  map[string]*service // by namespace/name
	virtual   map[netip.Addr][]*service
	slices    map[string]*endpointSlice // by namespace/name
	endpoints map[netip.Addr][]endpoint
}

// service is a Service.
type service struct {
	namespace, name string
	cluster         []netip.Addr // addresses that nobody else has
	shared          []netip.Addr // external ones: several services may have them, by port
	ports           []uint16
	headless        bool
}

// endpointSlice is a part of a service's endpoints.
type endpointSlice struct {
	namespace, service string
	ports              []uint16 // none: all
	targets            []target
}

type target struct {
	addresses []netip.Addr
	pod, uid  string // empty if it is not a pod
}

type endpoint struct {
	slice  *endpointSlice
	target *target
}

func newNetwork() network {
	return network{
		pods: map[netip.Addr][]*located{}, services: map[string]*service{}, virtual: map[netip.Addr][]*service{},
		slices: map[string]*endpointSlice{}, endpoints: map[netip.Addr][]endpoint{},
	}
}

func (n *network) locate(l *located) {
	for _, a := range l.addresses {
		n.pods[a] = append(n.pods[a], l)
	}
}

func (n *network) leave(l *located) {
	for _, a := range l.addresses {
		without(n.pods, a, func(other *located) bool { return other == l })
	}
}

// without takes elements out of the list of a key.
func without[K comparable, E any](m map[K][]E, key K, which func(E) bool) {
	if list := slices.DeleteFunc(m[key], which); len(list) > 0 {
		m[key] = list
	} else {
		delete(m, key)
	}
}

func (n *network) putService(o *corev1.Service) {
	n.dropService(o.Namespace + "/" + o.Name)
	s := &service{namespace: o.Namespace, name: o.Name, headless: o.Spec.ClusterIP == corev1.ClusterIPNone}
	if o.Spec.Type == corev1.ServiceTypeExternalName {
		return // another name only
	}
	s.cluster = addresses(append(slices.Clone(o.Spec.ClusterIPs), o.Spec.ClusterIP)...)
	s.shared = addresses(o.Spec.ExternalIPs...)
	for _, ingress := range o.Status.LoadBalancer.Ingress {
		s.shared = append(s.shared, addresses(ingress.IP)...)
	}
	for _, p := range o.Spec.Ports {
		s.ports = append(s.ports, uint16(p.Port))
	}
	n.services[o.Namespace+"/"+o.Name] = s
	for _, a := range slices.Concat(s.cluster, s.shared) {
		if !slices.Contains(n.virtual[a], s) {
			n.virtual[a] = append(n.virtual[a], s)
		}
	}
}

func (n *network) dropService(key string) {
	s, ok := n.services[key]
	if !ok {
		return
	}
	delete(n.services, key)
	for _, a := range slices.Concat(s.cluster, s.shared) {
		without(n.virtual, a, func(other *service) bool { return other == s })
	}
}

// addresses leaves out what is none: "None", "".
func addresses(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil && !slices.Contains(out, a.Unmap()) {
			out = append(out, a.Unmap())
		}
	}
	return out
}

func (n *network) putSlice(o *discoveryv1.EndpointSlice) {
	n.dropSlice(o.Namespace + "/" + o.Name)
	name := o.Labels[discoveryv1.LabelServiceName]
	if name == "" || o.AddressType == discoveryv1.AddressTypeFQDN {
		return
	}
	s := &endpointSlice{namespace: o.Namespace, service: name, targets: make([]target, 0, len(o.Endpoints))}
	for _, p := range o.Ports {
		if p.Port != nil {
			s.ports = append(s.ports, uint16(*p.Port))
		}
	}
	for _, e := range o.Endpoints {
		t := target{addresses: addresses(e.Addresses...)}
		if ref := e.TargetRef; ref != nil && ref.Kind == "Pod" {
			t.pod, t.uid = ref.Name, string(ref.UID)
		}
		s.targets = append(s.targets, t)
	}
	n.slices[o.Namespace+"/"+o.Name] = s
	for i := range s.targets {
		for _, a := range s.targets[i].addresses {
			n.endpoints[a] = append(n.endpoints[a], endpoint{slice: s, target: &s.targets[i]})
		}
	}
}

func (n *network) dropSlice(key string) {
	s, ok := n.slices[key]
	if !ok {
		return
	}
	delete(n.slices, key)
	for _, t := range s.targets {
		for _, a := range t.addresses {
			without(n.endpoints, a, func(e endpoint) bool { return e.slice == s })
		}
	}
}

// find says who has an address. next may know more of the owner.
//
// A pod in its node's network shares the node's address with others, kubelet among
// them, so that only the port of an endpoint tells that it is meant. EndpointSlices do
// not say which pods these are: without the port, a pod that is known only from there
// is asked about first.
func (n *network) find(at netip.AddrPort, owners *owners) (peer cluster.Peer, next object, ok bool) {
	if s := n.behind(at); s != nil {
		return cluster.Peer{Namespace: s.namespace, Service: s.name}, object{}, true
	}
	all := n.endpoints[at.Addr()]
	exact := byPort(all, at.Port())
	if l := n.pod(at.Addr()); l != nil {
		peer = cluster.Peer{Namespace: l.namespace, Pod: l.name, Owner: l.owner}
		if len(exact) == 0 {
			exact = all // what the pod is part of, though another port is meant
		}
		peer.Service = n.service(exact, l.uid)
		return peer, l.next, true
	}
	if t, namespace := only(exact); t != nil {
		if t.pod == "" { // an address that somebody has written down
			name := n.service(exact, "")
			return cluster.Peer{Namespace: namespace, Service: name}, object{}, name != ""
		}
		peer = cluster.Peer{Namespace: namespace, Pod: t.pod, Service: n.service(exact, t.uid)}
		if a, ok := owners.find(t.object(namespace)); ok {
			peer.Owner, next = a.owner, a.next
		}
		return peer, next, true
	}
	if t, namespace := only(all); len(exact) == 0 && t != nil && t.pod != "" {
		if a, ok := owners.find(t.object(namespace)); ok && !a.hostNetwork {
			return cluster.Peer{Namespace: namespace, Pod: t.pod, Service: n.service(all, t.uid), Owner: a.owner}, a.next, true
		}
	}
	return cluster.Peer{}, object{}, false
}

func (t *target) object(namespace string) object {
	return object{kind: "Pod", namespace: namespace, name: t.pod, uid: t.uid}
}

// behind is the service that has a virtual address.
func (n *network) behind(at netip.AddrPort) *service {
	var found *service
	for _, s := range n.virtual[at.Addr()] {
		if slices.Contains(s.cluster, at.Addr()) {
			return s
		}
		if slices.Contains(s.ports, at.Port()) {
			if found != nil {
				return nil
			}
			found = s
		}
	}
	return found
}

// pod is the one that has an address, unless several say so.
func (n *network) pod(a netip.Addr) *located {
	var found *located
	for _, l := range n.pods[a] {
		switch {
		case found == nil || found.leaving && !l.leaving:
			found = l
		case l.uid != found.uid && l.leaving == found.leaving:
			return nil
		}
	}
	return found
}

func byPort(all []endpoint, port uint16) []endpoint {
	var out []endpoint
	for _, e := range all {
		if len(e.slice.ports) == 0 || slices.Contains(e.slice.ports, port) {
			out = append(out, e)
		}
	}
	return out
}

// only is the one target that all endpoints are; nil if they are several.
func only(list []endpoint) (t *target, namespace string) {
	for _, e := range list {
		if t != nil && (e.target.uid != t.uid || e.target.pod != t.pod || e.slice.namespace != namespace) {
			return nil, ""
		}
		t, namespace = e.target, e.slice.namespace
	}
	return t, namespace
}

// service is the one that endpoints of a pod are part of. Of several, one that has an
// address of its own is preferred to headless ones; if that does not tell, it is empty.
func (n *network) service(list []endpoint, uid string) string {
	var name string
	headless, several := true, false
	for _, e := range list {
		if e.target.uid != uid || e.slice.service == name {
			continue
		}
		s, ok := n.services[e.slice.namespace+"/"+e.slice.service]
		h := !ok || s.headless
		switch {
		case name == "" || headless && !h:
			name, headless, several = e.slice.service, h, false
		case h == headless:
			several = true
		}
	}
	if several {
		return ""
	}
	return name
}
