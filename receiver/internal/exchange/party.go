// SPDX-License-Identifier: Apache-2.0

package exchange

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/xpdata"
)

// Names of what is known of who is at the other end of a connection. Those of the service
// are of semantic conventions v1.43.0; the others are ours: the conventions know
// Kubernetes' attributes as those of the resource that tells, not of its peers. A
// workload's name is below ebpf.peer.k8s. and its kind: ebpf.peer.k8s.deployment.name.
const (
	AttrServicePeerName      = "service.peer.name"
	AttrServicePeerNamespace = "service.peer.namespace"

	AttrPeerPod          = "ebpf.peer.k8s.pod.name"
	AttrPeerPodNamespace = "ebpf.peer.k8s.namespace.name"
	AttrPeerService      = "ebpf.peer.k8s.service.name"
	peerKubernetes       = "ebpf.peer.k8s."
)

// AttrPeerOwner is the attribute for the name of a workload of a kind in lower case.
func AttrPeerOwner(kind string) string { return peerKubernetes + kind + ".name" }

// Party is who is at the other end of a connection. It is immutable, and shared.
type Party struct {
	// Service and Namespace are service.peer.name and service.peer.namespace; "" if not
	// known. They are attributes of spans, and of metrics if that is asked for.
	Service, Namespace string
	// Attributes are further ones, of spans.
	Attributes []PartyAttribute
}

// PartyAttribute is a text.
type PartyAttribute struct{ Key, Value string }

// Known is how far the engine has got with who is at the other end.
type Known struct {
	// Named: ServerName is what it stays. Met: Party is.
	Named, Met bool
	// Namings and Meets are attempts at the two.
	Namings, Meets uint8
	// Again is when there may be more to know of Party, CLOCK_MONOTONIC, ns.
	Again uint64
}

// partyAttributes is how many putParty adds.
func (x *Exchange) partyAttributes() int {
	if x.Connection == nil || x.Connection.Party == nil {
		return 0
	}
	return len(x.Connection.Party.Attributes) + 2
}

// putParty adds who is at the other end to the attributes of a span.
func (x *Exchange) putParty(b *xpdata.MapBuilder) {
	if x.Connection == nil || x.Connection.Party == nil {
		return
	}
	p := x.Connection.Party
	if p.Service != "" {
		b.AppendEmpty(AttrServicePeerName).SetStr(p.Service)
	}
	if p.Namespace != "" {
		b.AppendEmpty(AttrServicePeerNamespace).SetStr(p.Namespace)
	}
	for i := range p.Attributes {
		b.AppendEmpty(p.Attributes[i].Key).SetStr(p.Attributes[i].Value)
	}
}

// AppendParty is Detail.AppendMetricKey for what PutPartyOnMetric adds. It goes behind the
// Detail's own key: the lengths at its end keep the two apart.
func (x *Exchange) AppendParty(b []byte) []byte {
	var service, namespace string
	if x.Connection != nil && x.Connection.Party != nil {
		service, namespace = x.Connection.Party.Service, x.Connection.Party.Namespace
	}
	b = append(append(b, service...), namespace...)
	return append(b, byte(len(service)>>8), byte(len(service)), byte(len(namespace)>>8), byte(len(namespace)))
}

// PutPartyOnMetric adds the service at the other end to the attributes of a metric point.
func (x *Exchange) PutPartyOnMetric(m pcommon.Map) {
	if x.Connection == nil || x.Connection.Party == nil {
		return
	}
	if p := x.Connection.Party; p.Service != "" {
		m.PutStr(AttrServicePeerName, p.Service)
		if p.Namespace != "" {
			m.PutStr(AttrServicePeerNamespace, p.Namespace)
		}
	}
}

// Use says which process uses one end of a connection, for the other.
func (w *Wire) Use(role Role, pid uint32) {
	if w != nil && role != RoleUnknown {
		w.users[role-RoleServer].Store(pid)
	}
}

// User is the process that uses an end of a connection; 0 if not known.
func (w *Wire) User(role Role) uint32 {
	if w == nil || role == RoleUnknown {
		return 0
	}
	return w.users[role-RoleServer].Load()
}
