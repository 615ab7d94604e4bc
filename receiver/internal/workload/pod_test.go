// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/cluster"
)

// fakeView knows what a test puts there.
type fakeView map[string]*cluster.Pod // by uid

func (v fakeView) Container(id string) (*cluster.Pod, string, bool) {
	for _, pod := range v {
		if name, ok := pod.Containers[id]; ok {
			return pod, name, true
		}
	}
	return nil, "", false
}

func (v fakeView) Pod(uid string) (*cluster.Pod, bool) {
	pod, ok := v[uid]
	return pod, ok
}

func (fakeView) Peer(netip.AddrPort) (cluster.Peer, bool) { return cluster.Peer{}, false }
func (fakeView) OnChange(func(string))                    {}

// shim makes pid the process of containerd's that watches a pod's container.
func (f *fakeProc) shim(pid int, id, namespace, pod, container string) {
	dir := filepath.Join(f.t.TempDir(), id)
	require.NoError(f.t, os.MkdirAll(dir, 0o755))
	require.NoError(f.t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"annotations": {
		"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.container-name": "`+container+`",
		"io.kubernetes.cri.sandbox-name": "`+pod+`", "io.kubernetes.cri.sandbox-namespace": "`+namespace+`"}}`), 0o644))
	f.add(fake{pid: pid, parent: 1, exe: "/bin/containerd-shim-runc-v2", args: "containerd-shim-runc-v2", cwd: dir, cgroup: "/system.slice/containerd.service"})
}

// Names that the runtime knows, without a cluster.
func TestPodByRuntime(t *testing.T) {
	f := newFakeProc(t, fake{pid: 1, exe: "/sbin/init", args: "init"})
	f.shim(5, idA, "prod", "shop-0", "web")
	f.add(fake{pid: 10, parent: 5, exe: "/bin/app", args: "app", cgroup: kubepods + idA})
	f.shim(6, idB, "prod", "shop-1", "web")
	f.add(fake{pid: 11, parent: 6, exe: "/bin/app", args: "app", cgroup: "/../" + idB})
	f.add(fake{pid: 7, parent: 1, exe: "/bin/conmon", args: "conmon -c " + idB[1:] + "0 -n shop-web"})
	f.add(fake{pid: 12, parent: 7, exe: "/bin/app", args: "app", cgroup: "/machine.slice/libpod-" + idB[1:] + "0.scope", inner: 1})
	r := f.registry()
	m := attributes(r.Lookup(10).Instance.Metrics)
	assert.Equal(t, "web", m["k8s.container.name"])
	assert.Equal(t, "shop-0", m["k8s.pod.name"])
	assert.Equal(t, "prod", m["k8s.namespace.name"])
	assert.Equal(t, uid, m["k8s.pod.uid"])
	assert.Equal(t, "prod.shop-0.web", m["service.instance.id"])
	assert.NotContains(t, m, "service.name", "k8s_attributes knows it")
	assert.NotContains(t, m, "service.namespace")
	assert.NotContains(t, m, "container.name")
	m = attributes(r.Lookup(11).Instance.Metrics)
	assert.Equal(t, "prod.shop-1.web", m["service.instance.id"], "Kubernetes, though the path hides it")
	assert.NotContains(t, m, "service.name")
	m = attributes(r.Lookup(12).Instance.Metrics)
	assert.Equal(t, "shop-web", m["container.name"])
	assert.Equal(t, "app", m["service.name"])
	assert.NotContains(t, m, "k8s.container.name")
}

// A container that was started anew is the same service instance: its metrics
// would overwrite those of the one before.
func TestPodContainerRestarts(t *testing.T) {
	f := newFakeProc(t, fake{pid: 1, exe: "/sbin/init", args: "init"})
	f.shim(5, idA, "prod", "shop-0", "web")
	f.add(fake{pid: 10, parent: 5, exe: "/bin/app", cgroup: kubepods + idA})
	r := f.registry()
	before := r.Lookup(10).Instance
	f.shim(6, idB, "prod", "shop-0", "web")
	f.add(fake{pid: 11, parent: 6, exe: "/bin/app", cgroup: kubepods + idB})
	after := r.Lookup(11).Instance
	assert.Equal(t, before.Key, after.Key)
	assert.Equal(t, idA, attributes(before.Metrics)["container.id"])
	assert.Equal(t, idB, attributes(after.Metrics)["container.id"])
	assert.Len(t, r.instances, 1)
	assert.Len(t, r.claims, 1)
}

func TestPodByCluster(t *testing.T) {
	container := map[string]string{idA: "web"}
	for name, test := range map[string]struct {
		pod  cluster.Pod
		env  []string
		want map[string]any // nil: absent
	}{
		"owner": {
			pod: cluster.Pod{Owner: cluster.Owner{Kind: "Deployment", Name: "shop"}, Node: "n1"},
			want: map[string]any{
				"service.name": "shop", "service.namespace": "prod", "service.instance.id": "prod.shop-0.web", "service.version": nil,
				"k8s.deployment.name": "shop", "k8s.pod.name": "shop-0", "k8s.namespace.name": "prod", "k8s.container.name": "web",
				"k8s.node.name": "n1", "k8s.pod.uid": uid, "container.id": idA,
			},
		},
		"owner of another kind": {
			pod:  cluster.Pod{Owner: cluster.Owner{Kind: "Rollout", Name: "shop"}},
			want: map[string]any{"service.name": "shop", "k8s.rollout.name": nil, "k8s.node.name": nil},
		},
		"bare pod": {want: map[string]any{"service.name": "shop-0"}},
		"label": {
			pod:  cluster.Pod{Owner: cluster.Owner{Kind: "Job", Name: "j"}, Labels: map[string]string{"app.kubernetes.io/name": "named", "app.kubernetes.io/version": "2"}},
			want: map[string]any{"service.name": "named", "service.version": "2", "k8s.job.name": "j"},
		},
		"instance label": {
			pod:  cluster.Pod{Labels: map[string]string{"app.kubernetes.io/name": "named", "app.kubernetes.io/instance": "one"}},
			want: map[string]any{"service.name": "one"},
		},
		"annotations": {
			pod: cluster.Pod{
				Labels: map[string]string{"app.kubernetes.io/instance": "one", "app.kubernetes.io/version": "2"},
				Annotations: map[string]string{
					"resource.opentelemetry.io/service.name": "annotated", "resource.opentelemetry.io/service.namespace": "team",
					"resource.opentelemetry.io/service.version": "3", "resource.opentelemetry.io/service.instance.id": "i",
					"resource.opentelemetry.io/deployment.environment.name": "prod", "resource.opentelemetry.io/process.pid": "1", "other": "x",
				},
			},
			want: map[string]any{
				"service.name": "annotated", "service.namespace": "team", "service.version": "3", "service.instance.id": "i",
				"deployment.environment.name": "prod", "process.pid": nil, "other": nil,
			},
		},
		"told": {
			pod: cluster.Pod{Annotations: map[string]string{
				"resource.opentelemetry.io/service.name": "annotated", "resource.opentelemetry.io/deployment.environment.name": "prod",
			}},
			env: []string{"OTEL_SERVICE_NAME=told", "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test"},
			want: map[string]any{
				"service.name": "told", "service.namespace": "prod", "service.instance.id": "prod.shop-0.web", "deployment.environment.name": "test",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			pod := test.pod
			pod.UID, pod.Namespace, pod.Name, pod.Containers = uid, "prod", "shop-0", container
			f := newFakeProc(t, fake{pid: 10, parent: 1, exe: "/bin/app", cgroup: kubepods + idA, env: test.env})
			r, _ := f.clocked(Options{Cluster: fakeView{uid: &pod}})
			got := attributes(r.Lookup(10).Instance.Metrics)
			for key, want := range test.want {
				assert.Equal(t, want, got[key], key)
			}
		})
	}
}

// The API server tells of a container late, and of a pod's labels again.
func TestPodChanges(t *testing.T) {
	view := fakeView{}
	f := newFakeProc(t,
		fake{pid: 10, parent: 1, exe: "/bin/app", cgroup: kubepods + idA},
		fake{pid: 11, parent: 1, exe: "/bin/app", cgroup: kubepods + idA},
		fake{pid: 20, parent: 1, exe: "/bin/app", cgroup: "/kubepods/pod" + uid[:35] + "0/" + idB},
	)
	r, _ := f.clocked(Options{Cluster: view})
	first, other := r.Lookup(10), r.Lookup(20)
	r.Lookup(11)
	assert.Empty(t, first.Instance.ServiceName)
	assert.NotContains(t, attributes(first.Instance.Metrics), "service.instance.id")

	view[uid] = &cluster.Pod{UID: uid, Namespace: "prod", Name: "shop-0", Containers: map[string]string{idA: "web"}, Owner: cluster.Owner{Kind: "Deployment", Name: "shop"}}
	r.PodChanged(uid)
	second := r.Lookup(10)
	assert.Equal(t, "shop", second.Instance.ServiceName)
	assert.Equal(t, first.Instance.Key, second.Instance.Key, "its series go on")
	assert.Same(t, second.Instance, r.Lookup(11).Instance)
	assert.Same(t, other, r.Lookup(20), "another pod's")

	changed := *view[uid]
	changed.Labels = map[string]string{"app.kubernetes.io/name": "store"}
	view[uid] = &changed
	r.PodChanged(uid)
	assert.Equal(t, "store", r.Lookup(10).Instance.ServiceName)
	assert.Equal(t, "store", attributes(r.Lookup(11).Traces)["service.name"])
	assert.Len(t, r.instances, 2)

	delete(view, uid)
	r.PodChanged(uid)
	assert.Equal(t, "store", r.Lookup(10).Instance.ServiceName, "its last exchanges keep the name")
	assert.Len(t, r.claims, 1)
}

// Whatever exporters cannot tell apart is one instance, and never two.
func TestInstancesDoNotCollide(t *testing.T) {
	same := []string{"OTEL_RESOURCE_ATTRIBUTES=service.name=app,service.instance.id=one"}
	told := []string{"OTEL_SERVICE_NAME=app"}
	f := newFakeProc(t,
		fake{pid: 1, exe: "/sbin/init", args: "init"},
		// The main program's name, and told the same.
		fake{pid: 10, parent: 1, exe: "/bin/app", cgroup: "/docker/" + idA, inner: 1},
		fake{pid: 11, parent: 10, exe: "/bin/other", cgroup: "/docker/" + idA, inner: 2, env: told},
		// Another container of the same image.
		fake{pid: 20, parent: 1, exe: "/bin/app", cgroup: "/docker/" + idB, inner: 1},
		// A unit's workers.
		fake{pid: 30, parent: 1, exe: "/bin/app", cgroup: "/system.slice/app.service"},
		fake{pid: 31, parent: 30, exe: "/bin/app", cgroup: "/system.slice/app.service", env: told},
		// Two by hand.
		fake{pid: 40, parent: 1, exe: "/bin/app"},
		fake{pid: 41, parent: 1, exe: "/bin/app"},
		// Told the same id.
		fake{pid: 50, parent: 1, exe: "/bin/app", env: same},
		fake{pid: 51, parent: 1, exe: "/bin/app", env: same},
		fake{pid: 52, parent: 1, exe: "/bin/app", env: same, cgroup: "/docker/" + idA[1:] + "a", inner: 1},
		fake{pid: 53, parent: 1, exe: "/bin/app", env: same, cgroup: "/docker/" + idB[1:] + "a", inner: 1},
		// Told an id that is another's.
		fake{pid: 60, parent: 1, exe: "/bin/app", env: []string{"OTEL_RESOURCE_ATTRIBUTES=service.name=app,service.instance.id=" + idA}},
	)
	for _, order := range [][]uint32{{10, 11, 20, 30, 31, 40, 41, 50, 51, 52, 53, 60}, {60, 53, 52, 51, 50, 41, 40, 31, 30, 20, 11, 10}} {
		r, advance := f.clocked(Options{Grace: time.Second})
		seen := map[string]*Instance{}
		for _, pid := range order {
			i := r.Lookup(pid).Instance
			m := attributes(i.Metrics)
			require.Equal(t, "app", m["service.name"], pid)
			id := m["service.instance.id"].(string)
			if seen[id] == nil {
				seen[id] = i
			}
			assert.Same(t, seen[id], i, "%d has the id of another", pid)
		}
		assert.Same(t, r.Lookup(10).Instance, r.Lookup(11).Instance)
		assert.Same(t, r.Lookup(30).Instance, r.Lookup(31).Instance)
		assert.Same(t, r.Lookup(50).Instance, r.Lookup(51).Instance)
		assert.Len(t, seen, 9)
		for _, pid := range order {
			r.Exit(pid)
		}
		advance(2 * time.Second)
		r.Sweep()
		advance(linger)
		r.Sweep()
		assert.Empty(t, r.instances)
		assert.Empty(t, r.claims)
		assert.Zero(t, r.idle)
	}
}
