// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// needed are the rights a Collector with the ebpf receiver has, and no others.
var needed = []corev1.Capability{"BPF", "PERFMON", "SYS_PTRACE", "DAC_READ_SEARCH"}

// kustomizations are applied with `kubectl apply -k`.
var kustomizations = []string{
	"distribution/kubernetes/base",
	"distribution/kubernetes/privileged",
	"distribution/kubernetes/monitoring",
	"examples/gateway",
	"examples/beyla/daemonset",
	"examples/odigos",
}

func build(t *testing.T, directory string) objects {
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).
		Run(filesys.MakeFsOnDisk(), repository(t, strings.Split(directory, "/")...))
	require.NoError(t, err)
	text, err := resources.AsYaml()
	require.NoError(t, err)
	return decode(t, text)
}

func TestKustomizations(t *testing.T) {
	for _, directory := range kustomizations {
		t.Run(directory, func(t *testing.T) {
			o := build(t, directory)
			check(t, o)
			require.Len(t, o.daemonSets, 1)
			require.Len(t, o.bindings, 1)
			pod := o.daemonSets[0].Spec.Template.Spec
			assert.True(t, pod.HostPID)
			assert.False(t, pod.HostNetwork)
			require.Len(t, pod.Containers, 1)
			context := pod.Containers[0].SecurityContext
			assert.True(t, *context.ReadOnlyRootFilesystem)
			if strings.HasSuffix(directory, "privileged") {
				assert.True(t, *context.Privileged)
				assert.Nil(t, context.AllowPrivilegeEscalation, "the API server refuses false beside privileged")
			} else {
				leastPrivilege(t, context)
			}
			// Without the label, Pod Security may refuse the pods.
			var enforced string
			for _, n := range o.namespaces {
				if n.Name == o.daemonSets[0].Namespace {
					enforced = n.Labels["pod-security.kubernetes.io/enforce"]
				}
			}
			assert.Equal(t, "privileged", enforced)
		})
	}
}

func leastPrivilege(t *testing.T, context *corev1.SecurityContext) {
	assert.False(t, context.Privileged != nil && *context.Privileged)
	assert.False(t, *context.AllowPrivilegeEscalation)
	// Added capabilities reach the processes of root only.
	assert.Zero(t, *context.RunAsUser)
	assert.Equal(t, []corev1.Capability{"ALL"}, context.Capabilities.Drop)
	assert.Equal(t, needed, context.Capabilities.Add)
	assert.Equal(t, corev1.SeccompProfileTypeUnconfined, context.SeccompProfile.Type)
	assert.Equal(t, corev1.AppArmorProfileTypeUnconfined, context.AppArmorProfile.Type)
}

func TestSidecar(t *testing.T) {
	text, err := os.ReadFile(repository(t, "examples", "beyla", "sidecar.yaml"))
	require.NoError(t, err)
	o := decode(t, text)
	check(t, o)
	require.Len(t, o.deployments, 1)
	pod := o.deployments[0].Spec.Template.Spec
	assert.True(t, *pod.ShareProcessNamespace)
	assert.False(t, pod.HostPID, "the API server refuses both")
	require.Len(t, pod.Containers, 2)
	leastPrivilege(t, pod.Containers[1].SecurityContext)
}

// The gateway loads no probes and has no rights at all.
func TestGatewayHasNoRights(t *testing.T) {
	o := build(t, "examples/gateway")
	require.Len(t, o.deployments, 1)
	pod := o.deployments[0].Spec.Template.Spec
	assert.False(t, pod.HostPID)
	assert.False(t, *pod.AutomountServiceAccountToken)
	context := pod.Containers[0].SecurityContext
	assert.True(t, *context.RunAsNonRoot)
	assert.Empty(t, context.Capabilities.Add)
}
