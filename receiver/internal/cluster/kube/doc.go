// SPDX-License-Identifier: Apache-2.0

// Package kube is the cluster.View of a Kubernetes cluster: client-go's reflectors
// keep what this node needs of the API server up to date.
//
// In: lists and watches of the pods of one node, of namespaces (metadata only) and,
// for peers, of Services and EndpointSlices or of all pods. Out: cluster.Pod and
// cluster.Peer. What nobody asks for is dropped where it is decoded, and there is no
// second copy in an informer's store. It must never know about processes,
// connections or telemetry, and nothing waits for it: an API server that cannot be
// reached is tried again and again, and what was known stays known meanwhile.
package kube
