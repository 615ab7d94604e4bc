// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

const (
	// The API server is asked again after a tenth of the time that it has not
	// answered, within these bounds and less up to a third at random: many nodes shall
	// not come back at the same moment. client-go's own 30 to 60 s would leave a node
	// without news for a minute after a restart of seconds.
	firstRetry = 250 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// source is one resource that is kept up to date: what to ask for, and how that goes.
type source struct {
	resource string // in the plural, as RBAC rules name it
	selector string // of fields
	list     func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch    func(context.Context, metav1.ListOptions) (watch.Interface, error)
	example  runtime.Object
	store    cache.ReflectorStore
	objects  func() int
	logger   *zap.Logger

	mu      sync.Mutex
	synced  bool // a list has come at some time
	problem error
	errors  uint64
	unrest  time.Time // when the first of the last pauses began, none far from the next
	paused  time.Time // until when, the last time
}

var _ cache.ListerWatcherWithContext = (*source)(nil)

// run returns when ctx ends.
func (s *source) run(ctx context.Context) {
	reflector := cache.NewReflectorWithOptions(s, s.example, s.store, cache.ReflectorOptions{Name: s.resource})
	for ctx.Err() == nil {
		// It lists, watches, and watches again from where it was; it returns
		// when it has to list again (410 Gone), or with an error.
		// tell knows the error already.
		_ = reflector.ListAndWatchWithContext(ctx)
		s.pause(ctx)
	}
}

// pause waits before the next try.
func (s *source) pause(ctx context.Context) {
	s.mu.Lock()
	now := time.Now()
	if now.Sub(s.paused) > 3*lastRetry {
		s.unrest = now
	}
	wait := min(max(now.Sub(s.unrest)/10, firstRetry), lastRetry)
	s.paused = now.Add(wait)
	s.mu.Unlock()
	timer := time.NewTimer(wait - rand.N(wait/3))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// ListWithContext implements cache.ListerWithContext.
func (s *source) ListWithContext(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	o.FieldSelector = s.selector
	list, err := s.list(ctx, o)
	if err != nil { // that all is well is for the watch behind it to say
		s.tell(ctx, err)
	}
	return list, err
}

// WatchWithContext implements cache.WatcherWithContext.
func (s *source) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	o.FieldSelector = s.selector
	for {
		w, err := s.watch(ctx, o)
		s.tell(ctx, err)
		if err == nil || answered(err) || ctx.Err() != nil {
			return w, err
		}
		// A server that is not there. The reflector would wait by its own times, up
		// to a minute, or list anew what a watch may well go on with.
		if o.SendInitialEvents != nil { // a list by a watch: let it return
			return nil, fmt.Errorf("watch %s: %v", s.resource, err)
		}
		s.pause(ctx)
	}
}

// answered reports whether an error is an answer of the API server's.
func answered(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status)
}

// List implements cache.Lister.
func (s *source) List(o metav1.ListOptions) (runtime.Object, error) {
	return s.ListWithContext(context.Background(), o)
}

// Watch implements cache.Watcher.
func (s *source) Watch(o metav1.ListOptions) (watch.Interface, error) {
	return s.WatchWithContext(context.Background(), o)
}

// tell notes how a request went.
func (s *source) tell(ctx context.Context, err error) {
	switch {
	case err == nil:
		s.worked()
	case apierrors.IsResourceExpired(err) || apierrors.IsGone(err): // lists again: ordinary
	default:
		s.failed(ctx, err)
	}
}

func (s *source) worked() {
	s.mu.Lock()
	before := s.problem
	s.problem = nil
	s.mu.Unlock()
	if before != nil {
		s.logger.Info("the Kubernetes API server answers again", zap.String("resource", s.resource))
	}
}

func (s *source) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	first := s.problem == nil
	s.problem = err
	s.errors++
	s.mu.Unlock()
	if !first {
		return
	}
	message := "the Kubernetes API server does not answer: what is known of the cluster stays as it is, and it is asked again"
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		message = "the Kubernetes API server refuses to tell: grant the receiver's service account list and watch on the resource"
	}
	s.logger.Warn(message, zap.String("resource", s.resource), zap.Error(err))
}

// filled is called by stores when they have a whole list.
func (s *source) filled() {
	s.mu.Lock()
	s.synced = true
	s.mu.Unlock()
}

// pending reports whether the first list may still come soon.
func (s *source) pending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.synced && s.problem == nil
}

// Status of one resource.
type Status struct {
	// Resource is its name in the plural: "pods".
	Resource string
	// Objects that are known now.
	Objects int
	// Current: all that there was had come, and changes do.
	Current bool
	// Errors are the requests that failed so far.
	Errors uint64
}

func (s *source) status() Status {
	s.mu.Lock()
	status := Status{Resource: s.resource, Current: s.synced && s.problem == nil, Errors: s.errors}
	s.mu.Unlock()
	status.Objects = s.objects()
	return status
}

// store hands what a reflector brings to functions. Those are called by one goroutine.
type store[T runtime.Object] struct {
	// strip takes out what is not needed, before anything else keeps the object.
	strip     func(T)
	put, drop func(T)
	replace   func([]T)
	filled    func()
}

var _ cache.TransformingStore = (*store[runtime.Object])(nil)

func (s *store[T]) Transformer() cache.TransformFunc {
	return func(object any) (any, error) {
		if o, ok := object.(T); ok {
			s.strip(o)
		}
		return object, nil
	}
}

func (s *store[T]) Add(object any) error {
	if o, ok := object.(T); ok {
		s.put(o)
	}
	return nil
}

func (s *store[T]) Update(object any) error { return s.Add(object) }

func (s *store[T]) Delete(object any) error {
	if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	if o, ok := object.(T); ok {
		s.drop(o)
	}
	return nil
}

// Replace is told all that there is: what else was known is gone.
func (s *store[T]) Replace(list []any, _ string) error {
	all := make([]T, 0, len(list))
	for _, object := range list {
		if o, ok := object.(T); ok {
			all = append(all, o)
		}
	}
	s.replace(all)
	s.filled()
	return nil
}

func (s *store[T]) Resync() error { return nil }
