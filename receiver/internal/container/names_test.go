// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery/procfs"
)

const idC = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

// host is a proc filesystem and the root all its processes have.
type host struct {
	t    *testing.T
	proc string
	root string
}

func newHost(t *testing.T) host { return host{t: t, proc: t.TempDir(), root: t.TempDir()} }

func (h host) write(path, text string) {
	h.t.Helper()
	path = filepath.Join(h.root, path)
	require.NoError(h.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(h.t, os.WriteFile(path, []byte(text), 0o644))
}

// process adds one; args are split at spaces, cwd is below the root.
func (h host) process(pid, parent int, cgroup, cwd, args string) {
	h.t.Helper()
	dir := filepath.Join(h.proc, strconv.Itoa(pid))
	require.NoError(h.t, os.MkdirAll(dir, 0o755))
	for name, text := range map[string]string{
		"stat":    fmt.Sprintf("%d (x) S %d 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 0 0 0 1 0 1 0 0\n", pid, parent, pid),
		"cgroup":  "0::" + cgroup + "\n",
		"cmdline": strings.ReplaceAll(args, " ", "\x00") + "\x00",
	} {
		require.NoError(h.t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	require.NoError(h.t, os.Symlink(h.root, filepath.Join(dir, "root")))
	require.NoError(h.t, os.Symlink(filepath.Join(h.root, cwd), filepath.Join(dir, "cwd")))
}

func (h host) finder() *Finder { return NewFinder(procfs.FS{Root: h.proc}) }

const task = "/run/containerd/io.containerd.runtime.v2.task"

func TestNames(t *testing.T) {
	const kube = `{"annotations": {"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.container-name": "web",
		"io.kubernetes.cri.sandbox-name": "shop-0", "io.kubernetes.cri.sandbox-namespace": "prod", "io.kubernetes.cri.sandbox-uid": "` + uid + `"}}`
	const sandbox = `{"annotations": {"io.kubernetes.cri.container-type": "sandbox",
		"io.kubernetes.cri.sandbox-name": "shop-0", "io.kubernetes.cri.sandbox-namespace": "prod", "io.kubernetes.cri.sandbox-uid": "` + uid + `"}}`
	const crio = `{"annotations": {"io.kubernetes.cri-o.ContainerType": "container", "io.kubernetes.container.name": "web",
		"io.kubernetes.pod.name": "shop-0", "io.kubernetes.pod.namespace": "prod", "io.kubernetes.pod.uid": "` + uid + `"}}`
	pod := Names{Container: "web", Pod: "shop-0", Namespace: "prod", UID: uid}
	for name, test := range map[string]struct {
		runtime string // its arguments
		cwd     string
		files   map[string]string
		want    Names
	}{
		"podman": {
			runtime: "/usr/bin/conmon --api-version 1 -c " + idA + " -u " + idA + " -r /usr/bin/crun -b /bundle -n shop-web --exit-command-arg -n",
			files:   map[string]string{"/bundle/config.json": `{"annotations": {"io.podman.annotations.init": "FALSE"}}`},
			want:    Names{Container: "shop-web"},
		},
		"podman, bundle out of reach": {runtime: "conmon -c " + idA + " -n shop-web -b /nowhere", want: Names{Container: "shop-web"}},
		"another's conmon":            {runtime: "conmon -c " + idB + " -n other"},
		"conmon without a name":       {runtime: "conmon -c " + idA + " -n"},
		"cri-o": {
			runtime: "/usr/libexec/crio/conmon -b /bundle -c " + idA + " --exit-dir /x -n k8s_web_shop-0_prod_" + uid + "_0",
			files:   map[string]string{"/bundle/config.json": crio},
			want:    pod,
		},
		"containerd": {
			runtime: "/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id " + idA, cwd: task + "/k8s.io/" + idA,
			files: map[string]string{task + "/k8s.io/" + idA + "/config.json": kube},
			want:  pod,
		},
		"containerd, one shim for the pod": {
			runtime: "/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id " + idB, cwd: task + "/k8s.io/" + idB,
			files: map[string]string{task + "/k8s.io/" + idA + "/config.json": kube, task + "/k8s.io/" + idB + "/config.json": sandbox},
			want:  pod,
		},
		"sandbox": {
			runtime: "containerd-shim-runc-v2", cwd: task + "/k8s.io/" + idA,
			files: map[string]string{task + "/k8s.io/" + idA + "/config.json": sandbox},
			want:  Names{Pod: "shop-0", Namespace: "prod", UID: uid},
		},
		"nerdctl": {
			runtime: "containerd-shim-runc-v2", cwd: task + "/default/" + idA,
			files: map[string]string{task + "/default/" + idA + "/config.json": `{"annotations": {"nerdctl/name": "shop"}}`},
			want:  Names{Container: "shop"},
		},
		"docker": {
			runtime: "/usr/bin/containerd-shim-runc-v2 -namespace moby -id " + idA, cwd: task + "/moby/" + idA,
			files: map[string]string{
				task + "/moby/" + idA + "/config.json":               `{"mounts": [{"destination": "/proc", "source": "proc"}, {"destination": "/etc/hostname", "source": "/data/docker/containers/` + idA + `/hostname"}]}`,
				"/data/docker/containers/" + idA + "/config.v2.json": `{"Name": "/shop_web_1", "Config": {"Labels": {"a": "b"}}}`,
			},
			want: Names{Container: "shop_web_1"},
		},
		"cri-dockerd": {
			runtime: "containerd-shim-runc-v2", cwd: task + "/moby/" + idA,
			files: map[string]string{
				task + "/moby/" + idA + "/config.json": `{"mounts": [{"destination": "/etc/hosts", "source": "/var/lib/docker/containers/` + idA + `/hosts"}]}`,
				"/var/lib/docker/containers/" + idA + "/config.v2.json": `{"Name": "/k8s_web", "Config": {"Labels": {"io.kubernetes.container.name": "web",
					"io.kubernetes.pod.name": "shop-0", "io.kubernetes.pod.namespace": "prod", "io.kubernetes.pod.uid": "` + uid + `"}}}`,
			},
			want: pod,
		},
		"hosts of the pod, not of docker": {
			runtime: "containerd-shim-runc-v2", cwd: task + "/moby/" + idA,
			files: map[string]string{task + "/moby/" + idA + "/config.json": `{"mounts": [{"destination": "/etc/hosts", "source": "/etc/hosts"}]}`},
		},
		"no bundle":         {runtime: "containerd-shim-runc-v2", cwd: task + "/moby/" + idB},
		"broken bundle":     {runtime: "containerd-shim-runc-v2", cwd: task + "/moby/" + idA, files: map[string]string{task + "/moby/" + idA + "/config.json": "{"}},
		"no runtime at all": {runtime: "bash"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			require.NoError(t, os.MkdirAll(filepath.Join(h.root, test.cwd), 0o755))
			for path, text := range test.files {
				h.write(path, text)
			}
			h.process(1, 0, "/init.scope", "", "init")
			h.process(5, 1, "/system.slice/runtime.service", test.cwd, test.runtime)
			h.process(10, 5, "/docker/"+idA, "", "/bin/sh -c x")
			h.process(11, 10, "/docker/"+idA, "", "/app/shop")
			assert.Equal(t, test.want, h.finder().Names(11, idA))
		})
	}
}

// The runtime of the inner container knows its name, that of the outer one is not
// asked about it.
func TestNamesNested(t *testing.T) {
	h := newHost(t)
	h.process(1, 0, "/", "", "init")
	h.process(5, 1, "/", "", "conmon -c "+idA+" -n outer")
	h.process(10, 5, "/docker/"+idA, "", "dockerd")
	h.process(11, 10, "/docker/"+idA, "", "conmon -c "+idB+" -n inner")
	h.process(12, 11, "/docker/"+idA+"/docker/"+idB, "", "shop")
	h.process(13, 10, "/docker/"+idA+"/docker/"+idC, "", "by hand")
	f := h.finder()
	assert.Equal(t, "inner", f.Names(12, idB).Container)
	assert.Equal(t, "outer", f.Names(10, idA).Container)
	assert.Empty(t, f.Names(13, idC))
}

func TestNamesAreRemembered(t *testing.T) {
	h := newHost(t)
	h.process(1, 0, "/", "", "init")
	h.process(10, 1, "/docker/"+idA, "", "shop")
	f := h.finder()
	now := time.Unix(1e9, 0)
	f.now = func() time.Time { return now }
	assert.Empty(t, f.Names(10, idA))
	require.NoError(t, os.RemoveAll(filepath.Join(h.proc, "10")))
	h.process(5, 1, "/", "", "conmon -c "+idA+" -n shop")
	h.process(10, 5, "/docker/"+idA, "", "shop")
	assert.Empty(t, f.Names(10, idA), "not asked again at once")
	now = now.Add(retry)
	assert.Equal(t, "shop", f.Names(10, idA).Container)
	require.NoError(t, os.RemoveAll(filepath.Join(h.proc, "10")))
	now = now.Add(24 * time.Hour)
	assert.Equal(t, "shop", f.Names(10, idA).Container)
	for i := range maxNames {
		f.Names(10, strconv.Itoa(i))
	}
	assert.LessOrEqual(t, len(f.known), maxNames)
	assert.Empty(t, f.Names(10, ""))
}

// What a container could put in our way, if a program in it calls itself a shim.
func TestReadBelow(t *testing.T) {
	root, secret := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("secret"), 0o600))
	require.NoError(t, os.MkdirAll(root+"/a/b", 0o755))
	require.NoError(t, os.WriteFile(root+"/a/real", []byte("text"), 0o600))
	require.NoError(t, os.Symlink(secret, root+"/a/link"))
	require.NoError(t, os.Symlink("/a", root+"/alias"))
	require.NoError(t, os.Truncate(root+"/a/real", 4))
	require.NoError(t, os.WriteFile(root+"/a/big", nil, 0o600))
	require.NoError(t, os.Truncate(root+"/a/big", maxConfig+1))
	assert.Equal(t, "text", string(readBelow(root, "/a/real")))
	assert.Equal(t, "text", string(readBelow(root, "/alias/real")), "/var/run is a link to /run")
	assert.Equal(t, "text", string(readBelow(root, "/../../a/real")), "there is nothing above")
	assert.Equal(t, "text", string(readBelow(root+"/a/b", "../real")))
	assert.Nil(t, readBelow(root, "/a/link"))
	assert.Nil(t, readBelow(root+"/a", "link"))
	assert.Nil(t, readBelow(root, "/a/big"))
	assert.Nil(t, readBelow(root, "/a/b"))
	assert.Nil(t, readBelow(root, "/dev/null"))
	assert.Nil(t, readBelow(root+"/nowhere", "x"))
}

func FuzzConfig(f *testing.F) {
	f.Add(`{"annotations": {"nerdctl/name": "x"}, "mounts": [{"destination": "/etc/hosts", "source": "/x"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(dir+"/config.json", []byte(text), 0o600))
		c := readConfig(dir, ".")
		c.names()
		c.dockerDirectory(idA)
	})
}
