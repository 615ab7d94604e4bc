// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/cluster"
)

func serviceOf(name string, spec corev1.ServiceSpec, ingress ...string) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Spec: spec}
	for _, ip := range ingress {
		s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: ip})
	}
	return s
}

func ports(numbers ...int32) (out []corev1.ServicePort) {
	for _, n := range numbers {
		out = append(out, corev1.ServicePort{Port: n})
	}
	return out
}

func sliceOf(name, service string, port int32, targets ...target) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "ns", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Port: &port}},
	}
	for _, t := range targets {
		e := discoveryv1.Endpoint{Addresses: []string{t.addresses[0].String()}}
		if t.pod != "" {
			e.TargetRef = &corev1.ObjectReference{Kind: "Pod", Name: t.pod, UID: types.UID(t.uid)}
		}
		s.Endpoints = append(s.Endpoints, e)
	}
	return s
}

func address(text string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(text)} }

// Addresses that services share are told apart by ports, or not at all.
func TestNetworkShared(t *testing.T) {
	n := newNetwork()
	o := newOwners(nil, nil)
	find := func(at string) string {
		p, _, _ := n.find(netip.MustParseAddrPort(at), o)
		return p.Namespace + "/" + p.Service + "/" + p.Pod
	}
	n.putService(serviceOf("a", corev1.ServiceSpec{ClusterIP: "10.96.0.1", ClusterIPs: []string{"10.96.0.1", "fd00::1"}, ExternalIPs: []string{"192.0.2.1"}, Ports: ports(80)}, "192.0.2.9"))
	n.putService(serviceOf("b", corev1.ServiceSpec{ClusterIP: "10.96.0.2", Ports: ports(443)}, "192.0.2.9"))
	n.putService(serviceOf("outside", corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.com"}))
	for at, want := range map[string]string{
		"10.96.0.1:80": "ns/a/", "10.96.0.1:1": "ns/a/", "[fd00::1]:80": "ns/a/", "192.0.2.1:80": "ns/a/", "192.0.2.1:22": "//",
		"192.0.2.9:80": "ns/a/", "192.0.2.9:443": "ns/b/", "192.0.2.9:22": "//",
	} {
		require.Equal(t, want, find(at), at)
	}
	n.putService(serviceOf("c", corev1.ServiceSpec{ClusterIP: "10.96.0.3", Ports: ports(80)}, "192.0.2.9"))
	require.Equal(t, "//", find("192.0.2.9:80"), "two services say so")

	// Somebody's own addresses, without pods.
	n.putSlice(sliceOf("db-1", "db", 5432, target{addresses: address("192.0.2.50")}))
	require.Equal(t, "ns/db/", find("192.0.2.50:5432"))
	require.Equal(t, "//", find("192.0.2.50:22"))
	// Two pods in the network of one node, at one port: it cannot be, and is not decided.
	n.putSlice(sliceOf("x-1", "x", 80, target{addresses: address("192.0.2.60"), pod: "p", uid: "1"}, target{addresses: address("192.0.2.60"), pod: "q", uid: "2"}))
	require.Equal(t, "//", find("192.0.2.60:80"))
	// Two services of one pod's port, both or neither with an address.
	n.putSlice(sliceOf("a-1", "a", 81, target{addresses: address("10.0.0.1"), pod: "p", uid: "1"}))
	n.putSlice(sliceOf("b-1", "b", 81, target{addresses: address("10.0.0.1"), pod: "p", uid: "1"}))
	require.Equal(t, "ns//p", find("10.0.0.1:81"))
	n.dropSlice("ns/b-1")
	require.Equal(t, "ns/a/p", find("10.0.0.1:81"))

	for _, key := range []string{"ns/a", "ns/b", "ns/c", "ns/outside"} {
		n.dropService(key)
	}
	for _, key := range []string{"ns/db-1", "ns/x-1", "ns/a-1"} {
		n.dropSlice(key)
	}
	require.Empty(t, n.virtual)
	require.Empty(t, n.endpoints)
}

// The memory of a cluster of 1,000 services with ten pods each.
func TestNetworkMemory(t *testing.T) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	n := newNetwork()
	for i := range 1000 {
		n.putService(serviceOf(fmt.Sprint("service-", i), corev1.ServiceSpec{ClusterIP: fmt.Sprintf("10.96.%d.%d", i/250, i%250), Ports: ports(80)}))
		var targets []target
		for j := range 10 {
			targets = append(targets, target{addresses: address(fmt.Sprintf("10.%d.%d.%d", j, i/250, i%250)), pod: fmt.Sprintf("service-%d-7d9f8c6b5-%05d", i, j), uid: fmt.Sprintf("0e4d6f1c-9f2c-4f53-8a3e-%06d%06d", i, j)})
		}
		n.putSlice(sliceOf(fmt.Sprintf("service-%d-abcde", i), fmt.Sprint("service-", i), 8080, targets...))
	}
	used := heap() - before
	t.Logf("%d KiB, %d B for a pod", used>>10, used/10000)
	require.Less(t, used, uint64(8<<20))
	p, _, ok := n.find(netip.MustParseAddrPort("10.3.1.7:8080"), newOwners(nil, nil))
	require.True(t, ok)
	require.Equal(t, cluster.Peer{Namespace: "ns", Service: "service-257", Pod: "service-257-7d9f8c6b5-00003"}, p)
}
