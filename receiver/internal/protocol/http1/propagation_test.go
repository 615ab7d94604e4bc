// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// The ids the formats' documents have in their examples.
const (
	b3Trace    = "80f198ee56343ba864fe8b2a57d3eff7"
	b3Span     = "e457b5a2e4d86bd1"
	b3Parent   = "05e3ac9a4f6e3b90"
	b3Short    = "a3ce929d0e0e4736"
	xrayTrace  = "5759e988bd862e3fe1be46a994272793"
	xrayRoot   = "Root=1-5759e988-bd862e3fe1be46a994272793"
	xraySpan   = "53995c3f42cd8ad8"
	xrayParent = "Parent=" + xraySpan
)

// decision is what a context says of sampling.
type decision string

const (
	accept decision = "accept"
	deny   decision = "deny"
	defers decision = "defer"
)

// context makes what is expected; span may be empty.
func context(t testing.TB, trace, span string, d decision) exchange.Remote {
	t.Helper()
	r := exchange.Remote{Valid: true, Deferred: d == defers}
	if d == accept {
		r.Flags = 1
	}
	b, err := hex.DecodeString(strings.Repeat("0", 32-len(trace)) + trace)
	require.NoError(t, err)
	r.TraceID = [16]byte(b)
	if span != "" {
		b, err = hex.DecodeString(strings.Repeat("0", 16-len(span)) + span)
		require.NoError(t, err)
		r.SpanID = [8]byte(b)
	}
	return r
}

// carried is the context a server takes from a request with these header lines.
func carried(t testing.TB, headers string) exchange.Remote {
	t.Helper()
	h := newServer()
	h.request("GET / HTTP/1.1\r\nHost: a\r\n" + headers + "Accept: */*\r\n\r\n")
	h.response(ok2)
	h.check(t)
	require.Len(t, h.ended, 1)
	return h.ended[0].Remote
}

