// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/kubernetes/cluster"
)

// The DaemonSet's configuration starts with the rights that its account is given, and
// answers where probes and Prometheus ask.
func TestBaseStarts(t *testing.T) {
	// It listens on fixed ports.
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "otelcol-ebpf-testbed.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	require.NoError(t, err)
	require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	t.Cleanup(func() { _ = lock.Close() })

	o := build(t, "distribution/kubernetes/base")
	server := cluster.Start(t)
	for _, namespace := range o.namespaces {
		_, err := server.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	account := o.accounts[0]
	_, err = server.CoreV1().ServiceAccounts(account.Namespace).Create(t.Context(), account, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = server.RbacV1().ClusterRoles().Create(t.Context(), o.roles[0], metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = server.RbacV1().ClusterRoleBindings().Create(t.Context(), o.bindings[0], metav1.CreateOptions{})
	require.NoError(t, err)
	token, err := server.CoreV1().ServiceAccounts(account.Namespace).
		CreateToken(t.Context(), account.Name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)

	var log strings.Builder
	cmd := exec.Command(binary(t),
		"--config", repository(t, "distribution", "kubernetes", "base", "config.yaml"),
		// There is no pod with an account's files here, and what is not known in time ends it.
		"--config", "yaml:processors::k8s_attributes: {auth_type: kubeConfig, wait_for_metadata: true}",
		"--config", "yaml:receivers::ebpf::discovery: {include: [{exe: /nothing}]}")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+server.Kubeconfig("", token.Status.Token))
	for _, variable := range o.daemonSets[0].Spec.Template.Spec.Containers[0].Env {
		if variable.ValueFrom == nil {
			cmd.Env = append(cmd.Env, variable.Name+"="+variable.Value)
		} else {
			assert.Equal(t, &corev1.ObjectFieldSelector{FieldPath: "spec.nodeName"}, variable.ValueFrom.FieldRef)
			cmd.Env = append(cmd.Env, variable.Name+"=node-1")
		}
	}
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start())
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	deadline := time.After(60 * time.Second)
	for _, url := range []string{"http://127.0.0.1:13133/", "http://127.0.0.1:8889/metrics", "http://127.0.0.1:8888/metrics"} {
		for answers := false; !answers; {
			if response, err := http.Get(url); err == nil {
				answers = response.StatusCode == http.StatusOK
				require.NoError(t, response.Body.Close())
			}
			select {
			case err := <-exited:
				t.Fatal("the Collector ended: ", err, "\n", log.String())
			case <-deadline:
				_ = cmd.Process.Kill()
				<-exited
				t.Fatal("no answer from ", url, "\n", log.String())
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, <-exited)
	assert.NotContains(t, log.String(), "forbidden")
}
