// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a program that prints a line when it is ready and ends when its
// input does. It returns the rest of its first line.
func start(t testing.TB, directory string, env []string, name string, args ...string) (pid uint32, line string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env, cmd.Stderr = directory, append(os.Environ(), env...), os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		stdin.Close()
		io.Copy(io.Discard, stdout)
		cmd.Wait()
	})
	line, err = bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	return uint32(cmd.Process.Pid), strings.TrimSpace(line)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o755))
}

const waitPython = "import sys; print('ready', flush=True); sys.stdin.read()\n"

// The interpreter itself, not a version manager's shell script.
const python = "/usr/bin/python3"

// onHost reports whether processes started here are named by what they run. In
// a container or unit, that names them all.
func onHost(t *testing.T) bool {
	w := NewRegistry(Options{}).Lookup(uint32(os.Getpid()))
	return strings.HasPrefix(w.Instance.Key, "process/")
}

func TestRealPrograms(t *testing.T) {
	if !onHost(t) {
		t.Skip("the tests run in a container or unit, whose name everything has")
	}
	dir := t.TempDir()
	write(t, dir+"/basket.py", waitPython)
	write(t, dir+"/shop/index.js", "console.log('ready'); process.stdin.resume()\n")
	write(t, dir+"/titled.js", "process.title = 'fancy name'; console.log('ready'); process.stdin.resume()\n")
	write(t, dir+"/loop.sh", "#!/bin/sh\necho ready\nread x\n")
	write(t, dir+"/Wait.java", "public class Wait { public static void main(String[] a) throws Exception { System.out.println(\"ready\"); System.in.read(); } }\n")
	write(t, dir+"/module/__main__.py", waitPython)
	write(t, dir+"/line", "ready\n")
	r := NewRegistry(Options{Version: "test"})
	for _, test := range []struct {
		want string
		env  []string
		run  []string
	}{
		{"basket", nil, []string{python, "basket.py"}},
		{"basket", nil, []string{python, "-u", dir + "/basket.py"}},
		{"module", nil, []string{python, "-m", "module"}},
		{"python", nil, []string{python, "-c", waitPython}},
		{"told", []string{"OTEL_SERVICE_NAME=told"}, []string{python, "basket.py"}},
		{"a told one", []string{"OTEL_RESOURCE_ATTRIBUTES=service.name=a%20told%20one"}, []string{python, "basket.py"}},
		{"shop", nil, []string{"node", "shop"}},
		{"shop", nil, []string{"node", "--max-old-space-size=64", "shop/index.js"}},
		{"fancy", nil, []string{"node", "titled.js"}},
		{"loop", nil, []string{dir + "/loop.sh"}},
		{"bash", nil, []string{"bash", "-c", "echo ready; read x"}},
		{"Wait", nil, []string{"java", "-XX:TieredStopAtLevel=1", "Wait.java"}},
		{"told", nil, []string{"java", "-XX:TieredStopAtLevel=1", "-Dotel.service.name=told", "Wait.java"}},
		{"cat", nil, []string{"cat", "line", "-"}},
	} {
		t.Run(strings.Join(test.run, " "), func(t *testing.T) {
			pid, _ := start(t, dir, test.env, test.run[0], test.run[1:]...)
			w := r.Lookup(pid)
			assert.Equal(t, test.want, w.Instance.ServiceName)
			exe, err := os.Readlink("/proc/" + strconv.Itoa(int(pid)) + "/exe")
			require.NoError(t, err)
			assert.Equal(t, exe, attributes(w.Traces)["process.executable.path"])
			assert.Equal(t, filepath.Base(exe), attributes(w.Traces)["process.executable.name"])
		})
	}
}

// Forked and multiprocessing workers are one instance with their master;
// another server that the same shell started is not.
func TestRealFamilies(t *testing.T) {
	if !onHost(t) {
		t.Skip("the tests run in a container or unit, which is one instance")
	}
	dir := t.TempDir()
	write(t, dir+"/a.py", `
import multiprocessing, os, subprocess, sys
def work(pipe):
    pipe.recv()
if __name__ == "__main__":
    pids = []
    for kind in "fork", "spawn":
        here, there = multiprocessing.Pipe()
        child = multiprocessing.get_context(kind).Process(target=work, args=(there,))
        child.start()
        pids.append((child, here))
    other = subprocess.Popen([sys.executable, "b.py"], stdin=subprocess.PIPE)
    print(pids[0][0].pid, pids[1][0].pid, other.pid, flush=True)
    sys.stdin.read()
    for child, pipe in pids:
        pipe.send(1)
        child.join()
    other.communicate()
`)
	write(t, dir+"/b.py", "import sys; sys.stdin.read()\n")
	first, line := start(t, dir, nil, python, "a.py")
	second, _ := start(t, dir, nil, python, "a.py")
	var workers []uint32
	for _, field := range strings.Fields(line) {
		pid, err := strconv.Atoi(field)
		require.NoError(t, err)
		workers = append(workers, uint32(pid))
	}
	require.Len(t, workers, 3)
	r := NewRegistry(Options{})
	assert.Eventually(t, func() bool { // Popen returns before execve is done
		r.Invalidate(workers[2])
		return r.Lookup(workers[2]).Instance.ServiceName == "b"
	}, 5*time.Second, 10*time.Millisecond)
	assert.Same(t, r.Lookup(first).Instance, r.Lookup(workers[0]).Instance, "fork")
	assert.Same(t, r.Lookup(first).Instance, r.Lookup(workers[1]).Instance, "spawn")
	assert.NotSame(t, r.Lookup(first).Instance, r.Lookup(workers[2]).Instance)
	assert.NotSame(t, r.Lookup(first).Instance, r.Lookup(second).Instance)
	ids := map[any]bool{}
	for _, pid := range []uint32{first, workers[2], second} {
		ids[attributes(r.Lookup(pid).Instance.Metrics)["service.instance.id"]] = true
	}
	assert.Len(t, ids, 3)
}

// Processes that end at any moment: whatever could be read, Lookup answers,
// in time, with the right pid.
func TestRealDyingProcesses(t *testing.T) {
	r := NewRegistry(Options{Grace: time.Millisecond})
	for range 100 {
		cmd := exec.Command("/bin/true")
		require.NoError(t, cmd.Start())
		pid := uint32(cmd.Process.Pid)
		done := make(chan struct{})
		go func() {
			cmd.Wait()
			close(done)
		}()
		for range 5 {
			r.Invalidate(pid)
			begin := time.Now()
			w := r.Lookup(pid)
			require.Less(t, time.Since(begin), 2*time.Second)
			require.Equal(t, pid, w.PID)
			id, ok := w.Traces.Attributes().Get("process.pid")
			require.True(t, ok)
			require.Equal(t, int64(pid), id.Int())
		}
		<-done
	}
}

func TestRealHost(t *testing.T) {
	r := NewRegistry(Options{})
	name, err := os.Hostname()
	require.NoError(t, err)
	a := attributes(r.Lookup(uint32(os.Getpid())).Instance.Metrics)
	assert.Equal(t, name, a["host.name"])
	if id, err := os.ReadFile("/etc/machine-id"); err == nil {
		assert.Equal(t, strings.TrimSpace(string(id)), a["host.id"])
	}
}

// Every process of this host, as a check that none is a surprise.
func TestRealEverything(t *testing.T) {
	r := NewRegistry(Options{})
	for _, pid := range r.fs.PIDs() {
		w := r.Lookup(pid)
		require.Equal(t, pid, w.PID)
		require.NotEmpty(t, w.Instance.Key)
		t.Log(pid, w.Instance.ServiceName, w.Instance.Key)
	}
}
