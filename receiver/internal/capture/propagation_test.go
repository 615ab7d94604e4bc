// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/sampling"
)

//go:generate go tool -modfile=../../../distribution/tools.mod bpf2go -cc clang-16 -strip llvm-strip-16 -target amd64,arm64 propagationUnits ../../../bpf/propagation_test.bpf.c -- -I../../../bpf -O2 -mcpu=v3 -Wall -Werror

// needLoop skips on kernels that injection refuses.
func needLoop(t testing.TB) {
	if features.HaveProgramHelper(ebpf.SkMsg, asm.FnLoop) != nil {
		t.Skip("injection needs bpf_loop, Linux 5.17")
	}
}

// units loads the pure functions of the BPF side.
func units(t *testing.T, constants map[string]any) *ebpf.Collection {
	t.Helper()
	needLoop(t)
	spec, err := loadPropagationUnits()
	require.NoError(t, err)
	used := map[string]bool{".rodata": true, ".bss": true, ".data": true, "scans": true}
	for name := range spec.Maps {
		if !used[name] {
			delete(spec.Maps, name)
		}
	}
	require.NoError(t, setConstants(spec, constants))
	c, err := ebpf.NewCollection(spec)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(c.Close)
	return c
}

// call runs one of them; its argument is changed in place.
func call[T any](t *testing.T, c *ebpf.Collection, name string, arg *T) uint32 {
	t.Helper()
	b := unsafe.Slice((*byte)(unsafe.Pointer(arg)), unsafe.Sizeof(*arg))
	out := make([]byte, len(b))
	ret, err := c.Programs[name].Run(&ebpf.RunOptions{Context: b, ContextOut: out})
	require.NoError(t, err)
	copy(b, out)
	return ret
}

func words(b []byte) (w [2]uint64) {
	return [2]uint64{binary.NativeEndian.Uint64(b), binary.NativeEndian.Uint64(b[8:])}
}

func TestIDsOfBothSides(t *testing.T) {
	ids := causality.NewIDs()
	c := units(t, map[string]any{"id_key": ids.Key})
	for i := range 2000 {
		a := propagationUnitsIdsCall{Identity: rand.Uint64()>>(i%64) | 1}
		require.Zero(t, call(t, c, "ids", &a))
		trace, span := ids.TraceID(a.Identity), ids.SpanID(a.Identity)
		require.Equal(t, words(trace[:]), a.TraceId)
		require.Equal(t, binary.NativeEndian.Uint64(span[:]), a.SpanId)
	}
}

func TestSamplingOfBothSides(t *testing.T) {
	for _, config := range [][2]string{
		{"always_on"}, {"always_off"}, {"parentbased_always_on"}, {"parentbased_always_off"},
		{"traceidratio", "0"}, {"traceidratio", "1"}, {"traceidratio", "0.1"}, {"traceidratio", "0.5"}, {"traceidratio", "1e-19"},
		{"parentbased_traceidratio", "0.25"}, {"parentbased_traceidratio", "0.999999"},
	} {
		t.Run(strings.Join(config[:], " "), func(t *testing.T) {
			sampler, err := sampling.New("sampler", config[0], config[1])
			require.NoError(t, err)
			rule := sampler.Rule()
			c := units(t, map[string]any{
				"sample_parent_based": boolMask(rule.ParentBased), "sample_none": boolMask(rule.None), "sample_bound": rule.Bound,
			})
			for i := range 2000 {
				var id pcommon.TraceID
				binary.BigEndian.PutUint64(id[:], rand.Uint64())
				low := rand.Uint64()
				if i%4 == 0 { // at the bound
					low = rule.Bound<<1 + uint64(i%8) - 4
				}
				binary.BigEndian.PutUint64(id[8:], low)
				for parent, a := range map[sampling.Parent]propagationUnitsSampledCall{
					sampling.ParentUnknown: {},
					sampling.ParentDropped: {Decided: 1, Flags: 2},
					sampling.ParentSampled: {Decided: 1, Flags: 3},
				} {
					a.TraceId = words(id[:])
					require.Equal(t, sampler.Sample(id, parent), call(t, c, "sample", &a) != 0, "%v %v", id, parent)
				}
			}
		})
	}
}

