// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

const (
	client = exchange.RoleClient
	server = exchange.RoleServer
)

func TestExchanges(t *testing.T) {
	t.Parallel()
	ok := []string{":status", "200", "content-type", "text/plain"}
	grpcOK := []string{":status", "200", "content-type", "application/grpc"}
	for name, tc := range map[string]struct {
		run  func(h *harness)
		want []string
	}{
		"get": {func(h *harness) {
			h.client.headers(1, true, get("/a")...)
			h.server.headers(1, false, ok...).data(1, true, "hello")
		}, []string{"http GET /a 200 0/5"}},
		"post, response without a body": {func(h *harness) {
			h.client.headers(1, false, ":method", "POST", ":scheme", "http", ":authority", "x", ":path", "/p").data(1, false, "abc").data(1, true, "de")
			h.server.headers(1, true, ":status", "204")
		}, []string{"http POST /p 204 5/0"}},
		"interleaved, answered in another order": {func(h *harness) {
			h.client.headers(1, true, get("/a")...).headers(3, true, get("/b")...).headers(5, true, get("/c")...)
			h.server.headers(5, false, ok...).headers(1, false, ":status", "404").data(5, false, "12").data(1, true, "").data(5, true, "345").
				headers(3, true, ":status", "500")
		}, []string{"http GET /a 404 0/0", "http GET /b 500 0/0", "http GET /c 200 0/5"}},
		"padding and priority": {func(h *harness) {
			_ = h.client.framer.WriteHeaders(xhttp2.HeadersFrameParam{
				StreamID: 1, BlockFragment: h.client.section(get("/padded")...), EndHeaders: true, PadLength: 77,
				Priority: xhttp2.PriorityParam{StreamDep: 3, Weight: 9},
			})
			_ = h.client.framer.WriteDataPadded(1, true, []byte("four"), make([]byte, 200))
			h.server.headers(1, false, ok...)
			_ = h.server.framer.WriteDataPadded(1, true, nil, make([]byte, 3))
		}, []string{"http GET /padded 200 4/0"}},
		"continuation": {func(h *harness) {
			b := h.client.section(append(get("/long"), "x", strings.Repeat("y\x00", 20000), "z", "1")...)
			_ = h.client.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: b[:1], EndStream: true})
			_ = h.client.framer.WriteContinuation(1, false, b[1:16000])
			_ = h.client.framer.WriteContinuation(1, false, nil)
			_ = h.client.framer.WriteContinuation(1, true, b[16000:])
			h.client.headers(3, true, append(get("/short"), "z", "1")...)
			h.server.headers(1, true, ok...).headers(3, true, ok...)
		}, []string{"http GET /long 200 0/0", "http GET /short 200 0/0"}},
		"a header section that is too long": {func(h *harness) {
			b := h.client.section(append(get("/huge"), "x", strings.Repeat("\x00", 1<<17))...)
			_ = h.client.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: b[:16000], EndStream: true})
			for b = b[16000:]; len(b) > 16000; b = b[16000:] {
				_ = h.client.framer.WriteContinuation(1, false, b[:16000])
			}
			_ = h.client.framer.WriteContinuation(1, true, b)
			h.client.headers(3, true, get("/known")...)
			h.server.headers(1, true, ok...).headers(3, true, ok...)
		}, []string{"http GET /known 200 0/0"}},
		"informational responses and trailers": {func(h *harness) {
			h.client.headers(1, true, get("/a")...)
			h.server.headers(1, false, ":status", "103", "link", "x").headers(1, false, ":status", "100").headers(1, false, ok...).
				data(1, false, "x").headers(1, true, "checksum", "1")
		}, []string{"http GET /a 200 0/1"}},
		"cancelled": {func(h *harness) {
			h.client.headers(1, true, get("/a")...).headers(3, true, get("/b")...)
			h.server.headers(1, false, ok...).data(1, false, "x")
			h.flush()
			h.client.reset(1, xhttp2.ErrCodeCancel)
			h.server.reset(3, xhttp2.ErrCodeRefusedStream)
		}, []string{"http GET /a 200 0/1 CANCEL", "http GET /b 0 0/0 REFUSED_STREAM"}},
		"answered before the request is complete": {func(h *harness) {
			h.client.headers(1, false, ":method", "POST", ":scheme", "http", ":authority", "x", ":path", "/p").data(1, false, "abc")
			h.server.headers(1, true, ":status", "413").reset(1, xhttp2.ErrCodeNo)
			h.flush()
			h.client.data(1, false, "more").headers(3, true, get("/b")...)
			h.server.headers(3, true, ok...)
		}, []string{"http GET /b 200 0/0", "http POST /p 413 3/0"}},
		"pushed": {func(h *harness) {
			h.client.headers(1, true, get("/a")...)
			_ = h.server.framer.WritePushPromise(xhttp2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: h.server.section(get("/pushed")...), EndHeaders: true})
			h.server.headers(2, false, append(ok, "x", "y")...).data(2, true, "pushed").headers(1, true, append(ok, "x", "y")...)
		}, []string{"http GET /a 200 0/0"}},
		"other frames": {func(h *harness) {
			_ = h.client.framer.WritePing(false, [8]byte{1})
			_ = h.client.framer.WriteWindowUpdate(0, 1000)
			_ = h.client.framer.WritePriority(1, xhttp2.PriorityParam{Weight: 1})
			h.client.settings(xhttp2.Setting{ID: xhttp2.SettingMaxFrameSize, Val: 1 << 20})
			_ = h.client.framer.WriteRawFrame(0x10, 0, 0, []byte("priority update"))
			h.client.headers(1, true, get("/a")...)
			_ = h.server.framer.WriteSettingsAck()
			h.server.headers(1, false, ok...).data(1, true, strings.Repeat("x", 100000))
		}, []string{"http GET /a 200 0/100000"}},
		"table size changes": {func(h *harness) {
			h.client.headers(1, true, get("/a")...).headers(3, true, get("/a")...)
			h.client.encoder.SetMaxDynamicTableSize(0)
			h.client.headers(5, true, get("/b")...)
			h.client.encoder.SetMaxDynamicTableSize(200)
			h.client.headers(7, true, get("/c")...).headers(9, true, get("/c")...)
			h.client.encoder.SetMaxDynamicTableSize(4096)
			h.client.headers(11, true, get("/c")...).headers(13, true, get("/d")...).headers(15, true, get("/d")...)
			for id := uint32(1); id <= 15; id += 2 {
				h.server.headers(id, true, ok...)
			}
		}, []string{
			"http GET /a 200 0/0", "http GET /a 200 0/0", "http GET /b 200 0/0", "http GET /c 200 0/0", "http GET /c 200 0/0",
			"http GET /c 200 0/0", "http GET /d 200 0/0", "http GET /d 200 0/0",
		}},
		"entries larger than the table": {func(h *harness) {
			h.client.headers(1, true, append(get("/a"), "x", strings.Repeat("\x01", 4000))...)
			big := h.client.section(get("/b")...)
			big = append(big, 0x40, 1, 'k', 0x7f, 0x81, 0x3f) // 8192 bytes, incremental
			big = append(big, make([]byte, 8192)...)
			_ = h.client.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 3, BlockFragment: big, EndStream: true, EndHeaders: true})
			h.client.encoder = hpack.NewEncoder(&h.client.table) // the table is empty now
			h.client.headers(5, true, get("/c")...).headers(7, true, get("/c")...)
			h.server.headers(1, true, ok...).headers(3, true, ok...).headers(5, true, ok...).headers(7, true, ok...)
		}, []string{"http GET /a 200 0/0", "http GET /b 200 0/0", "http GET /c 200 0/0", "http GET /c 200 0/0"}},
		"a WebSocket": {func(h *harness) {
			h.client.headers(1, false, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/chat", ":authority", "x")
			h.server.headers(1, false, ":status", "200")
			h.flush()
			h.client.data(1, false, "frames")
			h.server.data(1, false, "frames")
		}, []string{"http CONNECT /chat 200 0/0"}},
		"a tunnel": {func(h *harness) {
			h.client.headers(1, false, ":method", "CONNECT", ":authority", "x:443").headers(3, false, ":method", "CONNECT", ":authority", "y:443")
			h.server.headers(1, false, ":status", "200").headers(3, false, ":status", "502").data(3, true, "no")
		}, []string{"http CONNECT x:443 200 0/0", "http CONNECT y:443 502 0/2"}},
		"unary call": {func(h *harness) {
			h.client.headers(1, false, call1("/a.B/C")...).data(1, true, "\x00\x00\x00\x00\x00")
			h.server.headers(1, false, grpcOK...).data(1, false, "\x00\x00\x00\x00\x00").headers(1, true, "grpc-status", "0", "grpc-message", "")
		}, []string{"grpc POST /a.B/C OK"}},
		"failed calls": {func(h *harness) {
			h.client.headers(1, false, call1("/a.B/C")...).data(1, true, "\x00\x00\x00\x00\x00").headers(3, true, call1("/a.B/D")...).
				headers(5, true, call1("/a.B/E")...).headers(7, true, call1("/a.B/F")...).headers(9, true, call1("/a.B/G")...)
			h.server.headers(3, true, append(grpcOK, "grpc-status", "12")...). // trailers only
												headers(1, false, grpcOK...).data(1, false, "\x00").headers(1, true, "grpc-status", "5").
												headers(5, false, ":status", "503", "content-type", "text/html").data(5, true, "<html>"). // a proxy
												headers(7, false, grpcOK...).data(7, true, "").reset(9, xhttp2.ErrCodeEnhanceYourCalm)
		}, []string{"grpc POST /a.B/C NOT_FOUND", "grpc POST /a.B/D UNIMPLEMENTED", "grpc POST /a.B/E UNAVAILABLE", "grpc POST /a.B/F UNKNOWN", "grpc POST /a.B/G RESOURCE_EXHAUSTED"}},
		"streams": {func(h *harness) {
			h.client.headers(1, false, call1("/a.B/Both")...).data(1, false, "1").data(1, false, "2")
			h.server.headers(1, false, grpcOK...).data(1, false, "a")
			h.flush()
			h.client.data(1, true, "3")
			h.server.data(1, false, "b").data(1, false, "c").headers(1, true, "grpc-status", "0")
		}, []string{"grpc POST /a.B/Both OK"}},
		"cancelled calls": {func(h *harness) {
			h.client.headers(1, true, call1("/a.B/C")...).headers(3, true, call1("/a.B/D", "grpc-timeout", "1H")...).
				headers(5, true, call1("/a.B/E", "grpc-timeout", "10m")...)
			h.flush()
			h.now += 10e6
			h.client.reset(1, xhttp2.ErrCodeCancel).reset(3, xhttp2.ErrCodeCancel).reset(5, xhttp2.ErrCodeCancel)
		}, []string{"grpc POST /a.B/C CANCELLED", "grpc POST /a.B/D CANCELLED", "grpc POST /a.B/E DEADLINE_EXCEEDED"}},
		"gRPC-Web": {func(h *harness) {
			web := call1("/a.B/C")
			web[9] = "application/grpc-web+proto"
			h.client.headers(1, true, web...).headers(3, true, web...).headers(5, true, web...)
			resp := []string{":status", "200", "content-type", "application/grpc-web+proto"}
			h.server.headers(1, false, resp...).data(1, false, "\x00\x00\x00\x00\x03ab").data(1, false, "c\x80\x00").
				data(1, true, "\x00\x00\x1fgrpc-status: 7\r\ngrpc-message:\r\n").
				headers(3, true, append(resp, "grpc-status", "3")...).
				headers(5, false, resp...).data(5, true, "\x00\x00\x00\x00\x01x\x80\x00\x00\x00\x0fgrpc-status:0\r\n")
		}, []string{"web POST /a.B/C INVALID_ARGUMENT", "web POST /a.B/C OK", "web POST /a.B/C PERMISSION_DENIED"}},
		"connection lost": {func(h *harness) {
			h.client.headers(1, true, call1("/a.B/C")...).headers(3, true, get("/x")...).headers(5, true, get("/y")...)
			h.server.headers(5, true, ok...)
			h.flush()
			h.close(exchange.FailureReset)
		}, []string{"grpc POST /a.B/C  connection_reset", "http GET /x 0 0/0 connection_reset", "http GET /y 200 0/0"}},
		"requests that are none": {func(h *harness) {
			h.client.headers(1, true, ":scheme", "http", "a", "b").headers(3, true, get("/x")...)
			h.server.headers(1, true, ok...).headers(3, true, ok...)
		}, []string{"http GET /x 200 0/0"}},
	} {
		for _, role := range []exchange.Role{client, server, exchange.RoleUnknown} {
			t.Run(name+", "+role.String(), func(t *testing.T) {
				t.Parallel()
				h := begun(role)
				tc.run(h)
				h.flush()
				require.NoError(t, h.err)
				require.Equal(t, tc.want, h.brief(t))
			})
		}
		// The same, one byte at a time.
		t.Run(name+", byte by byte", func(t *testing.T) {
			t.Parallel()
			whole := begun(server)
			var segments []protocol.Segment
			whole.parser = &splitter{whole.parser, &segments}
			tc.run(whole)
			whole.flush()
			require.Equal(t, tc.want, whole.brief(t))
		})
	}
}

