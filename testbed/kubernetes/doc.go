// SPDX-License-Identifier: Apache-2.0

// Package kubernetes runs the built Collector beside a real Kubernetes API server, with
// processes of this machine for containers: what arrives has the names of the cluster.
package kubernetes
