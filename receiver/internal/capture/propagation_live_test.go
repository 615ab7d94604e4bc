// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/preflight"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/sampling"
)

const (
	clientRole = uint8(captureRoleROLE_CLIENT)
	serverRole = uint8(captureRoleROLE_SERVER)
)

// needCgroup mounts a cgroup2 hierarchy where there is none, as in a machine with
// nothing but a kernel.
func needCgroup(t testing.TB) {
	t.Helper()
	needLoop(t)
	if _, err := preflight.CgroupRoot("/proc/self/mountinfo"); err == nil {
		return
	}
	dir := t.TempDir()
	require.NoError(t, unix.Mount("none", dir, "cgroup2", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(dir, 0) })
}

// injection is a run in which contexts are written into this process's requests.
type injection struct {
	t     *testing.T
	p     *Probes
	ids   causality.IDs
	roles map[uint64]uint8
	// clients and servers are the requests that left and that arrived, in the
	// order of their records; contexts came with the latter, by identity.
	clients, servers []Segment
	contexts         map[uint64]*Context
	offsets          map[[2]uint64]uint64
}

func newInjection(t *testing.T, o Options) *injection {
	t.Helper()
	needCgroup(t)
	i := &injection{
		t: t, ids: causality.NewIDs(), roles: map[uint64]uint8{}, contexts: map[uint64]*Context{}, offsets: map[[2]uint64]uint64{},
	}
	o.RingBytes, o.RingCount, o.MaxConnections, o.Window, o.After, o.MaxPayload = 8<<20, 2, 1024, 32768, 64, 64<<10
	o.Propagation.Key = i.ids.Key
	var err error
	i.p, err = Load(o)
	require.NoError(t, err)
	t.Cleanup(i.p.Close)
	pid := uint32(os.Getpid())
	require.NoError(t, i.p.SetProcess(pid, VerdictSelected))
	i.reside(true)
	require.NoError(t, i.p.SetRuntime(pid, Runtime{}))
	require.NoError(t, i.p.Attach())
	return i
}

// reside says whether this process's sockets may stay in the sockhash.
func (i *injection) reside(yes bool) {
	if i.p.propagation.residents == nil {
		return
	}
	i.p.propagation.residents.close()
	pid := uint32(os.Getpid())
	if yes {
		require.NoError(i.t, i.p.propagation.coll.Maps["stayers"].Put(pid, uint32(1)))
	} else {
		_ = i.p.propagation.coll.Maps["stayers"].Delete(pid)
	}
}

// drain reads what the probes have recorded so far.
func (i *injection) drain() {
	i.t.Helper()
	time.Sleep(20 * time.Millisecond)
	for _, r := range i.p.Rings {
		r.Drain(func(rec []byte) {
			switch Kind(rec) {
			case KindOpen:
				i.roles[AsOpen(rec).Conn] = AsOpen(rec).Role
			case KindContext:
				c := *AsContext(rec)
				i.contexts[c.Identity] = &c
			case KindSegment:
				s, _ := AsSegment(rec)
				if s.Tgid != uint32(os.Getpid()) {
					return // nobody judges here what others execute, so that is watched, too
				}
				k := [2]uint64{s.Conn, uint64(s.Dir)}
				require.Equal(i.t, i.offsets[k], s.Offset, "what was put into the stream is no gap in it")
				i.offsets[k] += uint64(s.Len)
				if s.Identity == 0 {
					return
				}
				if i.roles[s.Conn] == clientRole {
					i.clients = append(i.clients, *s)
				} else {
					i.servers = append(i.servers, *s)
				}
			}
		})
	}
	byTime := func(a, b Segment) int { return cmp.Compare(a.Time, b.Time) }
	slices.SortStableFunc(i.clients, byTime)
	slices.SortStableFunc(i.servers, byTime)
}

func (i *injection) count(carrier, reason string) uint64 {
	c, err := i.p.Counters()
	require.NoError(i.t, err)
	for _, n := range c.Injections {
		if n.Carrier == carrier && n.Reason == reason {
			return n.Count
		}
	}
	i.t.Fatalf("no counter %s %s", carrier, reason)
	return 0
}