// splitter passes segments on byte by byte.
type splitter struct {
	protocol.Parser
	segments *[]protocol.Segment
}

func (p *splitter) Segment(s *protocol.Segment) error {
	for i := range s.Data {
		g := *s
		g.Data, g.Len, g.Offset = []byte{s.Data[i]}, 1, s.Offset+uint64(i)
		err := p.Parser.Segment(&g)
		g.Data[0] = 0xee // it is gone
		if err != nil {
			return err
		}
	}
	return nil
}

func TestGoAway(t *testing.T) {
	t.Parallel()
	for role, want := range map[exchange.Role][]string{
		client: {"grpc POST /a.B/C UNAVAILABLE", "http GET /a 200 0/0", "http GET /b 0 0/0 REFUSED_STREAM"},
		server: {"http GET /a 200 0/0"},
	} {
		h := begun(role)
		h.client.headers(1, true, get("/a")...).headers(3, true, get("/b")...).headers(5, true, call1("/a.B/C")...)
		_ = h.server.framer.WriteGoAway(1<<31-1, xhttp2.ErrCodeNo, nil)
		_ = h.server.framer.WriteGoAway(1, xhttp2.ErrCodeNo, []byte("bye"))
		h.server.headers(1, true, ":status", "200")
		h.flush()
		require.Equal(t, want, h.brief(t))
	}
}

