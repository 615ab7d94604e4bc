// SPDX-License-Identifier: Apache-2.0

package cluster

import rbacv1 "k8s.io/api/rbac/v1"

// ReceiverRules are what the receiver needs of the API server, and k8s_attributes with
// its defaults; what the manifests in distribution grant. Tests run as somebody who may
// do this and no more.
var ReceiverRules = []rbacv1.PolicyRule{
	{APIGroups: []string{""}, Resources: []string{"pods", "namespaces"}, Verbs: []string{"get", "list", "watch"}},
	{APIGroups: []string{""}, Resources: []string{"services"}, Verbs: []string{"list", "watch"}},
	{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: []string{"list", "watch"}},
	{APIGroups: []string{"apps"}, Resources: []string{"replicasets"}, Verbs: []string{"get"}},
	{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"get"}},
}
