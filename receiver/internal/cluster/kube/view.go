// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/cluster"
)

// Peers says whose addresses are known.
type Peers int

const (
	// PeersNone knows the addresses of this node's pods only.
	PeersNone Peers = iota
	// PeersServices knows Services and, from their EndpointSlices, the pods behind
	// them.
	PeersServices
	// PeersPods knows all pods, too: one more watch of the whole cluster.
	PeersPods
)

// namespaceWait is how long a pod waits for its namespace, whose watch is another
// one, before it is shown without: so that rules do not decide twice.
const namespaceWait = time.Second

// Options of a View.
type Options struct {
	Config *rest.Config
	Node   string // whose pods are known
	Peers  Peers
	Logger *zap.Logger
}

// View is a cluster.View by a Kubernetes API server.
type View struct {
	options Options
	clients *clients
	sources []*source
	spaces  *source // of sources: namespaces
	owners  *owners
	changes *changes

	cancel  context.CancelFunc
	running sync.WaitGroup

	mu         sync.RWMutex
	pods       map[string]*pod      // by uid
	names      map[string]*pod      // by namespace/name
	hashes     map[string]*pod      // by kubelet's uid, of static pods
	containers map[string]container // by id
	namespaces map[string]namespace
	waiting    map[string]time.Time // pods without a namespace: until when, by uid
	held       chan struct{}        // there is something in waiting
	network    network
}

var _ cluster.View = (*View)(nil)

type container struct {
	pod  *pod
	name string
}

type namespace struct{ labels, annotations map[string]string }

// New does not connect.
func New(o Options) (*View, error) {
	c, err := newClients(o.Config)
	if err != nil {
		return nil, fmt.Errorf("create the Kubernetes client: %w", err)
	}
	v := &View{
		options: o, clients: c, changes: newChanges(),
		pods: map[string]*pod{}, names: map[string]*pod{}, hashes: map[string]*pod{},
		containers: map[string]container{}, namespaces: map[string]namespace{}, waiting: map[string]time.Time{},
		held: make(chan struct{}, 1), network: newNetwork(),
	}
	v.owners = newOwners(c, v.resolved)
	v.spaces = v.namespaceSource()
	v.sources = append(v.sources, v.podSource(), v.spaces)
	if o.Peers >= PeersServices {
		v.sources = append(v.sources, v.serviceSource(), v.sliceSource())
	}
	if o.Peers == PeersPods {
		v.sources = append(v.sources, v.elsewhereSource())
	}
	return v, nil
}

// Start begins to ask; it does not wait.
func (v *View) Start() {
	ctx, cancel := context.WithCancel(silent(context.Background()))
	v.cancel = cancel
	for _, s := range v.sources {
		v.running.Go(func() { s.run(ctx) })
	}
	v.running.Go(func() { v.owners.run(ctx) })
	v.running.Go(func() { v.changes.run(ctx) })
	v.running.Go(func() { v.upkeep(ctx) })
}

// Stop ends all that Start began. What was known stays.
func (v *View) Stop() {
	if v.cancel == nil {
		return
	}
	v.cancel()
	v.running.Wait()
	utilnet.CloseIdleConnectionsFor(v.clients.http.Transport)
}

// Status of each resource that is watched.
func (v *View) Status() []Status {
	out := make([]Status, len(v.sources))
	for i, s := range v.sources {
		out[i] = s.status()
	}
	return out
}

// Problem says why what is known of the cluster is out of date; nil if it is not.
func (v *View) Problem() error {
	var all []error
	for _, s := range v.sources {
		s.mu.Lock()
		if s.problem != nil {
			all = append(all, fmt.Errorf("watch %s: %w", s.resource, s.problem))
		}
		s.mu.Unlock()
	}
	return errors.Join(all...)
}

// Container implements cluster.View.
func (v *View) Container(id string) (*cluster.Pod, string, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	c, ok := v.containers[id]
	if !ok || c.pod.says == nil {
		return nil, "", false
	}
	return c.pod.says, c.name, true
}

// Pod implements cluster.View. uid may also be what kubelet calls a static pod.
func (v *View) Pod(uid string) (*cluster.Pod, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	p, ok := v.pods[uid]
	if !ok {
		p, ok = v.hashes[strings.ReplaceAll(uid, "-", "")]
	}
	if !ok || p.says == nil {
		return nil, false
	}
	return p.says, true
}

// OnChange implements cluster.View. Pods that are known already are no change.
func (v *View) OnChange(call func(uid string)) { v.changes.ask(call) }

// putPod is told of a new pod or a new state of one.
func (v *View) putPod(object *corev1.Pod) {
	p := newPod(object)
	v.mu.Lock()
	defer v.mu.Unlock()
	key := p.facts.Namespace + "/" + p.facts.Name
	if other, ok := v.names[key]; ok && other.facts.UID != p.facts.UID {
		v.drop(other) // replaced by one of the same name
	}
	if before, ok := v.pods[p.facts.UID]; ok {
		p.says = before.says
		v.unlink(before)
	}
	v.pods[p.facts.UID], v.names[key] = p, p
	if p.hash != "" {
		v.hashes[p.hash] = p
	}
	for id, name := range p.facts.Containers {
		v.containers[id] = container{pod: p, name: name}
	}
	v.network.locate(&p.place)
	v.publish(p)
}

