// SPDX-License-Identifier: Apache-2.0

package cluster

import "net/netip"

// Pod is a pod of this node, as the API server last told. It is immutable once
// published: a change makes a new one, so pointers may be shared and compared.
type Pod struct {
	UID, Namespace, Name, Node string
	Labels, Annotations        map[string]string
	NamespaceLabels            map[string]string
	NamespaceAnnotations       map[string]string
	Owner                      Owner
	// Containers are names by container id (64 hex digits, without the runtime's
	// prefix), init and ephemeral containers among them.
	Containers map[string]string
}

// Owner is what a pod was made for: the topmost controller that is known, so a
// Deployment and not its ReplicaSet. Kind and name are empty for a bare pod.
type Owner struct{ Kind, Name string }

// Peer is who has an address in the cluster. Fields that are not known are empty:
// a service's virtual address has no pod.
type Peer struct {
	Namespace string
	Service   string
	Pod       string
	Owner     Owner
}

// View answers what is known of the cluster now. It never waits: what has not
// arrived yet is not known. Safe for concurrent use.
type View interface {
	// Container finds the pod that has a container, and the container's name in it.
	Container(id string) (pod *Pod, name string, ok bool)
	// Pod finds a pod of this node by its uid; a static pod also by what its cgroup has
	// instead (the hash of its manifest), so that the uid asked for need not be that of
	// the pod.
	Pod(uid string) (*Pod, bool)
	// Peer finds who has an address; port tells the services of one address apart.
	Peer(address netip.AddrPort) (Peer, bool)
	// OnChange asks for calls with the uid of each pod of this node that came, went
	// or changed in what a Pod says (its namespace's labels included). Calls come one
	// at a time and must return soon. Several may ask. What is known already when it is asked for makes
	// no call.
	OnChange(func(uid string))
}
