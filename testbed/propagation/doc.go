// SPDX-License-Identifier: Apache-2.0

// Package propagation tests how traces go on from node to node. Two network
// namespaces joined by a veth pair are the nodes; each is watched by a collector of
// its own, which sees no process of the other.
package propagation