// Times are those of the request's first and the response's last byte.
func TestTimes(t *testing.T) {
	t.Parallel()
	h := begun(server)
	h.client.headers(1, false, get("/a")...).data(1, true, "body")
	b := h.client.take()
	h.segment(protocol.Segment{Dir: h.req, Data: b[:5], Time: 2000, First: 1990})
	h.segment(protocol.Segment{Dir: h.req, Data: b[5:], Time: 2100, First: 2090})
	h.server.headers(1, false, ":status", "200").data(1, true, strings.Repeat("x", 50))
	b = h.server.take()
	h.segment(protocol.Segment{Dir: h.req.Other(), Data: b[:30], Time: 3000, First: 3000})
	h.segment(protocol.Segment{Dir: h.req.Other(), Data: b[30:40], Len: len(b) - 40, Time: 3100, First: 3100})
	require.Empty(t, h.ended)
	h.segment(protocol.Segment{Dir: h.req.Other(), Data: b[len(b)-10:], Time: 3200, First: 3200})
	h.check(t)
	require.Len(t, h.ended, 1)
	require.EqualValues(t, 1990, h.ended[0].start)
	require.EqualValues(t, 3200, h.ended[0].end)
	require.EqualValues(t, 50, h.ended[0].responseBody)
}

// On a client another thread may have read the response before the call that sent the
// request returned.
func TestResponseFirst(t *testing.T) {
	t.Parallel()
	h := begun(client)
	h.client.headers(1, true, get("/a")...)
	h.server.headers(1, false, ":status", "200").data(1, true, "abc")
	h.send(h.req.Other(), h.server.take())
	require.Empty(t, h.ended)
	h.client.headers(3, true, get("/b")...)
	h.server.headers(5, true, ":status", "200")
	h.flush()
	h.server.headers(3, true, ":status", "200")
	h.client.headers(7, true, get("/c")...) // 5 is never heard of
	h.flush()
	h.server.headers(7, true, ":status", "200")
	h.flush()
	require.Equal(t, []string{"http GET /a 200 0/3", "http GET /b 200 0/0", "http GET /c 200 0/0"}, h.brief(t))
	require.EqualValues(t, 1, h.stats.Unmatched)
}

