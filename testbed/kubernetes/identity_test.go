// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/kubernetes/cluster"
)

const node = "node-1"

// config is what the manifests in distribution have, with a kubeconfig.
const config = `receivers:
  ebpf:
    collection_interval: 1s
    discovery: {include: [{environment: {KUBERNETES_TEST: %[1]q}}]}
    kubernetes: {auth_type: kubeConfig, node: %[2]s}
processors:
  k8s_attributes:
    auth_type: kubeConfig
    filter: {node: %[2]s}
    wait_for_metadata: true
    extract:
      otel_annotations: true
      metadata: [k8s.namespace.name, k8s.pod.name, k8s.pod.uid, k8s.deployment.name, k8s.node.name, k8s.container.name,
        container.id, container.image.name, service.namespace, service.name, service.version, service.instance.id]
    pod_association:
      - sources: [{from: resource_attribute, name: container.id}]
      - sources: [{from: resource_attribute, name: k8s.pod.uid}]
  batch: {timeout: 100ms}
exporters:
  otlp_grpc: {endpoint: "{{.Endpoint}}", tls: {insecure: true}}
  prometheus: {endpoint: "127.0.0.1:%[3]d"}
service:
  telemetry:
    metrics:
      level: detailed
      readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: {{.TelemetryPort}}}}}}]
  pipelines:
    traces: {receivers: [ebpf], processors: [k8s_attributes, batch], exporters: [otlp_grpc]}
    metrics: {receivers: [ebpf], processors: [k8s_attributes], exporters: [otlp_grpc, prometheus]}
`

// service is a container of a pod, and what is true of it.
type service struct {
	pod      *corev1.Pod
	id, name string
	port     int
	requests int
	want     map[string]string
}

func (s *service) get(t *testing.T, path string) {
	res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", s.port, path))
	require.NoError(t, err)
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	require.Equal(t, http.StatusOK, res.StatusCode)
	s.requests++
}

