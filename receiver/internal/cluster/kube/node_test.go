// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNodeName(t *testing.T) {
	for _, variable := range nodeVariables {
		t.Setenv(variable, "")
	}
	host, err := os.Hostname()
	require.NoError(t, err)
	is := func(configured, name, from string) {
		t.Helper()
		gotName, gotFrom := NodeName(configured)
		require.Equal(t, [2]string{name, from}, [2]string{gotName, gotFrom})
	}
	is("", strings.ToLower(host), "host name")
	t.Setenv("KUBE_NODE_NAME", "c")
	is("", "c", "KUBE_NODE_NAME")
	t.Setenv("NODE_NAME", "b")
	is("", "b", "NODE_NAME")
	t.Setenv("K8S_NODE_NAME", "a")
	is("", "a", "K8S_NODE_NAME")
	is("z", "z", "kubernetes.node")
}
