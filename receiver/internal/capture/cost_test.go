// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"bytes"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// BenchmarkExchange is one thread talking to itself over loopback TCP: 4 socket
// operations per iteration, a 150 byte request and a 210 byte response.
// bpf-ns/call is what the kernel's own statistics say (about 25 ns of it are
// their clock); compare ns/op with the off case for the rest.
func BenchmarkExchange(b *testing.B) {
	for _, backend := range []Backend{"off", BackendSock, BackendSysExit} {
		b.Run(string(backend), func(b *testing.B) { benchmarkExchange(b, backend, true, false) })
		if backend != "off" {
			b.Run(string(backend)+"/stats", func(b *testing.B) { benchmarkExchange(b, backend, true, true) })
			b.Run(string(backend)+"/unselected", func(b *testing.B) { benchmarkExchange(b, backend, false, false) })
		}
	}
}

func benchmarkExchange(b *testing.B, backend Backend, selected, stats bool) {
	server, client := tcpPair(b)
	var p *Probes
	if backend != "off" {
		var err error
		p, err = Load(Options{Hooks: backend, RingBytes: 4 << 20, RingCount: 2, MaxConnections: 1024, Window: 32768, After: 64, MaxPayload: 64 << 10})
		require.NoError(b, err)
		defer p.Close()
		if selected {
			require.NoError(b, p.SetProcess(uint32(os.Getpid()), VerdictSelected))
		}
		require.NoError(b, p.Attach())
		if stats {
			c, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
			require.NoError(b, err)
			defer c.Close()
		}
	}
	request, response := bytes.Repeat([]byte("q"), 150), bytes.Repeat([]byte("r"), 210)
	buf := make([]byte, 4096)
	records := 0
	b.ResetTimer()
	for i := range b.N {
		_, _ = syscall.Write(client, request)
		_, _ = syscall.Read(server, buf)
		_, _ = syscall.Write(server, response)
		_, _ = syscall.Read(client, buf)
		if p != nil && i%512 == 0 {
			for _, r := range p.Rings {
				r.Drain(func([]byte) { records++ })
			}
		}
	}
	b.StopTimer()
	if p == nil || !stats {
		return
	}
	var calls uint64
	var ns float64
	for name, prog := range p.coll.Programs {
		if name == "sock_send" || name == "sock_recv" || name == "sys_exit" {
			s, err := prog.Stats()
			require.NoError(b, err)
			calls += s.RunCount
			ns += float64(s.Runtime)
		}
	}
	b.ReportMetric(ns/float64(max(calls, 1)), "bpf-ns/call")
}

func tcpPair(b *testing.B) (server, client int) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(b, err)
	defer l.Close()
	c, err := net.Dial("tcp4", l.Addr().String())
	require.NoError(b, err)
	s, err := l.Accept()
	require.NoError(b, err)
	file := func(c net.Conn) int {
		f, err := c.(*net.TCPConn).File()
		require.NoError(b, err)
		_ = c.Close()
		b.Cleanup(func() { _ = f.Close() })
		return int(f.Fd()) // blocking
	}
	return file(s), file(c)
}
