// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/kubernetes/cluster"
)

// A real API server accepts every object, and every pod that they make, as it would if
// they were kept (`kubectl apply --dry-run=server --validate=strict`).
func TestAPIServerAccepts(t *testing.T) {
	sidecar, err := os.ReadFile(repository(t, "examples", "beyla", "sidecar.yaml"))
	require.NoError(t, err)
	sets := map[string]objects{
		"examples/beyla/sidecar.yaml": decode(t, sidecar),
		"chart":                       rendered(t, "contextPropagation: [http_header]"),
		"chart, privileged":           rendered(t, "privileged: true"),
	}
	for _, directory := range kustomizations {
		sets[directory] = build(t, directory)
	}
	server := cluster.Start(t)
	client, err := dynamic.NewForConfig(server.Admin)
	require.NoError(t, err)

	// Objects in a namespace that is not there are refused; these stay.
	for _, name := range []string{"otelcol-ebpf", "observability"} {
		_, err := server.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "privileged"},
		}}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	_, err = server.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "baseline", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "baseline"},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)

	for name, o := range sets {
		t.Run(name, func(t *testing.T) {
			for _, document := range o.documents {
				accepts(t, client, document)
			}
			for _, w := range o.workloads() {
				namespace := w.namespace
				if namespace == "" {
					namespace = "otelcol-ebpf" // kubectl's -n
				}
				pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: w.name, Labels: w.template.Labels}, Spec: w.template.Spec}
				dryRun := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
				_, err := server.CoreV1().Pods(namespace).Create(t.Context(), pod, dryRun)
				assert.NoError(t, err)
				// The gateway asks for nothing that a stricter namespace refuses.
				_, err = server.CoreV1().Pods("baseline").Create(t.Context(), pod, dryRun)
				if strings.HasSuffix(w.name, "-gateway") {
					assert.NoError(t, err)
				} else {
					assert.True(t, apierrors.IsForbidden(err), "%v", err)
				}
			}
		})
	}

	t.Run("rights", func(t *testing.T) {
		o := sets["distribution/kubernetes/base"]
		_, err := server.RbacV1().ClusterRoles().Create(t.Context(), o.roles[0], metav1.CreateOptions{})
		require.NoError(t, err)
		_, err = server.RbacV1().ClusterRoleBindings().Create(t.Context(), o.bindings[0], metav1.CreateOptions{})
		require.NoError(t, err)
		for _, c := range []struct {
			group, resource, verb string
			may                   bool
		}{
			{"", "pods", "list", true},
			{"", "pods", "watch", true},
			{"", "namespaces", "watch", true},
			{"", "services", "watch", true},
			{"discovery.k8s.io", "endpointslices", "list", true},
			{"apps", "replicasets", "get", true},
			{"batch", "jobs", "get", true},
			{"", "pods", "delete", false},
			{"", "secrets", "get", false},
			{"apps", "daemonsets", "patch", false},
		} {
			require.Eventually(t, func() bool {
				review, err := server.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
					Spec: authorizationv1.SubjectAccessReviewSpec{
						User:               "system:serviceaccount:otelcol-ebpf:otelcol-ebpf",
						ResourceAttributes: &authorizationv1.ResourceAttributes{Group: c.group, Resource: c.resource, Verb: c.verb},
					},
				}, metav1.CreateOptions{})
				require.NoError(t, err)
				return review.Status.Allowed == c.may
			}, 5*time.Second, 50*time.Millisecond, "%s %s/%s", c.verb, c.group, c.resource)
		}
	})
}

// accepts creates an object for show.
func accepts(t *testing.T, client dynamic.Interface, document []byte) {
	var object unstructured.Unstructured
	require.NoError(t, sigsyaml.Unmarshal(document, &object.Object))
	if object.GetKind() == "ServiceMonitor" {
		return // it needs the operator's definitions; decode has looked at every field
	}
	resource, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
	options := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict}
	var err error
	switch object.GetKind() {
	case "Namespace":
		_, err = client.Resource(resource).Create(t.Context(), &object, options)
		if apierrors.IsAlreadyExists(err) {
			err = nil
		}
	case "ClusterRole", "ClusterRoleBinding":
		_, err = client.Resource(resource).Create(t.Context(), &object, options)
	default:
		namespace := object.GetNamespace()
		if namespace == "" {
			namespace = "otelcol-ebpf"
		}
		_, err = client.Resource(resource).Namespace(namespace).Create(t.Context(), &object, options)
	}
	assert.NoError(t, err, "%s %s", object.GetKind(), object.GetName())
}
