// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func port(l net.Listener) uint16 { return uint16(l.Addr().(*net.TCPAddr).Port) }

func TestScannerOwnProcess(t *testing.T) {
	v4, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer v4.Close()
	pid := uint32(os.Getpid())
	s := NewScanner("/proc")
	p := s.Process(pid)
	exe, err := os.Executable()
	require.NoError(t, err)
	assert.Equal(t, exe, p.Exe)
	assert.Equal(t, os.Args, p.Cmdline)
	assert.Contains(t, p.Environ(), "PATH="+os.Getenv("PATH"))
	assert.Contains(t, p.ListeningPorts(), port(v4))
	assert.Contains(t, Scan("/proc"), pid)
	assert.Contains(t, Scan("/proc"), uint32(1))

	rule := Rule{Exe: exe, OpenPorts: strconv.Itoa(int(port(v4)))}
	assert.True(t, compile(t, []Rule{rule}, nil).Match(s.Process(pid)).Selected)
}

func TestScannerIPv6(t *testing.T) {
	v6, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 loopback on this host:", err)
	}
	defer v6.Close()
	assert.Contains(t, NewScanner("/proc").ListeningPorts(uint32(os.Getpid())), port(v6))
}

// Ports of one process are not those of another in the same namespace, and an
// established connection is no listener.
func TestScannerOtherProcess(t *testing.T) {
	ours, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer ours.Close()
	cmd := exec.Command("python3", "-c", `
import socket, sys
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
c = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print(s.getsockname()[1], flush=True)
sys.stdin.read()
`, strconv.Itoa(int(port(ours))))
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer cmd.Wait()
	defer stdin.Close()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	theirs, err := strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err)

	s := NewScanner("/proc")
	assert.Equal(t, []uint16{uint16(theirs)}, s.ListeningPorts(uint32(cmd.Process.Pid)))
	assert.NotContains(t, s.ListeningPorts(uint32(os.Getpid())), uint16(theirs))
}

func TestScannerGone(t *testing.T) {
	s := NewScanner("/proc")
	p := s.Process(1 << 30)
	assert.Empty(t, p.Exe)
	assert.Empty(t, p.Cmdline)
	assert.Empty(t, p.Environ())
	assert.Empty(t, p.ListeningPorts())
	assert.Empty(t, Scan("/nonexistent"))
	assert.False(t, compile(t, []Rule{{Exe: "*", Environment: map[string]string{"A": "*"}}}, nil).Match(p).Selected)
}

func BenchmarkScan(b *testing.B) {
	m, err := Compile([]Rule{{OpenPorts: "1-65535"}}, nil)
	require.NoError(b, err)
	for b.Loop() {
		s := NewScanner("/proc")
		pids := Scan("/proc")
		for _, pid := range pids {
			m.Match(s.Process(pid))
		}
		b.ReportMetric(float64(len(pids)), "processes/op")
	}
}