func randomID(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	b[0] |= 1
	return b
}

func TestOption(t *testing.T) {
	c := units(t, nil)
	for i := range 500 {
		trace, span := randomID(16), randomID(8)
		want := propagationUnitsOptionCall{TraceId: words(trace), SpanId: binary.NativeEndian.Uint64(span), Flags: uint32(i % 2)}
		a := want
		require.Zero(t, call(t, c, "encode_option", &a))
		exid := []byte{0x6f, 0x74 + byte(i%2)}
		require.Equal(t, bytes.Join([][]byte{{254, 28}, exid, trace, span}, nil), a.Option[:])
		want.Option = a.Option
		b := propagationUnitsOptionCall{Option: a.Option}
		require.EqualValues(t, 1, call(t, c, "decode_option", &b))
		require.Equal(t, want, b)
		for _, bad := range []func(o *[28]uint8){
			func(o *[28]uint8) { o[0] = 253 },
			func(o *[28]uint8) { o[1] = 27 },
			func(o *[28]uint8) { o[3] = 0x76 },
			func(o *[28]uint8) { clear(o[4:20]) },
			func(o *[28]uint8) { clear(o[20:]) },
		} {
			b := propagationUnitsOptionCall{Option: a.Option}
			bad(&b.Option)
			require.Zero(t, call(t, c, "decode_option", &b))
		}
	}
}

func TestHeader(t *testing.T) {
	c := units(t, nil)
	for i := range 500 {
		trace, span := randomID(16), randomID(8)
		a := propagationUnitsHeaderCall{TraceId: words(trace), SpanId: binary.NativeEndian.Uint64(span), Flags: uint32(i % 256)}
		require.Zero(t, call(t, c, "encode_header", &a))
		require.Equal(t, fmt.Sprintf("traceparent: 00-%x-%x-%02x\r\n", trace, span, i%256), string(a.Text[:]))
	}
}

const scanStrict = uint32(propagationUnitsScanFlagsSCAN_STRICT)

