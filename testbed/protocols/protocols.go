// SPDX-License-Identifier: Apache-2.0

// Package protocols compares what the collector reports of each protocol but HTTP/1
// with what real clients and servers did. The packages below it are one per protocol.
//
// Every operation has an id of its own that goes over the wire where the protocol
// lets a client name something (a table, a key, a topic, a comment), so that spans can
// be told apart and recall, bogus spans and wrong pairs be counted.
package protocols

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// Backends are the hook backends that tests of the whole path run on.
var Backends = []string{"sock", "sys_exit"}

// Watch is a collector and what it exports to.
type Watch struct {
	*groundtruth.Collector
	Sink *groundtruth.Sink

	t *testing.T
}

// Mark is in the environment of the processes a Watch observes: give it to those that
// a test starts.
func Mark(t *testing.T) (variable, value string) {
	return "PROTOCOLS_TEST", fmt.Sprint(os.Getpid(), "-", strings.ReplaceAll(t.Name(), "/", "-"))
}

// Observe starts a collector with a hook backend, and waits until it captures. It
// observes the processes that discovery (YAML of the receiver's discovery.include, one
// line) selects: `[{exe: "*/redis-server"}]`; empty means all. More is further YAML.
func Observe(t *testing.T, hooks, discovery, more string) *Watch {
	t.Helper()
	w := &Watch{t: t}
	var err error
	w.Sink, err = groundtruth.NewSink()
	require.NoError(t, err)
	t.Cleanup(w.Sink.Close)
	receiver := more
	if discovery != "" {
		receiver = "discovery: {include: " + discovery + "}\n" + more
	}
	w.Collector, err = groundtruth.StartCollector(groundtruth.CollectorOptions{
		Hooks: hooks, Endpoint: w.Sink.Endpoint(), Dir: t.TempDir(), Receiver: receiver,
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := w.Stop(); err != nil {
			t.Error(err)
		}
	})
	require.Eventually(t, func() bool { return strings.Contains(w.Log(), "eBPF capture started") }, 20*time.Second, 10*time.Millisecond, "%s", w.Log())
	return w
}

// Settled waits until as many spans have come as want says, or no more do, and returns
// all. More than want come too: it waits a little for those.
func (w *Watch) Settled(want int) []*groundtruth.Span {
	w.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for last, since := w.Sink.Count(), time.Now(); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if n := w.Sink.Count(); n != last {
			last, since = n, time.Now()
		}
		if last >= want && time.Since(since) > 500*time.Millisecond || time.Since(since) > 3*time.Second {
			break
		}
	}
	return w.Sink.Spans()
}