func TestTraceContext(t *testing.T) {
	t.Parallel()
	h := begun(server)
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	h.client.headers(1, true, append(get("/w3c"), "traceparent", parent, "tracestate", "a=1", "tracestate", "b=2, c=3", "b3", "0")...)
	h.client.headers(3, true, append(get("/b3"), "b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1")...)
	h.client.headers(5, true, append(get("/twice"), "traceparent", parent, "traceparent", parent)...)
	h.client.headers(7, true, get("/none")...)
	for id := uint32(1); id <= 7; id += 2 {
		h.server.headers(id, true, ":status", "200")
	}
	h.flush()
	h.check(t)
	require.Len(t, h.ended, 4)
	require.True(t, h.ended[0].remote.Valid)
	require.Equal(t, "a=1,b=2,c=3", h.ended[0].remote.State)
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", h.ended[0].remote.TraceID.String())
	require.True(t, h.ended[1].remote.Valid)
	require.Equal(t, "e457b5a2e4d86bd1", h.ended[1].remote.SpanID.String())
	require.Equal(t, exchange.Remote{}, h.ended[2].remote)
	require.Equal(t, exchange.Remote{}, h.ended[3].remote)
}

// Of an older connection what is sent again in full is known, and nothing else.
func TestMidStream(t *testing.T) {
	t.Parallel()
	for _, role := range []exchange.Role{client, server} {
		h := newHarness(role)
		h.client.headers(1, true, get("/before")...).headers(3, true, get("/other")...)
		h.server.headers(1, true, ":status", "418", "x", "y")
		h.client.take()
		h.server.take()
		h.client.headers(5, true, get("/before")...) // by index: unknown
		h.client.headers(7, true, get("/new")...)
		h.server.headers(3, true, ":status", "200").headers(5, true, ":status", "418", "x", "y").headers(7, true, ":status", "200")
		h.flush()
		h.client.headers(9, true, get("/new")...) // by index: known
		h.client.headers(11, true, get("/new")...)
		h.server.headers(9, true, ":status", "418").headers(11, true, ":status", "204")
		h.flush()
		require.NoError(t, h.err)
		require.Equal(t, []string{"http GET /new 200 0/0", "http GET /new 204 0/0"}, h.brief(t), role.String())
		require.NotZero(t, h.stats.Unmatched)
	}
}