// wire is a connection of this process with itself.
type wire struct {
	t              *testing.T
	dialed, served *net.TCPConn
}

func newWire(t *testing.T, network string) *wire {
	t.Helper()
	l, err := net.Listen(network, map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"}[network])
	require.NoError(t, err)
	defer l.Close()
	return wireTo(t, l)
}

func wireTo(t *testing.T, l net.Listener) *wire {
	t.Helper()
	d, err := net.Dial(l.Addr().Network(), l.Addr().String())
	require.NoError(t, err)
	s, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.Close(); _ = s.Close() })
	return &wire{t, d.(*net.TCPConn), s.(*net.TCPConn)}
}

// receive reads what the client has sent: at least n bytes, and all that follow
// without a pause.
func (w *wire) receive(n int) []byte {
	w.t.Helper()
	var all []byte
	buf := make([]byte, 1<<20)
	for {
		limit := 25 * time.Millisecond
		if len(all) < n {
			limit = 10 * time.Second
		}
		_ = w.served.SetReadDeadline(time.Now().Add(limit))
		got, err := w.served.Read(buf)
		all = append(all, buf[:got]...)
		if err != nil {
			require.GreaterOrEqual(w.t, len(all), n, "%v", err)
			return all
		}
	}
}

// answer ends the server's turn.
func (w *wire) answer() {
	w.t.Helper()
	_, err := w.served.Write([]byte("!"))
	require.NoError(w.t, err)
	_, err = io.ReadFull(w.dialed, make([]byte, 1))
	require.NoError(w.t, err)
}

// ask sends a turn of the client's in so many writes, and returns what arrived.
func (w *wire) ask(parts ...string) string {
	w.t.Helper()
	n := 0
	for k, p := range parts {
		if k > 0 {
			time.Sleep(5 * time.Millisecond)
		}
		n += len(p)
		_, err := io.WriteString(w.dialed, p)
		require.NoError(w.t, err)
	}
	got := w.receive(n)
	w.answer()
	return string(got)
}

var injectedLine = regexp.MustCompile(`^traceparent: 00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})\r\n(?:tracestate: ([^\r\n]*)\r\n)?`)

// split takes the context out that was put behind the first line of a message.
func split(message string) (without string, context []string) {
	i := strings.Index(message, "\r\n") + 2
	if i < 2 {
		return message, nil
	}
	context = injectedLine.FindStringSubmatch(message[i:])
	if context == nil {
		return message, nil
	}
	return message[:i] + message[i+len(context[0]):], context[1:]
}

func (i *injection) root(identity uint64, flags string) []string {
	trace, span := i.ids.TraceID(identity), i.ids.SpanID(identity)
	return []string{hex.EncodeToString(trace[:]), hex.EncodeToString(span[:]), flags, ""}
}

const get = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"

func post(body string) string {
	return fmt.Sprintf("POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func headOf(n int) string {
	return "GET /c HTTP/1.1\r\nX-Filler: " + strings.Repeat("f", n) + "\r\n\r\n"
}

func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }

const chunked = "POST /d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"

