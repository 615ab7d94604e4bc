// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	logobserver "go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/config"
)

func TestJoin(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("KUBERNETES_SERVICE_PORT", "")
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	t.Setenv("KUBECONFIG", kubeconfig)
	core, logs := logobserver.New(zap.InfoLevel)
	join := func(change func(*config.Kubernetes)) (*Engine, error) {
		c := config.Default()
		change(&c.Kubernetes)
		e := New(Settings{Config: c, Logger: zap.New(core)})
		return e, e.join()
	}

	e, err := join(func(*config.Kubernetes) {})
	require.NoError(t, err)
	require.Nil(t, e.cluster)
	require.NoError(t, e.clusterProblem())
	require.Equal(t, 1, logs.FilterMessageSnippet("not in a Kubernetes cluster").Len())

	e, err = join(func(k *config.Kubernetes) { k.Enabled = config.SwitchFalse })
	require.NoError(t, err)
	require.Nil(t, e.cluster)
	require.Equal(t, 1, logs.Len(), "nothing to say")

	for _, auth := range []config.AuthType{config.AuthServiceAccount, config.AuthKubeConfig} {
		_, err = join(func(k *config.Kubernetes) { k.Enabled, k.AuthType = config.SwitchTrue, auth })
		require.ErrorContains(t, err, "kubernetes: no Kubernetes cluster: ")
		require.ErrorContains(t, err, "kubernetes.enabled: false")
	}

	// A file that is wrong is a mistake also where it may be missing.
	require.NoError(t, os.WriteFile(kubeconfig, []byte("clusters: ["), 0o600))
	_, err = join(func(k *config.Kubernetes) { k.AuthType = config.AuthKubeConfig })
	require.ErrorContains(t, err, "read the kubeconfig")

	// An API server that is not there stops nothing, and leaves nothing behind.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.NoError(t, os.WriteFile(kubeconfig, fmt.Appendf(nil,
		`{apiVersion: v1, kind: Config, current-context: x, clusters: [{name: x, cluster: {server: "https://%s"}}], contexts: [{name: x, context: {cluster: x}}]}`, l.Addr()), 0o600))
	ignore := goleak.IgnoreCurrent()
	e, err = join(func(k *config.Kubernetes) { k.AuthType = config.AuthKubeConfig })
	require.NoError(t, err)
	require.NotNil(t, e.cluster)
	require.Eventually(t, func() bool { return e.clusterProblem() != nil }, 10e9, 1e6)
	e.release()
	goleak.VerifyNone(t, ignore)
}