// A call of gRPC whose content type is not known is told by its response, and one
// whose status is not known is not reported.
func TestMidStreamCalls(t *testing.T) {
	t.Parallel()
	grpcOK := []string{":status", "200", "content-type", "application/grpc"}
	before := func(trailers ...string) *harness {
		h := newHarness(server)
		h.client.headers(1, true, call1("/a.B/Old")...)
		h.server.headers(1, false, grpcOK...).headers(1, true, trailers...)
		h.client.take()
		h.server.take()
		return h
	}
	after := func(h *harness) {
		h.client.headers(3, true, call1("/a.B/New")...)
		h.server.headers(3, false, grpcOK...).data(3, false, "x").headers(3, true, "grpc-status", "0")
		h.flush()
		h.client.headers(5, true, call1("/a.B/New")...)
		h.server.headers(5, false, grpcOK...).data(5, false, "x").headers(5, true, "grpc-status", "14")
		h.flush()
	}
	h := before("x", "y")
	after(h)
	require.Equal(t, []string{"grpc POST /a.B/New OK", "grpc POST /a.B/New UNAVAILABLE"}, h.brief(t))
	h = before("grpc-status", "0") // from here on the name of the field goes by index
	after(h)
	require.Empty(t, h.brief(t))
	require.EqualValues(t, 2, h.stats.Unmatched)
}

