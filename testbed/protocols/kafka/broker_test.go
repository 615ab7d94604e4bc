// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// build is where build.sh leaves its work.
func build() string { return filepath.Join(groundtruth.Root(), "testbed", "_build", "kafka") }

func prepare(t *testing.T) {
	t.Helper()
	out, err := exec.Command(filepath.Join(groundtruth.Root(), "testbed", "protocols", "kafka", "build.sh")).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func classpath() string { return filepath.Join(build(), "jars", "*") }

// broker is a single node of Apache Kafka, broker and controller in one process.
type broker struct {
	address string
	pid     int
	cmd     *exec.Cmd
}

const properties = `process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:%[2]d
listeners=PLAINTEXT://127.0.0.1:%[1]d,CONTROLLER://127.0.0.1:%[2]d
advertised.listeners=PLAINTEXT://127.0.0.1:%[1]d
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=%[3]s/logs
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
message.max.bytes=2000000
`

// running is the broker that all tests share; home is its directory.
var (
	running *broker
	home    string
)

func TestMain(m *testing.M) {
	code := m.Run()
	if running != nil {
		_ = running.cmd.Process.Kill()
		_ = running.cmd.Wait()
	}
	if home != "" {
		os.RemoveAll(home)
	}
	os.Exit(code)
}

func startBroker(t *testing.T) *broker {
	t.Helper()
	if running != nil {
		return running
	}
	prepare(t)
	var err error
	home, err = os.MkdirTemp("", "kafka-test-")
	require.NoError(t, err)
	dir := home
	port, err := groundtruth.FreePort()
	require.NoError(t, err)
	controller, err := groundtruth.FreePort()
	require.NoError(t, err)
	config := filepath.Join(dir, "server.properties")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, properties, port, controller, dir), 0o600))
	out, err := exec.Command("java", "-cp", classpath(), "kafka.tools.StorageTool", "format", "--standalone",
		"-t", "XtW9IsdUR8GV7xyucLueLA", "-c", config).CombinedOutput()
	require.NoError(t, err, "%s", out)
	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	cmd := exec.Command("java", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-cp", classpath(), "kafka.Kafka", config)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	b := &broker{address: fmt.Sprint("127.0.0.1:", port), pid: cmd.Process.Pid, cmd: cmd}
	running = b
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", b.address)
		if err != nil {
			return false
		}
		c.Close()
		return true
	}, 40*time.Second, 50*time.Millisecond)
	return b
}

// truth is what a client says it did.
type truth struct {
	Requests map[int16]int
	Offsets  map[string]map[int32]*struct{ First, End, Count int64 }
	Errors   map[string]int
	TraceIDs []string
	pid      int
}

// messages by topic.
func (r *truth) messages() map[string]int64 {
	sum := map[string]int64{}
	for topic, partitions := range r.Offsets {
		for _, p := range partitions {
			sum[topic] += p.Count
		}
	}
	return sum
}

// client is a program that is running.
type client struct {
	cmd   *exec.Cmd
	out   output
	err   output
	input *os.File
}

func start(t *testing.T, argv ...string) *client {
	t.Helper()
	c := &client{cmd: exec.Command(argv[0], argv[1:]...)}
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.err
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	read, write, err := os.Pipe()
	require.NoError(t, err)
	c.cmd.Stdin, c.input = read, write
	require.NoError(t, c.cmd.Start())
	read.Close()
	t.Cleanup(func() { _ = c.cmd.Process.Kill() })
	return c
}

// output is what a process wrote so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func (c *client) output() string { return c.out.String() }

// wait returns what the client did.
func (c *client) wait(t *testing.T) *truth {
	t.Helper()
	c.input.Close()
	require.NoError(t, c.cmd.Wait(), "%s", c.err.String())
	lines := strings.Split(strings.TrimSpace(c.out.String()), "\n")
	r := &truth{pid: c.cmd.Process.Pid}
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), r), "%s", c.out.String())
	return r
}

// franz starts the Go client.
func (b *broker) franz(t *testing.T, args ...string) *client {
	t.Helper()
	return start(t, append([]string{filepath.Join(build(), "client"), "-broker", b.address}, args...)...)
}

// create makes topics.
func (b *broker) create(t *testing.T, partitions int, topics ...string) {
	t.Helper()
	b.franz(t, "-mode", "create", "-topics", strings.Join(topics, ","), "-partitions", fmt.Sprint(partitions)).wait(t)
}

// python starts client.py.
func (b *broker) python(t *testing.T, library, mode, topic string, n int, id string, more ...string) *client {
	t.Helper()
	script := filepath.Join(groundtruth.Root(), "testbed", "protocols", "kafka", "client.py")
	return start(t, append([]string{filepath.Join(build(), "python", "bin", "python3"), script, library, mode, b.address, topic, fmt.Sprint(n), id}, more...)...)
}

// java starts one of Kafka's own tools.
func java(t *testing.T, class string, args ...string) *client {
	t.Helper()
	return start(t, append([]string{"java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", classpath(), class}, args...)...)
}

// finish waits for a program that prints no truth.
func (c *client) finish(t *testing.T) *truth {
	t.Helper()
	c.input.Close()
	require.NoError(t, c.cmd.Wait(), "%s", c.err.String())
	return &truth{pid: c.cmd.Process.Pid}
}
