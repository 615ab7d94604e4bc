// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

// silent keeps what is done with a context out of klog, which writes to stderr
// whatever the Collector's log is.
func silent(ctx context.Context) context.Context { return klog.NewContext(ctx, logr.Discard()) }

// typed makes a source of whole objects; L is a list of them.
func typed[L runtime.Object](client rest.Interface, resource string, list func() L) *source {
	request := func(o *metav1.ListOptions) *rest.Request {
		r := client.Get().Resource(resource).VersionedParams(o, parameters)
		if o.TimeoutSeconds != nil {
			r = r.Timeout(time.Duration(*o.TimeoutSeconds) * time.Second)
		}
		return r
	}
	return &source{
		resource: resource,
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			into := list()
			return into, request(&o).Do(ctx).Into(into)
		},
		watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.Watch = true
			return request(&o).Watch(ctx)
		},
	}
}

func (v *View) podSource() *source {
	s := typed(v.clients.core, "pods", func() *corev1.PodList { return &corev1.PodList{} })
	s.selector = fields.OneTermEqualSelector("spec.nodeName", v.options.Node).String()
	s.example = &corev1.Pod{}
	s.logger = v.options.Logger
	s.store = &store[*corev1.Pod]{
		strip: stripPod, put: v.putPod, replace: v.replacePods, filled: s.filled,
		drop: func(p *corev1.Pod) { v.dropPod(string(p.UID)) },
	}
	s.objects = func() int { return count(v, func() int { return len(v.pods) }) }
	return s
}

func (v *View) namespaceSource() *source {
	client := v.clients.metadata.Resource(corev1.SchemeGroupVersion.WithResource("namespaces"))
	s := &source{
		resource: "namespaces", example: &metav1.PartialObjectMetadata{}, logger: v.options.Logger,
		list:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return client.List(ctx, o) },
		watch: client.Watch,
	}
	s.store = &store[*metav1.PartialObjectMetadata]{
		strip: stripNamespace, put: v.putNamespace, replace: v.replaceNamespaces, filled: s.filled,
		drop: func(o *metav1.PartialObjectMetadata) { v.dropNamespace(o.Name) },
	}
	s.objects = func() int { return count(v, func() int { return len(v.namespaces) }) }
	return s
}

func (v *View) serviceSource() *source {
	s := typed(v.clients.core, "services", func() *corev1.ServiceList { return &corev1.ServiceList{} })
	s.example, s.logger = &corev1.Service{}, v.options.Logger
	s.store = &store[*corev1.Service]{
		strip: func(o *corev1.Service) {
			o.ManagedFields, o.Annotations, o.Labels, o.Spec.Selector = nil, nil, nil, nil
		},
		put:  locked(v, v.network.putService),
		drop: locked(v, func(o *corev1.Service) { v.network.dropService(o.Namespace + "/" + o.Name) }),
		replace: locked(v, func(all []*corev1.Service) {
			replace(v.network.services, all, v.network.dropService, v.network.putService)
		}),
		filled: s.filled,
	}
	s.objects = func() int { return count(v, func() int { return len(v.network.services) }) }
	return s
}

func (v *View) sliceSource() *source {
	s := typed(v.clients.discovery, "endpointslices", func() *discoveryv1.EndpointSliceList { return &discoveryv1.EndpointSliceList{} })
	s.example, s.logger = &discoveryv1.EndpointSlice{}, v.options.Logger
	s.store = &store[*discoveryv1.EndpointSlice]{
		strip: func(o *discoveryv1.EndpointSlice) {
			o.ManagedFields, o.Annotations, o.OwnerReferences = nil, nil, nil
			o.Labels = map[string]string{discoveryv1.LabelServiceName: o.Labels[discoveryv1.LabelServiceName]}
		},
		put:  locked(v, v.network.putSlice),
		drop: locked(v, func(o *discoveryv1.EndpointSlice) { v.network.dropSlice(o.Namespace + "/" + o.Name) }),
		replace: locked(v, func(all []*discoveryv1.EndpointSlice) {
			replace(v.network.slices, all, v.network.dropSlice, v.network.putSlice)
		}),
		filled: s.filled,
	}
	s.objects = func() int { return count(v, func() int { return len(v.network.slices) }) }
	return s
}

// elsewhereSource are the pods of other nodes that have addresses.
func (v *View) elsewhereSource() *source {
	s := typed(v.clients.core, "pods", func() *corev1.PodList { return &corev1.PodList{} })
	s.resource = "pods_elsewhere"
	s.selector = fields.AndSelectors(
		fields.OneTermNotEqualSelector("spec.nodeName", v.options.Node),
		fields.OneTermNotEqualSelector("spec.nodeName", ""),
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodSucceeded)),
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodFailed)),
	).String()
	s.example, s.logger = &corev1.Pod{}, v.options.Logger
	there := map[types.UID]*located{}
	drop := func(uid types.UID) {
		if l, ok := there[uid]; ok {
			v.network.leave(l)
			delete(there, uid)
		}
	}
	put := func(p *corev1.Pod) {
		drop(p.UID)
		stripPeer(p)
		l := newLocated(p)
		there[p.UID] = &l
		v.network.locate(&l)
	}
	s.store = &store[*corev1.Pod]{
		strip: stripPeer, put: locked(v, put), filled: s.filled,
		drop: locked(v, func(p *corev1.Pod) { drop(p.UID) }),
		replace: locked(v, func(all []*corev1.Pod) {
			for uid := range there {
				drop(uid)
			}
			for _, p := range all {
				put(p)
			}
		}),
	}
	s.objects = func() int { return count(v, func() int { return len(there) }) }
	return s
}

// locked makes a function hold v.mu.
func locked[T any](v *View, do func(T)) func(T) {
	return func(t T) {
		v.mu.Lock()
		defer v.mu.Unlock()
		do(t)
	}
}

func count(v *View, do func() int) int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return do()
}

// replace drops what is known by a key and is not in the list, and puts the rest.
func replace[T metav1.Object, E any](known map[string]E, all []T, drop func(string), put func(T)) {
	there := make(map[string]bool, len(all))
	for _, o := range all {
		there[o.GetNamespace()+"/"+o.GetName()] = true
	}
	for key := range known {
		if !there[key] {
			drop(key)
		}
	}
	for _, o := range all {
		put(o)
	}
}
