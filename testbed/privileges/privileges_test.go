// SPDX-License-Identifier: Apache-2.0

package privileges

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// documented are the capabilities that README.md names.
var documented = []string{"bpf", "perfmon", "sys_ptrace", "dac_read_search", "net_admin"}

const inject = "context_propagation: {inject: [tcp_option, http_header]}\n"

// without is documented without some.
func without(names ...string) []string {
	return slices.DeleteFunc(slices.Clone(documented), func(c string) bool { return slices.Contains(names, c) })
}

// as is the command that gives a user these capabilities and no other, nor a way to get
// any: they are all of the bounding set.
func as(uid string, capabilities []string) []string {
	set := "-all"
	for _, c := range capabilities {
		set += ",+" + c
	}
	return []string{"setpriv", "--reuid", uid, "--regid", uid, "--clear-groups",
		"--inh-caps=" + set, "--ambient-caps=" + set, "--bounding-set=" + set, "--no-new-privs"}
}

// confined is a command that runs another one in something like a container: everything is
// read-only, processes of others are hidden, there is no tracefs.
func confined(command []string) []string {
	const script = `set -e
mount -t proc -o hidepid=invisible proc /proc
umount -q /sys/kernel/tracing 2>/dev/null || true
umount -q /sys/kernel/debug 2>/dev/null || true
mount -o remount,bind,ro /sys
mount -o remount,bind,ro /
exec "$@"`
	return append([]string{"unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"}, command...)
}

const nobody = "65534"

// directory is one that other users may read, with a copy of the Collector: the
// repository may be where they may not.
func directory(t *testing.T) (dir, binary string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "privileges")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	from, err := groundtruth.Binary()
	require.NoError(t, err)
	binary = filepath.Join(dir, "otelcol-ebpf")
	src, err := os.Open(from)
	require.NoError(t, err)
	defer src.Close()
	dst, err := os.OpenFile(binary, os.O_CREATE|os.O_WRONLY, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(dst, src)
	require.NoError(t, err)
	require.NoError(t, dst.Close())
	return dir, binary
}

// withCapabilities makes a copy of a program whose file gives capabilities to whoever runs it.
func withCapabilities(t *testing.T, binary string, capabilities []string) string {
	t.Helper()
	file := binary + "-capable"
	require.NoError(t, exec.Command("cp", binary, file).Run())
	set := "cap_" + strings.Join(capabilities, ",cap_") + "+ep"
	out, err := exec.Command("setcap", set, file).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return file
}

// strict makes the kernel as strict about perf events as it is by default, or stricter
// where distributions allow that: it must not matter.
func strict(t *testing.T) {
	t.Helper()
	const file = "/proc/sys/kernel/perf_event_paranoid"
	before, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte("3"), 0))
	t.Cleanup(func() { _ = os.WriteFile(file, before, 0) })
}

// run starts a collector that exports to a new sink.
func run(t *testing.T, dir string, o groundtruth.CollectorOptions) (*groundtruth.Sink, *groundtruth.Collector) {
	t.Helper()
	sink, err := groundtruth.NewSink()
	require.NoError(t, err)
	t.Cleanup(sink.Close)
	o.Endpoint, o.Dir = sink.Endpoint(), filepath.Join(dir, strings.NewReplacer("/", "_", " ", "_").Replace(t.Name()))
	require.NoError(t, os.Mkdir(o.Dir, 0o755))
	collector, err := groundtruth.StartCollector(o)
	require.NoError(t, err)
	return sink, collector
}