func (v *View) dropPod(uid string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if p, ok := v.pods[uid]; ok {
		v.drop(p)
	}
}

// drop forgets a pod. Under mu.
func (v *View) drop(p *pod) {
	v.unlink(p)
	if p.says != nil {
		v.changes.add(p.facts.UID)
	}
}

// unlink takes a pod out of what it can be found by. Under mu.
func (v *View) unlink(p *pod) {
	delete(v.pods, p.facts.UID)
	delete(v.waiting, p.facts.UID)
	if key := p.facts.Namespace + "/" + p.facts.Name; v.names[key] == p {
		delete(v.names, key)
	}
	if v.hashes[p.hash] == p {
		delete(v.hashes, p.hash)
	}
	for id := range p.facts.Containers {
		if v.containers[id].pod == p {
			delete(v.containers, id)
		}
	}
	v.network.leave(&p.place)
}

func (v *View) replacePods(list []*corev1.Pod) {
	there := make(map[string]bool, len(list))
	for _, p := range list {
		there[string(p.UID)] = true
	}
	v.mu.Lock()
	for uid, p := range v.pods {
		if !there[uid] {
			v.drop(p)
		}
	}
	v.mu.Unlock()
	for _, p := range list {
		v.putPod(p)
	}
	if len(list) == 0 {
		v.options.Logger.Warn("the API server knows no pods on this node: is its name right? (kubernetes.node, K8S_NODE_NAME)",
			zap.String("node", v.options.Node))
	}
}

// publish makes what a pod says, if that is news. Under mu.
func (v *View) publish(p *pod) {
	space, known := v.namespaces[p.facts.Namespace]
	switch {
	case known:
	case p.says != nil: // the namespace is gone, and the pod will be
		space = namespace{labels: p.says.NamespaceLabels, annotations: p.says.NamespaceAnnotations}
	default:
		until, waits := v.waiting[p.facts.UID]
		if !waits {
			until = time.Now().Add(namespaceWait)
			v.waiting[p.facts.UID] = until
		}
		if v.spaces.pending() || time.Now().Before(until) {
			select {
			case v.held <- struct{}{}:
			default:
			}
			return
		}
	}
	delete(v.waiting, p.facts.UID)
	says := p.facts
	says.NamespaceLabels, says.NamespaceAnnotations = space.labels, space.annotations
	says.Owner = v.owners.top(p.facts.Owner, p.next)
	if p.says != nil && equal(p.says, &says) {
		return
	}
	p.says = &says
	v.changes.add(says.UID)
}

// upkeep publishes pods whose namespace does not come, and asks again for owners that
// could not be asked for.
func (v *View) upkeep(ctx context.Context) {
	slow := time.NewTicker(questionRetry)
	defer slow.Stop()
	var soon <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.held:
			if soon == nil {
				soon = time.After(namespaceWait / 4)
			}
		case <-soon:
			soon = nil
			v.mu.Lock()
			for uid := range v.waiting {
				v.publish(v.pods[uid])
			}
			v.mu.Unlock()
		case <-slow.C:
			v.mu.Lock()
			for _, p := range v.pods {
				if p.next.uid != "" {
					v.publish(p)
				}
			}
			v.mu.Unlock()
		}
	}
}

// resolved is told that an owner is known now.
func (v *View) resolved(uid string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, p := range v.pods {
		if p.next.uid == uid {
			v.publish(p)
		}
	}
}

func (v *View) putNamespace(o *metav1.PartialObjectMetadata) {
	stripNamespace(o)
	v.mu.Lock()
	defer v.mu.Unlock()
	before, known := v.namespaces[o.Name]
	v.namespaces[o.Name] = namespace{labels: o.Labels, annotations: o.Annotations}
	if known && maps.Equal(before.labels, o.Labels) && maps.Equal(before.annotations, o.Annotations) {
		return
	}
	for _, p := range v.pods {
		if p.facts.Namespace == o.Name {
			v.publish(p)
		}
	}
}

// dropNamespace: pods outlive their namespace for a moment and keep its labels.
func (v *View) dropNamespace(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.namespaces, name)
}

func (v *View) replaceNamespaces(list []*metav1.PartialObjectMetadata) {
	there := make(map[string]bool, len(list))
	for _, o := range list {
		there[o.Name] = true
	}
	v.mu.Lock()
	for name := range v.namespaces {
		if !there[name] {
			delete(v.namespaces, name)
		}
	}
	v.mu.Unlock()
	for _, o := range list {
		v.putNamespace(o)
	}
}

func stripNamespace(o *metav1.PartialObjectMetadata) {
	o.ManagedFields, o.Finalizers, o.OwnerReferences = nil, nil, nil
	delete(o.Annotations, lastApplied)
}

// Peer implements cluster.View.
func (v *View) Peer(address netip.AddrPort) (cluster.Peer, bool) {
	v.mu.RLock()
	peer, next, ok := v.network.find(netip.AddrPortFrom(address.Addr().Unmap().WithZone(""), address.Port()), v.owners)
	v.mu.RUnlock()
	if ok {
		peer.Owner = v.owners.top(peer.Owner, next)
	}
	return peer, ok
}