func TestInjectHeader(t *testing.T) {
	trap := get + "more"
	parent := "GET /a HTTP/1.1\r\nHost: x\r\nTraceParent: " + testParent + "\r\n\r\n"
	type turn struct {
		parts    []string
		injected bool
	}
	yes := func(parts ...string) turn { return turn{parts, true} }
	no := func(parts ...string) turn { return turn{parts, false} }
	cases := map[string][]turn{
		"keep-alive":              {yes(get), yes(get), yes(get)},
		"bodies":                  {yes(post("hello")), yes(post(strings.Repeat("b", 100_000))), yes(post(strings.Repeat("c", 1<<20))), yes(get)},
		"body by itself":          {yes(post(trap)[:len(post(trap))-len(trap)], trap), yes(get)},
		"answered before its end": {yes(post(trap + trap)[:len(post(trap+trap))-len(trap+trap)] + trap), no(trap), yes(get)},
		"large heads":             {yes(headOf(3000)), yes(headOf(9000)), yes(headOf(40_000)), yes(headOf(60_000)), yes(get)},
		"head too large":          {yes(get), no(headOf(70_000)), no(get)},
		"context there already":   {no(parent), yes(get), no(parent), no(parent + "")},
		"other protocol":          {no("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), no(get)},
		"no protocol at all":      {no("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), no(get)},
		"head in pieces":          {no(get[:20], get[20:]), no(get)},
		"request line alone":      {no("GET / HTTP/1.1\r\n", "Host: x\r\n\r\n"), no(get)},
		"pipelining":              {yes(get + get), no(get)},
		"pipelining, two writes":  {yes(get, get), yes(get)},
		"upgrade":                 {yes("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"), no(get)},
		"tunnel":                  {no("CONNECT x:443 HTTP/1.1\r\n\r\n"), no(get)},
		"folded line":             {no("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"), no(get)},
		"bare line feeds":         {no("GET / HTTP/1.1\nHost: x\n\n"), no(get)},
		"length and chunks":       {no("POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), no(get)},
		"chunks in one write":     {yes(chunked + chunk("hello") + chunk(strings.Repeat("x", 5000)) + "0\r\n\r\n"), yes(get)},
		"chunks by themselves":    {yes(chunked, chunk(trap), chunk(strings.Repeat("y", 100_000)), "0\r\n\r\n"), yes(get)},
		"chunks in several turns": {yes(chunked + chunk("a")), no(chunk(trap)), no(chunk(get) + "0\r\n\r\n"), yes(get)},
		"a chunk in pieces":       {yes(chunked+"20\r\n"+strings.Repeat("z", 10), strings.Repeat("z", 22)+"\r\n", "0\r\n\r\n"), yes(get)},
		"a chunk's size in pieces": {
			yes(chunked+"2", "0\r\n"+strings.Repeat("z", 32)+"\r\n0\r\n\r\n"), no(get),
		},
		"chunk extensions": {yes(chunked + "1;a=b\r\nx\r\n0\r\n\r\n"), no(get)},
		"trailers":         {yes(chunked + "1\r\nx\r\n0\r\nA: b\r\n\r\n"), no(get)},
		"without keep-alive of HTTP/1.0": {
			yes("GET / HTTP/1.0\r\n\r\n"), yes("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
		},
	}
	backends(t, func(t *testing.T, b Backend) {
		i := newInjection(t, Options{Hooks: b, Apart: true, Propagation: Propagation{HTTPHeader: true}})
		for name, turns := range cases {
			t.Run(name, func(t *testing.T) {
				i.t = t
				w := newWire(t, []string{"tcp4", "tcp6"}[len(name)%2])
				var contexts [][]string
				for n, turn := range turns {
					whole := strings.Join(turn.parts, "")
					got := w.ask(turn.parts...)
					context := []string(nil)
					if turn.injected {
						got, context = split(got)
						require.NotNil(t, context, "turn %d: nothing was injected: %.200q", n, got)
					}
					require.True(t, whole == got, "turn %d of %.100q: got %.300q", n, whole, got)
					contexts = append(contexts, context)
				}
				i.clients = nil
				i.drain()
				// A send is reported when the call returns; the answer may
				// have been read by then, and what follows begins anew.
				require.GreaterOrEqual(t, len(i.clients), len(turns))
				var known [][]string
				for _, c := range i.clients {
					known = append(known, i.root(c.Identity, "01"))
				}
				for _, c := range contexts {
					if c != nil {
						require.Contains(t, known, c)
					}
				}
			})
		}
		i.t = t
		require.NotZero(t, i.count(carrierHeader, ""))
		require.EqualValues(t, 3, i.count(carrierHeader, "present"))
		require.NotZero(t, i.count(carrierHeader, "not_a_head"))
		require.NotZero(t, i.count(carrierHeader, "boundary"))
		require.Zero(t, i.count(carrierHeader, "error"))
	})
}

// Ways to send in which the bytes are better left alone.
func TestInjectHeaderUnsupported(t *testing.T) {
	file := filepath.Join(t.TempDir(), "request")
	require.NoError(t, os.WriteFile(file, []byte(get), 0o600))
	backends(t, func(t *testing.T, b Backend) {
		i := newInjection(t, Options{Hooks: b, Apart: true, Propagation: Propagation{HTTPHeader: true}})
		for name, send := range map[string]func(t *testing.T, w *wire){
			"sendfile": func(t *testing.T, w *wire) {
				f, err := os.Open(file)
				require.NoError(t, err)
				defer f.Close()
				_, err = w.dialed.ReadFrom(f)
				require.NoError(t, err)
			},
			"zerocopy": func(t *testing.T, w *wire) {
				control(t, w.dialed, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ZEROCOPY, 1) })
				_, err := io.WriteString(w.dialed, get)
				require.NoError(t, err)
			},
		} {
			t.Run(name, func(t *testing.T) {
				w := newWire(t, "tcp4")
				before := i.count(carrierHeader, "unsupported")
				send(t, w)
				require.Equal(t, get, string(w.receive(len(get))))
				w.answer()
				require.Equal(t, get, w.ask(get), "never again")
				require.Equal(t, before+1, i.count(carrierHeader, "unsupported"))
			})
		}
	})
}

func control(t *testing.T, c *net.TCPConn, f func(fd int) error) {
	t.Helper()
	raw, err := c.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) { err = f(int(fd)) }))
	require.NoError(t, err)
}

// Sockets that block, and those of programs that ask FIONREAD where the kernel then
// says nothing, get the header in their first request, and behave as ever.
func TestInjectHeaderOnce(t *testing.T) {
	needCgroup(t)
	right := fionreadWorks() // before anything else has to do with this process's sockets
	backends(t, func(t *testing.T, b Backend) {
		i := newInjection(t, Options{Hooks: b, Apart: true, Propagation: Propagation{HTTPHeader: true}})
		blocking := func(t *testing.T) (*wire, int) {
			w := newWire(t, "tcp4")
			f, err := w.dialed.File()
			require.NoError(t, err)
			t.Cleanup(func() { _ = f.Close() })
			return w, int(f.Fd()) // which makes both block
		}
		send := func(t *testing.T, w *wire, fd int, injected bool) {
			t.Helper()
			_, err := unix.Write(fd, []byte(get))
			require.NoError(t, err)
			got, context := split(string(w.receive(len(get))))
			require.Equal(t, get, got)
			require.Equal(t, injected, context != nil)
		}
		t.Run("signals", func(t *testing.T) {
			w, fd := blocking(t)
			for n := range 3 {
				send(t, w, fd, n == 0)
				// A signal that is handled does not end a blocking receive (SA_RESTART).
				caught := make(chan os.Signal, 1)
				signal.Notify(caught, unix.SIGUSR1)
				result := make(chan error)
				tid := make(chan int)
				go func() {
					runtime.LockOSThread()
					tid <- unix.Gettid()
					_, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(bytesPointer(make([]byte, 1))), 1, 0, 0, 0)
					if errno != 0 {
						result <- errno
						return
					}
					result <- nil
				}()
				id := <-tid
				time.Sleep(30 * time.Millisecond)
				require.NoError(t, unix.Tgkill(os.Getpid(), id, unix.SIGUSR1))
				<-caught
				signal.Stop(caught)
				time.Sleep(30 * time.Millisecond)
				_, err := w.served.Write([]byte("!"))
				require.NoError(t, err)
				require.NoError(t, <-result)
			}
		})
		t.Run("reset", func(t *testing.T) {
			w, fd := blocking(t)
			send(t, w, fd, true)
			go func() {
				time.Sleep(50 * time.Millisecond)
				_ = w.served.SetLinger(0)
				_ = w.served.Close()
			}()
			_, err := unix.Read(fd, make([]byte, 1))
			require.ErrorIs(t, err, unix.ECONNRESET)
		})
		t.Run("FIONREAD", func(t *testing.T) {
			i.reside(false)
			defer i.reside(true)
			w := newWire(t, "tcp4")
			for n := range 3 {
				got, context := split(func() string {
					_, err := io.WriteString(w.dialed, get)
					require.NoError(t, err)
					return string(w.receive(len(get)))
				}())
				require.Equal(t, get, got)
				require.Equal(t, n == 0 || right, context != nil)
				_, err := w.served.Write([]byte("answer"))
				require.NoError(t, err)
				time.Sleep(20 * time.Millisecond)
				control(t, w.dialed, func(fd int) error {
					unread, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
					require.Equal(t, len("answer"), unread)
					return err
				})
				_, err = io.ReadFull(w.dialed, make([]byte, len("answer")))
				require.NoError(t, err)
			}
		})
	})
}

// Connections go on when the programs are taken away.
func TestInjectionEnds(t *testing.T) {
	backends(t, func(t *testing.T, b Backend) {
		i := newInjection(t, Options{Hooks: b, Apart: true, Propagation: Propagation{TCPOption: true, HTTPHeader: true}})
		w := newWire(t, "tcp4")
		got, context := split(w.ask(get))
		require.Equal(t, get, got)
		require.NotNil(t, context)
		i.p.Detach()
		require.Equal(t, get, w.ask(get))
		i.p.Close()
		require.Equal(t, get, w.ask(get))
		require.Equal(t, get, newWire(t, "tcp4").ask(get))
	})
}

// served is a request that this process serves, in a thread of its own; what that one
// then sends is on behalf of it.
type served struct {
	t       *testing.T
	in, out *wire
}

// relay makes a request of the process's own, in the thread that has read another.
// Each of the parts is read by itself.
func (s *served) relay(outgoing string, incoming ...string) string {
	s.t.Helper()
	read, written := make(chan bool), make(chan error, 1)
	in, out := descriptor(s.t, s.in.served), descriptor(s.t, s.out.dialed)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is new, and ends with this
		buf := make([]byte, 1<<20)
		for _, part := range incoming {
			for got := 0; got < len(part); {
				n, err := unix.Read(in, buf)
				if err == unix.EAGAIN {
					time.Sleep(time.Millisecond)
					continue
				}
				if err != nil || n == 0 {
					written <- fmt.Errorf("read %d of %d bytes: %w", got, len(part), err)
					return
				}
				got += n
			}
			read <- true
		}
		_, err := unix.Write(out, []byte(outgoing))
		written <- err
	}()
	for _, part := range incoming {
		_, err := io.WriteString(s.in.dialed, part)
		require.NoError(s.t, err)
		select {
		case <-read:
		case err := <-written:
			require.NoError(s.t, err)
		}
	}
	require.NoError(s.t, <-written)
	got := s.out.receive(len(outgoing))
	s.out.answer()
	s.in.answer()
	return string(got)
}

