// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// container is one that runs.
type container struct {
	id   string
	name string // as its runtime shows it; empty if it has none
	pid  int    // of its main process, in the host's pid namespace
	url  string // where it serves
}

// program is its path in every container.
const program = "/srv/shop"

const image = "localhost/shop:1"

// newID makes an id as runtimes do.
func newID() string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// run runs a command to its end and returns what it printed.
func run(env []string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	// A file, not a pipe: what stays behind (conmon, shims) would hold that open.
	out, err := os.CreateTemp("", "run")
	if err != nil {
		return "", err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout = out
	var stderr bytes.Buffer
	errs, err := os.CreateTemp("", "run")
	if err != nil {
		return "", err
	}
	defer os.Remove(errs.Name())
	defer errs.Close()
	cmd.Stderr = errs
	err = cmd.Run()
	text, _ := os.ReadFile(out.Name())
	if err != nil {
		b, _ := os.ReadFile(errs.Name())
		stderr.Write(b)
		return "", fmt.Errorf("%s: %w\n%s%s", strings.Join(argv, " "), err, text, stderr.Bytes())
	}
	return strings.TrimSpace(string(text)), nil
}

// rootfs makes a root filesystem with the program in it.
func rootfs(dir string) (string, error) {
	root := filepath.Join(dir, "rootfs")
	for _, d := range []string{"srv", "proc", "sys", "dev", "tmp", "etc", "run", "bundle", "usr"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return "", err
		}
	}
	// Where the host's /usr is mounted, its programs run.
	for _, d := range []string{"lib", "lib64"} {
		if err := os.Symlink("usr/"+d, filepath.Join(root, d)); err != nil {
			return "", err
		}
	}
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", root+program, "./testbed/containers/shop")
	build.Dir, build.Env = groundtruth.Root(), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build shop: %w\n%s", err, out)
	}
	return root, nil
}

// podman is a Podman with all its state in a directory of its own.
type podman struct {
	dir     string
	archive string // of the image
	env     []string
	network string
}

// newPodman makes the image and a network. The runtime is runc: Debian 12's crun
// refuses hosts with both versions of cgroups.
func newPodman(dir, root string) (*podman, error) {
	p := &podman{dir: dir, network: "t" + newID()[:8]}
	// Podman wants more descriptors than a limited account may have.
	var limit, tasks syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return nil, err
	}
	const nproc = 6
	if err := syscall.Getrlimit(nproc, &tasks); err != nil {
		return nil, err
	}
	ulimit := func(name string, l syscall.Rlimit, least uint64) string {
		n := strconv.FormatUint(min(l.Max, least), 10)
		return fmt.Sprintf("%q", name+"="+n+":"+n)
	}
	conf := "[containers]\ndefault_ulimits = [" + ulimit("nofile", limit, 4096) + ", " + ulimit("nproc", tasks, 4096) + "]\n"
	path := filepath.Join(dir, "containers.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	p.env = []string{"CONTAINERS_CONF=" + path}
	p.archive = filepath.Join(dir, "image.tar")
	if _, err := run(nil, "tar", "-C", root, "-cf", p.archive, "."); err != nil {
		return nil, err
	}
	if _, err := p.run("import", "-c", `ENTRYPOINT ["`+program+`"]`, p.archive, image); err != nil {
		return nil, err
	}
	_, err := p.run("network", "create", p.network)
	return p, err
}

func (p *podman) run(args ...string) (string, error) {
	return run(p.env, append([]string{
		"podman", "--root", filepath.Join(p.dir, "root"), "--runroot", filepath.Join(p.dir, "run"), "--tmpdir", filepath.Join(p.dir, "tmp"),
		"--network-config-dir", filepath.Join(p.dir, "networks"), "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", "runc",
	}, args...)...)
}

