// SPDX-License-Identifier: Apache-2.0

package examplestest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func repository(t *testing.T, elem ...string) string {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	return filepath.Join(append([]string{root}, elem...)...)
}

func binary(t *testing.T) string {
	path := os.Getenv("OTELCOL_EBPF_BIN")
	if path == "" {
		path = repository(t, "bin", "otelcol-ebpf")
	}
	require.FileExists(t, path, "run make build first")
	return path
}

// output collects what a process writes.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// start runs the Collector until the test ends and checks that it stops cleanly.
func start(t *testing.T, dir string, env []string, args ...string) *output {
	cmd := exec.Command(binary(t), args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	return startCommand(t, cmd)
}

// startCommand is start for a command that becomes the Collector.
func startCommand(t *testing.T, cmd *exec.Cmd) *output {
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-exited:
			assert.NoError(t, err, out.String())
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			<-exited
			t.Error("the Collector did not stop within 30 s of SIGTERM")
		}
		if t.Failed() {
			t.Log(out.String())
		}
	})
	require.Eventually(t, func() bool {
		if len(exited) > 0 {
			return true
		}
		return strings.Contains(out.String(), "Everything is ready")
	}, 30*time.Second, 50*time.Millisecond)
	require.Zero(t, len(exited), "the Collector exited:\n%s", &out)
	return &out
}

func get(t require.TestingT, url string) (status int, body string) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(text)
}

// talk serves HTTP in this process and requests /examples/42 once in a while,
// until the test ends.
func talk(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello\n")
	}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			status, _ := get(t, server.URL+"/examples/42")
			assert.Equal(t, http.StatusOK, status)
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		server.Close()
	})
}

// collectorConfigs are the files in examples/ that configure a Collector, relative to it.
func collectorConfigs(t *testing.T) []string {
	var configs []string
	root := repository(t, "examples")
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		// Kubernetes objects are several documents to a file; the first will do.
		var content struct{ Service map[string]any }
		if err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&content); err != nil {
			return err
		}
		if content.Service["pipelines"] != nil {
			relative, err := filepath.Rel(root, path)
			configs = append(configs, relative)
			return err
		}
		return nil
	}))
	require.GreaterOrEqual(t, len(configs), 10)
	return configs
}

func TestExamplesAreValid(t *testing.T) {
	for _, file := range collectorConfigs(t) {
		t.Run(file, func(t *testing.T) {
			validate := exec.Command(binary(t), "validate", "--config", repository(t, "examples", file))
			validate.Env = append(os.Environ(), "K8S_NODE_NAME=worker-1") // as the manifests set it
			out, err := validate.CombinedOutput()
			require.NoError(t, err, string(out))
		})
	}
}

// Whoever looks for an example finds it in the table.
func TestExamplesAreListed(t *testing.T) {
	table, err := os.ReadFile(repository(t, "examples", "README.md"))
	require.NoError(t, err)
	entries, err := filepath.Glob(repository(t, "examples", "*"))
	require.NoError(t, err)
	files, err := filepath.Glob(repository(t, "examples", "*", "*"))
	require.NoError(t, err)
	for _, path := range append(entries, files...) {
		relative, err := filepath.Rel(repository(t, "examples"), path)
		require.NoError(t, err)
		if relative != "README.md" {
			assert.Contains(t, string(table), relative)
		}
	}
}

// A mistake is told in one line that says where it is and how to mend it.
func TestValidateNamesTheMistake(t *testing.T) {
	out, err := exec.Command(binary(t), "validate",
		"--config", repository(t, "examples", "local.yaml"),
		"--config", "yaml:receivers::ebpf::discovery: {include: [{open_ports: 9000-8000}]}",
		"--config", "yaml:receivers::ebpf::network: {}").CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Contains(t, string(out), `discovery.include[0].open_ports: "9000-8000" is backwards; write "8000-9000"`)
	require.Contains(t, string(out), `network: "network" is not an option: write collection_interval, context_propagation, discovery,`)
}