// Losses cost no more than they must.
func TestHoles(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("x", 15000)
	t.Run("in DATA", func(t *testing.T) {
		t.Parallel()
		h := begun(server)
		h.client.headers(1, false, get("/a")...).data(1, true, body)
		b := h.client.take()
		h.segment(protocol.Segment{Dir: h.req, Data: b[:200], Len: len(b), Tail: b[len(b)-8:]})
		h.server.headers(1, true, ":status", "200")
		h.client.headers(3, true, get("/a")...)
		h.server.headers(3, true, ":status", "200")
		h.flush()
		require.Equal(t, []string{"http GET /a 200 0/0", "http GET /a 200 15000/0"}, h.brief(t))
		require.Zero(t, h.stats.Resyncs)
	})
	t.Run("over the heads of DATA", func(t *testing.T) {
		t.Parallel()
		h := begun(server)
		h.client.headers(1, false, get("/a")...).data(1, false, body).data(1, false, body).data(1, false, body).data(1, true, body)
		b := h.client.take()
		h.segment(protocol.Segment{Dir: h.req, Data: b[:200], Len: len(b) - 20000, Tail: b[len(b)-20008 : len(b)-20000]})
		h.send(h.req, b[len(b)-20000:])
		h.server.headers(1, true, ":status", "200")
		h.flush()
		// The next stream is the next: no header section was lost.
		h.client.headers(3, true, get("/a")...)
		h.server.headers(3, true, ":status", "200")
		h.flush()
		require.Equal(t, []string{"http GET /a 200 -1/0", "http GET /a 200 0/0"}, h.brief(t))
		require.EqualValues(t, 1, h.stats.Resyncs)
	})
	t.Run("over a request", func(t *testing.T) {
		t.Parallel()
		h := begun(server)
		h.client.headers(1, true, get("/a")...)
		h.server.headers(1, true, ":status", "200", "x", "y")
		h.flush()
		h.client.headers(3, true, append(get("/b"), "x", "1")...)
		lost := len(h.client.take())
		h.client.headers(5, true, get("/a")...)
		h.segment(protocol.Segment{Dir: h.req, Data: h.client.take(), Lost: uint64(lost)})
		h.server.headers(3, true, ":status", "200", "x", "y").headers(5, true, ":status", "200", "x", "y")
		h.flush()
		h.client.headers(7, true, get("/c")...)
		h.server.headers(7, true, ":status", "200", "x", "y")
		h.flush()
		require.Equal(t, []string{"http GET /a 200 0/0", "http GET /c 200 0/0"}, h.brief(t))
	})
	t.Run("over the body of a response", func(t *testing.T) {
		t.Parallel()
		h := begun(client)
		h.client.headers(1, true, call1("/a.B/C")...)
		h.server.headers(1, false, ":status", "200", "content-type", "application/grpc").headers(1, true, "grpc-status", "0")
		h.flush()
		h.client.headers(3, true, call1("/a.B/C")...)
		h.flush()
		h.server.headers(3, false, ":status", "200", "content-type", "application/grpc").data(3, false, body).data(3, false, body).data(3, false, body)
		b := h.server.take()
		h.segment(protocol.Segment{Dir: h.req.Other(), Data: b[:100], Len: len(b)})
		h.server.headers(3, true, "grpc-status", "0") // by index
		h.flush()
		require.Equal(t, []string{"grpc POST /a.B/C OK", "grpc POST /a.B/C OK"}, h.brief(t))
	})
	t.Run("over a response", func(t *testing.T) {
		t.Parallel()
		h := begun(client)
		h.client.headers(1, true, get("/a")...).headers(3, true, get("/b")...)
		h.flush()
		h.server.headers(1, true, ":status", "200", "x", "y")
		lost := len(h.server.take())
		h.server.headers(3, true, ":status", "200", "x", "y")
		h.segment(protocol.Segment{Dir: h.req.Other(), Data: h.server.take(), Lost: uint64(lost)})
		h.close(exchange.FailureReset)
		require.Equal(t, []string{"http GET /b 200 0/0"}, h.brief(t), "1 may have been answered")
	})
}

