// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/kubernetes/cluster"
)

// optInConfig watches the namespaces that ask for it, but not pods that ask not to be.
const optInConfig = `receivers:
  ebpf:
    collection_interval: 1s
    discovery:
      include: [{k8s: {namespace_labels: {observe: "true"}}}]
      exclude: [{k8s: {pod_labels: {observe: "false"}}}]
    kubernetes: {enabled: true, auth_type: kubeConfig, node: %s, peers: none}
exporters:
  otlp_grpc: {endpoint: "{{.Endpoint}}", tls: {insecure: true}}
service:
  telemetry:
    metrics:
      level: detailed
      readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: {{.TelemetryPort}}}}}}]
  pipelines:
    traces: {receivers: [ebpf], exporters: [otlp_grpc]}
`

// TestOptIn: a label of a namespace starts and ends the tracing of pods that run, within
// two seconds, and what is excluded is never seen.
func TestOptIn(t *testing.T) {
	groundtruth.Requirements(t)
	const within = 2 * time.Second
	c := cluster.Start(t)
	c.Namespace("collector", nil)
	t.Setenv("KUBECONFIG", c.Kubeconfig("", c.ServiceAccount("collector", "otelcol-ebpf", cluster.ReceiverRules)))
	c.Namespace("shop", nil)
	c.Namespace("other", nil)

	type server struct {
		pod  *corev1.Pod
		port int
	}
	run := func(namespace, name string, labels map[string]string) server {
		port, err := groundtruth.FreePort()
		require.NoError(t, err)
		id := cluster.ContainerID()
		pod := c.Pod(cluster.Pod{Namespace: namespace, Name: name, Node: node, Labels: labels, Containers: []cluster.Container{{Name: "app", ID: id}}})
		c.Run(cluster.Systemd, pod, id, []string{fmt.Sprintf("%s=127.0.0.1:%d", serve, port)}, os.Args[0])
		return server{pod, port}
	}
	cart, private, other := run("shop", "cart", nil), run("shop", "private", map[string]string{"observe": "false"}), run("other", "other", nil)
	get := func(s server, path string) bool {
		res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", s.port, path))
		if err != nil {
			return false
		}
		res.Body.Close()
		return true
	}
	for _, s := range []server{cart, private, other} {
		require.Eventually(t, func() bool { return get(s, "/warm") }, 10*time.Second, 20*time.Millisecond)
	}

	sink, err := groundtruth.NewSink()
	require.NoError(t, err)
	t.Cleanup(sink.Close)
	collector, err := groundtruth.StartCollector(groundtruth.CollectorOptions{Endpoint: sink.Endpoint(), Dir: t.TempDir(), Config: fmt.Sprintf(optInConfig, node)})
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := collector.Stop(); err != nil {
			t.Error(err)
		}
	})
	require.Eventually(t, func() bool { return strings.Contains(collector.Log(), "Everything is ready") }, 30*time.Second, 20*time.Millisecond, "%s", collector.Log())

	// seen reports whether any of these paths has arrived.
	seen := func(paths ...string) bool {
		for _, span := range sink.Spans() {
			if slices.Contains(paths, span.Path()) {
				return true
			}
		}
		return false
	}
	// started asks until a request of a server is seen, and says how long after the
	// change; n makes paths that are made once.
	n := 0
	started := func(what string, s server) {
		t.Helper()
		began := time.Now()
		var paths []string
		for !seen(paths...) {
			require.Less(t, time.Since(began), within, "%s is not seen\n%s", what, collector.Log())
			n++
			path := fmt.Sprintf("/%s/%d", s.pod.Name, n)
			require.True(t, get(s, path))
			paths = append(paths, path)
			time.Sleep(20 * time.Millisecond)
		}
		t.Logf("%s: seen %v after the change", what, time.Since(began).Round(time.Millisecond))
	}
	// silent makes requests for as long as a change may take, and then none may be seen.
	silent := func(what string, servers ...server) {
		t.Helper()
		time.Sleep(within)
		var paths []string
		for _, s := range servers {
			for range 20 {
				n++
				path := fmt.Sprintf("/%s/%d", s.pod.Name, n)
				require.True(t, get(s, path))
				paths = append(paths, path)
			}
		}
		time.Sleep(time.Second) // spans leave every 200 ms
		for _, path := range paths {
			require.False(t, seen(path), "%s: %s", what, path)
		}
	}

	silent("nobody has asked for it", cart, private, other)
	c.LabelNamespace("shop", `{"observe": "true"}`)
	started("a namespace that opts in", cart)
	silent("who is excluded, and another namespace", private, other)
	late := run("shop", "late", nil)
	require.Eventually(t, func() bool { return get(late, "/warm") }, 10*time.Second, 20*time.Millisecond)
	started("a pod that comes later", late)
	c.LabelPod("shop", "late", `{"observe": "false"}`)
	silent("a pod that opts out", late)
	c.LabelPod("shop", "late", `{"observe": null}`)
	started("a pod that opts in again", late)
	c.LabelNamespace("shop", `{"observe": null}`)
	silent("a namespace that opts out", cart, late)
	c.LabelNamespace("shop", `{"observe": "true"}`)
	started("a namespace that opts in again", cart)
	for _, span := range sink.Spans() {
		for _, s := range []server{private, other} {
			require.False(t, strings.HasPrefix(span.Path(), "/"+s.pod.Name+"/"), span.Path())
		}
	}
}