func TestContextFormats(t *testing.T) {
	type test struct {
		name, value string
		// trace is empty if the value is no context.
		trace, span string
		decision    decision
	}
	upper := strings.ToUpper
	zeros := strings.Repeat("0", 32)
	for header, tests := range map[string][]test{
		"b3": {
			{"accept", b3Trace + "-" + b3Span + "-1", b3Trace, b3Span, accept},
			{"deny", b3Trace + "-" + b3Span + "-0", b3Trace, b3Span, deny},
			{"debug", b3Trace + "-" + b3Span + "-d", b3Trace, b3Span, accept},
			{"defer", b3Trace + "-" + b3Span, b3Trace, b3Span, defers},
			{"with a parent", b3Trace + "-" + b3Span + "-1-" + b3Parent, b3Trace, b3Span, accept},
			{"deny, with a parent", b3Trace + "-" + b3Span + "-0-" + b3Parent, b3Trace, b3Span, deny},
			{"defer, with a parent", b3Trace + "-" + b3Span + "-" + b3Parent, b3Trace, b3Span, defers},
			{"parent of zeros", b3Trace + "-" + b3Span + "-1-" + zeros[:16], b3Trace, b3Span, accept},
			{"64 bits", b3Short + "-" + b3Span + "-1", b3Short, b3Span, accept},
			{"64 bits, defer", b3Short + "-" + b3Span, b3Short, b3Span, defers},
			{"64 bits, with a parent", b3Short + "-" + b3Span + "-0-" + b3Parent, b3Short, b3Span, deny},
			{"whitespace", "\t " + b3Trace + "-" + b3Span + "-1 \t", b3Trace, b3Span, accept},
			{name: "decision alone", value: "0"},
			{name: "accept alone", value: "1"},
			{name: "debug alone", value: "d"},
			{name: "empty"},
			{name: "trace id alone", value: b3Trace},
			{name: "trace id and dash", value: b3Trace + "-"},
			{name: "64 bits alone", value: b3Short},
			{name: "64 bits and dash", value: b3Short + "-"},
			{name: "upper case trace id", value: upper(b3Trace) + "-" + b3Span + "-1"},
			{name: "upper case span id", value: b3Trace + "-" + upper(b3Span) + "-1"},
			{name: "upper case parent", value: b3Trace + "-" + b3Span + "-1-" + upper(b3Parent)},
			{name: "upper case debug", value: b3Trace + "-" + b3Span + "-D"},
			{name: "odd trace id", value: b3Trace[:31] + "-" + b3Span + "-1"},
			{name: "48 bits", value: b3Trace[:12] + "-" + b3Span + "-1"},
			{name: "96 bits", value: b3Trace[:24] + "-" + b3Span + "-1"},
			{name: "trace id too long", value: b3Trace + "00-" + b3Span + "-1"},
			{name: "odd span id", value: b3Trace + "-" + b3Span[:15] + "-1"},
			{name: "span id too long", value: b3Trace + "-" + b3Span + "00-1"},
			{name: "odd parent", value: b3Trace + "-" + b3Span + "-1-" + b3Parent[:15]},
			{name: "parent too long", value: b3Trace + "-" + b3Span + "-1-" + b3Parent + "00"},
			{name: "parent not hex", value: b3Trace + "-" + b3Span + "-1-" + "qw" + b3Parent[2:]},
			{name: "zero trace id", value: zeros + "-" + b3Span + "-1"},
			{name: "zero short trace id", value: zeros[:16] + "-" + b3Span + "-1"},
			{name: "zero span id", value: b3Trace + "-" + zeros[:16] + "-1"},
			{name: "not hex", value: "qw" + b3Trace[2:] + "-" + b3Span + "-1"},
			{name: "unknown state", value: b3Trace + "-" + b3Span + "-q"},
			{name: "state true", value: b3Trace + "-" + b3Span + "-true"},
			{name: "state of two digits", value: b3Trace + "-" + b3Span + "-01"},
			{name: "state missing", value: b3Trace + "-" + b3Span + "-"},
			{name: "state empty, with a parent", value: b3Trace + "-" + b3Span + "--" + b3Parent},
			{name: "more", value: b3Trace + "-" + b3Span + "-1-" + b3Parent + "-1"},
			{name: "wrong separator", value: b3Trace + ":" + b3Span + ":1"},
			{name: "wrong separator of the state", value: b3Trace + "-" + b3Span + ":1"},
			{name: "wrong separator of the parent", value: b3Trace + "-" + b3Span + "-1:" + b3Parent},
			{name: "two in one", value: b3Trace + "-" + b3Span + "-1, " + b3Trace + "-" + b3Span + "-1"},
			{name: "traceparent's", value: "00-" + b3Trace + "-" + b3Span + "-01"},
		},
		"uber-trace-id": {
			{"sampled", b3Trace + ":" + b3Span + ":0:1", b3Trace, b3Span, accept},
			{"not sampled", b3Trace + ":" + b3Span + ":0:0", b3Trace, b3Span, deny},
			{"debug", b3Trace + ":" + b3Span + ":0:3", b3Trace, b3Span, accept},
			{"debug without sampled", b3Trace + ":" + b3Span + ":0:2", b3Trace, b3Span, deny},
			{"firehose", b3Trace + ":" + b3Span + ":0:9", b3Trace, b3Span, accept},
			{"two digits of flags", b3Trace + ":" + b3Span + ":0:01", b3Trace, b3Span, accept},
			{"many digits of flags", b3Trace + ":" + b3Span + ":0:00001", b3Trace, b3Span, accept},
			{"all flags", b3Trace + ":" + b3Span + ":0:ff", b3Trace, b3Span, accept},
			{"with a parent", b3Trace + ":" + b3Span + ":" + b3Parent + ":1", b3Trace, b3Span, accept},
			{"parent may be anything", b3Trace + ":" + b3Span + ":whatever:1", b3Trace, b3Span, accept},
			{"parent may be missing", b3Trace + ":" + b3Span + "::1", b3Trace, b3Span, accept},
			{"64 bits", b3Short + ":" + b3Span + ":0:1", b3Short, b3Span, accept},
			{"60 bits", b3Short[1:] + ":" + b3Span + ":0:1", b3Short[1:], b3Span, accept},
			{"124 bits", b3Trace[1:] + ":" + b3Span + ":0:1", b3Trace[1:], b3Span, accept},
			{"short", "3a3a43:432e345:0:1", "3a3a43", "432e345", accept},
			{"shortest", "1:2:0:0", "1", "2", deny},
			{"zeros in front", "000000000000000000000000deadbeef:00000000deadbef0:0:1", "deadbeef", "deadbef0", accept},
			{"encoded", b3Trace + "%3A" + b3Span + "%3A0%3A1", b3Trace, b3Span, accept},
			{"encoded in lower case", b3Trace + "%3a" + b3Span + "%3a0%3a0", b3Trace, b3Span, deny},
			{"encoded and short", "3a3a43%3A432e345%3A3a%3A1", "3a3a43", "432e345", accept},
			{"encoded in part", b3Trace + "%3A" + b3Span + ":0%3A1", b3Trace, b3Span, accept},
			{name: "empty"},
			{name: "colons", value: ":::"},
			{name: "encoded colons", value: "%3A%3A%3A"},
			{name: "cut encoding", value: b3Trace + "%3A" + b3Span + "%3A0%3"},
			{name: "encoded twice", value: b3Trace + "%253A" + b3Span + "%253A0%253A1"},
			{name: "zero trace id", value: "0:" + b3Span + ":0:1"},
			{name: "zero span id", value: b3Trace + ":0:0:1"},
			{name: "no trace id", value: ":" + b3Span + ":0:1"},
			{name: "no span id", value: b3Trace + "::0:1"},
			{name: "no flags", value: b3Trace + ":" + b3Span + ":0:"},
			{name: "trace id too long", value: b3Trace + "0:" + b3Span + ":0:1"},
			{name: "span id too long", value: b3Trace + ":" + b3Span + "0:0:1"},
			{name: "flags too long", value: b3Trace + ":" + b3Span + ":0:" + zeros[:16] + "1"},
			{name: "upper case trace id", value: upper(b3Trace) + ":" + b3Span + ":0:1"},
			{name: "upper case span id", value: b3Trace + ":" + upper(b3Span) + ":0:1"},
			{name: "trace id not hex", value: "z" + b3Trace[1:] + ":" + b3Span + ":0:1"},
			{name: "span id not hex", value: b3Trace + ":00f0wiredba902b7:0:1"},
			{name: "flags not hex", value: b3Trace + ":" + b3Span + ":0:wired"},
			{name: "sign", value: "+1:2:0:1"},
			{name: "negative flags", value: "1:2:0:-1"},
			{name: "three parts", value: b3Trace + ":" + b3Span + ":1"},
			{name: "five parts", value: b3Trace + ":" + b3Span + ":0:0:1"},
			{name: "other separators", value: b3Trace + "-" + b3Span + "-0-1"},
			{name: "two in one", value: "1:2:0:1, 1:2:0:1"},
		},
		"X-Amzn-Trace-Id": {
			{"sampled", xrayRoot + ";" + xrayParent + ";Sampled=1", xrayTrace, xraySpan, accept},
			{"not sampled", xrayRoot + ";" + xrayParent + ";Sampled=0", xrayTrace, xraySpan, deny},
			{"asked", xrayRoot + ";" + xrayParent + ";Sampled=?", xrayTrace, xraySpan, defers},
			{"no decision", xrayRoot + ";" + xrayParent, xrayTrace, xraySpan, defers},
			{"unknown decision", xrayRoot + ";" + xrayParent + ";Sampled=other", xrayTrace, xraySpan, defers},
			{"empty decision", xrayRoot + ";" + xrayParent + ";Sampled=", xrayTrace, xraySpan, defers},
			{"root alone", xrayRoot, xrayTrace, "", defers},
			{"root and decision", xrayRoot + ";Sampled=1", xrayTrace, "", accept},
			{"root and denial", xrayRoot + ";Sampled=0", xrayTrace, "", deny},
			{"any order", "Sampled=1;" + xrayParent + ";" + xrayRoot, xrayTrace, xraySpan, accept},
			{"spaces", " " + xrayRoot + " ; " + xrayParent + "; Sampled = 1 ", xrayTrace, xraySpan, accept},
			{"semicolons", ";" + xrayRoot + ";;" + xrayParent + ";Sampled=0;", xrayTrace, xraySpan, deny},
			{"self in front", "Self=1-67891234-12456789abcdef0123456789;" + xrayRoot, xrayTrace, "", defers},
			{"self behind", xrayRoot + ";Self=1-67891234-12456789abcdef0123456789", xrayTrace, "", defers},
			{"self between", xrayRoot + ";Self=1-67891234-12456789abcdef0123456789;" + xrayParent + ";Sampled=1", xrayTrace, xraySpan, accept},
			{"lineage", xrayRoot + ";" + xrayParent + ";Sampled=0;Lineage=25:b8a7fe0c:0", xrayTrace, xraySpan, deny},
			{"lineage in front", "Lineage=a87bd80c:0|68fd508a:5|c512fbe3:2;" + xrayRoot + ";" + xrayParent + ";Sampled=1", xrayTrace, xraySpan, accept},
			{"an application's field", xrayRoot + ";CalledFrom=app", xrayTrace, "", defers},
			{"a field like ours", xrayRoot + ";RootCause=1;Parents=2;Sampled1=1", xrayTrace, "", defers},
			{"no field", xrayRoot + ";BrokenKeyValue;Sampled=1", xrayTrace, "", accept},
			{"time without zeros", "Root=1-5759-bd862e3fe1be46a994272793", "00005759bd862e3fe1be46a994272793", "", defers},
			{"time of zeros", "Root=1-00000000-000000000000000000000001", "1", "", defers},
			{name: "empty"},
			{name: "no root", value: xrayParent + ";Sampled=1"},
			{name: "self alone", value: "Self=1-67891234-12456789abcdef0123456789"},
			{name: "decision alone", value: "Sampled=1"},
			{name: "root empty", value: "Root=;" + xrayParent},
			{name: "no value", value: "Root"},
			{name: "name in lower case", value: "root=1-5759e988-bd862e3fe1be46a994272793"},
			{name: "upper case", value: "Root=1-5759E988-BD862E3FE1BE46A994272793"},
			{name: "upper case parent", value: xrayRoot + ";Parent=" + upper(xraySpan)},
			{name: "version 2", value: "Root=2-5759e988-bd862e3fe1be46a994272793"},
			{name: "no version", value: "Root=5759e988-bd862e3fe1be46a994272793"},
			{name: "no dashes", value: "Root=1" + xrayTrace},
			{name: "one dash", value: "Root=1-" + xrayTrace},
			{name: "no time", value: "Root=1--bd862e3fe1be46a994272793"},
			{name: "time too long", value: "Root=1-05759e988-bd862e3fe1be46a994272793"},
			{name: "id too short", value: "Root=1-5759e988-bd862e3fe1be46a99427279"},
			{name: "id too long", value: "Root=1-5759e988-bd862e3fe1be46a9942727930"},
			{name: "zero", value: "Root=1-00000000-000000000000000000000000"},
			{name: "time not hex", value: "Root=1-5759x988-bd862e3fe1be46a994272793"},
			{name: "id not hex", value: "Root=1-5759e988-bd862e3fe1be46a99427279x"},
			{name: "parent too short", value: xrayRoot + ";" + xrayParent[:len(xrayParent)-1]},
			{name: "parent too long", value: xrayRoot + ";" + xrayParent + "0"},
			{name: "parent empty", value: xrayRoot + ";Parent=;Sampled=1"},
			{name: "parent zero", value: xrayRoot + ";Parent=" + zeros[:16]},
			{name: "parent not hex", value: xrayRoot + ";Parent=bad-spanid-12345"},
			{name: "two roots", value: xrayRoot + ";" + xrayRoot},
			{name: "two parents", value: xrayRoot + ";" + xrayParent + ";" + xrayParent},
			{name: "two decisions", value: xrayRoot + ";Sampled=1;Sampled=0"},
			{name: "two in one", value: xrayRoot + ", " + xrayRoot},
			{name: "two in one behind a decision", value: xrayRoot + ";Sampled=1, " + xrayRoot + ";Sampled=0"},
			{name: "comma", value: xrayRoot + ","},
		},
	} {
		for _, tc := range tests {
			t.Run(header+"/"+tc.name, func(t *testing.T) {
				want := exchange.Remote{}
				if tc.trace != "" {
					want = context(t, tc.trace, tc.span, tc.decision)
				}
				once := header + ": " + tc.value + "\r\n"
				require.Equal(t, want, carried(t, once))
				require.Equal(t, want, carried(t, strings.ToUpper(header)+":"+tc.value+"\r\n"))
				require.Equal(t, want, carried(t, header+" : "+tc.value+"\n"))
				require.Equal(t, want, carried(t, header+":\r\n "+tc.value+"\r\n"), "folded")
				require.Equal(t, want, carried(t, once+header+":\r\n"), "once, and once empty")
				require.Zero(t, carried(t, once+once), "twice")
				require.Zero(t, carried(t, once+"Accept-Language: en\r\n"+strings.ToUpper(once)), "twice, differently")
			})
		}
	}
}

