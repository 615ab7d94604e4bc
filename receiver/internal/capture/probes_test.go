// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stream is what the probes saw of one connection.
type stream struct {
	open     Open
	bytes    [2][]byte // as captured, by direction
	moved    [2]uint64
	ends     []Segment
	closed   bool
	identity int
}

// record runs f with probes attached and returns the streams of this process.
func record(t *testing.T, backend Backend, window uint32, f func()) []*stream {
	t.Helper()
	p, err := Load(Options{
		Hooks: backend, RingBytes: 4 << 20, RingCount: 2, MaxConnections: 1024,
		DefaultSelected: false, Window: window, After: 16, MaxPayload: 64 << 10,
	})
	require.NoError(t, err)
	defer p.Close()
	require.NoError(t, p.SetProcess(uint32(os.Getpid()), VerdictSelected))
	require.NoError(t, p.Attach())
	f()
	time.Sleep(20 * time.Millisecond)
	p.Detach()

	byID := map[uint64]*stream{}
	var all []*stream
	for _, r := range p.Rings {
		r.Drain(func(rec []byte) {
			switch Kind(rec) {
			case KindOpen:
				o := AsOpen(rec)
				s := &stream{open: *o}
				byID[o.Conn] = s
				all = append(all, s)
			case KindSegment:
				g, data := AsSegment(rec)
				s := byID[g.Conn]
				require.NotNil(t, s, "segment before its connection was announced")
				require.Equal(t, s.moved[g.Dir], g.Offset, "offsets are contiguous")
				s.moved[g.Dir] += uint64(g.Len)
				s.bytes[g.Dir] = append(s.bytes[g.Dir], data...)
				require.LessOrEqual(t, uint64(g.FirstDelta), uint64(time.Second))
				if g.Identity != 0 {
					s.identity++
				}
			case KindEnd:
				g, _ := AsSegment(rec)
				byID[g.Conn].ends = append(byID[g.Conn].ends, *g)
			case KindClose:
				g, _ := AsSegment(rec)
				byID[g.Conn].closed = true
			}
		})
	}
	c, err := p.Counters()
	require.NoError(t, err)
	require.Zero(t, c.LostRing)
	require.Zero(t, c.LostState)
	return all
}

func backends(t *testing.T, f func(t *testing.T, b Backend)) {
	for _, b := range []Backend{BackendSock, BackendSysExit} {
		t.Run(string(b), func(t *testing.T) {
			if b == BackendSock && tracepoint("sock_send_length") == nil {
				t.Skip("this kernel has no tracepoint sock_send_length (Linux 6.3)")
			}
			f(t, b)
		})
	}
}

func TestConversation(t *testing.T) {
	unix := filepath.Join(t.TempDir(), "s")
	for _, network := range []string{"tcp4", "tcp6", "unix"} {
		address := map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0", "unix": unix}[network]
		t.Run(network, func(t *testing.T) {
			backends(t, func(t *testing.T, b Backend) {
				_ = os.Remove(unix)
				request, response := []byte("ask me something\n"), bytes.Repeat([]byte("answer "), 3000)
				l, err := net.Listen(network, address)
				require.NoError(t, err)
				defer l.Close()
				streams := record(t, b, 32768, func() {
					done := make(chan error, 1)
					go func() {
						c, err := l.Accept()
						if err != nil {
							done <- err
							return
						}
						buf := make([]byte, len(request))
						for range 3 {
							if _, err = io.ReadFull(c, buf); err != nil {
								break
							}
							_, err = c.Write(response)
						}
						_ = c.Close()
						done <- err
					}()
					c, err := net.Dial(network, l.Addr().String())
					require.NoError(t, err)
					buf := make([]byte, len(response))
					for range 3 {
						_, err = c.Write(request)
						require.NoError(t, err)
						_, err = io.ReadFull(c, buf)
						require.NoError(t, err)
					}
					_, err = c.Read(buf)
					require.ErrorIs(t, err, io.EOF)
					_ = c.Close()
					require.NoError(t, <-done)
				})
				require.Len(t, streams, 2)
				want := [2][]byte{bytes.Repeat(request, 3), bytes.Repeat(response, 3)}
				roles := map[uint8]*stream{}
				for _, s := range streams {
					roles[s.open.Role] = s
					require.False(t, s.open.Midstream())
				}
				server, client := roles[uint8(captureRoleROLE_SERVER)], roles[uint8(captureRoleROLE_CLIENT)]
				require.NotNil(t, server)
				require.NotNil(t, client)
				for d := range 2 {
					require.Equal(t, string(want[d]), string(server.bytes[d]))
					require.Equal(t, string(want[d]), string(client.bytes[1-d]))
				}
				require.Equal(t, 3, server.identity, "one identity per request")
				require.Equal(t, 3, client.identity)
				require.NotEmpty(t, client.ends)
				if network == "unix" {
					require.Equal(t, unix, server.open.UnixPath())
					require.Equal(t, unix, client.open.UnixPath())
				} else {
					require.Equal(t, l.Addr().String(), server.open.LocalAddr().String())
					require.Equal(t, l.Addr().String(), client.open.PeerAddr().String())
					require.Equal(t, server.open.PeerAddr(), client.open.LocalAddr())
					require.True(t, server.closed)
					require.True(t, client.closed)
				}
			})
		})
	}
}

func TestWindow(t *testing.T) {
	backends(t, func(t *testing.T, b Backend) {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
		streams := record(t, b, 4096, func() {
			go func() {
				c, err := l.Accept()
				if err == nil {
					_, _ = io.Copy(io.Discard, c)
					_ = c.Close()
				}
			}()
			c, err := net.Dial("tcp4", l.Addr().String())
			require.NoError(t, err)
			for i := 0; i < len(big); i += 1 << 16 {
				_, err = c.Write(big[i : i+1<<16])
				require.NoError(t, err)
			}
			require.NoError(t, c.(*net.TCPConn).CloseWrite())
			_, _ = c.Read(make([]byte, 1))
			_ = c.Close()
		})
		require.Len(t, streams, 2)
		for _, s := range streams {
			d := 0
			if s.open.Role == uint8(captureRoleROLE_CLIENT) {
				d = 1
			}
			require.Equal(t, uint64(len(big)), s.moved[d])
			n := len(s.bytes[d])
			require.GreaterOrEqual(t, n, 4096)
			require.Less(t, n, len(big)/8, "bodies are not copied")
		}
	})
}