func descriptor(t *testing.T, c *net.TCPConn) (fd int) {
	control(t, c, func(n int) error { fd = n; return nil })
	return fd
}

func newServed(t *testing.T) *served { return &served{t, newWire(t, "tcp4"), newWire(t, "tcp4")} }

// A trace that came from elsewhere goes on.
func TestInjectedTraceGoesOn(t *testing.T) {
	const trace, state = "0af7651916cd43dd8448eb211c80319c", "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"
	with := func(headers string) string { return "GET /in HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n" }
	parent := func(flags string) string { return "traceparent: " + testParent[:53] + flags + "\r\n" }
	long := "Cookie: " + strings.Repeat("c", 5000) + "\r\n"
	// trace and flags of what is injected; "": those of a trace that begins here.
	cases := map[string]struct {
		incoming            []string
		trace, flags, state string
		nothing             bool
	}{
		"nothing":          {incoming: []string{with("")}, flags: "01"},
		"sampled":          {incoming: []string{with(parent("01"))}, trace: trace, flags: "01"},
		"not sampled":      {incoming: []string{with(parent("00"))}, trace: trace, flags: "00"},
		"random":           {incoming: []string{with(parent("03"))}, trace: trace, flags: "03"},
		"with state":       {incoming: []string{with(parent("01") + "tracestate: " + state + "\r\n")}, trace: trace, flags: "01", state: state},
		"state before":     {incoming: []string{with("Tracestate:" + state + "\r\n" + parent("00"))}, trace: trace, flags: "00", state: state},
		"state of its own": {incoming: []string{with("tracestate: " + state + "\r\n")}, flags: "01"},
		"two states":       {incoming: []string{with(parent("01") + "tracestate: a=b\r\ntracestate: c=d\r\n")}, trace: trace, flags: "01"},
		"longest state":    {incoming: []string{with(parent("01") + "tracestate: a=" + strings.Repeat("b", 510) + "\r\n")}, trace: trace, flags: "01", state: "a=" + strings.Repeat("b", 510)},
		"invalid":          {incoming: []string{with("traceparent: 00-x\r\n")}, flags: "01"},
		"twice":            {incoming: []string{with(parent("00") + parent("00"))}, flags: "01"},
		"another format":   {incoming: []string{with("b3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1\r\n")}, nothing: true},
		"both formats":     {incoming: []string{with("b3: 0\r\n" + parent("00"))}, trace: trace, flags: "00"},
		"folded":           {incoming: []string{with("A: b\r\n c\r\n")}, nothing: true},
		"two reads":        {incoming: []string{with(parent("00"))[:50], with(parent("00"))[50:]}, trace: trace, flags: "00"},
		"state, two reads": {
			incoming: []string{with(long + "tracestate: " + state + "\r\n" + parent("00"))[:5150], with(long + "tracestate: " + state + "\r\n" + parent("00"))[5150:]},
			trace:    trace, flags: "00", state: state,
		},
		"far behind":          {incoming: []string{with(strings.Repeat(long, 10) + parent("00"))}, trace: trace, flags: "00"},
		"in the body":         {incoming: []string{"POST / HTTP/1.1\r\nContent-Length: 72\r\n\r\n" + parent("00")}, flags: "01"},
		"no HTTP":             {incoming: []string{"\x01\x02\x03\x04\x05"}, flags: "01"},
		"head without an end": {incoming: []string{with(parent("00"))[:90]}, nothing: true},
	}
	backends(t, func(t *testing.T, b Backend) {
		i := newInjection(t, Options{Hooks: b, Apart: true, Propagation: Propagation{HTTPHeader: true, Sampler: sampling.Rule{ParentBased: true}}})
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				i.t = t
				s := newServed(t)
				// What comes in is as it would be from a host that is not observed.
				require.Equal(t, "hello", s.in.ask("hello"))
				i.drain()
				i.clients, i.servers = nil, nil
				got := s.relay(get, c.incoming...)
				i.drain()
				request, identity := i.servers[0], uint64(0)
				for _, g := range i.clients {
					if g.Parent == request.Identity {
						identity = g.Identity
					}
				}
				require.NotZero(t, identity, "the request has its parent: %+v", i.clients)
				if c.nothing {
					require.Equal(t, get, got)
					return
				}
				got, context := split(got)
				require.Equal(t, get, got)
				want := i.root(identity, c.flags)
				want[0] = c.trace
				if c.trace == "" {
					want[0] = i.root(request.Identity, "")[0]
				}
				want[3] = c.state
				require.Equal(t, want, context)
			})
		}
		i.t = t
		require.NotZero(t, i.count(carrierHeader, "unknown_context"))
	})
}