func TestIdentities(t *testing.T) {
	t.Parallel()
	ok := func(h *harness, ids ...uint32) {
		for _, id := range ids {
			h.server.headers(id, true, ":status", "200")
		}
	}
	given := exchange.Identity{Seed: 7, Trace: 5, Parent: 5, Method: exchange.MethodConnection}
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		h := begun(server)
		h.client.headers(1, true, get("/first")...).headers(3, true, get("/second")...)
		h.segment(protocol.Segment{Dir: h.req, Data: h.client.take(), Identity: given})
		ok(h, 1, 3)
		h.flush()
		_ = h.client.framer.WritePing(true, [8]byte{})
		h.client.headers(5, true, get("/behind another frame")...)
		h.segment(protocol.Segment{Dir: h.req, Data: h.client.take(), Identity: exchange.Identity{Seed: 9, Trace: 3, Parent: 8, Method: exchange.MethodConnection}})
		ok(h, 5)
		h.flush()
		_ = h.client.framer.WritePing(true, [8]byte{})
		h.segment(protocol.Segment{Dir: h.req, Data: h.client.take(), Identity: exchange.Identity{Seed: 11, Trace: 10, Parent: 10, Method: exchange.MethodConnection}})
		h.client.headers(7, true, get("/behind another segment")...)
		h.flush()
		ok(h, 7)
		h.flush()
		h.check(t)
		require.Len(t, h.ended, 4)
		require.Equal(t, given, h.ended[0].identity)
		require.NotEqualValues(t, 7, h.ended[1].identity.Seed)
		require.Zero(t, h.ended[1].identity.Parent)
		require.Equal(t, exchange.Identity{Seed: 9, Trace: 9}, h.ended[2].identity, "in a trace of its own")
		require.Equal(t, exchange.Identity{Seed: 11, Trace: 10}, h.ended[3].identity)
	})
	t.Run("client", func(t *testing.T) {
		t.Parallel()
		h := begun(client)
		given := given
		given.Method = exchange.MethodGoroutine
		h.client.headers(1, true, get("/first")...).headers(3, true, get("/second")...)
		h.segment(protocol.Segment{Dir: h.req, Data: h.client.take(), Identity: given})
		ok(h, 1, 3)
		h.flush()
		_ = h.client.framer.WriteWindowUpdate(0, 1)
		h.segment(protocol.Segment{Dir: h.req, Data: h.client.take(), Identity: exchange.Identity{Seed: 9, Trace: 3, Parent: 3, Method: exchange.MethodGoroutine}})
		h.client.headers(5, true, get("/sent by another call")...)
		h.flush()
		ok(h, 5)
		h.flush()
		h.check(t)
		require.Len(t, h.ended, 3)
		require.Equal(t, given, h.ended[0].identity)
		require.Zero(t, h.ended[1].identity.Parent)
		require.Equal(t, h.ended[1].identity.Seed, h.ended[1].identity.Trace)
		require.Equal(t, exchange.Identity{Seed: 9, Trace: 3}, h.ended[2].identity)
	})
	t.Run("learned with the response", func(t *testing.T) {
		t.Parallel()
		h := begun(server)
		h.client.headers(1, true, get("/first")...)
		h.segment(protocol.Segment{Dir: h.req, Data: h.client.take(), Identity: exchange.Identity{Seed: 7, Trace: 7}})
		ok(h, 1)
		h.segment(protocol.Segment{Dir: h.req.Other(), Data: h.server.take(), Identity: exchange.Identity{Peer: 7, Trace: 5, Parent: 6, Method: exchange.MethodConnection}})
		h.check(t)
		require.EqualValues(t, 6, h.ended[0].identity.Parent)
		require.EqualValues(t, 5, h.ended[0].identity.Trace)
	})
}

