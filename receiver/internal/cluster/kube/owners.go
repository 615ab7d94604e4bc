// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/cluster"
)

const (
	// Answers that are kept: of the controllers of this node's pods, and of peers.
	maxAnswers = 8192
	// Questions that wait; what does not fit is asked again later.
	maxQuestions = 256
	// Between two questions, so that a node that starts asks 20 in a second.
	questionInterval = 50 * time.Millisecond
	// After an error the same is asked again not earlier.
	questionRetry = time.Minute
)

var (
	replicaSets = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
	jobs        = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
)

// object is what is asked about: a ReplicaSet, a Job or a pod.
type object struct{ kind, namespace, name, uid string }

// answer is what the API server says of an object.
type answer struct {
	// owner of the object's, or the object itself if it has none.
	owner cluster.Owner
	// next is the object that may know more of the owner.
	next object
	// hostNetwork: the pod has the address of its node.
	hostNetwork bool
	// known: it exists. Other answers end at a time.
	known bool
	until time.Time
}

// owners asks for single objects: who made the ReplicaSet or the Job of a pod where
// the pod does not tell, and the pods behind addresses. An owner never changes, so
// no watch is needed, and what is asked grows with this node and not with the cluster.
type owners struct {
	clients *clients
	// arrived is called with the uid of what is known now.
	arrived func(uid string)

	mu        sync.Mutex
	answers   map[string]answer
	asked     map[string]bool
	questions chan object
}

func newOwners(c *clients, arrived func(string)) *owners {
	return &owners{
		clients: c, arrived: arrived,
		answers: map[string]answer{}, asked: map[string]bool{},
		questions: make(chan object, maxQuestions),
	}
}

// find returns what is known of an object, and asks about it if nothing is.
func (o *owners) find(about object) (answer, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a, ok := o.answers[about.uid]
	if ok && (a.known || time.Now().Before(a.until)) {
		return a, a.known
	}
	if !o.asked[about.uid] {
		select {
		case o.questions <- about:
			o.asked[about.uid] = true
		default:
		}
	}
	return answer{}, false
}

// top is the topmost owner that is known, from one that a pod names.
func (o *owners) top(owner cluster.Owner, next object) cluster.Owner {
	if next.uid == "" {
		return owner
	}
	if a, ok := o.find(next); ok {
		return a.owner
	}
	return owner
}

func (o *owners) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case about := <-o.questions:
			a := o.ask(ctx, about)
			if ctx.Err() != nil {
				return
			}
			o.keep(about.uid, a)
			if a.known {
				o.arrived(about.uid)
			}
		}
		timer := time.NewTimer(questionInterval)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (o *owners) keep(uid string, a answer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.asked, uid)
	for old := range o.answers {
		if len(o.answers) < maxAnswers {
			break
		}
		delete(o.answers, old) // any: it is asked for again if it is needed
	}
	o.answers[uid] = a
}

// ask waits for the API server.
func (o *owners) ask(ctx context.Context, about object) answer {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var meta metav1.Object
	a := answer{known: true, owner: cluster.Owner{Kind: about.kind, Name: about.name}}
	var err error
	switch about.kind {
	case "Pod":
		pod := &corev1.Pod{}
		err = o.clients.core.Get().Namespace(about.namespace).Resource("pods").Name(about.name).Do(ctx).Into(pod)
		meta, a.hostNetwork = pod, pod.Spec.HostNetwork
		a.owner, a.next = ownerOf(pod)
	case "ReplicaSet":
		meta, err = o.clients.metadata.Resource(replicaSets).Namespace(about.namespace).Get(ctx, about.name, metav1.GetOptions{})
	case "Job":
		meta, err = o.clients.metadata.Resource(jobs).Namespace(about.namespace).Get(ctx, about.name, metav1.GetOptions{})
	}
	switch {
	case apierrors.IsNotFound(err), err == nil && string(meta.GetUID()) != about.uid:
		return answer{until: time.Now().Add(time.Hour)} // gone, and it will not come back
	case err != nil:
		return answer{until: time.Now().Add(questionRetry)}
	}
	if about.kind != "Pod" {
		if c := metav1.GetControllerOfNoCopy(meta); c != nil {
			a.owner = cluster.Owner{Kind: c.Kind, Name: c.Name}
		}
	}
	return a
}

// ownerOf reads from a pod alone what it was made for; next is the object that may
// know better.
//
// The Deployment controller names its ReplicaSets after itself and the value of the
// label pod-template-hash, which nobody else sets
// (https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#pod-template-hash-label),
// so that most need no question.
func ownerOf(pod *corev1.Pod) (owner cluster.Owner, next object) {
	c := metav1.GetControllerOfNoCopy(pod)
	if c == nil || c.Kind == "Node" { // static pods belong to their node
		return cluster.Owner{}, object{}
	}
	owner = cluster.Owner{Kind: c.Kind, Name: c.Name}
	group, _, _ := strings.Cut(c.APIVersion, "/")
	switch {
	case c.Kind == "ReplicaSet" && group == replicaSets.Group:
		if hash := pod.Labels["pod-template-hash"]; hash != "" {
			if deployment, ok := strings.CutSuffix(c.Name, "-"+hash); ok && deployment != "" {
				return cluster.Owner{Kind: "Deployment", Name: deployment}, object{}
			}
		}
	case c.Kind == "Job" && group == jobs.Group:
	default:
		return owner, object{}
	}
	return owner, object{kind: c.Kind, namespace: pod.Namespace, name: c.Name, uid: string(c.UID)}
}