func TestB3InSeveralHeaders(t *testing.T) {
	ids := "X-B3-TraceId: " + b3Trace + "\r\nX-B3-SpanId: " + b3Span + "\r\n"
	for name, tc := range map[string]struct {
		headers  string
		trace    string
		decision decision
	}{
		"defer":                    {headers: ids, trace: b3Trace, decision: defers},
		"accept":                   {headers: ids + "X-B3-Sampled: 1\r\n", trace: b3Trace, decision: accept},
		"deny":                     {headers: ids + "X-B3-Sampled: 0\r\n", trace: b3Trace, decision: deny},
		"true":                     {headers: ids + "X-B3-Sampled: true\r\n", trace: b3Trace, decision: accept},
		"True":                     {headers: ids + "X-B3-Sampled: True\r\n", trace: b3Trace, decision: accept},
		"false":                    {headers: ids + "X-B3-Sampled: false\r\n", trace: b3Trace, decision: deny},
		"empty decision":           {headers: ids + "X-B3-Sampled:\r\n", trace: b3Trace, decision: defers},
		"debug":                    {headers: ids + "X-B3-Flags: 1\r\n", trace: b3Trace, decision: accept},
		"debug over deny":          {headers: ids + "X-B3-Sampled: 0\r\nX-B3-Flags: 1\r\n", trace: b3Trace, decision: accept},
		"other flags":              {headers: ids + "X-B3-Flags: 2\r\n", trace: b3Trace, decision: defers},
		"other flags and deny":     {headers: ids + "X-B3-Sampled: 0\r\nX-B3-Flags: 0\r\n", trace: b3Trace, decision: deny},
		"with a parent":            {headers: ids + "X-B3-ParentSpanId: " + b3Parent + "\r\nX-B3-Sampled: 1\r\n", trace: b3Trace, decision: accept},
		"parent of zeros":          {headers: ids + "X-B3-ParentSpanId: 0000000000000000\r\n", trace: b3Trace, decision: defers},
		"empty parent":             {headers: ids + "X-B3-ParentSpanId: \r\n", trace: b3Trace, decision: defers},
		"any order":                {headers: "X-B3-Sampled: 1\r\nX-B3-ParentSpanId: " + b3Parent + "\r\nX-B3-SpanId: " + b3Span + "\r\nHost: b\r\nX-B3-TraceId: " + b3Trace + "\r\n", trace: b3Trace, decision: accept},
		"any case":                 {headers: strings.ToLower(ids) + "x-b3-SAMPLED: 1\r\n", trace: b3Trace, decision: accept},
		"64 bits":                  {headers: "X-B3-TraceId: " + b3Short + "\r\nX-B3-SpanId: " + b3Span + "\r\n", trace: b3Short, decision: defers},
		"others like them":         {headers: ids + "X-B3-TraceIds: 1\r\nX-B3: 1\r\nX-B3-Sample: 0\r\n", trace: b3Trace, decision: defers},
		"folded":                   {headers: "X-B3-TraceId:\r\n\t" + b3Trace + "\r\nX-B3-SpanId: " + b3Span + "\r\nX-B3-Sampled:\r\n 0\r\n", trace: b3Trace, decision: deny},
		"decision alone":           {headers: "X-B3-Sampled: 0\r\n"},
		"debug alone":              {headers: "X-B3-Flags: 1\r\n"},
		"no span id":               {headers: "X-B3-TraceId: " + b3Trace + "\r\nX-B3-Sampled: 1\r\n"},
		"no trace id":              {headers: "X-B3-SpanId: " + b3Span + "\r\nX-B3-Sampled: 1\r\n"},
		"empty trace id":           {headers: "X-B3-TraceId:\r\nX-B3-SpanId: " + b3Span + "\r\n"},
		"zero trace id":            {headers: "X-B3-TraceId: " + strings.Repeat("0", 32) + "\r\nX-B3-SpanId: " + b3Span + "\r\n"},
		"zero span id":             {headers: "X-B3-TraceId: " + b3Trace + "\r\nX-B3-SpanId: 0000000000000000\r\n"},
		"upper case trace id":      {headers: "X-B3-TraceId: " + strings.ToUpper(b3Trace) + "\r\nX-B3-SpanId: " + b3Span + "\r\n"},
		"upper case span id":       {headers: "X-B3-TraceId: " + b3Trace + "\r\nX-B3-SpanId: " + strings.ToUpper(b3Span) + "\r\n"},
		"odd trace id":             {headers: "X-B3-TraceId: " + b3Trace[1:] + "\r\nX-B3-SpanId: " + b3Span + "\r\n"},
		"96 bits":                  {headers: "X-B3-TraceId: " + b3Trace[8:] + "\r\nX-B3-SpanId: " + b3Span + "\r\n"},
		"trace id too long":        {headers: "X-B3-TraceId: " + b3Trace + "00\r\nX-B3-SpanId: " + b3Span + "\r\n"},
		"span id of 128 bits":      {headers: "X-B3-TraceId: " + b3Trace + "\r\nX-B3-SpanId: " + b3Trace + "\r\n"},
		"odd span id":              {headers: "X-B3-TraceId: " + b3Trace + "\r\nX-B3-SpanId: " + b3Span[1:] + "\r\n"},
		"odd parent":               {headers: ids + "X-B3-ParentSpanId: " + b3Parent[1:] + "\r\n"},
		"parent not hex":           {headers: ids + "X-B3-ParentSpanId: qwertyuiopasdfgh\r\n"},
		"unknown decision":         {headers: ids + "X-B3-Sampled: d\r\n"},
		"unknown decision, debug":  {headers: ids + "X-B3-Sampled: 10\r\nX-B3-Flags: 1\r\n"},
		"two trace ids":            {headers: ids + "X-B3-TraceId: " + b3Trace + "\r\n"},
		"two span ids":             {headers: ids + "X-B3-SpanId: " + b3Span + "\r\n"},
		"two decisions":            {headers: ids + "X-B3-Sampled: 1\r\nX-B3-Sampled: 1\r\n"},
		"two parents":              {headers: ids + "X-B3-ParentSpanId: " + b3Parent + "\r\nX-B3-ParentSpanId: " + b3Parent + "\r\n"},
		"two flags":                {headers: ids + "X-B3-Flags: 1\r\nX-B3-Flags: 1\r\n"},
		"a character like a digit": {headers: "X-B\x13-TraceId: " + b3Trace + "\r\nX-B\x13-SpanId: " + b3Span + "\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			want := exchange.Remote{}
			if tc.trace != "" {
				want = context(t, tc.trace, b3Span, tc.decision)
			}
			require.Equal(t, want, carried(t, tc.headers))
		})
	}
}