// With the documented capabilities and no other everything is seen, whoever the user is.
func TestLeastPrivilege(t *testing.T) {
	groundtruth.Requirements(t, "setpriv", "setcap", "unshare", "node", "go")
	strict(t)
	dir, binary := directory(t)
	c := newChain(t, dir)
	file := withCapabilities(t, binary, documented)
	for _, test := range []struct {
		name, hooks string
		binary      string
		command     []string
		inject      bool
		says        []string // in the log
	}{
		{"root", "sock", binary, as("0", documented), true, []string{`"uid": 0`, `"no_new_privs": true`}},
		{"nobody", "sock", binary, as(nobody, documented), true, []string{`"uid": 65534`, `"hooks": "sock"`}},
		{"nobody", "sys_exit", binary, as(nobody, without("net_admin")), false, []string{
			`"capabilities": ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"], "capabilities_missing": ["CAP_NET_ADMIN"]`,
			`"hooks": "sys_exit", "why_not_better": "hooks: sys_exit is configured"`,
			`"features_missing": ["tcp_option", "http_header", "foreign_listeners"]`,
		}},
		{"file", "sock", file, []string{"setpriv", "--reuid", nobody, "--regid", nobody, "--clear-groups"}, true, []string{`"uid": 65534`, `"no_new_privs": false`}},
		{"confined", "sock", binary, confined(as(nobody, documented)), true, []string{`"hidepid": "invisible"`, `"tracefs": "not mounted, not needed"`}},
	} {
		t.Run(test.name+"/"+test.hooks, func(t *testing.T) {
			o := groundtruth.CollectorOptions{Hooks: test.hooks, Command: test.command, Binary: test.binary}
			o.Receiver = discover
			if test.inject {
				o.Receiver += inject
			}
			sink, collector := run(t, dir, o)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			require.NoError(t, sink.WaitReady(ctx, collector))
			c.check(t, sink, test.inject)
			telemetry, err := collector.Telemetry(ctx)
			require.NoError(t, err)
			for _, feature := range []string{"process_details", "runtime_functions", "io_uring", "sock_hooks"} {
				assert.Equal(t, 1.0, telemetry[`otelcol_receiver_ebpf_features{feature="`+feature+`"}`], feature)
			}
			require.NoError(t, collector.Stop())
			log := collector.Log()
			assert.Equal(t, 1, strings.Count(log, "\teBPF preflight\t"), "one block")
			assert.NotContains(t, log, "\twarn\t")
			for _, say := range test.says {
				assert.Contains(t, log, say)
			}
			if t.Failed() {
				t.Log(log)
			}
		})
	}
}

// discover is a rule: only the chain and the test, whose requests tell when the Collector
// is ready. The names are in environments, which only their owner may read.
const discover = `discovery:
  include:
    - environment: {OTEL_SERVICE_NAME: "*-*"}
    - exe: "*.test"
`

