// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/causality"
)

// needCgroup mounts a cgroup2 hierarchy where there is none, as in a machine with
// nothing but a kernel.
func needCgroup(t testing.TB) {
	t.Helper()
	needLoop(t)
	if _, err := cgroupRoot("/proc/self/mountinfo"); err == nil {
		return
	}
	dir := t.TempDir()
	require.NoError(t, unix.Mount("none", dir, "cgroup2", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(dir, 0) })
}

// injected is what came of requests while contexts were written.
type injected struct {
	ids      causality.IDs
	segments []Segment           // that begin a request
	contexts map[uint64]*Context // by identity
	server   []byte              // all that servers read, as captured
	counters Counters
}

func (i *injected) requests(role uint8, opens map[uint64]uint8) (all []Segment) {
	for _, s := range i.segments {
		if opens[s.Conn] == role {
			all = append(all, s)
		}
	}
	return all
}

const (
	clientRole = uint8(captureRoleROLE_CLIENT)
	serverRole = uint8(captureRoleROLE_SERVER)
)

// inject runs f with programs attached that write contexts into this process's
// requests, and returns the requests as clients and as servers saw them.
func inject(t *testing.T, o Options, f func(p *Probes)) (clients, servers []Segment, i *injected) {
	t.Helper()
	needCgroup(t)
	i = &injected{ids: causality.NewIDs(), contexts: map[uint64]*Context{}}
	o.RingBytes, o.RingCount, o.MaxConnections, o.Window, o.After, o.MaxPayload = 8<<20, 2, 1024, 32768, 64, 64<<10
	o.Propagation.Key = i.ids.Key
	o.Apart = true
	p, err := Load(o)
	require.NoError(t, err)
	defer p.Close()
	require.NoError(t, p.SetProcess(uint32(os.Getpid()), VerdictSelected))
	require.NoError(t, p.SetRuntime(uint32(os.Getpid()), Runtime{}))
	if p.propagation.residents != nil {
		// The test is a Go program of more than most.
		require.NoError(t, p.propagation.coll.Maps["stayers"].Put(uint32(os.Getpid()), uint32(1)))
	}
	require.NoError(t, p.Attach())
	f(p)
	time.Sleep(20 * time.Millisecond)
	p.Detach()
	roles := map[uint64]uint8{}
	offsets := map[[2]uint64]uint64{}
	for _, r := range p.Rings {
		r.Drain(func(rec []byte) {
			switch Kind(rec) {
			case KindOpen:
				roles[AsOpen(rec).Conn] = AsOpen(rec).Role
			case KindContext:
				c := *AsContext(rec)
				i.contexts[c.Identity] = &c
			case KindSegment:
				s, data := AsSegment(rec)
				k := [2]uint64{s.Conn, uint64(s.Dir)}
				require.Equal(t, offsets[k], s.Offset, "what was put into the stream is no gap")
				offsets[k] += uint64(s.Len)
				if roles[s.Conn] == serverRole && s.Dir == 0 {
					i.server = append(i.server, data...)
				}
				if s.Identity != 0 {
					i.segments = append(i.segments, *s)
				}
			}
		})
	}
	i.counters, err = p.Counters()
	require.NoError(t, err)
	return i.requests(clientRole, roles), i.requests(serverRole, roles), i
}

// talk sends messages on one connection, one after the other, and waits for a byte
// of answer after each. It returns what the server got for each.
func talk(t *testing.T, network string, messages ...[][]byte) (got [][]byte) {
	t.Helper()
	address := map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"}[network]
	l, err := net.Listen(network, address)
	require.NoError(t, err)
	defer l.Close()
	return talkTo(t, l, messages...)
}

func talkTo(t *testing.T, l net.Listener, messages ...[][]byte) (got [][]byte) {
	t.Helper()
	dialed, err := net.Dial(l.Addr().Network(), l.Addr().String())
	require.NoError(t, err)
	defer dialed.Close()
	served, err := l.Accept()
	require.NoError(t, err)
	defer served.Close()
	for _, message := range messages {
		done := make(chan []byte)
		finished := make(chan struct{})
		go func() {
			var all []byte
			buf := make([]byte, 1<<20)
			for {
				_ = served.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
				select {
				case <-finished:
				default:
					_ = served.SetReadDeadline(time.Now().Add(5 * time.Second))
				}
				n, err := served.Read(buf)
				all = append(all, buf[:n]...)
				if err != nil {
					break
				}
				select {
				case <-finished:
					if n == 0 {
						return
					}
				default:
				}
				if bytes.HasSuffix(all, []byte("\x00end")) {
					break
				}
			}
			done <- all
		}()
		for i, part := range message {
			if i == len(message)-1 {
				part = append(part[:len(part):len(part)], "\x00end"...)
			}
			_, err := dialed.Write(part)
			require.NoError(t, err)
		}
		all := <-done
		got = append(got, bytes.TrimSuffix(all, []byte("\x00end")))
		_, err := served.Write([]byte("!"))
		require.NoError(t, err)
		_, err = io.ReadFull(dialed, make([]byte, 1))
		require.NoError(t, err)
	}
	return got
}

// The line names the client's span, is there once, and is all that is added.
func TestHeaderIsPushed(t *testing.T) {
	backends(t, func(t *testing.T, b Backend) {
		request := func(n int) string {
			return fmt.Sprintf("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", n+4, strings.Repeat("b", n))
		}
		sizes := []int{0, 10, 100000, 5}
		var got [][]byte
		clients, servers, i := inject(t, Options{Hooks: b, Propagation: Propagation{HTTPHeader: true}}, func(*Probes) {
			var all [][][]byte
			for _, n := range sizes {
				all = append(all, [][]byte{[]byte(request(n))})
			}
			got = talk(t, "tcp4", all...)
		})
		require.Len(t, got, len(sizes))
		require.Len(t, clients, len(sizes))
		require.Len(t, servers, len(sizes))
		for n, size := range sizes {
			if n > 0 && !bytes.Contains(got[n], []byte("traceparent")) {
				// A socket may be left alone after its first request.
				require.Equal(t, request(size), string(got[n]))
				continue
			}
			line := fmt.Sprintf("traceparent: 00-%s-%s-", i.ids.TraceID(clients[n].Trace), i.ids.SpanID(clients[n].Identity))
			require.Equal(t, 1, bytes.Count(got[n], []byte("traceparent")))
			head, rest, found := bytes.Cut(got[n], []byte(line))
			require.True(t, found, "%.200q has no %s", got[n], line)
			_, rest, found = bytes.Cut(rest, []byte("\r\n"))
			require.True(t, found)
			require.Equal(t, request(size), string(head)+string(rest))
		}
	})
}
