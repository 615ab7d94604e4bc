// SPDX-License-Identifier: Apache-2.0

package examplestest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

func TestJaeger(t *testing.T) {
	talk(t)
	jaeger := grpcBackend(t)
	start(t, t.TempDir(), []string{"JAEGER_ENDPOINT=" + jaeger.address},
		"--config", repository(t, "examples", "jaeger.yaml"), "--config", ourselves())
	// One trace in ten of five per second, and both spans of it.
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		spans := jaeger.of("/examples/42")
		require.GreaterOrEqual(c, len(spans), 2)
		assert.Equal(c, spans[0].trace, spans[1].trace)
		assert.NotEqual(c, spans[0].kind, spans[1].kind)
		assert.NotEqual(c, ptrace.SpanKindInternal, spans[0].kind)
	}, 60*time.Second, 500*time.Millisecond)
}

// secret writes a file that only its owner may read.
func secret(t *testing.T, content string) string {
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	return file
}

// arrives waits for both signals.
func arrives(t *testing.T, b *backend) {
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.NotEmpty(c, b.of("/examples/42"))
		assert.NotZero(c, b.points("http.server.request.duration"))
	}, 60*time.Second, 500*time.Millisecond)
}

func TestOTLPHTTPHeaders(t *testing.T) {
	talk(t)
	vendor := httpBackend(t, "X-Api-Key", "k3y")
	start(t, t.TempDir(), []string{"OTLP_ENDPOINT=" + vendor.address, "OTLP_API_KEY=k3y"},
		"--config", repository(t, "examples", "otlp-http-headers.yaml"), "--config", ourselves())
	arrives(t, vendor)
	assert.Zero(t, vendor.refusals())
}

func TestOTLPHTTPBasic(t *testing.T) {
	talk(t)
	vendor := httpBackend(t, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("4711:pa55")))
	start(t, t.TempDir(),
		[]string{"OTLP_ENDPOINT=" + vendor.address, "OTLP_USER=4711", "OTLP_PASSWORD_FILE=" + secret(t, "pa55")},
		"--config", repository(t, "examples", "otlp-http-basic.yaml"), "--config", ourselves())
	arrives(t, vendor)
	assert.Zero(t, vendor.refusals())
}

// A token that is not accepted is replaced while the Collector runs.
func TestOTLPHTTPToken(t *testing.T) {
	talk(t)
	vendor := httpBackend(t, "Authorization", "Bearer new")
	file := secret(t, "old")
	start(t, t.TempDir(), []string{"OTLP_ENDPOINT=" + vendor.address, "OTLP_TOKEN_FILE=" + file},
		"--config", repository(t, "examples", "otlp-http-token.yaml"), "--config", ourselves())
	require.Eventually(t, func() bool { return vendor.refusals() > 0 }, 60*time.Second, 200*time.Millisecond)
	assert.Empty(t, vendor.of("/"), "the old token opens nothing")
	require.NoError(t, os.WriteFile(file, []byte("new"), 0o600))
	arrives(t, vendor)
}

// prometheus is a server that runs until the test ends.
type prometheus struct{ url string }

func startPrometheus(t *testing.T, config string, args ...string) prometheus {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600))
	address := freePort(t)
	cmd := exec.Command("prometheus", append([]string{
		"--config.file=" + filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path=" + filepath.Join(dir, "data"),
		"--web.listen-address=" + address, "--log.level=warn",
	}, args...)...)
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start(), "apt-get install prometheus")
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log("prometheus:", out.String())
		}
	})
	p := prometheus{"http://" + address}
	require.Eventually(t, func() bool {
		connection, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		_ = connection.Close()
		status, _ := get(t, p.url+"/-/ready")
		return status == http.StatusOK
	}, 30*time.Second, 100*time.Millisecond)
	return p
}

// value is the only result of a query, 0 if there is none.
func (p prometheus) value(t require.TestingT, query string) string {
	_, body := get(t, p.url+"/api/v1/query?query="+neturl.QueryEscape(query))
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(body), &answer), body)
	if len(answer.Data.Result) == 0 {
		return "0"
	}
	require.Len(t, answer.Data.Result, 1, body)
	return fmt.Sprint(answer.Data.Result[0].Value[1])
}

// counts checks that Prometheus has counted requests as they were made.
func counts(t *testing.T, p prometheus, url string) {
	const count = `sum(http_server_request_duration_seconds_count{job="examples",instance!="",http_route="%s"})`
	require.Eventually(t, func() bool {
		get(t, url+"/first")
		return p.value(t, fmt.Sprintf(count, "/first")) != "0"
	}, 60*time.Second, 500*time.Millisecond)
	for range 37 {
		get(t, url+"/counted")
	}
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.Equal(c, "37", p.value(c, fmt.Sprintf(count, "/counted")))
	}, 60*time.Second, 500*time.Millisecond)
	assert.Equal(t, "1", p.value(t, `count(target_info{job="examples"})`))
}

// brief makes waiting for metrics shorter.
const brief = "yaml:receivers::ebpf::collection_interval: 1s"

func TestPrometheusScrapes(t *testing.T) {
	url := serve(t)
	listen := freePort(t)
	start(t, t.TempDir(), []string{"PROMETHEUS_LISTEN=" + listen},
		"--config", repository(t, "examples", "prometheus.yaml"), "--config", ourselves(), "--config", brief,
		// Exemplars are of traces that somebody keeps.
		"--config", "yaml:exporters::nop: {}",
		"--config", "yaml:service::pipelines::traces: {receivers: [ebpf], exporters: [nop]}")
	// As the example's comment has it.
	p := startPrometheus(t, `
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: otelcol-ebpf
    honor_labels: true
    static_configs: [{targets: ["`+listen+`"]}]
`, "--enable-feature=exemplar-storage")
	counts(t, p, url)
	assert.Equal(t, "1", p.value(t, "up"))
	_, exemplars := get(t, p.url+"/api/v1/query_exemplars?query=http_server_request_duration_seconds_bucket&start="+
		fmt.Sprint(time.Now().Add(-time.Minute).Unix())+"&end="+fmt.Sprint(time.Now().Add(time.Minute).Unix()))
	assert.Contains(t, exemplars, `"trace_id":`)
}

func TestRemoteWrite(t *testing.T) {
	url := serve(t)
	p := startPrometheus(t, "", "--web.enable-remote-write-receiver")
	start(t, t.TempDir(), []string{"REMOTE_WRITE_URL=" + p.url + "/api/v1/write"},
		"--config", repository(t, "examples", "remote-write.yaml"), "--config", ourselves(), "--config", brief)
	counts(t, p, url)
}
