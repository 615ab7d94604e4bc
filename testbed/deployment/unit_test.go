// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// unitFile is the service as it is installed, with the Collector where it was built.
func unitFile(t *testing.T) string {
	text, err := os.ReadFile(repository(t, "distribution", "otelcol-ebpf.service"))
	require.NoError(t, err)
	const installed = "/usr/bin/otelcol-ebpf"
	require.Contains(t, string(text), "ExecStart="+installed+" ")
	file := filepath.Join(t.TempDir(), "otelcol-ebpf.service")
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(text), installed, binary(t), 1)), 0o644))
	return file
}

// settings are all values of a key of the unit, in order.
func settings(t *testing.T, key string) []string {
	text, err := os.ReadFile(repository(t, "distribution", "otelcol-ebpf.service"))
	require.NoError(t, err)
	var values []string
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, key+"="); ok {
			values = append(values, strings.Fields(value)...)
		}
	}
	require.NotEmpty(t, values, key)
	return values
}

func TestUnitIsValid(t *testing.T) {
	out, err := exec.Command("systemd-analyze", "verify", unitFile(t)).CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Empty(t, string(out))
}

// What distribution/README.md says of its exposure.
func TestUnitExposure(t *testing.T) {
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=30", "--no-pager", unitFile(t)).CombinedOutput()
	assert.NoError(t, err, string(out))
	found := regexp.MustCompile(`exposure level for otelcol-ebpf.service: ([0-9.]+) OK`).FindStringSubmatch(string(out))
	require.NotNil(t, found, string(out))
	readme, err := os.ReadFile(repository(t, "distribution", "README.md"))
	require.NoError(t, err)
	assert.Contains(t, string(readme), "gives it "+found[1]+", \"OK\"")
}

// capabilities are numbers by the names that units use.
var capabilities = map[string]uintptr{
	"CAP_BPF": unix.CAP_BPF, "CAP_PERFMON": unix.CAP_PERFMON, "CAP_SYS_PTRACE": unix.CAP_SYS_PTRACE,
	"CAP_DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN,
}

// allowed are the numbers of the system calls that the unit's filter lets through.
func allowed(t *testing.T) []uint32 {
	numbers := map[string]uint32{}
	header, err := os.Open("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
	require.NoError(t, err)
	defer func() { _ = header.Close() }()
	for lines := bufio.NewScanner(header); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) == 3 && strings.HasPrefix(fields[1], "__NR_") {
			n, err := strconv.ParseUint(fields[2], 10, 32)
			require.NoError(t, err)
			numbers[strings.TrimPrefix(fields[1], "__NR_")] = uint32(n)
		}
	}
	seen := map[string]bool{}
	var calls []uint32
	var add func(name string)
	add = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		if !strings.HasPrefix(name, "@") {
			// Other architectures' names have no number here.
			if n, ok := numbers[name]; ok {
				calls = append(calls, n)
			}
			return
		}
		out, err := exec.Command("systemd-analyze", "syscall-filter", name).Output()
		require.NoError(t, err, name)
		for line := range strings.Lines(string(out)) {
			member := strings.TrimSpace(line)
			if strings.HasPrefix(line, " ") && !strings.HasPrefix(member, "#") {
				add(member)
			}
		}
	}
	for _, name := range settings(t, "SystemCallFilter") {
		require.False(t, strings.HasPrefix(name, "~"), "this test knows lists of what is allowed only")
		add(name)
	}
	add("@default") // systemd always adds it
	require.Greater(t, len(calls), 100)
	return calls
}

// confinedEnv holds, for the process that confine starts, numbers of system calls.
const confinedEnv = "OTELCOL_EBPF_TEST_SYSTEM_CALLS"

func TestMain(m *testing.M) {
	if calls := os.Getenv(confinedEnv); calls != "" {
		confine(calls, os.Args[1:])
	}
	os.Exit(m.Run())
}