// Whatever is missing, one sentence says so and how to get it, and error_mode decides who
// stops.
func TestMissing(t *testing.T) {
	groundtruth.Requirements(t, "setpriv", "setcap", "unshare", "node", "go")
	dir, binary := directory(t)
	script, err := filepath.Abs("refuse.py")
	require.NoError(t, err)
	bpfCall := strconv.Itoa(unix.SYS_BPF)
	for _, test := range []struct {
		name     string
		command  []string
		receiver string
		wants    []string
	}{
		{"bpf", as(nobody, without("bpf")), "", []string{"missing CAP_BPF: run as root, or grant what is missing",
			"capabilities: {add: [BPF]}", "AmbientCapabilities=CAP_BPF;", "setcap cap_bpf+ep otelcol-ebpf", "bounding set"}},
		{"perfmon", as("0", without("perfmon")), "", []string{"missing CAP_PERFMON: run as root, or grant what is missing", "bounding set"}},
		{"sys_ptrace", as(nobody, without("sys_ptrace")), "", []string{"missing CAP_SYS_PTRACE: run as root"}},
		{"all", as(nobody, nil), "", []string{"missing CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE: run as root",
			"capabilities: {add: [BPF, PERFMON, SYS_PTRACE]}"}},
		{"bounding set only", append([]string{"setpriv", "--reuid", nobody, "--clear-groups"}, "--no-new-privs"), "",
			[]string{"missing CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE: run as root", "Kubernetes gives what it adds to root only: runAsUser: 0"}},
		{"net_admin", as(nobody, without("net_admin")), inject, []string{"context_propagation.inject: missing CAP_NET_ADMIN"}},
		{"user namespace", []string{"unshare", "--user", "--map-root-user"}, "", []string{"runs in a user namespace", "hostUsers: false"}},
		{"foreign proc", []string{"unshare", "--pid", "--fork", "--kill-child"}, "",
			[]string{"/proc is not that of the Collector's pid namespace", "hostPID: true"}},
		{"BTF", []string{"unshare", "--mount", "--propagation", "private", "sh", "-c", `mount -t tmpfs tmpfs /sys/kernel/btf && exec "$@"`, "sh"}, "",
			[]string{"has no BTF type information at /sys/kernel/btf/vmlinux"}},
		{"seccomp", []string{"/usr/bin/python3", script, bpfCall}, "", []string{"the kernel refused to load BPF programs", "no seccomp profile forbids bpf"}},
	} {
		for _, mode := range []string{"propagate", "ignore"} {
			t.Run(test.name+"/"+mode, func(t *testing.T) {
				o := groundtruth.CollectorOptions{Command: test.command, Binary: binary, Receiver: "error_mode: " + mode + "\n" + test.receiver}
				_, collector := run(t, dir, o)
				if mode == "ignore" {
					assert.Eventually(t, func() bool { return strings.Contains(collector.Log(), "Everything is ready") }, 20*time.Second, 10*time.Millisecond)
					assert.Contains(t, collector.Log(), "eBPF is not available")
					// It may not listen to SIGTERM yet.
					require.NoError(t, syscall.Kill(collector.PID(), syscall.SIGKILL))
					_ = collector.Stop()
				} else {
					select {
					case <-collector.Done():
					case <-time.After(20 * time.Second):
						t.Error("the collector runs")
					}
					assert.Error(t, collector.Stop())
				}
				log := collector.Log()
				sentence := ""
				for line := range strings.Lines(log) {
					if strings.Contains(line, test.wants[0]) {
						sentence = line
						break
					}
				}
				for _, want := range test.wants {
					assert.Contains(t, sentence, want, log)
				}
				assert.Equal(t, 1, strings.Count(log, "\teBPF preflight\t"), "one block")
				assert.NotContains(t, log, "panic")
			})
		}
	}
}

// Without CAP_DAC_READ_SEARCH it works, but does not know what only owners may read; that is
// said once.
func TestDegraded(t *testing.T) {
	groundtruth.Requirements(t, "setpriv", "setcap", "unshare", "node", "go")
	dir, binary := directory(t)
	c := newChain(t, dir)
	sink, collector := run(t, dir, groundtruth.CollectorOptions{Command: as(nobody, without("dac_read_search", "net_admin")), Binary: binary})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, sink.WaitReady(ctx, collector))
	python := c.links[2]
	require.NoError(t, c.ask("/degraded"))
	span, err := sink.Find(ctx, func(s *groundtruth.Span) bool { return s.Path() == "/degraded" && s.PID() == python.process.PID() })
	require.NoError(t, err)
	resource := span.Resource.AsRaw()
	assert.NotContains(t, resource, "team")
	assert.Equal(t, "/usr/bin/python3", strings.TrimRight(resource["process.executable.path"].(string), ".0123456789")+"3")
	if c.container != "" {
		assert.Equal(t, c.container, resource["container.id"])
	}
	telemetry, err := collector.Telemetry(ctx)
	require.NoError(t, err)
	assert.Equal(t, 0.0, telemetry[`otelcol_receiver_ebpf_features{feature="process_details"}`])
	assert.Equal(t, 1.0, telemetry[`otelcol_receiver_ebpf_features{feature="runtime_functions"}`])
	require.NoError(t, collector.Stop())
	log := collector.Log()
	assert.Equal(t, 1, strings.Count(log, `"feature": "process_details", "why": "missing CAP_DAC_READ_SEARCH"`), log)
	assert.Contains(t, log, "AmbientCapabilities=CAP_DAC_READ_SEARCH")
	assert.Equal(t, 1, strings.Count(log, "\twarn\t"), log)
}
