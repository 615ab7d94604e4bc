// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// podman is one with storage of its own. It refuses a run of more than 50 characters.
type podman struct{ dir, run string }

func (p podman) command(args ...string) *exec.Cmd {
	return exec.Command("podman", append([]string{
		"--root", filepath.Join(p.dir, "root"), "--runroot", p.run, "--storage-driver", "vfs",
		"--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", "runc",
	}, args...)...)
}

func (p podman) output(t *testing.T, args ...string) string {
	var stderr strings.Builder
	cmd := p.command(args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "podman %s: %s", args, &stderr)
	return string(out)
}

func copyFile(t *testing.T, from, to string) {
	require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
	source, err := os.Open(from)
	require.NoError(t, err)
	defer func() { _ = source.Close() }()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(target, source)
	require.NoError(t, err)
	require.NoError(t, target.Close())
}

// lastStage is the Dockerfile from its last FROM on, which copies from a directory that
// looks like the stage before it.
func lastStage(t *testing.T) string {
	text, err := os.ReadFile(repository(t, "distribution", "Dockerfile"))
	require.NoError(t, err)
	first, last, found := strings.Cut(string(text), "\nFROM scratch\n")
	require.True(t, found)
	// What the stage before runs is what has made the binary here.
	require.Contains(t, first, "make build TARGETARCH=$TARGETARCH")
	require.Contains(t, first, "FROM --platform=$BUILDPLATFORM ")
	require.Equal(t, 2, strings.Count(last, "COPY --from=build "))
	return "FROM scratch\n" + strings.ReplaceAll(last, "COPY --from=build ", "COPY ")
}

func TestBinaryIsStatic(t *testing.T) {
	program, err := elf.Open(binary(t))
	require.NoError(t, err)
	defer func() { _ = program.Close() }()
	for _, segment := range program.Progs {
		assert.NotEqual(t, elf.PT_INTERP, segment.Type, "it wants a dynamic linker")
		assert.NotEqual(t, elf.PT_DYNAMIC, segment.Type, "it wants libraries")
	}
}

// The image is built, has in it what it should, and reports spans of a process outside
// it with the flags that distribution/README.md gives.
func TestImage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("run as root: make test-e2e")
	}
	dir := t.TempDir()
	run, err := os.MkdirTemp("/tmp", "podman")
	require.NoError(t, err)
	p := podman{dir, run}
	t.Cleanup(func() {
		_ = p.command("rmi", "--all", "--force").Run()
		_ = os.RemoveAll(run)
	})
	context := filepath.Join(dir, "context")
	copyFile(t, binary(t), filepath.Join(context, "src", "bin", "otelcol-ebpf"))
	copyFile(t, "/etc/ssl/certs/ca-certificates.crt", filepath.Join(context, "etc", "ssl", "certs", "ca-certificates.crt"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(lastStage(t)), 0o644))
	p.output(t, "build", "--isolation=chroot", "--network=host", "--build-arg=VERSION=1.2.3", "--build-arg=REVISION=abc",
		"-t", "localhost/otelcol-ebpf:test", "-f", filepath.Join(dir, "Dockerfile"), context)

	var images []struct {
		Architecture string
		Config       struct {
			User            string
			Entrypoint, Cmd []string
			Labels          map[string]string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(p.output(t, "image", "inspect", "localhost/otelcol-ebpf:test")), &images))
	require.Len(t, images, 1)
	image := images[0]
	assert.Equal(t, runtime.GOARCH, image.Architecture)
	assert.Equal(t, "0:0", image.Config.User)
	assert.Equal(t, []string{"/otelcol-ebpf"}, image.Config.Entrypoint)
	assert.Equal(t, []string{"--config", "/etc/otelcol-ebpf/config.yaml"}, image.Config.Cmd)
	assert.Equal(t, "1.2.3", image.Config.Labels["org.opencontainers.image.version"])
	assert.Equal(t, "abc", image.Config.Labels["org.opencontainers.image.revision"])
	assert.Equal(t, "Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)", image.Config.Labels["org.opencontainers.image.licenses"])

	mounted := strings.TrimSpace(p.output(t, "image", "mount", "localhost/otelcol-ebpf:test"))
	var files []string
	require.NoError(t, filepath.WalkDir(mounted, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, strings.TrimPrefix(path, mounted))
		}
		return err
	}))
	assert.ElementsMatch(t, []string{"/otelcol-ebpf", "/etc/ssl/certs/ca-certificates.crt"}, files)
	p.output(t, "image", "unmount", "localhost/otelcol-ebpf:test")

	// Nobody, without any right and without the receiver: the gateway.
	out := p.output(t, append(limits, "--rm", "--user=65532", "--cap-drop=all", "--read-only", "--network=none",
		"-v", repository(t, "examples", "gateway", "gateway.yaml")+":/gateway.yaml:ro",
		"localhost/otelcol-ebpf:test", "validate", "--config=/gateway.yaml")...)
	assert.Empty(t, out)

	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	state := filepath.Join(dir, "state")
	require.NoError(t, os.Mkdir(state, 0o755))
	config := filepath.Join(dir, "config.yaml")
	require.NoError(t, os.WriteFile(config, []byte(fmt.Sprintf(`
receivers: {ebpf: {discovery: {include: [{pids: [%d]}]}}}
exporters: {file: {path: /state/spans.json, flush_interval: 100ms}}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {traces: {receivers: [ebpf], exporters: [file]}}
`, os.Getpid())), 0o644))
	var log strings.Builder
	cmd := p.command(append(append(limits, "--rm", "--name=otelcol-ebpf", "--network=none",
		"-v", config+":/etc/otelcol-ebpf/config.yaml:ro", "-v", state+":/state"),
		append(documented(t), "localhost/otelcol-ebpf:test")...)...)
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start())
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	deadline := time.After(60 * time.Second)
	for {
		response, err := http.Get(server.URL + "/contained")
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		if text, err := os.ReadFile(filepath.Join(state, "spans.json")); err == nil && strings.Contains(string(text), "/contained") {
			break
		}
		select {
		case err := <-exited:
			t.Fatal("the container ended: ", err, "\n", log.String())
		case <-deadline:
			_ = p.command("rm", "--force", "otelcol-ebpf").Run()
			<-exited
			t.Fatal("no span\n", log.String())
		case <-time.After(200 * time.Millisecond):
		}
	}
	p.output(t, "stop", "--time=30", "otelcol-ebpf")
	assert.NoError(t, <-exited, log.String())
}

// limits begins a `podman run` that wants no more open files and processes than this
// machine may give.
var limits = []string{"run", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"}

// documented are the flags of docker run in distribution/README.md that give and take
// rights.
func documented(t *testing.T) []string {
	text, err := os.ReadFile(repository(t, "distribution", "README.md"))
	require.NoError(t, err)
	_, command, found := strings.Cut(string(text), "    docker run ")
	require.True(t, found)
	command, _, found = strings.Cut(command, "\n\n")
	require.True(t, found)
	var flags []string
	words := strings.Fields(strings.ReplaceAll(command, "\\\n", " "))
	for i, word := range words {
		switch {
		case word == "--security-opt":
			flags = append(flags, word, words[i+1])
		case strings.HasPrefix(word, "--cap-"), word == "--read-only", word == "--pid=host":
			flags = append(flags, word)
		}
	}
	for _, right := range needed {
		require.Contains(t, flags, "--cap-add="+string(right))
	}
	require.Contains(t, flags, "--cap-drop=ALL")
	return flags
}