// What a request brings in a TCP option is that of the client's end.
func TestInjectOption(t *testing.T) {
	backends(t, func(t *testing.T, b Backend) {
		for flags, rule := range map[uint8]sampling.Rule{0: {None: true}, 1: {}} {
			t.Run(fmt.Sprintf("flags %02x", flags), func(t *testing.T) {
				old, err := net.Listen("tcp4", "127.0.0.1:0")
				require.NoError(t, err)
				defer old.Close()
				i := newInjection(t, Options{Hooks: b, Apart: true, Propagation: Propagation{TCPOption: true, Sampler: rule}})
				wires := []*wire{newWire(t, "tcp4"), newWire(t, "tcp6")}
				if kernelKnowsListeners(t) {
					wires = append(wires, wireTo(t, old))
				}
				for _, w := range wires {
					for _, message := range []string{get, "PING\r\n", post(strings.Repeat("b", 1<<20)), "\x01", post("x")} {
						require.True(t, message == w.ask(message))
					}
					require.Equal(t, get+get, w.ask(get, get))
				}
				i.drain()
				require.Len(t, i.clients, 6*len(wires))
				require.Len(t, i.servers, 6*len(wires))
				require.Zero(t, i.count(carrierOption, "error"))
				require.EqualValues(t, 6*len(wires), i.count(carrierOption, ""))
				for n := range i.clients {
					i.carried(i.clients[n], i.servers[n], flags)
				}
			})
		}
	})
}

