// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery"
)

// fakeProc is a proc filesystem that a test writes.
type fakeProc struct {
	t    testing.TB
	root string
}

// fake describes a process of a fakeProc.
type fake struct {
	pid, parent int
	exe         string
	args        string // split at spaces
	env         []string
	cgroup      string
	start       int // default pid
	image       int // start_stack; default pid: executed by itself
	inner       int // pid in its own namespace
	state       string
	cwd         string
	children    string
}

func newFakeProc(t testing.TB, processes ...fake) *fakeProc {
	f := &fakeProc{t: t, root: t.TempDir()}
	for _, p := range processes {
		f.add(p)
	}
	return f
}

func (f *fakeProc) add(p fake) {
	dir := filepath.Join(f.root, strconv.Itoa(p.pid))
	require.NoError(f.t, os.MkdirAll(filepath.Join(dir, "task", strconv.Itoa(p.pid)), 0o755))
	write := func(name, text string) {
		require.NoError(f.t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	if p.start == 0 {
		p.start = p.pid
	}
	if p.image == 0 {
		p.image = p.pid
	}
	if p.state == "" {
		p.state = "S"
	}
	comm := filepath.Base(p.exe)
	write("stat", fmt.Sprintf("%d (%.15s) %s %d 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 0 0 0 %d 0 %d 0 0\n",
		p.pid, comm, p.state, p.parent, p.start, 1000+p.image, 2000+p.image))
	write("cmdline", strings.ReplaceAll(p.args, " ", "\x00")+"\x00")
	write("environ", strings.Join(p.env, "\x00")+"\x00")
	if p.cgroup == "" {
		p.cgroup = "/"
	}
	write("cgroup", "0::"+p.cgroup+"\n")
	write("status", fmt.Sprintf("Name:\tx\nNSpid:\t%d\t%d\n", p.pid, p.inner))
	if p.children != "" {
		write("task/"+strconv.Itoa(p.pid)+"/children", p.children+" ")
	}
	os.Remove(filepath.Join(dir, "exe"))
	os.Remove(filepath.Join(dir, "cwd"))
	if p.exe != "" && p.state != "Z" {
		require.NoError(f.t, os.Symlink(p.exe, filepath.Join(dir, "exe")))
	}
	if p.cwd != "" {
		require.NoError(f.t, os.Symlink(p.cwd, filepath.Join(dir, "cwd")))
	}
}

func (f *fakeProc) remove(pid int) {
	require.NoError(f.t, os.RemoveAll(filepath.Join(f.root, strconv.Itoa(pid))))
}

func (f *fakeProc) registry() *Registry {
	return NewRegistry(Options{ProcRoot: f.root, Version: "1.2.3", HostName: "box", HostID: "b0c"})
}

// clocked has a clock that the returned function advances.
func (f *fakeProc) clocked(options Options) (*Registry, func(time.Duration)) {
	options.ProcRoot, options.HostName, options.HostID = f.root, "box", "b0c"
	r := NewRegistry(options)
	now := time.Unix(1e9, 0)
	r.now = func() time.Time { return now }
	return r, func(d time.Duration) { now = now.Add(d) }
}

func attributes(res pcommon.Resource) map[string]any { return res.Attributes().AsRaw() }

func TestResources(t *testing.T) {
	f := newFakeProc(t, fake{
		pid: 10, parent: 1, exe: "/opt/cart", args: "cart --password hunter2",
		env: []string{"OTEL_RESOURCE_ATTRIBUTES=service.namespace=shop,service.version=2,deployment.environment.name=prod,host.name=liar"},
	})
	w := f.registry().Lookup(10)
	metrics := map[string]any{
		"service.name": "cart", "service.namespace": "shop", "service.version": "2",
		"service.instance.id":         w.Instance.Metrics.Attributes().AsRaw()["service.instance.id"],
		"deployment.environment.name": "prod",
		"host.name":                   "box", "host.id": "b0c", "os.type": "linux",
		"telemetry.distro.name": "otelcol-ebpf", "telemetry.distro.version": "1.2.3",
	}
	assert.Equal(t, metrics, attributes(w.Instance.Metrics))
	assert.Regexp(t, "^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$", metrics["service.instance.id"])
	metrics["process.pid"] = int64(10)
	metrics["process.executable.name"] = "cart"
	metrics["process.executable.path"] = "/opt/cart"
	assert.Equal(t, metrics, attributes(w.Traces), "arguments are not told")
	assert.Equal(t, "cart", w.Instance.ServiceName)
	assert.Equal(t, uint32(10), w.PID)

	again := f.registry().Lookup(10)
	assert.Equal(t, attributes(w.Traces), attributes(again.Traces), "ids survive a restart of the Collector")

	r := NewRegistry(Options{ProcRoot: f.root, CommandArgs: true})
	assert.Equal(t, []any{"cart", "--password", "hunter2"}, attributes(r.Lookup(10).Traces)["process.command_args"])
}

const (
	idA = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	idB = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
	uid = "3b1a3f0c-5e6f-4f6e-9a1b-0c2d3e4f5a6b"
)

const kubepods = "/kubepods/besteffort/pod" + uid + "/"

func TestIdentity(t *testing.T) {
	f := newFakeProc(t,
		fake{pid: 1, exe: "/sbin/init", args: "init", cgroup: "/init.scope"},
		// A unit, whatever runs in it.
		fake{pid: 20, parent: 1, exe: "/usr/sbin/nginx", args: "nginx", cgroup: "/system.slice/web.service"},
		fake{pid: 21, parent: 20, exe: "/usr/bin/python3", args: "python3 hook.py", cgroup: "/system.slice/web.service"},
		// Outside units.
		fake{pid: 30, parent: 1, exe: "/usr/sbin/nginx", args: "nginx", cgroup: "/user.slice/user-0.slice/session-1.scope"},
		fake{pid: 31, parent: 30, exe: "/usr/sbin/nginx", args: "nginx:_worker", image: 30, cgroup: "/user.slice/user-0.slice/session-1.scope"},
		// cron's job is not cron.
		fake{pid: 40, parent: 1, exe: "/usr/sbin/cron", args: "cron", cgroup: "/system.slice/cron.service"},
		fake{pid: 41, parent: 40, exe: "/usr/sbin/cron", args: "cron", image: 40, cgroup: "/system.slice/cron.service"},
		fake{pid: 42, parent: 41, exe: "/usr/bin/python3", args: "python3 /srv/job.py", cgroup: "/system.slice/cron.service"},
		// A session's sshd belongs to ssh.service.
		fake{pid: 45, parent: 1, exe: "/usr/sbin/sshd", args: "sshd", cgroup: "/system.slice/ssh.service"},
		fake{pid: 46, parent: 45, exe: "/usr/sbin/sshd", args: "sshd:", cgroup: "/user.slice/user-0.slice/session-9.scope"},
		// Containers: docker-init, a shell, the program; and a health check.
		fake{pid: 50, parent: 1, exe: "/sbin/docker-init", args: "docker-init -- sh", cgroup: "/docker/" + idA, inner: 1, children: "51"},
		fake{pid: 51, parent: 50, exe: "/bin/dash", args: "sh -c x", cgroup: "/docker/" + idA, inner: 7, children: "52"},
		fake{pid: 52, parent: 51, exe: "/usr/bin/node", args: "node /srv/shop/index.js", cgroup: "/docker/" + idA, inner: 8},
		fake{pid: 53, parent: 1, exe: "/usr/bin/curl", args: "curl x", cgroup: "/docker/" + idA, inner: 9},
		// Told names.
		fake{pid: 54, parent: 52, exe: "/bin/agent", args: "agent", cgroup: "/docker/" + idA, inner: 10, env: []string{"OTEL_SERVICE_NAME=agent"}},
		// Pods.
		fake{pid: 60, parent: 1, exe: "/bin/app", args: "app", cgroup: kubepods + idB, inner: 1},
		fake{pid: 61, parent: 1, exe: "/bin/app", args: "app", cgroup: kubepods + idB[1:] + "0", inner: 1, env: []string{"OTEL_SERVICE_NAME=told"}},
		fake{pid: 62, parent: 1, exe: "/bin/app", args: "app", cgroup: "/../" + idB[2:] + "00", inner: 1, env: []string{"KUBERNETES_SERVICE_HOST=10.0.0.1"}},
		// A shell started two servers.
		fake{pid: 70, parent: 1, exe: "/bin/bash", args: "bash"},
		fake{pid: 71, parent: 70, exe: "/usr/bin/python3", args: "python a.py"},
		fake{pid: 72, parent: 70, exe: "/usr/bin/python3", args: "python a.py"},
		// Workers: forked with a new title, multiprocessing, and another script.
		fake{pid: 73, parent: 71, exe: "/usr/bin/python3", args: "title", image: 71},
		fake{pid: 74, parent: 71, exe: "/usr/bin/python3", args: "python -c from_multiprocessing.spawn"},
		fake{pid: 75, parent: 71, exe: "/usr/bin/python3", args: "python b.py"},
		// Node's cluster executes the same script.
		fake{pid: 80, parent: 70, exe: "/usr/bin/node", args: "node /srv/pets/server.js"},
		fake{pid: 81, parent: 80, exe: "/usr/bin/node", args: "/usr/bin/node /srv/pets/server.js"},
		// systemd in a container.
		fake{pid: 90, parent: 1, exe: "/usr/sbin/nginx", args: "nginx", cgroup: "/docker/" + idA[1:] + "f/system.slice/nginx.service"},
	)
	require.NoError(t, os.WriteFile(filepath.Join(f.root, "74", "cmdline"), []byte("python\x00-c\x00from multiprocessing.spawn import spawn_main"), 0o644))
	r := f.registry()
	same := func(a, b uint32) {
		t.Helper()
		assert.Same(t, r.Lookup(a).Instance, r.Lookup(b).Instance, "%d, %d", a, b)
	}
	differ := func(a, b uint32) {
		t.Helper()
		x, y := r.Lookup(a).Instance, r.Lookup(b).Instance
		assert.NotSame(t, x, y)
		assert.NotEqual(t, x.Key, y.Key)
	}
	// Workers and health checks first: order must not matter.
	for pid, want := range map[uint32]string{
		21: "web", 20: "web", 31: "nginx", 30: "nginx", 42: "job", 41: "cron", 40: "cron", 46: "ssh", 45: "ssh",
		53: "shop", 52: "shop", 51: "shop", 54: "agent", 60: "", 61: "told", 62: "", 74: "a", 73: "a", 71: "a", 75: "b", 81: "pets", 90: "nginx",
	} {
		w := r.Lookup(pid)
		assert.Equal(t, want, w.Instance.ServiceName, pid)
		name := attributes(w.Traces)["service.name"]
		if want == "" {
			assert.Nil(t, name)
		} else {
			assert.Equal(t, want, name)
		}
		assert.Equal(t, int64(pid), attributes(w.Traces)["process.pid"])
		assert.NotContains(t, attributes(w.Instance.Metrics), "process.pid")
	}
	same(20, 21)
	same(30, 31)
	same(40, 41)
	differ(40, 42)
	same(45, 46)
	same(52, 53)
	same(50, 52)
	differ(52, 54)
	differ(71, 72)
	same(71, 73)
	same(71, 74)
	differ(71, 75)
	same(80, 81)
	differ(20, 30)

	docker := attributes(r.Lookup(52).Instance.Metrics)
	assert.Equal(t, idA, docker["container.id"])
	assert.Equal(t, idA, docker["service.instance.id"])
	pod := attributes(r.Lookup(60).Instance.Metrics)
	assert.Equal(t, idB, pod["container.id"])
	assert.Equal(t, uid, pod["k8s.pod.uid"])
	assert.NotContains(t, pod, "service.instance.id")
	assert.NotContains(t, attributes(r.Lookup(61).Instance.Metrics), "service.instance.id")
	assert.NotContains(t, attributes(r.Lookup(62).Instance.Metrics), "service.instance.id")
}

// Without /proc/PID/task/PID/children a container's main process is found
// among all.
func TestContainerWithoutChildrenFiles(t *testing.T) {
	f := newFakeProc(t,
		fake{pid: 50, parent: 1, exe: "/bin/dash", args: "sh -c x", cgroup: "/docker/" + idA},
		fake{pid: 52, parent: 50, exe: "/usr/bin/python3", args: "python shop.py", cgroup: "/docker/" + idA},
		fake{pid: 53, parent: 1, exe: "/usr/bin/curl", args: "curl x", cgroup: "/docker/" + idA},
	)
	assert.Equal(t, "shop", f.registry().Lookup(53).Instance.ServiceName)
}

func TestDeclaredInstance(t *testing.T) {
	env := []string{"OTEL_RESOURCE_ATTRIBUTES=service.name=a,service.instance.id=one"}
	f := newFakeProc(t,
		fake{pid: 10, parent: 1, exe: "/bin/a", env: env},
		fake{pid: 11, parent: 1, exe: "/bin/a", env: env},
		fake{pid: 12, parent: 1, exe: "/bin/a", env: env, cgroup: "/docker/" + idA},
		fake{pid: 13, parent: 1, exe: "/bin/a", env: []string{"OTEL_RESOURCE_ATTRIBUTES=service.name=b,service.instance.id=one"}},
	)
	r := f.registry()
	id := func(pid uint32) any { return attributes(r.Lookup(pid).Instance.Metrics)["service.instance.id"] }
	assert.Equal(t, "one", id(10))
	assert.Same(t, r.Lookup(10).Instance, r.Lookup(11).Instance)
	assert.NotEqual(t, "one", id(12), "another container must not overwrite its metrics")
	assert.Equal(t, id(12), attributes(r.Lookup(12).Traces)["service.instance.id"])
	assert.Equal(t, "one", id(13), "unique together with the name")
}

func TestRuleOverrides(t *testing.T) {
	m, err := discovery.Compile([]discovery.Rule{
		{Exe: "*/cart", ServiceName: "ruled", ServiceNamespace: "shop"},
		{Exe: "/bin/*"},
	}, []discovery.Rule{{Exe: "/bin/secret"}})
	require.NoError(t, err)
	env := []string{"OTEL_SERVICE_NAME=told"}
	f := newFakeProc(t,
		fake{pid: 10, parent: 1, exe: "/bin/cart", env: env},
		fake{pid: 11, parent: 1, exe: "/bin/other", env: env},
		fake{pid: 12, parent: 1, exe: "/bin/secret"},
		fake{pid: 13, parent: 1, exe: "/x/cart", cgroup: kubepods + idA},
	)
	scanner := discovery.NewScanner(f.root)
	r, _ := f.clocked(Options{Decide: func(pid uint32) discovery.Decision { return m.Match(scanner.Process(pid)) }})
	assert.Equal(t, "ruled", r.Lookup(10).Instance.ServiceName, "a rule beats the environment")
	assert.Equal(t, "shop", attributes(r.Lookup(10).Traces)["service.namespace"])
	assert.Equal(t, "ruled", r.Lookup(10).Discovery.Rule.ServiceName)
	assert.Equal(t, "told", r.Lookup(11).Instance.ServiceName)
	assert.True(t, r.Lookup(11).Discovery.Selected)
	assert.False(t, r.Lookup(12).Discovery.Selected)
	assert.Equal(t, "ruled", r.Lookup(13).Instance.ServiceName, "in a pod, too")
}

func TestGone(t *testing.T) {
	f := newFakeProc(t)
	r, advance := f.clocked(Options{Grace: time.Second})
	w := r.Lookup(7)
	assert.Equal(t, "unknown_service", w.Instance.ServiceName)
	assert.Equal(t, int64(7), attributes(w.Traces)["process.pid"])
	assert.NotEmpty(t, attributes(w.Traces)["service.instance.id"])
	assert.Same(t, w.Instance, r.Lookup(8).Instance, "no series for each")
	r.Hint(7, "late")
	assert.Equal(t, "late", r.Lookup(7).Instance.ServiceName, "its name was told after it was asked for")

	r.Exec(9, "curl")
	assert.Equal(t, "curl", r.Lookup(9).Instance.ServiceName)
	assert.Equal(t, "curl", attributes(r.Lookup(9).Traces)["process.executable.name"])
	assert.Equal(t, 2, r.Len())
	advance(2 * time.Second)
	r.Sweep()
	assert.Zero(t, r.Len())
}

func TestZombie(t *testing.T) {
	f := newFakeProc(t,
		fake{pid: 10, parent: 1, exe: "/usr/sbin/nginx", args: "nginx"},
		fake{pid: 11, parent: 10, exe: "/usr/sbin/nginx", state: "Z"},
		fake{pid: 12, parent: 1, exe: "/usr/bin/curl", state: "Z"},
		fake{pid: 13, parent: 1, exe: "/usr/bin/curl", state: "Z"},
	)
	r := f.registry()
	assert.Equal(t, "curl", r.Lookup(12).Instance.ServiceName)
	assert.Same(t, r.Lookup(12).Instance, r.Lookup(13).Instance)
	assert.True(t, r.table.get(12).exiting.Load(), "expires without a notification")
}

func TestExec(t *testing.T) {
	f := newFakeProc(t, fake{pid: 10, parent: 1, exe: "/bin/bash", args: "bash"})
	r := f.registry()
	before := r.Lookup(10)
	assert.Equal(t, "bash", before.Instance.ServiceName)
	f.add(fake{pid: 10, parent: 1, exe: "/bin/server", args: "server"})
	assert.Same(t, before, r.Lookup(10))
	r.Exec(10, "server")
	after := r.Lookup(10)
	assert.NotSame(t, before, after)
	// The family key is the same process; its name must not be the shell's.
	assert.Equal(t, "server", after.Instance.ServiceName)
	assert.Equal(t, "server", attributes(after.Traces)["process.executable.name"])
}

// A look at /proc that an execve overtakes is not cached.
func TestExecDuringLookup(t *testing.T) {
	f := newFakeProc(t, fake{pid: 10, parent: 1, exe: "/bin/bash", args: "bash"})
	r := f.registry()
	generation, comm := r.execution(10)
	found := r.examine(10, comm)
	r.Exec(10, "server")
	w := r.publish(found, generation)
	assert.Equal(t, "bash", w.Instance.ServiceName)
	assert.Zero(t, r.Len())
}

func TestExitAndReuse(t *testing.T) {
	f := newFakeProc(t, fake{pid: 10, parent: 1, exe: "/bin/a"})
	r, advance := f.clocked(Options{Grace: 10 * time.Second})
	a := r.Lookup(10)
	f.remove(10)
	r.Exit(10)
	assert.Same(t, a, r.Lookup(10), "its last segments")
	advance(time.Second)
	assert.Same(t, a, r.Lookup(10))
	// The pid is given to another, which forks and never executes.
	f.add(fake{pid: 10, parent: 1, exe: "/bin/b", start: 99})
	advance(time.Second)
	b := r.Lookup(10)
	assert.Equal(t, "b", b.Instance.ServiceName)
	advance(20 * time.Second)
	r.Sweep()
	assert.Same(t, b, r.Lookup(10), "the first one's expiry is not its own")
	r.Exit(10)
	f.remove(10)
	advance(10 * time.Second)
	r.Sweep()
	assert.Zero(t, r.Len())
}

func TestSweepFindsWhatWasNotTold(t *testing.T) {
	f := newFakeProc(t, fake{pid: 10, parent: 1, exe: "/bin/a"}, fake{pid: 11, parent: 1, exe: "/bin/b"}, fake{pid: 12, parent: 1, exe: "/bin/c"})
	r, advance := f.clocked(Options{Grace: time.Second})
	for pid := range uint32(3) {
		r.Lookup(10 + pid)
	}
	f.remove(10)
	f.add(fake{pid: 11, parent: 1, exe: "/bin/executed"})
	r.Sweep()
	assert.True(t, r.table.get(10).exiting.Load())
	assert.Equal(t, "executed", r.Lookup(11).Instance.ServiceName)
	advance(2 * time.Second)
	r.Sweep()
	assert.Equal(t, 2, r.Len())
}

// An instance outlives its processes for a while, so that one made of
// short-lived ones keeps its series.
func TestInstanceLingers(t *testing.T) {
	f := newFakeProc(t, fake{pid: 10, parent: 1, exe: "/bin/a", cgroup: "/docker/" + idA})
	r, advance := f.clocked(Options{Grace: time.Second})
	first := r.Lookup(10).Instance
	again := func() *Instance {
		f.remove(10)
		r.Exit(10)
		advance(2 * time.Second)
		r.Sweep()
		require.Zero(t, r.Len())
		f.add(fake{pid: 10, parent: 1, exe: "/bin/a", cgroup: "/docker/" + idA})
		return r.Lookup(10).Instance
	}
	assert.Same(t, first, again())
	f.remove(10)
	r.Exit(10)
	advance(2 * time.Second)
	r.Sweep()
	advance(linger)
	r.Sweep()
	assert.Empty(t, r.instances)
	assert.Zero(t, r.idle)
}

func TestBounded(t *testing.T) {
	f := newFakeProc(t)
	for pid := 1; pid <= 60; pid++ {
		f.add(fake{pid: pid, parent: 0, exe: "/bin/a"})
	}
	r, advance := f.clocked(Options{MaxWorkloads: 8})
	for range 3 {
		for pid := uint32(1); pid <= 60; pid++ {
			w := r.Lookup(pid)
			require.Equal(t, pid, w.PID)
			require.Same(t, w, r.Lookup(pid))
			require.LessOrEqual(t, r.Len(), 8)
			advance(time.Second)
			r.Exec(1000+pid*commSlots, "x")
		}
	}
	r.Sweep()
	assert.LessOrEqual(t, len(r.instances), 8+8+1, "idle instances are bounded as well")
}

// What is looked up all the time is not evicted by what is seen once.
func TestEvictionSparesTheUsed(t *testing.T) {
	f := newFakeProc(t)
	for pid := 1; pid <= 50; pid++ {
		f.add(fake{pid: pid, parent: 0, exe: "/bin/a"})
	}
	r, _ := f.clocked(Options{MaxWorkloads: 8})
	hot := r.Lookup(1)
	for pid := uint32(2); pid <= 50; pid++ {
		r.Lookup(pid)
		require.Same(t, hot, r.Lookup(1))
	}
}

func TestTable(t *testing.T) {
	table := newTable(1)
	a, b, c := &entry{pid: 5}, &entry{pid: 5 + 1024}, &entry{pid: 5 + 2048} // one bucket
	table.put(a)
	table.put(b)
	table.put(c)
	table.remove(b)
	assert.Same(t, a, table.get(5))
	assert.Nil(t, table.get(5+1024))
	assert.Same(t, c, table.get(5+2048))
	table.remove(a)
	table.remove(c)
	assert.Nil(t, table.get(5))
}

// Everything at once; meant for -race.
func TestConcurrency(t *testing.T) {
	f := newFakeProc(t)
	for pid := 1; pid <= 32; pid++ {
		f.add(fake{pid: pid, parent: pid / 2, exe: "/bin/a", image: 1})
	}
	r := NewRegistry(Options{ProcRoot: f.root, MaxWorkloads: 20, Grace: time.Millisecond})
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for i := range 2000 {
				pid := uint32(1 + (i*7+worker)%40) // some do not exist
				w := r.Lookup(pid)
				if w == nil || w.PID != pid || w.Instance == nil || w.Traces.Attributes().Len() == 0 {
					t.Error("broken workload", pid)
				}
				switch i % 50 {
				case 0:
					r.Exec(pid, "a")
				case 10:
					r.Exit(pid)
				case 20:
					r.Sweep()
				case 30:
					r.Invalidate(pid)
				}
			}
		})
	}
	group.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	processes, idle := 0, 0
	for _, h := range r.instances {
		processes += h.processes
		if h.processes == 0 {
			idle++
		}
	}
	assert.Equal(t, len(r.entries), processes)
	assert.Equal(t, r.idle, idle)
}

func BenchmarkLookupHit(b *testing.B) {
	r := NewRegistry(Options{})
	pid := uint32(os.Getpid())
	r.Lookup(pid)
	for b.Loop() {
		r.Lookup(pid)
	}
}

func BenchmarkLookupHitParallel(b *testing.B) {
	r := NewRegistry(Options{})
	pid := uint32(os.Getpid())
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.Lookup(pid)
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	r := NewRegistry(Options{})
	pid := uint32(os.Getpid())
	b.ReportAllocs()
	for b.Loop() {
		r.Invalidate(pid)
		r.Lookup(pid)
	}
}