// The first valid one in the documented order counts, wherever it is in the
// head.
func TestContextPrecedence(t *testing.T) {
	formats := []struct {
		name, good, bad string
		trace           string
	}{
		{"traceparent", "traceparent: 00-" + strings.Repeat("1", 32) + "-" + b3Span + "-01\r\n", "traceparent: 00-1\r\n", strings.Repeat("1", 32)},
		{"b3", "b3: " + strings.Repeat("2", 32) + "-" + b3Span + "-1\r\n", "b3: 0\r\n", strings.Repeat("2", 32)},
		{"X-B3", "X-B3-TraceId: " + strings.Repeat("3", 32) + "\r\nX-B3-SpanId: " + b3Span + "\r\nX-B3-Sampled: 1\r\n", "X-B3-Sampled: 0\r\n", strings.Repeat("3", 32)},
		{"Jaeger", "uber-trace-id: " + strings.Repeat("4", 32) + ":" + b3Span + ":0:1\r\n", "uber-trace-id: 0:0:0:0\r\n", strings.Repeat("4", 32)},
		{"X-Ray", "X-Amzn-Trace-Id: Root=1-55555555-" + strings.Repeat("5", 24) + ";Parent=" + b3Span + ";Sampled=1\r\n", "X-Amzn-Trace-Id: Self=1\r\n", strings.Repeat("5", 32)},
	}
	// Each format is absent, good, bad or there twice.
	for i := range 1 << (2 * len(formats)) {
		var lines []string
		want := exchange.Remote{}
		var name string
		for j, f := range formats {
			switch i >> (2 * j) & 3 {
			case 1:
				lines = append(lines, f.good)
				name += " " + f.name
				if !want.Valid {
					want = context(t, f.trace, b3Span, accept)
				}
			case 2:
				lines = append(lines, f.bad)
				name += " bad " + f.name
			case 3:
				lines = append(lines, f.good+"Via: a\r\n"+f.good)
				name += " two of " + f.name
			}
		}
		forward := strings.Join(lines, "")
		for l, r := 0, len(lines)-1; l < r; l, r = l+1, r-1 {
			lines[l], lines[r] = lines[r], lines[l]
		}
		require.Equal(t, want, carried(t, forward), name)
		require.Equal(t, want, carried(t, strings.Join(lines, "")), "%s, backwards", name)
	}
}