// carried checks that a request came with its client's context.
func (i *injection) carried(client, server Segment, flags uint8) {
	i.t.Helper()
	c := i.contexts[server.Identity]
	require.NotNil(i.t, c, "no context came with %x", server.Identity)
	want := exchange.Remote{TraceID: i.ids.TraceID(client.Identity), SpanID: i.ids.SpanID(client.Identity), Flags: flags, Valid: true}
	require.Equal(i.t, want, c.Remote())
	require.Equal(i.t, exchange.MethodTCPOption, exchange.Method(server.Method))
	require.Equal(i.t, pcommon.TraceID(c.TraceId), want.TraceID)
}

// kernelKnowsListeners: bpf_setsockopt can switch on the callbacks of sockets that
// are there (TCP_BPF_SOCK_OPS_CB_FLAGS).
func kernelKnowsListeners(t *testing.T) bool {
	var u unix.Utsname
	require.NoError(t, unix.Uname(&u))
	var major, minor int
	_, _ = fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return major > 6 || major == 6 && minor >= 12
}

// Both carriers say the same, and a trace goes on from option to header.
func TestInjectBoth(t *testing.T) {
	backends(t, func(t *testing.T, b Backend) {
		i := newInjection(t, Options{Hooks: b, Apart: true, Propagation: Propagation{TCPOption: true, HTTPHeader: true, Sampler: sampling.Rule{ParentBased: true}}})
		s := newServed(t)
		for range 3 {
			i.clients, i.servers = nil, nil
			// No header goes in with this one: it is no HTTP.
			got, context := split(s.relay(get, "hello\r\n\r\n"))
			require.Equal(t, get, got)
			i.drain()
			require.Len(t, i.clients, 2)
			require.Len(t, i.servers, 2)
			first, second := i.clients[0], i.clients[1]
			i.carried(first, i.servers[0], 1)
			require.Equal(t, i.servers[0].Identity, second.Parent)
			want := i.root(second.Identity, "01")
			want[0] = i.root(first.Identity, "")[0]
			require.Equal(t, want, context)
			carried := i.contexts[i.servers[1].Identity]
			require.Equal(t, want[:2], []string{hex.EncodeToString(carried.TraceId[:]), hex.EncodeToString(carried.SpanId[:])})
			if first.Conn != 0 {
				s = newServed(t) // the connection was left alone
			}
		}
	})
}