// flagNames of what was found.
func flagNames(flags uint32) string {
	var names []string
	for _, f := range []struct {
		flag propagationUnitsScanFlags
		name string
	}{
		{propagationUnitsScanFlagsSCAN_END, "end"}, {propagationUnitsScanFlagsSCAN_NONE, "none"},
		{propagationUnitsScanFlagsSCAN_ODD, "odd"}, {propagationUnitsScanFlagsSCAN_PARENT, "parent"},
		{propagationUnitsScanFlagsSCAN_PARENTS, "parents"}, {propagationUnitsScanFlagsSCAN_MANY_PARENTS, "many_parents"},
		{propagationUnitsScanFlagsSCAN_STATE, "state"}, {propagationUnitsScanFlagsSCAN_MANY_STATES, "many_states"},
		{propagationUnitsScanFlagsSCAN_FOREIGN, "foreign"}, {propagationUnitsScanFlagsSCAN_LENGTH, "length"},
		{propagationUnitsScanFlagsSCAN_CHUNKED, "chunked"}, {propagationUnitsScanFlagsSCAN_CODING, "coding"},
		{propagationUnitsScanFlagsSCAN_UPGRADE, "upgrade"}, {propagationUnitsScanFlagsSCAN_CONNECT, "connect"},
	} {
		if flags&uint32(f.flag) != 0 {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, " ")
}

func scan(t *testing.T, c *ebpf.Collection, head string, piece int, flags uint32) propagationUnitsHeadCall {
	t.Helper()
	b := []byte(head)
	a := propagationUnitsHeadCall{Len: uint32(len(b)), Piece: uint32(piece), Flags: flags}
	if len(b) > 0 {
		a.Base = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
	}
	require.Zero(t, call(t, c, "scan_head", &a))
	runtime.KeepAlive(b)
	return a
}

const testParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestScanHead(t *testing.T) {
	c := units(t, nil)
	get := "GET /a?b=c HTTP/1.1\r\nHost: x\r\n"
	for name, test := range map[string]struct{ head, strict, lenient string }{
		"plain":                   {get + "\r\n", "end", ""},
		"no header":               {"GET / HTTP/1.0\r\n\r\n", "end", ""},
		"body behind":             {get + "Content-Length: 12\r\n\r\nTraceparent: x\r\n\r\n", "end length", ""},
		"parent":                  {get + "traceparent: " + testParent + "\r\n\r\n", "end parent parents", ""},
		"parent, other case":      {get + "TraceParent:" + testParent + " \t\r\n\r\n", "end parent parents", ""},
		"parent of a later form":  {get + "traceparent: 01" + testParent[2:] + "-more\r\n\r\n", "end parent parents", ""},
		"parent, capitals":        {get + "traceparent: " + strings.ToUpper(testParent) + "\r\n\r\n", "end parents", ""},
		"parent, version ff":      {get + "traceparent: ff" + testParent[2:] + "\r\n\r\n", "end parents", ""},
		"parent, longer":          {get + "traceparent: " + testParent + "-more\r\n\r\n", "end parents", ""},
		"parent, shorter":         {get + "traceparent: " + testParent[:54] + "\r\n\r\n", "end parents", ""},
		"parent of zeros":         {get + "traceparent: 00-" + strings.Repeat("0", 32) + testParent[35:] + "\r\n\r\n", "end parents", ""},
		"span of zeros":           {get + "traceparent: " + testParent[:36] + strings.Repeat("0", 16) + "-01\r\n\r\n", "end parents", ""},
		"no parent":               {get + "traceparent2: " + testParent + "\r\nx-traceparent: a\r\ntraceparen: b\r\n\r\n", "end", ""},
		"two parents":             {get + "traceparent: " + testParent + "\r\ntraceparent: " + testParent + "\r\n\r\n", "end parents many_parents", ""},
		"blank before colon":      {get + "traceparent : " + testParent + "\r\n\r\n", "end odd", ""},
		"state":                   {get + "TraceState:  a=b,c=d \r\n\r\n", "end state", ""},
		"empty state":             {get + "tracestate: \r\n\r\n", "end", ""},
		"two states":              {get + "tracestate: a=b\r\ntracestate: c=d\r\n\r\n", "end state many_states", ""},
		"long state":              {get + "tracestate: a=" + strings.Repeat("b", 520) + "\r\n\r\n", "end many_states", ""},
		"b3":                      {get + "b3: 0\r\n\r\n", "end foreign", ""},
		"X-B3":                    {get + "X-B3-TraceId: 0\r\n\r\n", "end foreign", ""},
		"Jaeger":                  {get + "Uber-Trace-Id: 0\r\n\r\n", "end foreign", ""},
		"X-Ray":                   {get + "X-Amzn-Trace-Id: 0\r\n\r\n", "end foreign", ""},
		"user agent":              {get + "User-Agent: b3\r\nX-Amzn-Else: x\r\nBoundary: 1\r\n\r\n", "end", ""},
		"length":                  {"POST / HTTP/1.1\r\ncontent-length: 1234567890\r\n\r\n", "end length", ""},
		"no length":               {"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", "end odd length", ""},
		"length of letters":       {"POST / HTTP/1.1\r\nContent-Length: 1a\r\n\r\n", "end odd length", ""},
		"negative length":         {"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "end odd length", ""},
		"long length":             {"POST / HTTP/1.1\r\nContent-Length: 1234567890123456789\r\n\r\n", "end odd length", ""},
		"two lengths":             {"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "end odd length", ""},
		"list of lengths":         {"POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", "end odd length", ""},
		"chunked":                 {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "end chunked", ""},
		"chunked, other case":     {"POST / HTTP/1.1\r\ntransfer-encoding:CHUNKED\r\n\r\n", "end chunked", ""},
		"other coding":            {"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "end coding", ""},
		"two codings":             {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "end odd chunked", ""},
		"upgrade":                 {get + "Upgrade: websocket\r\n\r\n", "end upgrade", ""},
		"connect":                 {"CONNECT a:443 HTTP/1.1\r\n\r\n", "end connect", ""},
		"other methods":           {"M-SEARCH * HTTP/1.1\r\n\r\n", "end", ""},
		"folded":                  {get + "A: b\r\n c\r\n\r\n", "end odd", ""},
		"cut":                     {get, "", ""},
		"cut line":                {"GET /a?b=c HTT", "", ""},
		"empty":                   {"", "", ""},
		"bare line feeds":         {"GET / HTTP/1.1\nHost: x\n\n", "none", "end"},
		"a bare line feed":        {get + "A: b\n\r\n", "end odd", "end"},
		"bare line feed at end":   {get + "\n", "end odd", "end"},
		"empty line before":       {"\r\n" + get + "\r\n", "none", "end"},
		"HTTP/2":                  {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "none", ""},
		"HTTP/1.2":                {"GET / HTTP/1.2\r\n\r\n", "none", ""},
		"HTTP/0.9":                {"GET /\r\n", "none", ""},
		"no target":               {"GET  HTTP/1.1\r\n\r\n", "none", ""},
		"blank in target":         {"GET /a b HTTP/1.1\r\n\r\n", "none", "end"},
		"control in target":       {"GET /a\tb HTTP/1.1\r\n\r\n", "none", "end"},
		"DEL in long target":      {"GET /" + strings.Repeat("a", 100) + "\x7f HTTP/1.1\r\n\r\n", "none", "end"},
		"high bytes in target":    {"GET /\xc3\xa4\xff HTTP/1.1\r\n\r\n", "end", ""},
		"no method":               {" / HTTP/1.1\r\n\r\n", "none", ""},
		"bytes for method":        {"\x16\x03\x01 / HTTP/1.1\r\n\r\n", "none", ""},
		"long method":             {strings.Repeat("A", 40) + " / HTTP/1.1\r\n\r\n", "none", ""},
		"response":                {"HTTP/1.1 200 OK\r\n\r\n", "none", ""},
		"greeting":                {"EHLO example.org\r\n", "none", ""},
		"zeros":                   {strings.Repeat("\x00", 100), "none", ""},
		"beginning of a method":   {"GE", "", ""},
		"beginning of no method":  {"G\x01", "none", ""},
		"long header":             {get + "Cookie: " + strings.Repeat("c", 40000) + "\r\ntraceparent: " + testParent + "\r\n\r\n", "end parent parents", ""},
		"long value of interest":  {get + "traceparent: " + strings.Repeat("c", 5000) + "\r\n\r\n", "end parents", ""},
		"many short headers":      {get + strings.Repeat("a:b\r\n", 8000) + "\r\n", "end", ""},
		"only line feeds":         {get + strings.Repeat("\n", 100), "end odd", "end"},
		"long target":             {"GET /" + strings.Repeat("t", 5000) + " HTTP/1.1\r\n\r\n", "end", ""},
		"nothing but a long line": {"GET /" + strings.Repeat("t", 20000), "none", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if test.lenient == "" {
				test.lenient = test.strict
				if name == "nothing but a long line" {
					test.lenient = ""
				}
			}
			a := scan(t, c, test.head, 1<<16, scanStrict)
			require.Equal(t, test.strict, flagNames(a.Flags), "strict")
			a = scan(t, c, test.head, 1<<16, 0)
			require.Equal(t, test.lenient, flagNames(a.Flags), "lenient")
		})
	}
}

// Whatever the pieces are in which a head comes, what is found is the same.
func TestScanPieces(t *testing.T) {
	c := units(t, nil)
	names := []string{"Accept", "Cookie", "tracestate", "Content-Type", "X-Request-Id", "Te", "User-Agent", "b", "Upgraded", "Transfer"}
	for i := range 300 {
		var b strings.Builder
		fmt.Fprintf(&b, "POST /%s HTTP/1.1\r\n", strings.Repeat("p", rand.IntN(600)))
		first := b.Len()
		state, states, size := "", 0, -1
		parent := ""
		for range rand.IntN(12) {
			name := names[rand.IntN(len(names))]
			value := strings.Repeat("v", rand.IntN(90))
			if rand.IntN(8) == 0 {
				value = strings.Repeat("v", rand.IntN(3000))
			}
			if name == "tracestate" {
				value = "k=" + value[:min(len(value), 400)]
				state = value
				states++
			}
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
		if i%2 == 0 {
			parent = fmt.Sprintf("00-%x-%x-%02x", randomID(16), randomID(8), i%256)
			fmt.Fprintf(&b, "Traceparent: %s\r\n", parent)
		}
		if i%3 == 0 {
			size = rand.IntN(1 << 30)
			fmt.Fprintf(&b, "Content-Length: %d\r\n", size)
		}
		b.WriteString("\r\n")
		length := b.Len()
		head := b.String() + "body\r\n\r\n"
		for _, piece := range []int{1 << 16, 4096, 1000, 333, 200 + i, 64} {
			if len(head)/piece > 380 {
				continue
			}
			a := scan(t, c, head, piece, 0)
			require.Contains(t, flagNames(a.Flags), "end", "%q by %d", head, piece)
			require.EqualValues(t, length, a.Head)
			require.EqualValues(t, first, a.First)
			if states == 1 {
				require.Equal(t, state, string(a.State[:a.StateLen]))
			}
			if size >= 0 {
				require.EqualValues(t, size, a.Length)
			}
			if parent != "" {
				var trace [16]byte
				var span [8]byte
				binary.NativeEndian.PutUint64(trace[:], a.TraceId[0])
				binary.NativeEndian.PutUint64(trace[8:], a.TraceId[1])
				binary.NativeEndian.PutUint64(span[:], a.SpanId)
				require.Equal(t, parent, fmt.Sprintf("00-%x-%x-%02x", trace, span, a.ContextFlags))
			}
		}
	}
}

// Every combination of what may be written loads, with both backends.
func TestPropagationLoads(t *testing.T) {
	needCgroup(t)
	backends(t, func(t *testing.T, b Backend) {
		for _, o := range []Propagation{{TCPOption: true}, {HTTPHeader: true}, {TCPOption: true, HTTPHeader: true}} {
			p, err := Load(Options{
				Hooks: b, RingBytes: 1 << 20, RingCount: 2, MaxConnections: 1024, Window: 32768, After: 64, MaxPayload: 64 << 10,
				Propagation: o,
			})
			require.NoError(t, err)
			require.NoError(t, p.Attach())
			p.Close()
		}
	})
}

func TestHarmless(t *testing.T) {
	for path, want := range map[string]bool{
		"/usr/lib/x86_64-linux-gnu/libc.so.6": true, "/lib/ld-musl-x86_64.so.1": true,
		"/usr/sbin/nginx": false, "/usr/lib/jvm/lib/libnio.so": false, "/opt/libcheckout.so": false,
	} {
		require.Equal(t, want, harmless(path), path)
	}
}

func TestReaderAsks(t *testing.T) {
	for code, want := range map[string]bool{
		"\xbe\x1b\x54\x00\x00":             true,  // mov $0x541b, %esi
		"\x48\xc7\xc6\x1b\x54\x00\x00":     true,  // mov $0x541b, %rsi
		"\xc7\x44\x24\x08\x1b\x54\x00\x00": true,  // movl $0x541b, 8(%rsp)
		"\xe8\x1b\x54\x00\x00":             false, // call
		"\x1b\x54\x00\x00":                 false,
	} {
		at := strings.Index(code, "\x1b\x54")
		require.Equal(t, want, asksAMD64([]byte(code), at), "%x", code)
	}
	for code, want := range map[string]bool{
		"\x61\x83\x8a\x52": true,  // mov w1, #0x541b
		"\x7f\x83\x8a\xd2": true,  // mov xzr, #0x541b
		"\x81\x83\x8a\x52": false, // mov w1, #0x541c
	} {
		require.Equal(t, want, asksARM64([]byte(code), 1), "%x", code)
	}
	code := "\xbe\x1b\x54\x00\x00more"
	if runtime.GOARCH == "arm64" {
		code = "\x61\x83\x8a\x52more"
	}
	require.False(t, readerAsks(strings.NewReader(strings.Repeat("code", 1<<20))))
	for before := range 20 {
		for _, at := range []int{before, 1<<20 - before, 2<<20 - before, 2<<20 - 8 - before} {
			require.True(t, readerAsks(strings.NewReader(strings.Repeat("x", at)+code)), at)
		}
	}
}
