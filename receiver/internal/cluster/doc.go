// SPDX-License-Identifier: Apache-2.0

// Package cluster is what is known of the Kubernetes cluster this node is part of:
// the pods of this node with what rules ask for (labels, namespaces, owners), and who
// has an address elsewhere.
//
// In: the API server, through one shared set of informers. Out: a View that never
// waits. It must never know about processes, connections or telemetry.
package cluster