// On one host the two ends find each other first; the context is the same.
func TestInjectOnOneHost(t *testing.T) {
	backends(t, func(t *testing.T, b Backend) {
		i := newInjection(t, Options{Hooks: b, Propagation: Propagation{TCPOption: true, HTTPHeader: true}})
		s := newServed(t)
		for range 3 {
			i.clients, i.servers = nil, nil
			got, context := split(s.relay(get, get))
			require.Equal(t, get, got)
			i.drain()
			require.Len(t, i.clients, 2)
			require.Len(t, i.servers, 2)
			first, second := i.clients[0], i.clients[1]
			for n, client := range i.clients {
				require.Equal(t, exchange.MethodConnection, exchange.Method(i.servers[n].Method))
				require.Equal(t, client.Identity, i.servers[n].Parent)
				require.Equal(t, first.Identity, i.servers[n].Trace)
			}
			want := i.root(second.Identity, "01")
			want[0] = i.root(first.Identity, "")[0]
			require.Equal(t, want, context)
			require.Empty(t, i.contexts)
		}
	})
}

// Nobody who was not chosen is written to.
func TestInjectOnlyChosen(t *testing.T) {
	i := newInjection(t, Options{Hooks: BackendAuto, Apart: true, Propagation: Propagation{TCPOption: true, HTTPHeader: true}})
	require.NoError(t, i.p.SetProcess(uint32(os.Getpid()), VerdictIgnored))
	require.Equal(t, get, newWire(t, "tcp4").ask(get))
	require.NoError(t, i.p.coll.Maps["processes"].Put(uint32(os.Getpid()), uint32(captureProcessVerdictPROCESS_PENDING)))
	require.Equal(t, get, newWire(t, "tcp4").ask(get))
	require.Zero(t, i.count(carrierHeader, ""))
	require.Zero(t, i.count(carrierOption, ""))
	require.NoError(t, i.p.SetProcess(uint32(os.Getpid()), VerdictSelected))
	_, context := split(newWire(t, "tcp4").ask(get))
	require.NotNil(t, context)
}