func TestSwitchedOff(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{HTTP: true}, {GRPC: true}} {
		h := begun(server)
		h.parser.(*parser).options.HTTP, h.parser.(*parser).options.GRPC = o.HTTP, o.GRPC
		h.client.headers(1, true, get("/a")...).headers(3, true, call1("/b.C/D")...)
		h.server.headers(1, true, ":status", "200").headers(3, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "0")
		h.flush()
		want := []string{"http GET /a 200 0/0"}
		if o.GRPC {
			want = []string{"grpc POST /b.C/D OK"}
		}
		require.Equal(t, want, h.brief(t))
		require.Zero(t, h.stats.Unmatched)
	}
}

func TestMismatch(t *testing.T) {
	t.Parallel()
	h := begun(server)
	for range maxMisses {
		h.client.raw("GET / HTTP/1.1\r\n\r\n")
		h.server.raw("HTTP/1.1 200 OK\r\n\r\n")
		h.flush()
	}
	require.ErrorIs(t, h.err, protocol.ErrMismatch)
	h.check(t)
}

// Responses that end in bytes that nobody saw do not fill the table for good.
func TestEndsInHoles(t *testing.T) {
	h := begun(exchange.RoleServer)
	for i := range uint32(2 * maxCalls) {
		id := 2*i + 1
		h.client.headers(id, true, get("/lost")...)
		h.server.headers(id, false, ":status", "200")
		h.flush()
		unseen := h.server.data(id, true, "x").take()
		h.segment(protocol.Segment{Dir: h.req.Other(), Len: len(unseen)})
	}
	h.client.headers(4*maxCalls+1, true, get("/seen")...)
	h.server.headers(4*maxCalls+1, true, ":status", "404")
	h.flush()
	require.Equal(t, []string{"http GET /seen 404 0/0"}, h.brief(t))
	require.Equal(t, 2*maxCalls, h.abandoned)
}

// A client's CANCEL is put down to the deadline if the timeout was over, as nearly as can
// be told: it may have been rounded up by a hundredth.
func TestDeadlines(t *testing.T) {
	for _, c := range []struct {
		timeout string
		passed  uint64 // ms
		want    string
	}{
		{"10m", 8, "DEADLINE_EXCEEDED"},
		{"10m", 7, "CANCELLED"},
		{"1H", 3599_000, "DEADLINE_EXCEEDED"},
		{"1H", 3500_000, "CANCELLED"},
		{"10S", 9_900, "DEADLINE_EXCEEDED"},
		{"10S", 9_800, "CANCELLED"},
	} {
		h := begun(exchange.RoleClient)
		h.client.headers(1, true, call1("/a.B/C", "grpc-timeout", c.timeout)...)
		h.flush()
		h.now += c.passed * 1e6
		h.client.reset(1, xhttp2.ErrCodeCancel)
		h.flush()
		require.Equal(t, []string{"grpc POST /a.B/C " + c.want}, h.brief(t), "%+v", c)
	}
}
