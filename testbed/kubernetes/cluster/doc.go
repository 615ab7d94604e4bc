// SPDX-License-Identifier: Apache-2.0

// Package cluster is a Kubernetes cluster for tests: a real kube-apiserver with RBAC
// and a real etcd, compiled once from their Go modules (testbed/kubernetes/apiserver) and
// kept in testbed/_build/kubernetes.
//
// There are no controllers, no scheduler and no kubelet. What those would write the
// test writes: pods that are bound to a node, their status with the ids of containers,
// ReplicaSets of a Deployment, EndpointSlices of a Service.
package cluster