// tracestate belongs to traceparent alone.
func TestTracestateOfAnotherFormat(t *testing.T) {
	require.Equal(t, context(t, b3Trace, b3Span, accept), carried(t, "tracestate: a=1\r\nb3: "+b3Trace+"-"+b3Span+"-1\r\n"))
}

// Contexts differ from request to request on one connection, and nothing of one
// may show in the next: neither by way of the head that is remembered, nor of
// the exchange that is used again.
func TestContextOfEachRequest(t *testing.T) {
	const plain = "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: 1\r\n\r\n"
	with := func(line string) string {
		return strings.Replace(plain, "\r\n\r\n", "\r\n"+line+"\r\n\r\n", 1)
	}
	var requests []string
	var want []exchange.Remote
	add := func(request string, r exchange.Remote) {
		requests, want = append(requests, request), append(want, r)
	}
	for i := range 3 {
		trace := fmt.Sprintf("%032x", i+1)
		span := fmt.Sprintf("%016x", i+1)
		for range 3 {
			add(plain, exchange.Remote{})
			add(with("b3: "+trace+"-"+span+"-1"), context(t, trace, span, accept))
			add(with("b3: 0"), exchange.Remote{})
			add(with("x-b3-traceid: "+trace+"\r\nx-b3-spanid: "+span), context(t, trace, span, defers))
			add(with("x-b3-sampled: 0"), exchange.Remote{})
			add(plain, exchange.Remote{})
			add(with("uber-trace-id: "+trace+":"+span+":0:0"), context(t, trace, span, deny))
			add(with("x-amzn-trace-id: Root=1-00000000-"+trace[8:]), context(t, trace, "", defers))
			add(with("x-amzn-trace-id: Root=1-00000000-"+trace[8:]), context(t, trace, "", defers))
		}
	}
	t.Run("one at a time", func(t *testing.T) {
		h := newServer()
		for i, r := range requests {
			h.request(r)
			h.response(ok2)
			require.Len(t, h.ended, i+1)
			require.Equal(t, want[i], h.ended[i].Remote, "%d %q", i, r)
		}
		h.check(t)
	})
	t.Run("pipelined", func(t *testing.T) {
		h := newServer()
		h.request(strings.Join(requests, ""))
		h.response(strings.Repeat(ok2, len(requests)))
		h.check(t)
		require.Len(t, h.ended, len(requests))
		for i := range requests {
			require.Equal(t, want[i], h.ended[i].Remote, "%d %q", i, requests[i])
		}
	})
	t.Run("in pieces", func(t *testing.T) {
		for n := 1; n < 40; n += 3 {
			h := newServer()
			for i, r := range requests {
				for len(r) > 0 {
					h.request(r[:min(n, len(r))])
					r = r[min(n, len(r)):]
				}
				h.response(ok2)
				require.Equal(t, want[i], h.ended[i].Remote, "%d %q", i, requests[i])
			}
			h.check(t)
		}
	})
}

