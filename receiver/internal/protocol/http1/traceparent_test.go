// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

func TestTraceContext(t *testing.T) {
	const (
		trace  = "0af7651916cd43dd8448eb211c80319c"
		parent = "b7ad6b7169203331"
		good   = "00-" + trace + "-" + parent + "-01"
	)
	for name, tc := range map[string]struct {
		headers string
		valid   bool
		flags   byte
		state   string
	}{
		"none":                       {headers: "X: y\r\n"},
		"good":                       {headers: "traceparent: " + good + "\r\n", valid: true, flags: 1},
		"name in capitals":           {headers: "TRACEPARENT:" + good + "\r\nTraceState: a=1\r\n", valid: true, flags: 1, state: "a=1"},
		"not sampled":                {headers: "traceparent: 00-" + trace + "-" + parent + "-00\r\n", valid: true},
		"version 00, longer":         {headers: "traceparent: " + good + "-x\r\n"},
		"higher version":             {headers: "traceparent: cc" + good[2:] + "\r\n", valid: true, flags: 1},
		"higher version, longer":     {headers: "traceparent: cc" + good[2:] + "-what-the-future\r\n", valid: true, flags: 1},
		"higher version, bad":        {headers: "traceparent: cc" + good[2:] + ".what\r\n"},
		"version ff":                 {headers: "traceparent: ff" + good[2:] + "\r\n"},
		"upper case":                 {headers: "traceparent: " + strings.ToUpper(good) + "\r\n"},
		"zero trace":                 {headers: "traceparent: 00-" + strings.Repeat("0", 32) + "-" + parent + "-01\r\n"},
		"zero parent":                {headers: "traceparent: 00-" + trace + "-" + strings.Repeat("0", 16) + "-01\r\n"},
		"not hex":                    {headers: "traceparent: " + strings.Replace(good, "a", "g", 1) + "\r\n"},
		"bad flags":                  {headers: "traceparent: " + good[:53] + "0x\r\n"},
		"short":                      {headers: "traceparent: " + good[:54] + "\r\n"},
		"wrong dash":                 {headers: "traceparent: " + strings.Replace(good, "-b7", "_b7", 1) + "\r\n"},
		"twice":                      {headers: "traceparent: " + good + "\r\ntraceparent: " + good + "\r\n"},
		"state alone":                {headers: "tracestate: a=1\r\n"},
		"states":                     {headers: "tracestate: a=1 ,\tb=2\r\ntraceparent: " + good + "\r\ntracestate: \r\ntracestate: ,c=3\r\n", valid: true, flags: 1, state: "a=1,b=2,c=3"},
		"state, too long":            {headers: "traceparent: " + good + "\r\ntracestate: a=1,b=" + strings.Repeat("x", 507) + ",c=2\r\n", valid: true, flags: 1, state: "a=1"},
		"state, too long at the end": {headers: "traceparent: " + good + "\r\ntracestate: a=1,b=" + strings.Repeat("x", 507) + "\r\n", valid: true, flags: 1, state: "a=1"},
		"state, 512 bytes":           {headers: "traceparent: " + good + "\r\ntracestate: b=" + strings.Repeat("x", 510) + ",c=3\r\n", valid: true, flags: 1, state: "b=" + strings.Repeat("x", 510)},
		"folded":                     {headers: "traceparent:\r\n " + good + "\r\n", valid: true, flags: 1},
	} {
		t.Run(name, func(t *testing.T) {
			h := newServer()
			h.request("GET / HTTP/1.1\r\n" + tc.headers + "\r\n")
			h.response(ok2)
			h.check(t)
			require.Len(t, h.ended, 1)
			want := exchange.Remote{}
			if tc.valid {
				want = exchange.Remote{
					TraceID: [16]byte{0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c},
					SpanID:  [8]byte{0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31},
					Flags:   tc.flags, Valid: true, State: tc.state,
				}
			}
			require.Equal(t, want, h.ended[0].Remote)
		})
	}
}
