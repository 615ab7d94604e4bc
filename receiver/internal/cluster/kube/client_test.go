// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNoCluster(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("KUBERNETES_SERVICE_PORT", "")
	_, err := InCluster()
	require.ErrorIs(t, err, ErrNoCluster)
	require.ErrorContains(t, err, "KUBERNETES_SERVICE_HOST")
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	_, err = FromKubeconfig("")
	require.ErrorIs(t, err, ErrNoCluster)
}

func TestKubeconfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	t.Setenv("KUBECONFIG", path)
	write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }

	write("clusters: [")
	_, err := FromKubeconfig("")
	require.ErrorContains(t, err, "read the kubeconfig: ")
	require.NotErrorIs(t, err, ErrNoCluster)

	write(`{apiVersion: v1, kind: Config, current-context: one,
clusters: [{name: one, cluster: {server: "https://192.0.2.1"}}, {name: two, cluster: {server: "https://192.0.2.2"}}],
contexts: [{name: one, context: {cluster: one}}, {name: two, context: {cluster: two}}]}`)
	for context, server := range map[string]string{"": "https://192.0.2.1", "two": "https://192.0.2.2"} {
		config, err := FromKubeconfig(context)
		require.NoError(t, err)
		require.Equal(t, server, config.Host)
	}
	_, err = FromKubeconfig("three")
	require.ErrorContains(t, err, `"three"`)
}