// What follows the head is not of it.
func TestContextBehindTheHead(t *testing.T) {
	body := "X-B3-SpanId: " + b3Span + "\r\nb3: " + b3Trace + "-" + b3Span + "-1\r\n\r\n"
	h := newServer()
	h.request(fmt.Sprintf("POST / HTTP/1.1\r\nX-B3-TraceId: %s\r\nContent-Length: %d\r\n\r\n%s", b3Trace, len(body), body))
	h.response(ok2)
	h.check(t)
	require.Len(t, h.ended, 1)
	require.EqualValues(t, len(body), h.ended[0].RequestBody)
	require.Zero(t, h.ended[0].Remote)
}

// Of a head that was cut, what was seen counts.
func TestContextOfCutHead(t *testing.T) {
	request := "GET / HTTP/1.1\r\nX-B3-TraceId: " + b3Trace + "\r\nX-B3-SpanId: " + b3Span + "\r\nX-B3-Sampled: 1\r\nHost: a\r\n\r\n"
	for n := len("GET / HTTP/1.1\r\n"); n < len(request); n++ {
		var h head
		require.Equal(t, n, h.parseRequest([]byte(request)[:n], true))
		want := exchange.Remote{}
		switch {
		case strings.Count(request[:n], "\n") > 3:
			want = context(t, b3Trace, b3Span, accept)
		case strings.Count(request[:n], "\n") > 2:
			want = context(t, b3Trace, b3Span, defers)
		}
		require.Equal(t, want, new(parser).remote(&h), "%q", request[:n])
	}
}