// Who listens before user space has looked at the process answers from the first
// connection on, until it turns out that the process is not wanted. Who listens when
// that is known does not.
func TestInjectListenerNotJudgedYet(t *testing.T) {
	i := newInjection(t, Options{Hooks: BackendAuto, Apart: true, Propagation: Propagation{TCPOption: true}})
	process := func(v captureProcessVerdict) {
		require.NoError(t, i.p.coll.Maps["processes"].Put(uint32(os.Getpid()), uint32(v)))
	}
	listen := func(v captureProcessVerdict) net.Listener {
		process(v)
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Close() })
		process(captureProcessVerdictPROCESS_SELECTED)
		return l
	}
	pending, ignored := listen(captureProcessVerdictPROCESS_PENDING), listen(captureProcessVerdictPROCESS_IGNORED)
	require.Equal(t, get, wireTo(t, pending).ask(get))
	i.drain()
	require.Len(t, i.clients, 1)
	require.Len(t, i.servers, 1)
	i.carried(i.clients[0], i.servers[0], 1)
	require.Zero(t, i.count(carrierOption, "peer"))
	require.Equal(t, get, wireTo(t, ignored).ask(get))
	require.EqualValues(t, 1, i.count(carrierOption, ""))
	require.EqualValues(t, 1, i.count(carrierOption, "peer"))
}

// Many connections at once, with requests of all sizes.
func TestInjectMany(t *testing.T) {
	backends(t, func(t *testing.T, b Backend) {
		i := newInjection(t, Options{Hooks: b, Apart: true, Propagation: Propagation{TCPOption: true, HTTPHeader: true}})
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		const connections, requests = 8, 60
		failed := make(chan error, connections)
		for n := range connections {
			w := wireTo(t, l)
			go func() {
				failed <- func() error {
					for k := range requests {
						message := post(strings.Repeat(string(rune('a'+n)), k*k*(n+1)))
						written := make(chan error, 1)
						go func() {
							_, err := io.WriteString(w.dialed, message)
							written <- err
						}()
						got := make([]byte, len(message)+len("traceparent: \r\n")+55)
						_ = w.served.SetReadDeadline(time.Now().Add(10 * time.Second))
						if _, err := io.ReadFull(w.served, got); err != nil {
							return err
						}
						if without, context := split(string(got)); without != message || context == nil {
							return fmt.Errorf("sent %.200q, got %.200q", message, got)
						}
						if err := <-written; err != nil {
							return err
						}
						if _, err := w.served.Write([]byte("!")); err != nil {
							return err
						}
						if _, err := io.ReadFull(w.dialed, make([]byte, 1)); err != nil {
							return err
						}
					}
					return nil
				}()
			}()
		}
		for range connections {
			require.NoError(t, <-failed)
		}
		require.EqualValues(t, connections*requests, i.count(carrierHeader, ""))
		require.EqualValues(t, connections*requests, i.count(carrierOption, ""))
	})
}

func bytesPointer(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }
