// SPDX-License-Identifier: Apache-2.0

package examplestest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// The sidecar's configuration in a pid namespace that it shares with the application
// and nobody else, as shareProcessNamespace makes it.
func TestSidecar(t *testing.T) {
	groundtruth.Exclusive(t)
	manifest, err := os.ReadFile(repository(t, "examples", "beyla", "sidecar.yaml"))
	require.NoError(t, err)
	var configMap struct {
		Kind string
		Data map[string]string
	}
	require.NoError(t, yaml.NewDecoder(bytes.NewReader(manifest)).Decode(&configMap))
	require.Equal(t, "ConfigMap", configMap.Kind)
	// The port is whatever is free here.
	config := configMap.Data["config.yaml"]
	require.Contains(t, config, `open_ports: "8080"`)
	address := freePort(t)
	_, port, _ := strings.Cut(address, ":")
	config = strings.Replace(config, "8080", port, 1)
	file := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))

	backend := grpcBackend(t)
	outside := serve(t)
	cmd := exec.Command("sh", "-ec", `mount -t proc proc /proc
python3 -m http.server --bind 127.0.0.1 "$0" >/dev/null 2>&1 &
exec "$@"`, port, binary(t), "--config", file, "--config", "yaml:receivers::ebpf::sampler::arg: \"1\"")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Unshareflags: syscall.CLONE_NEWNS}
	cmd.Env = append(os.Environ(), "POD_NAMESPACE=shop", "POD_NAME=my-app-1", "POD_UID=u", "K8S_NODE_NAME=n",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://"+backend.address)
	startCommand(t, cmd)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		get(c, outside+"/outside")
		get(c, "http://"+address+"/inside")
		assert.NotEmpty(c, backend.of("/inside"))
	}, 30*time.Second, 200*time.Millisecond)
	for _, s := range backend.of("/") {
		assert.Equal(t, "/inside", s.path)
		assert.Equal(t, "shop/my-app-1/my-app", s.from)
	}
}
