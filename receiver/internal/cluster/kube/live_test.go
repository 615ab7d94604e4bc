// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/cluster"
	testcluster "github.com/otelcol-ebpf/otelcol-ebpf/testbed/kubernetes/cluster"
)

// within is how old what a View says may be.
const within = 2 * time.Second

// watched is a View and the calls it has made.
type watched struct {
	*View
	logs *observer.ObservedLogs

	mu    sync.Mutex
	calls map[string]int
	lists atomic.Int32 // of pods, as a whole
}

func observe(t *testing.T, config *rest.Config, node string, peers Peers) *watched {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	v, err := New(Options{Config: config, Node: node, Peers: peers, Logger: zap.New(core)})
	require.NoError(t, err)
	w := &watched{View: v, logs: logs, calls: map[string]int{}}
	v.OnChange(func(uid string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.calls[uid]++
	})
	pods := v.sources[0].store.(*store[*corev1.Pod])
	replace := pods.replace
	pods.replace = func(all []*corev1.Pod) {
		w.lists.Add(1)
		replace(all)
	}
	v.Start()
	t.Cleanup(v.Stop)
	return w
}

func (w *watched) called(uid string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[uid]
}

// soon asks that something is so within the time that a View has, and says how long it took.
func soon(t *testing.T, what string, is func() bool) {
	t.Helper()
	began := time.Now()
	require.Eventually(t, is, within, 2*time.Millisecond, what)
	t.Logf("%s: after %v", what, time.Since(began).Round(time.Millisecond))
}

func (w *watched) current() bool {
	for _, s := range w.Status() {
		if !s.Current {
			return false
		}
	}
	return true
}

func port(ip string, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(ip), port)
}

func (w *watched) peer(ip string, p uint16) cluster.Peer {
	peer, _ := w.Peer(port(ip, p))
	return peer
}

// gate is a door to the API server that can be shut, as a network that fails.
type gate struct {
	to       string
	listener net.Listener
	address  string

	mu          sync.Mutex
	connections map[net.Conn]bool
	running     sync.WaitGroup
}

func newGate(t *testing.T, to string) *gate {
	g := &gate{to: to, connections: map[net.Conn]bool{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g.address = l.Addr().String()
	g.serve(l)
	t.Cleanup(func() { g.shut(); g.running.Wait() })
	return g
}

func (g *gate) serve(l net.Listener) {
	g.listener = l
	g.running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", g.to)
			if err != nil {
				in.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				g.mu.Lock()
				g.connections[pair[0]] = true
				g.mu.Unlock()
				g.running.Go(func() {
					_, _ = io.Copy(pair[0], pair[1])
					pair[0].Close()
					pair[1].Close()
				})
			}
		}
	})
}

// shut ends all connections and refuses new ones.
func (g *gate) shut() {
	g.listener.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.connections {
		c.Close()
	}
	clear(g.connections)
}