// start runs a container. args are options, then image and port or what else it
// takes.
func (p *podman) start(name, port string, args ...string) (*container, error) {
	id, err := p.run(append([]string{"run", "-d", "--name", name}, args...)...)
	if err != nil {
		return nil, err
	}
	c := &container{id: id, name: name}
	text, err := p.run("inspect", "--format", "{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name)
	if err != nil {
		return nil, err
	}
	pid, address, _ := strings.Cut(text, " ")
	if c.pid, err = strconv.Atoi(pid); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c.url = "http://" + address + ":" + port
	return c, nil
}

func (p *podman) close() error {
	_, err1 := p.run("pod", "rm", "-fa", "-t", "0")
	_, err2 := p.run("rm", "-fa", "-t", "0")
	_, err3 := p.run("network", "rm", "-f", p.network)
	return errors.Join(err1, err2, err3)
}

// containerd is one with all its state in a directory of its own.
type containerd struct {
	address string
	root    string
	process *groundtruth.Process
	ids     []string
	slices  []string // cgroups of pods
}

func newContainerd(dir, root string) (*containerd, error) {
	c := &containerd{address: filepath.Join(dir, "c.sock"), root: root}
	config := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = %q\n",
		filepath.Join(dir, "root"), filepath.Join(dir, "state"), c.address)
	path := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return nil, err
	}
	var err error
	if c.process, err = groundtruth.Start(dir, "containerd", "-c", path); err != nil {
		return nil, err
	}
	for range 100 {
		if _, err = c.ctr("version"); err == nil {
			return c, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, err
}

func (c *containerd) ctr(args ...string) (string, error) {
	return run(nil, append([]string{"ctr", "-a", c.address, "-n", "k8s.io"}, args...)...)
}

// start runs a container as Kubernetes' runtime interface would: with its
// annotations, in the cgroup that kubelet with systemd's driver has for a pod. It
// has the host's network.
func (c *containerd) start(pod, name, uid, port string, env ...string) (*container, error) {
	id := newID()
	args := []string{"run", "-d", "--rootfs", "--null-io", "--net-host"}
	for key, value := range map[string]string{
		"container-type": "container", "container-name": name, "sandbox-name": pod, "sandbox-namespace": "prod", "sandbox-uid": uid,
	} {
		args = append(args, "--annotation", "io.kubernetes.cri."+key+"="+value)
	}
	for _, e := range env {
		args = append(args, "--env", e)
	}
	slice := "kubepods-burstable-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice"
	args = append(args, "--cgroup", "/kubepods.slice/kubepods-burstable.slice/"+slice+"/cri-containerd-"+id+".scope", c.root, id, program, port)
	if _, err := c.ctr(args...); err != nil {
		return nil, err
	}
	c.ids, c.slices = append(c.ids, id), append(c.slices, slice)
	text, err := c.ctr("task", "ls")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == id {
			pid, err := strconv.Atoi(f[1])
			return &container{id: id, name: name, pid: pid, url: "http://127.0.0.1:" + port}, err
		}
	}
	return nil, fmt.Errorf("containerd has no task %s:\n%s", id, text)
}

func (c *containerd) close() error {
	var errs []error
	for _, id := range c.ids {
		_, err := c.ctr("task", "rm", "-f", id)
		_, err2 := c.ctr("container", "rm", id)
		errs = append(errs, err, err2)
	}
	for _, slice := range c.slices {
		left, _ := filepath.Glob("/sys/fs/cgroup/*/kubepods.slice/kubepods-burstable.slice/" + slice)
		for _, dir := range left {
			_ = os.Remove(dir) // empty now
		}
	}
	return errors.Join(append(errs, c.process.Stop(0))...)
}

// docker is a Docker daemon with all its state in a directory of its own, without
// bridges and firewall rules.
type docker struct {
	dir     string
	socket  string
	process *groundtruth.Process
}

// dockerCommand is Debian's.
const dockerCommand = "/usr/bin/docker"

func newDocker(dir, archive string) (*docker, error) {
	d := &docker{dir: dir, socket: "unix://" + filepath.Join(dir, "d.sock")}
	var err error
	d.process, err = groundtruth.Start(dir, "/usr/sbin/dockerd", "--data-root", filepath.Join(dir, "root"), "--exec-root", filepath.Join(dir, "run"),
		"--pidfile", filepath.Join(dir, "pid"), "-H", d.socket, "--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=vfs",
		"--default-ulimit", "nofile=1024:1024")
	if err != nil {
		return nil, err
	}
	for range 200 {
		if _, err = d.run("import", archive, image); err == nil {
			return d, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, errors.Join(err, d.process.Stop(0))
}

func (d *docker) run(args ...string) (string, error) {
	return run(nil, append([]string{dockerCommand, "-H", d.socket}, args...)...)
}

// start runs a container in the host's network.
func (d *docker) start(name, port string) (*container, error) {
	id, err := d.run("run", "-d", "--network", "host", "--name", name, image, program, port)
	if err != nil {
		return nil, err
	}
	pid, err := d.run("inspect", "--format", "{{.State.Pid}}", name)
	if err != nil {
		return nil, err
	}
	c := &container{id: id, name: name, url: "http://127.0.0.1:" + port}
	c.pid, err = strconv.Atoi(pid)
	return c, err
}

func (d *docker) close() error {
	ids, err := d.run("ps", "-aq")
	if ids != "" {
		_, err2 := d.run(append([]string{"rm", "-f"}, strings.Fields(ids)...)...)
		err = errors.Join(err, err2)
	}
	err = errors.Join(err, d.process.Stop(0))
	// It leaves the host's network namespace mounted.
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], d.dir+"/") {
			err = errors.Join(err, syscall.Unmount(f[1], syscall.MNT_DETACH))
		}
	}
	return err
}

// bundle makes an OCI bundle for runc: a container that shares its parent's
// network.
// https://github.com/opencontainers/runtime-spec/blob/main/config.md
func bundle(dir, root, cgroup, port string) error {
	type m = map[string]any
	namespaces := []m{{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}}
	b, err := json.Marshal(m{
		"ociVersion": "1.0.2",
		"process":    m{"user": m{"uid": 0, "gid": 0}, "args": []string{program, port}, "env": []string{"PATH=/"}, "cwd": "/"},
		"root":       m{"path": root},
		"mounts":     []m{{"destination": "/proc", "type": "proc", "source": "proc"}},
		"linux":      m{"cgroupsPath": cgroup, "namespaces": namespaces},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), b, 0o600)
}