var (
	b3Pattern     = regexp.MustCompile(`^([0-9a-f]{16}|[0-9a-f]{32})-([0-9a-f]{16})(?:-([01d]))?(?:-[0-9a-f]{16})?$`)
	jaegerPattern = regexp.MustCompile(`^([0-9a-f]{1,32}):([0-9a-f]{1,16}):[^:]*:([0-9a-f]{1,16})$`)
	rootPattern   = regexp.MustCompile(`^1-([0-9a-f]{1,8})-([0-9a-f]{24})$`)
	spanPattern   = regexp.MustCompile(`^[0-9a-f]{16}$`)
)

// reference is a slow implementation of the same rules: b3, X-B3-TraceId,
// X-B3-SpanId, X-B3-ParentSpanId, X-B3-Sampled, X-B3-Flags, uber-trace-id,
// X-Amzn-Trace-Id.
func reference(t testing.TB, v [8]string) exchange.Remote {
	zero := func(s string) bool { return strings.Trim(s, "0") == "" }
	decide := map[string]decision{"0": deny, "1": accept, "d": accept, "": defers}
	if m := b3Pattern.FindStringSubmatch(v[0]); m != nil && !zero(m[1]) && !zero(m[2]) {
		return context(t, m[1], m[2], decide[m[3]])
	}
	multi := v[1] + "-" + v[2]
	if v[4] != "" {
		multi += "-" + strings.NewReplacer("true", "1", "false", "0", "d", "?").Replace(strings.ToLower(v[4]))
	}
	if m := b3Pattern.FindStringSubmatch(multi); m != nil && !zero(m[1]) && !zero(m[2]) && len(multi) <= 51 &&
		(v[3] == "" || spanPattern.MatchString(v[3])) && !strings.Contains(v[1]+v[2], "-") && len(v[4]) < 16 {
		d := decide[m[3]]
		if v[5] == "1" {
			d = accept
		}
		return context(t, m[1], m[2], d)
	}
	if m := jaegerPattern.FindStringSubmatch(strings.NewReplacer("%3A", ":", "%3a", ":").Replace(v[6])); m != nil && !zero(m[1]) && !zero(m[2]) {
		d := deny
		if strings.ContainsAny(m[3][len(m[3])-1:], "13579bdf") {
			d = accept
		}
		return context(t, m[1], m[2], d)
	}
	fields := map[string][]string{}
	for f := range strings.SplitSeq(v[7], ";") {
		if name, value, ok := strings.Cut(f, "="); ok {
			name = strings.Trim(name, " \t")
			fields[name] = append(fields[name], strings.Trim(value, " \t"))
		}
	}
	root, parent, sampled := fields["Root"], fields["Parent"], fields["Sampled"]
	if strings.Contains(v[7], ",") || len(root) != 1 || len(parent) > 1 || len(sampled) > 1 {
		return exchange.Remote{}
	}
	m := rootPattern.FindStringSubmatch(root[0])
	if m == nil || zero(m[1]+m[2]) {
		return exchange.Remote{}
	}
	r := context(t, m[1]+m[2], "", defers)
	if len(parent) == 1 {
		if !spanPattern.MatchString(parent[0]) || zero(parent[0]) {
			return exchange.Remote{}
		}
		r = context(t, m[1]+m[2], parent[0], defers)
	}
	if len(sampled) == 1 && (sampled[0] == "0" || sampled[0] == "1") {
		r.Deferred, r.Flags = false, sampled[0][0]-'0'
	}
	return r
}