// confine becomes the command with no other system calls than these (EPERM) and no
// new rights, as systemd starts a unit's process.
func confine(calls string, command []string) {
	fail := func(what string, err error) {
		fmt.Fprintln(os.Stderr, what, err)
		os.Exit(1)
	}
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	answer := func(verdict uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: verdict}
	}
	equal := func(value uint32, then, otherwise uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: value, Jt: then, Jf: otherwise}
	}
	// struct seccomp_data: number, architecture.
	program := []unix.SockFilter{load(4), equal(unix.AUDIT_ARCH_X86_64, 1, 0), answer(unix.SECCOMP_RET_KILL_PROCESS), load(0)}
	for call := range strings.SplitSeq(calls, ",") {
		n, err := strconv.ParseUint(call, 10, 32)
		if err != nil {
			fail("number of a system call", err)
		}
		program = append(program, equal(uint32(n), 0, 1), answer(unix.SECCOMP_RET_ALLOW))
	}
	program = append(program, answer(unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM)))

	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		fail("no new privileges", err)
	}
	if err := os.Unsetenv(confinedEnv); err != nil {
		fail("environment", err)
	}
	if err := installFilter(program); err != nil {
		fail("filter", err)
	}
	fail("exec", syscall.Exec(command[0], command, os.Environ()))
}

// With the unit's user, capabilities and filter of system calls, spans of another
// user's process come out.
func TestUnitSuffices(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("run as root: make test-e2e")
	}
	assert.Equal(t, settings(t, "CapabilityBoundingSet"), settings(t, "AmbientCapabilities"))
	var ambient []uintptr
	for _, name := range settings(t, "AmbientCapabilities") {
		number, ok := capabilities[name]
		require.True(t, ok, name)
		ambient = append(ambient, number)
	}
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()

	const nobody = 65534
	dir := t.TempDir()
	for path := dir; path != os.TempDir() && path != "/"; path = filepath.Dir(path) {
		require.NoError(t, os.Chmod(path, 0o755))
	}
	spans := filepath.Join(dir, "state", "spans.json")
	require.NoError(t, os.Mkdir(filepath.Dir(spans), 0o755))
	require.NoError(t, os.Chown(filepath.Dir(spans), nobody, nobody))
	config := filepath.Join(dir, "config.yaml")
	require.NoError(t, os.WriteFile(config, []byte(fmt.Sprintf(`
receivers: {ebpf: {discovery: {include: [{pids: [%d]}]}}}
exporters: {file: {path: %s, flush_interval: 100ms}}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {traces: {receivers: [ebpf], exporters: [file]}}
`, os.Getpid(), spans)), 0o644))

	// The programs have to be where nobody may read them: not in /root.
	executable := func(from, name string) string {
		content, err := os.ReadFile(from)
		require.NoError(t, err)
		to := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(to, content, 0o755))
		return to
	}
	self, err := os.Executable()
	require.NoError(t, err)
	var calls []string
	for _, call := range allowed(t) {
		calls = append(calls, strconv.FormatUint(uint64(call), 10))
	}
	var log strings.Builder
	cmd := exec.Command(executable(self, "confine"), executable(binary(t), "otelcol-ebpf"), "--config", config)
	cmd.Dir, cmd.Stdout, cmd.Stderr = filepath.Dir(spans), &log, &log
	cmd.Env = []string{confinedEnv + "=" + strings.Join(calls, ",")}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: nobody, Gid: nobody},
		AmbientCaps: ambient,
	}
	require.NoError(t, cmd.Start())
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	deadline := time.After(45 * time.Second)
	for {
		response, err := http.Get(server.URL + "/confined")
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		if text, err := os.ReadFile(spans); err == nil && strings.Contains(string(text), "/confined") {
			break
		}
		select {
		case err := <-exited:
			t.Fatal("the Collector ended: ", err, "\n", log.String())
		case <-deadline:
			_ = cmd.Process.Kill()
			<-exited
			t.Fatal("no span\n", log.String())
		case <-time.After(200 * time.Millisecond):
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	require.NoError(t, err)
	for _, want := range []string{"\nUid:\t65534\t65534\t65534\t65534\n", "\nNoNewPrivs:\t1\n", "\nSeccomp:\t2\n"} {
		assert.Contains(t, string(status), want)
	}
	var mask uint64
	for _, number := range ambient {
		mask |= 1 << number
	}
	assert.Contains(t, string(status), fmt.Sprintf("\nCapEff:\t%016x\n", mask))
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	assert.NoError(t, <-exited, log.String())
}
