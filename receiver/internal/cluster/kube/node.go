// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"os"
	"strings"
)

// nodeVariables name the node in the environment, by the downward API: ours and
// those that are usual with other components.
var nodeVariables = []string{"K8S_NODE_NAME", "NODE_NAME", "KUBE_NODE_NAME"}

// NodeName is the name of this node: as configured, by the environment, or the name
// of the host, which is what kubelet calls the node unless told otherwise (with
// --hostname-override, or by cloud providers that name nodes). from is where it is
// from.
//
// In a pod that does not share the host's network the name of the host is that of
// the pod; such pods need the variable.
func NodeName(configured string) (name, from string) {
	if configured != "" {
		return configured, "kubernetes.node"
	}
	for _, variable := range nodeVariables {
		if name := os.Getenv(variable); name != "" {
			return name, variable
		}
	}
	host, err := os.Hostname()
	if err != nil {
		return "", "host name"
	}
	// As kubelet does: nodes have names of DNS.
	return strings.ToLower(strings.TrimSpace(host)), "host name"
}