func (g *gate) open(t *testing.T) {
	var l net.Listener
	require.Eventually(t, func() (ok bool) {
		var err error
		l, err = net.Listen("tcp", g.address)
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
	g.serve(l)
}

// TestLive is a View of a real API server, as somebody who has the rights that the
// manifests give and no others.
func TestLive(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a Kubernetes API server")
	}
	c := testcluster.Start(t)
	t.Cleanup(func() { c.CoreV1().RESTClient().(*rest.RESTClient).Client.CloseIdleConnections() })
	c.Namespace("collector", nil)
	receiver := c.As(c.ServiceAccount("collector", "receiver", testcluster.ReceiverRules))

	t.Run("pods", func(t *testing.T) { livePods(t, c, receiver) })
	t.Run("owners", func(t *testing.T) { liveOwners(t, c, receiver) })
	t.Run("namespaces", func(t *testing.T) { liveNamespaces(t, c, receiver) })
	t.Run("static pod", func(t *testing.T) { liveStatic(t, c, receiver) })
	t.Run("peers", func(t *testing.T) { livePeers(t, c, receiver) })
	t.Run("peers that are pods", func(t *testing.T) { livePeerPods(t, c, receiver) })
	t.Run("rights", func(t *testing.T) { liveRights(t, c) })
	t.Run("lost watches", func(t *testing.T) { liveLost(t, c, receiver) })
	t.Run("restart", func(t *testing.T) { liveRestart(t, c, receiver) })
	t.Run("start without a server", func(t *testing.T) { liveLate(t, c, receiver) })
	t.Run("many", func(t *testing.T) { liveMany(t, c, receiver) })
}

func livePods(t *testing.T, c *testcluster.Cluster, receiver *rest.Config) {
	c.Namespace("pods", map[string]string{"team": "a"})
	first := testcluster.ContainerID()
	old := c.Pod(testcluster.Pod{Namespace: "pods", Name: "old", Node: "pods-1", Containers: []testcluster.Container{{Name: "main", ID: first}}})
	w := observe(t, receiver, "pods-1", PeersServices)
	soon(t, "the first pods", func() bool { _, ok := w.Pod(string(old.UID)); return ok && w.current() })

	app, proxy, setup, debug := testcluster.ContainerID(), testcluster.ContainerID(), testcluster.ContainerID(), testcluster.ContainerID()
	containers := []testcluster.Container{{Name: "app", ID: app}, {Name: "proxy", ID: proxy}, {Name: "setup", ID: setup, Kind: "init"}}
	made := c.Pod(testcluster.Pod{
		Namespace: "pods", Name: "web", Node: "pods-1", Labels: map[string]string{"app": "web"},
		Annotations: map[string]string{"note": "x", lastApplied: "{}"}, Containers: containers, IPs: []string{"10.1.0.1"},
	})
	elsewhere := c.Pod(testcluster.Pod{Namespace: "pods", Name: "elsewhere", Node: "pods-2", Containers: []testcluster.Container{{Name: "app", ID: testcluster.ContainerID()}}})
	uid := string(made.UID)
	soon(t, "a pod that is added, with its containers", func() bool { _, _, ok := w.Container(app); return ok })
	pod, name, _ := w.Container(proxy)
	require.Equal(t, "proxy", name)
	require.Equal(t, &cluster.Pod{
		UID: uid, Namespace: "pods", Name: "web", Node: "pods-1",
		Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"note": "x"},
		NamespaceLabels: map[string]string{"team": "a", "kubernetes.io/metadata.name": "pods"},
		Containers:      map[string]string{app: "app", proxy: "proxy", setup: "setup"},
	}, pod)
	require.NotZero(t, w.called(uid))
	require.NotZero(t, w.called(string(old.UID)))

	// What is no change of what a Pod says makes neither a new one nor a call.
	calls := w.called(uid)
	_, err := c.CoreV1().Pods("pods").Patch(t.Context(), "web", "application/merge-patch+json", []byte(`{"metadata":{"finalizers":["test/x"]}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	c.LabelPod("pods", "old", `{"marker": "1"}`)
	soon(t, "a label of a pod", func() bool { p, _ := w.Pod(string(old.UID)); return p.Labels["marker"] == "1" })
	same, _ := w.Pod(uid)
	require.Same(t, pod, same)
	require.Equal(t, calls, w.called(uid))
	_, err = c.CoreV1().Pods("pods").Patch(t.Context(), "web", "application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	require.NoError(t, err)

	// A container that starts again has another id; the last one is still known.
	again := testcluster.ContainerID()
	fresh, err := c.CoreV1().Pods("pods").Get(t.Context(), "web", metav1.GetOptions{})
	require.NoError(t, err)
	fresh.Status.ContainerStatuses[0].ContainerID = "containerd://" + again
	fresh.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ContainerID: "containerd://" + app}
	fresh.Status.EphemeralContainerStatuses = []corev1.ContainerStatus{{Name: "debug", ContainerID: "cri-o://" + debug}}
	_, err = c.CoreV1().Pods("pods").UpdateStatus(t.Context(), fresh, metav1.UpdateOptions{})
	require.NoError(t, err)
	soon(t, "a container that starts again", func() bool { _, n, _ := w.Container(again); return n == "app" })
	for id, name := range map[string]string{app: "app", debug: "debug"} {
		_, got, _ := w.Container(id)
		require.Equal(t, name, got)
	}
	require.Greater(t, w.called(uid), calls)

	calls = w.called(uid)
	c.DeletePod("pods", "web")
	soon(t, "a pod that is deleted", func() bool { _, ok := w.Pod(uid); return !ok && w.called(uid) > calls })
	for _, id := range []string{app, again, proxy, setup, debug} {
		_, _, ok := w.Container(id)
		require.False(t, ok)
	}
	// The same name again is another pod (a StatefulSet's).
	next := c.Pod(testcluster.Pod{Namespace: "pods", Name: "web", Node: "pods-1", Containers: []testcluster.Container{{Name: "app"}}})
	soon(t, "a pod of the same name", func() bool { _, ok := w.Pod(string(next.UID)); return ok })
	_, ok := w.Pod(string(elsewhere.UID))
	require.False(t, ok, "a pod of another node")
	for _, s := range w.Status() {
		require.Zero(t, s.Errors, s.Resource)
	}
}

func liveOwners(t *testing.T, c *testcluster.Cluster, receiver *rest.Config) {
	c.Namespace("owners", nil)
	deployment := c.Deployment("owners", "web")
	rollout := &metav1.OwnerReference{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Name: "canary", UID: "0e4d6f1c-9f2c-4f53-8a3e-000000000001", Controller: deployment.Controller}
	cases := map[string]struct {
		owner  *metav1.OwnerReference
		labels map[string]string
		want   cluster.Owner
	}{
		"deployment":    {deployment, map[string]string{"pod-template-hash": testcluster.PodTemplateHash}, cluster.Owner{Kind: "Deployment", Name: "web"}},
		"label-removed": {deployment, nil, cluster.Owner{Kind: "Deployment", Name: "web"}},
		"replicaset":    {c.ReplicaSet("owners", "bare", nil), nil, cluster.Owner{Kind: "ReplicaSet", Name: "bare"}},
		"rollout":       {c.ReplicaSet("owners", "canary-5d8", rollout), nil, cluster.Owner{Kind: "Rollout", Name: "canary"}},
		"cronjob":       {c.Job("owners", "backup-28941", "backup"), nil, cluster.Owner{Kind: "CronJob", Name: "backup"}},
		"bare":          {nil, nil, cluster.Owner{}},
		"daemonset": {&metav1.OwnerReference{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "agent", UID: "x", Controller: deployment.Controller}, nil,
			cluster.Owner{Kind: "DaemonSet", Name: "agent"}},
	}
	w := observe(t, receiver, "owners-1", PeersNone)
	for name, tt := range cases {
		p := c.Pod(testcluster.Pod{Namespace: "owners", Name: name, Node: "owners-1", Owner: tt.owner, Labels: tt.labels, Containers: []testcluster.Container{{Name: "c"}}})
		soon(t, name, func() bool { got, ok := w.Pod(string(p.UID)); return ok && got.Owner == tt.want })
	}
}

func liveNamespaces(t *testing.T, c *testcluster.Cluster, receiver *rest.Config) {
	c.Namespace("shop", nil)
	w := observe(t, receiver, "shop-1", PeersServices)
	var pods []string
	for i := range 3 {
		p := c.Pod(testcluster.Pod{Namespace: "shop", Name: fmt.Sprint("p", i), Node: "shop-1", Containers: []testcluster.Container{{Name: "c"}}})
		pods = append(pods, string(p.UID))
	}
	soon(t, "the pods", func() bool { _, ok := w.Pod(pods[2]); return ok })
	before := map[string]int{}
	for _, uid := range pods {
		soon(t, "its call", func() bool { return w.called(uid) > 0 })
		before[uid] = w.called(uid)
	}
	labelled := func(value string) func() bool {
		return func() bool {
			for _, uid := range pods {
				p, ok := w.Pod(uid)
				if !ok || p.NamespaceLabels["observe"] != value || w.called(uid) == before[uid] {
					return false
				}
			}
			return true
		}
	}
	c.LabelNamespace("shop", `{"observe": "true"}`)
	soon(t, "all pods of a namespace that is labelled", labelled("true"))
	for _, uid := range pods {
		before[uid] = w.called(uid)
	}
	c.LabelNamespace("shop", `{"observe": null}`)
	soon(t, "all pods of a namespace whose label is taken away", labelled(""))

	// A namespace and its pod that are made at once: the pod is never shown without
	// the namespace's labels, so that rules do not decide twice.
	var bare bool
	uidOf := make(chan string, 1)
	var seen sync.Once
	w.OnChange(func(uid string) {
		if p, ok := w.Pod(uid); ok && p.Namespace == "brand-new" {
			bare = bare || p.NamespaceLabels["observe"] != "true"
			seen.Do(func() { uidOf <- uid })
		}
	})
	c.Namespace("brand-new", map[string]string{"observe": "true"})
	c.Pod(testcluster.Pod{Namespace: "brand-new", Name: "p", Node: "shop-1", Containers: []testcluster.Container{{Name: "c"}}})
	select {
	case <-uidOf:
	case <-time.After(within):
		t.Fatal("no call for the pod of a new namespace")
	}
	require.False(t, bare)
}

func liveStatic(t *testing.T, c *testcluster.Cluster, receiver *rest.Config) {
	c.Namespace("static", nil)
	const hash = "8f3c1de7b6a54a1f9c0d2e4b5a697881"
	w := observe(t, receiver, "static-1", PeersNone)
	node, err := c.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "static-1"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	yes := true
	p := c.Pod(testcluster.Pod{
		Namespace: "static", Name: "kube-apiserver-static-1", Node: "static-1", HostNet: true,
		Annotations: map[string]string{configHash: hash, "kubernetes.io/config.mirror": hash, "kubernetes.io/config.source": "file"},
		Owner:       &metav1.OwnerReference{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID, Controller: &yes},
		Containers:  []testcluster.Container{{Name: "kube-apiserver", ID: testcluster.ContainerID()}},
	})
	soon(t, "the uid that is in its cgroup", func() bool { _, ok := w.Pod(hash); return ok })
	pod, _ := w.Pod(hash)
	require.Equal(t, string(p.UID), pod.UID)
	require.Equal(t, cluster.Owner{}, pod.Owner)
	dashed, ok := w.Pod("8f3c1de7-b6a5-4a1f-9c0d-2e4b5a697881")
	require.True(t, ok)
	require.Same(t, pod, dashed)
	c.DeletePod("static", "kube-apiserver-static-1")
	soon(t, "it is gone", func() bool { _, ok := w.Pod(hash); return !ok })
}

func livePeers(t *testing.T, c *testcluster.Cluster, receiver *rest.Config) {
	c.Namespace("net", nil)
	owner := c.Deployment("net", "web")
	labels := map[string]string{"app": "web", "pod-template-hash": testcluster.PodTemplateHash}
	pod := func(name, node, ip string, host bool) *corev1.Pod {
		return c.Pod(testcluster.Pod{Namespace: "net", Name: name, Node: node, Owner: owner, Labels: labels, HostNet: host,
			Containers: []testcluster.Container{{Name: "c"}}, Ports: []int32{8080}, IPs: []string{ip}})
	}
	here, there, host := pod("here", "net-1", "10.2.0.1", false), pod("there", "net-2", "10.2.0.2", false), pod("host", "net-2", "192.0.2.2", true)
	pod("lonely", "net-1", "10.2.0.3", false)
	web := c.Service("net", "web", "", 80)
	c.Service("net", "web-headless", "None", 80)
	c.Service("net", "admin", "", 90)
	for _, s := range []string{"web", "web-headless"} {
		c.EndpointSlice("net", s, 8080, here, there, host)
	}
	c.EndpointSlice("net", "admin", 9090, here)
	w := observe(t, receiver, "net-1", PeersServices)
	soon(t, "all lists", w.current)

	web80 := cluster.Peer{Namespace: "net", Service: "web"}
	soon(t, "an address of a service", func() bool { return w.peer(web.Spec.ClusterIP, 80) == web80 })
	deployment := cluster.Owner{Kind: "Deployment", Name: "web"}
	is := func(name, service string) cluster.Peer {
		return cluster.Peer{Namespace: "net", Pod: name, Service: service, Owner: deployment}
	}
	soon(t, "a pod of this node", func() bool { return w.peer("10.2.0.1", 8080) == is("here", "web") })
	require.Equal(t, is("here", "admin"), w.peer("10.2.0.1", 9090), "by the port")
	require.Equal(t, is("here", ""), w.peer("10.2.0.1", 40000), "of two services, and neither's port")
	require.Equal(t, is("lonely", ""), w.peer("10.2.0.3", 40000))
	soon(t, "a pod of another node", func() bool { return w.peer("10.2.0.2", 8080) == is("there", "web") })
	soon(t, "a pod of another node that is a client", func() bool { return w.peer("10.2.0.2", 40000) == is("there", "web") })
	soon(t, "a pod in the network of its node", func() bool { return w.peer("192.0.2.2", 8080) == is("host", "web") })
	_, ok := w.Peer(port("192.0.2.2", 40000))
	require.False(t, ok, "what else is on the node")
	_, ok = w.Peer(port("198.51.100.1", 443))
	require.False(t, ok, "the world")
	mapped, ok := w.Peer(netip.MustParseAddrPort("[::ffff:10.2.0.1]:8080"))
	require.True(t, ok)
	require.Equal(t, is("here", "web"), mapped)

	require.NoError(t, c.CoreV1().Services("net").Delete(t.Context(), "web", metav1.DeleteOptions{}))
	soon(t, "a service that is deleted", func() bool { _, ok := w.Peer(port(web.Spec.ClusterIP, 80)); return !ok })
	c.DeletePod("net", "lonely")
	soon(t, "an address that is free", func() bool { _, ok := w.Peer(port("10.2.0.3", 40000)); return !ok })
	// Its address goes to another pod before its end is seen by everybody.
	next := pod("next", "net-1", "10.2.0.3", false)
	soon(t, "an address that is given again", func() bool { return w.peer("10.2.0.3", 1).Pod == next.Name })
	for _, s := range w.Status() {
		require.Zero(t, s.Errors, s.Resource)
	}
}

func livePeerPods(t *testing.T, c *testcluster.Cluster, receiver *rest.Config) {
	c.Namespace("all", nil)
	owner := c.Deployment("all", "client")
	w := observe(t, receiver, "all-1", PeersPods)
	p := c.Pod(testcluster.Pod{Namespace: "all", Name: "client", Node: "all-2", Owner: owner, Labels: map[string]string{"pod-template-hash": testcluster.PodTemplateHash},
		Containers: []testcluster.Container{{Name: "c"}}, IPs: []string{"10.3.0.1", "fd00::1"}})
	want := cluster.Peer{Namespace: "all", Pod: "client", Owner: cluster.Owner{Kind: "Deployment", Name: "client"}}
	soon(t, "a pod of another node without a service", func() bool { return w.peer("10.3.0.1", 40000) == want })
	require.Equal(t, want, w.peer("fd00::1", 1))
	p.Status.Phase = corev1.PodSucceeded
	_, err := c.CoreV1().Pods("all").UpdateStatus(t.Context(), p, metav1.UpdateOptions{})
	require.NoError(t, err)
	soon(t, "a pod that is over", func() bool { _, ok := w.Peer(port("10.3.0.1", 1)); return !ok })
	for _, s := range w.Status() {
		require.Zero(t, s.Errors, s.Resource)
	}
}

// liveRights takes one rule after another away: each is needed, and what is left works.
func liveRights(t *testing.T, c *testcluster.Cluster) {
	c.Namespace("rights", map[string]string{"team": "a"})
	id := testcluster.ContainerID()
	c.Pod(testcluster.Pod{Namespace: "rights", Name: "p", Node: "rights-1", Containers: []testcluster.Container{{Name: "c", ID: id}}})
	for i, missing := range []string{"pods", "namespaces", "services", "endpointslices"} {
		var rules []rbacv1.PolicyRule
		for _, r := range testcluster.ReceiverRules {
			r = *r.DeepCopy()
			var left []string
			for _, resource := range r.Resources {
				if resource != missing {
					left = append(left, resource)
				}
			}
			if r.Resources = left; len(left) > 0 {
				rules = append(rules, r)
			}
		}
		w := observe(t, c.As(c.ServiceAccount("rights", fmt.Sprint("without-", i), rules)), "rights-1", PeersServices)
		soon(t, "a problem without "+missing, func() bool { return w.Problem() != nil })
		require.ErrorContains(t, w.Problem(), "watch "+missing+": ")
		require.ErrorContains(t, w.Problem(), "forbidden")
		if missing != "pods" {
			soon(t, "pods without "+missing, func() bool { _, _, ok := w.Container(id); return ok })
		}
		require.Equal(t, 1, w.logs.FilterMessageSnippet("refuses to tell").Len(), "said once")
	}
}

// liveLost loses the connection while pods come, change and go.
func liveLost(t *testing.T, c *testcluster.Cluster, receiver *rest.Config) {
	c.Namespace("lost", nil)
	g := newGate(t, c.Address())
	behind := rest.CopyConfig(receiver)
	behind.Host = "https://" + g.address
	w := observe(t, behind, "lost-1", PeersServices)
	pod := func(name string) *corev1.Pod {
		return c.Pod(testcluster.Pod{Namespace: "lost", Name: name, Node: "lost-1", Containers: []testcluster.Container{{Name: "c"}}})
	}
	gone, changed := pod("gone"), pod("changed")
	soon(t, "the pods", func() bool { _, a := w.Pod(string(gone.UID)); _, b := w.Pod(string(changed.UID)); return a && b })

	g.shut()
	soon(t, "that it is lost is known", func() bool { return w.Problem() != nil })
	_, ok := w.Pod(string(gone.UID))
	require.True(t, ok, "what was known stays known")
	c.DeletePod("lost", "gone")
	c.LabelPod("lost", "changed", `{"x": "y"}`)
	c.LabelNamespace("lost", `{"x": "y"}`)
	came := pod("came")
	g.open(t)
	soon(t, "all that happened meanwhile", func() bool {
		_, left := w.Pod(string(gone.UID))
		_, here := w.Pod(string(came.UID))
		p, _ := w.Pod(string(changed.UID))
		return !left && here && p.Labels["x"] == "y" && p.NamespaceLabels["x"] == "y"
	})
	soon(t, "no problem any more", func() bool { return w.Problem() == nil && w.current() })
	require.NotZero(t, w.called(string(gone.UID)))
	require.EqualValues(t, 1, w.lists.Load(), "the watch went on from where it was")
}

// liveRestart ends the API server. The new one does not know what happened before it,
// so that the resource version of a watch that goes on is too old for it (410 Gone).
func liveRestart(t *testing.T, c *testcluster.Cluster, receiver *rest.Config) {
	c.Namespace("restart", nil)
	g := newGate(t, c.Address())
	behind := rest.CopyConfig(receiver)
	behind.Host = "https://" + g.address
	w := observe(t, behind, "restart-1", PeersServices)
	pod := func(name string) *corev1.Pod {
		return c.Pod(testcluster.Pod{Namespace: "restart", Name: name, Node: "restart-1", Containers: []testcluster.Container{{Name: "c"}}})
	}
	gone := pod("gone")
	soon(t, "the pod", func() bool { _, ok := w.Pod(string(gone.UID)); return ok })
	g.shut()
	c.DeletePod("restart", "gone")
	came := pod("came")
	for i := range 200 { // so that etcd goes on by more than a few revisions
		c.LabelPod("restart", "came", fmt.Sprintf(`{"n": "%d"}`, i))
	}
	c.StopServer()
	c.StartServer()
	g.open(t)
	soon(t, "what happened before the new server", func() bool {
		_, left := w.Pod(string(gone.UID))
		p, here := w.Pod(string(came.UID))
		return !left && here && p.Labels["n"] == "199"
	})
	require.EqualValues(t, 2, w.lists.Load(), "the watch could not go on: it was listed again")
	// Changes behind that come by watches again.
	c.LabelPod("restart", "came", `{"n": "new"}`)
	soon(t, "a change behind it", func() bool { p, _ := w.Pod(string(came.UID)); return p.Labels["n"] == "new" })
	soon(t, "no problem any more", func() bool { return w.Problem() == nil && w.current() })
}

// liveLate starts before there is a server.
func liveLate(t *testing.T, c *testcluster.Cluster, receiver *rest.Config) {
	c.Namespace("late", nil)
	p := c.Pod(testcluster.Pod{Namespace: "late", Name: "p", Node: "late-1", Containers: []testcluster.Container{{Name: "c"}}})
	c.StopServer()
	w := observe(t, receiver, "late-1", PeersServices)
	soon(t, "that there is no server is known", func() bool { return w.Problem() != nil })
	_, ok := w.Pod(string(p.UID))
	require.False(t, ok)
	require.False(t, w.current())
	c.StartServer()
	soon(t, "the pods when there is one", func() bool { _, ok := w.Pod(string(p.UID)); return ok })
	require.Equal(t, 4, w.logs.FilterMessageSnippet("does not answer").Len(), "said once for each resource")
	soon(t, "no problem any more", func() bool { return w.Problem() == nil && w.current() })
	require.Equal(t, 4, w.logs.FilterMessageSnippet("answers again").Len())
}

// liveMany stops a View with much in it: nothing may be left running.
func liveMany(t *testing.T, c *testcluster.Cluster, receiver *rest.Config) {
	c.Namespace("many", nil)
	const pods = 110 // what kubelet runs on a node at most, unless told otherwise
	began := time.Now()
	var last *corev1.Pod
	for i := range pods {
		last = c.Pod(testcluster.Pod{Namespace: "many", Name: fmt.Sprint("p", i), Node: "many-1",
			Annotations: map[string]string{"text": strings.Repeat("x", 1000)},
			Containers:  []testcluster.Container{{Name: "c", ID: testcluster.ContainerID()}}})
	}
	t.Logf("made %d pods in %v", pods, time.Since(began).Round(time.Millisecond))
	ignore := goleak.IgnoreCurrent()
	w := observe(t, receiver, "many-1", PeersPods)
	soon(t, "all of them", func() bool { _, ok := w.Pod(string(last.UID)); return ok && w.Status()[0].Objects == pods })
	w.Stop()
	goleak.VerifyNone(t, ignore)
}
