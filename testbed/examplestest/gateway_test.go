// SPDX-License-Identifier: Apache-2.0

package examplestest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// serve answers paths that begin with /fail with 500, everything else with 200.
func serve(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/fail") {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// startGateway runs examples/gateway/gateway.yaml on an address of its own.
func startGateway(t *testing.T, ip string, jaeger *backend) {
	start(t, t.TempDir(), []string{"POD_IP=" + ip, "JAEGER_ENDPOINT=" + jaeger.address},
		"--config", repository(t, "examples", "gateway", "gateway.yaml"),
		// Nothing here takes as long.
		"--config", "yaml:processors::tail_sampling::decision_wait: 2s")
}

// startAgent runs examples/gateway/agent.yaml where the name of the gateways' service
// has these addresses, as a cluster's DNS would say.
func startAgent(t *testing.T, gateways ...string) {
	hosts := "127.0.0.1 localhost\n"
	for _, ip := range gateways {
		hosts += ip + " otelcol-ebpf-gateway.otelcol-ebpf.svc.cluster.local\n"
	}
	file := filepath.Join(t.TempDir(), "hosts")
	require.NoError(t, os.WriteFile(file, []byte(hosts), 0o644))
	// A mount namespace of its own has another /etc/hosts.
	cmd := exec.Command("unshare", "--mount", "sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, file,
		binary(t), "--config", repository(t, "examples", "gateway", "agent.yaml"),
		"--config", ourselves(),
		// A machine has some of these ports once only.
		"--config", "yaml:extensions::health_check::endpoint: 127.0.0.1:13133",
		"--config", "yaml:exporters::prometheus::endpoint: 127.0.0.1:8889",
		"--config", "yaml:service::telemetry::metrics::level: none")
	cmd.Env = append(os.Environ(), "KUBERNETES_SERVICE_HOST=", "KUBERNETES_SERVICE_PORT=")
	startCommand(t, cmd)
}

// All spans of a trace arrive at one gateway, which keeps every trace with an error
// whole, and one in ten of the others.
func TestGateway(t *testing.T) {
	groundtruth.Exclusive(t)
	url := serve(t)
	behind := []*backend{grpcBackend(t), grpcBackend(t)}
	startGateway(t, "127.0.0.2", behind[0])
	startGateway(t, "127.0.0.3", behind[1])
	startAgent(t, "127.0.0.2", "127.0.0.3")

	// From the first one that arrives on, all are seen.
	require.Eventually(t, func() bool {
		get(t, url+"/fail/first")
		return len(behind[0].of("/fail/first"))+len(behind[1].of("/fail/first")) > 0
	}, 30*time.Second, 200*time.Millisecond)
	const failing, fine = 80, 200
	for i := range fine {
		get(t, fmt.Sprint(url, "/fine/", i))
		if i < failing {
			get(t, fmt.Sprint(url, "/fail/request/", i))
		}
	}

	require.EventuallyWithT(t, func(c *assert.CollectT) {
		require.Equal(c, 2*failing, len(behind[0].of("/fail/request/"))+len(behind[1].of("/fail/request/")))
	}, 30*time.Second, 200*time.Millisecond)
	where := map[pcommon.TraceID]int{}
	kept := 0
	for i, b := range behind {
		kinds := map[pcommon.TraceID]map[ptrace.SpanKind]bool{}
		for _, s := range append(b.of("/fail/request/"), b.of("/fine/")...) {
			if kinds[s.trace] == nil {
				kinds[s.trace] = map[ptrace.SpanKind]bool{}
			}
			kinds[s.trace][s.kind] = true
			assert.Equal(t, strings.HasPrefix(s.path, "/fail"), s.error, s.path)
			if other, ok := where[s.trace]; ok {
				assert.Equal(t, other, i, "trace of %s is split", s.path)
			}
			where[s.trace] = i
		}
		for trace, k := range kinds {
			assert.Len(t, k, 2, "client's and server's span of %s", trace)
		}
		assert.Greater(t, len(b.of("/fail/request/")), failing/5, "gateway %d has its share", i)
		kept += len(b.of("/fine/")) / 2
	}
	// 20 are expected, with a standard deviation of 4.2.
	t.Logf("kept %d of %d failing and %d of %d fine traces", len(where)-kept, failing, kept, fine)
	assert.Equal(t, failing, len(where)-kept)
	assert.Greater(t, kept, 0)
	assert.Less(t, kept, fine/4)
}