// What README.md promises of make run: spans in the file, metrics on :8889.
func TestLocal(t *testing.T) {
	dir := t.TempDir()
	talk(t)
	out := start(t, dir, []string{"OTELCOL_EBPF_OUTPUT=" + dir}, "--config", repository(t, "examples", "local.yaml"))

	require.EventuallyWithT(t, func(c *assert.CollectT) {
		text, err := os.ReadFile(filepath.Join(dir, "otelcol-ebpf-traces.json"))
		require.NoError(c, err)
		kinds := map[ptrace.SpanKind]bool{}
		for line := range strings.Lines(string(text)) {
			td, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces([]byte(line))
			if err != nil {
				continue // the last line is not complete yet
			}
			for _, rs := range td.ResourceSpans().All() {
				for _, ss := range rs.ScopeSpans().All() {
					for _, span := range ss.Spans().All() {
						path, ok := span.Attributes().Get("url.path")
						if !ok {
							path, ok = span.Attributes().Get("url.full")
						}
						if ok && strings.HasSuffix(path.Str(), "/examples/42") {
							kinds[span.Kind()] = true
						}
					}
				}
			}
		}
		assert.True(c, kinds[ptrace.SpanKindServer], "server span")
		assert.True(c, kinds[ptrace.SpanKindClient], "client span")
	}, 30*time.Second, 500*time.Millisecond)

	require.EventuallyWithT(t, func(c *assert.CollectT) {
		status, body := get(c, "http://localhost:8889/metrics")
		assert.Equal(c, http.StatusOK, status)
		assert.Contains(c, body, "http_server_request_duration_seconds_bucket")
		assert.Contains(c, body, "http_client_request_duration_seconds_bucket")
	}, 30*time.Second, 500*time.Millisecond)
	require.Contains(t, out.String(), "/examples/", "the debug exporter shows spans")
}

// The configuration for Kubernetes also starts where there is none, and serves
// metrics with its namespace.
func TestCollectorConfigWithoutKubernetes(t *testing.T) {
	talk(t)
	start(t, t.TempDir(), []string{"KUBERNETES_SERVICE_HOST=", "KUBERNETES_SERVICE_PORT="},
		"--config", repository(t, "examples", "otel-collector-config.yaml"))
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		status, body := get(c, "http://localhost:8889/metrics")
		assert.Equal(c, http.StatusOK, status)
		assert.Contains(c, body, "ebpf_http_server_request_duration_seconds_bucket")
	}, 45*time.Second, 500*time.Millisecond)
}

// A user's own manifest builds with one line for the receiver.
func TestStandalone(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a Collector, which takes a minute")
	}
	manifest, err := os.ReadFile(repository(t, "examples", "standalone", "builder-config.yaml"))
	require.NoError(t, err)
	var m struct {
		Dist      map[string]any
		Receivers []struct{ Gomod string }
		Rest      map[string]any `yaml:",inline"`
	}
	require.NoError(t, yaml.Unmarshal(manifest, &m))
	require.Len(t, m.Receivers, 1)
	require.True(t, strings.HasPrefix(m.Receivers[0].Gomod, "github.com/otelcol-ebpf/otelcol-ebpf v"))
	require.NotContains(t, m.Rest, "replaces")

	// The version of the manifest is that of this checkout. output_path is
	// relative to the working directory, which go tool needs to be here.
	dir := t.TempDir()
	module, _, _ := strings.Cut(m.Receivers[0].Gomod, " ")
	manifest = bytes.Replace(manifest, []byte("./my-collector"), []byte(filepath.Join(dir, "my-collector")), 1)
	manifest = append(manifest, "\nreplaces:\n  - "+module+" => "+repository(t)+"\n"...)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "builder-config.yaml"), manifest, 0o600))
	build := exec.Command("go", "tool", "-modfile="+repository(t, "distribution", "tools.mod"),
		"go.opentelemetry.io/collector/cmd/builder", "--config", filepath.Join(dir, "builder-config.yaml"))
	build.Dir = repository(t)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))

	components, err := exec.Command(filepath.Join(dir, "my-collector", "my-collector"), "components").Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Log(string(exit.Stderr))
	}
	require.NoError(t, err)
	require.Contains(t, string(components), "name: ebpf\n")
}