// FuzzContext compares with the reference what is taken from a request with
// these headers, each one once.
func FuzzContext(f *testing.F) {
	f.Add(b3Trace+"-"+b3Span+"-1-"+b3Parent, "", "", "", "", "", "", "")
	f.Add(b3Short+"-"+b3Span, "", "", "", "", "", "", "")
	f.Add(b3Trace+"-"+b3Span+"-d", b3Trace, b3Span, "", "", "", "1:2:0:1", xrayRoot)
	f.Add("0", b3Trace, b3Span, b3Parent, "true", "", "", "")
	f.Add("", b3Short, b3Span, "", "0", "1", "", "")
	f.Add("", b3Trace, "", "", "1", "", b3Trace+"%3A"+b3Span+"%3a0:3", "")
	f.Add("", "", "", "", "", "", "3a3a43:432e345:whatever:0", "")
	f.Add("", "", "", "", "", "", "", xrayRoot+";"+xrayParent+";Sampled=1;Lineage=25:b8a7fe0c:0")
	f.Add("", "", "", "", "", "", "", "Self=1-67891234-12456789abcdef0123456789; Root=1-1-bd862e3fe1be46a994272793 ;Sampled=?")
	names := [8]string{"b3", "X-B3-TraceId", "x-b3-spanid", "X-B3-Parentspanid", "X-B3-SAMPLED", "x-b3-flags", "Uber-Trace-Id", "X-Amzn-Trace-Id"}
	f.Fuzz(func(t *testing.T, b3, traceID, spanID, parentID, sampled, flags, jaeger, xray string) {
		values := [8]string{b3, traceID, spanID, parentID, sampled, flags, jaeger, xray}
		lines := ""
		for i, v := range values {
			if len(v) > 1000 || strings.ContainsFunc(v, func(c rune) bool { return c < ' ' && c != '\t' }) {
				t.Skip()
			}
			lines += names[i] + ": " + v + "\r\n"
			values[i] = strings.Trim(v, " \t")
		}
		require.Equal(t, reference(t, values), carried(t, lines), "%q", lines)
	})
}