// TestIdentity: spans and metrics of processes in pods say namespace, pod, deployment,
// node and container, and two pods of one service stay two in Prometheus.
func TestIdentity(t *testing.T) {
	groundtruth.Requirements(t)
	c := cluster.Start(t)
	c.Namespace("collector", nil)
	t.Setenv("KUBECONFIG", c.Kubeconfig("", c.ServiceAccount("collector", "otelcol-ebpf", cluster.ReceiverRules)))
	mark := fmt.Sprint("identity-", os.Getpid())

	c.Namespace("shop", nil)
	deployment := c.Deployment("shop", "checkout")
	ordinary := map[string]string{"app": "checkout", "pod-template-hash": cluster.PodTemplateHash}
	var services []*service
	run := func(driver cluster.Driver, p cluster.Pod, deployment, serviceName string) {
		t.Helper()
		p.Namespace, p.Node = "shop", node
		for i := range p.Containers {
			p.Containers[i].ID = cluster.ContainerID()
		}
		pod := c.Pod(p)
		for _, container := range p.Containers {
			port, err := groundtruth.FreePort()
			require.NoError(t, err)
			name := serviceName
			if name == "" {
				name = container.Name
			}
			s := &service{pod: pod, id: container.ID, name: container.Name, port: port, want: map[string]string{
				"k8s.namespace.name": "shop", "k8s.pod.name": pod.Name, "k8s.pod.uid": string(pod.UID), "k8s.node.name": node,
				"k8s.container.name": container.Name, "container.id": container.ID, "k8s.deployment.name": deployment,
				"container.image.name": "registry.example/" + container.Name,
				"service.name":         name, "service.namespace": "shop", "service.version": "1.2.3",
				"service.instance.id": "shop." + pod.Name + "." + container.Name,
			}}
			c.Run(driver, pod, container.ID, []string{fmt.Sprintf("%s=127.0.0.1:%d", serve, port), "KUBERNETES_TEST=" + mark}, os.Args[0])
			services = append(services, s)
		}
	}
	// Started before the Collector...
	run(cluster.Systemd, cluster.Pod{Name: "checkout-7d9f8c6b5-aaaaa", Owner: deployment, Labels: ordinary, Containers: []cluster.Container{{Name: "app"}}}, "checkout", "checkout")
	run(cluster.Cgroupfs, cluster.Pod{Name: "checkout-7d9f8c6b5-bbbbb", Owner: deployment, Labels: ordinary, Containers: []cluster.Container{{Name: "app"}}}, "checkout", "checkout")

	sink, err := groundtruth.NewSink()
	require.NoError(t, err)
	t.Cleanup(sink.Close)
	prometheus, err := groundtruth.FreePort()
	require.NoError(t, err)
	collector, err := groundtruth.StartCollector(groundtruth.CollectorOptions{
		Endpoint: sink.Endpoint(), Dir: t.TempDir(), Config: fmt.Sprintf(config, mark, node, prometheus),
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := collector.Stop(); err != nil {
			t.Error(err)
		}
	})
	require.Eventually(t, func() bool { return strings.Contains(collector.Log(), "Everything is ready") }, 30*time.Second, 20*time.Millisecond, "%s", collector.Log())

	// ... and behind it: two containers of one pod, one that says its name, and one
	// that belongs to nobody.
	run(cluster.Systemd, cluster.Pod{Name: "pair", Containers: []cluster.Container{{Name: "left"}, {Name: "right"}}}, "", "pair")
	run(cluster.Systemd, cluster.Pod{Name: "named", Annotations: map[string]string{"resource.opentelemetry.io/service.name": "billing"},
		Containers: []cluster.Container{{Name: "app"}}}, "", "billing")

	for i, s := range services {
		require.Eventually(t, func() bool {
			res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/warm", s.port))
			if err != nil {
				return false
			}
			res.Body.Close()
			s.requests++
			return true
		}, 10*time.Second, 20*time.Millisecond)
		for n := range 10 + i {
			s.get(t, fmt.Sprintf("/orders/%d", n))
		}
	}
	// One calls another: its client spans have its names, too.
	caller, called := services[2], services[0]
	caller.get(t, fmt.Sprintf("/call?url=http://127.0.0.1:%d/orders/1", called.port))
	called.requests++

	t.Run("spans", func(t *testing.T) {
		for _, s := range services {
			var all []*groundtruth.Span
			require.Eventually(t, func() bool {
				all = all[:0]
				for _, span := range sink.Spans() {
					if port, _ := span.Int("server.port"); int(port) == s.port && span.Kind.String() == "Server" {
						all = append(all, span)
					}
				}
				return len(all) == s.requests
			}, 15*time.Second, 50*time.Millisecond, "%s", s.pod.Name)
			for _, span := range all {
				same(t, s.want, span.Resource.AsRaw())
			}
		}
		clients := 0
		for _, span := range sink.Spans() {
			if span.Kind.String() == "Client" {
				same(t, caller.want, span.Resource.AsRaw())
				clients++
			}
		}
		require.Equal(t, 1, clients)
	})
	t.Run("metrics", func(t *testing.T) {
		for _, s := range services {
			require.Eventually(t, func() bool {
				var count uint64
				for _, p := range sink.Points("http.server.request.duration") {
					if p.Resource["container.id"] == s.id {
						same(t, s.want, p.Resource)
						count += p.Count
					}
				}
				return count == uint64(s.requests)
			}, 15*time.Second, 100*time.Millisecond, "%s has %d", s.pod.Name, s.requests)
		}
	})
	t.Run("prometheus", func(t *testing.T) {
		want := map[string]int{}
		for _, s := range services {
			want[fmt.Sprintf("shop/%s %s", s.want["service.name"], s.want["service.instance.id"])] = s.requests
		}
		var got map[string]int
		if !eventually(20*time.Second, func() bool { got = scrape(t, prometheus); return fmt.Sprint(got) == fmt.Sprint(want) }) {
			require.Equal(t, want, got)
		}
	})
	t.Run("telemetry", func(t *testing.T) {
		series, err := collector.Telemetry(t.Context())
		require.NoError(t, err)
		for _, resource := range []string{"pods", "namespaces", "services", "endpointslices"} {
			require.Equal(t, 1., series[fmt.Sprintf(`otelcol_receiver_ebpf_kubernetes_current{resource=%q}`, resource)], "%s: %v", resource, series)
		}
		require.Equal(t, 4., series[`otelcol_receiver_ebpf_kubernetes_objects{resource="pods"}`])
	})
}

// same asks for what is wanted; an empty value wants that there is none.
func same(t *testing.T, want map[string]string, got map[string]any) {
	t.Helper()
	for key, value := range want {
		if value == "" {
			require.NotContains(t, got, key)
			continue
		}
		require.Equal(t, value, got[key], "%s in %v", key, got)
	}
}

func eventually(limit time.Duration, is func() bool) bool {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if is() {
			return true
		}
	}
	return false
}

var label = regexp.MustCompile(`(\w+)="([^"]*)"`)

// scrape reads how many requests each job and instance has served.
func scrape(t *testing.T, port int) map[string]int {
	res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
	require.NoError(t, err)
	defer res.Body.Close()
	counts := map[string]int{}
	for s := bufio.NewScanner(res.Body); s.Scan(); {
		rest, ok := strings.CutPrefix(s.Text(), "http_server_request_duration_seconds_count{")
		if !ok {
			continue
		}
		labels := map[string]string{}
		for _, m := range label.FindAllStringSubmatch(rest, -1) {
			labels[m[1]] = m[2]
		}
		n, err := strconv.Atoi(rest[strings.LastIndexByte(rest, ' ')+1:])
		require.NoError(t, err)
		counts[labels["job"]+" "+labels["instance"]] += n
	}
	return counts
}
