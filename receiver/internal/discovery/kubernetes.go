// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"fmt"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/cluster"
)

// Kubernetes are conditions on the pod a process runs in, all of which have to hold.
// Values are globs; of maps every entry has to match. A process without a pod, or with
// one that is not known yet, matches none.
type Kubernetes struct {
	Namespace                             string
	NamespaceLabels, NamespaceAnnotations map[string]string
	PodName                               string
	PodLabels, PodAnnotations             map[string]string
	OwnerKind, OwnerName                  string
	ContainerName                         string
}

// Place is where in a cluster a process runs.
type Place struct {
	// Pod is nil outside pods, and while the pod is not known.
	Pod *cluster.Pod
	// Container is its name in the pod; empty while that is not known.
	Container string
}

type kubernetes struct {
	texts []textCondition
	maps  []mapCondition
}

type textCondition struct {
	of   func(*Place) string
	glob *Glob
}

type mapCondition struct {
	of      func(*Place) map[string]string
	entries []variable
}

// compileKubernetes reports mistakes by field.
func compileKubernetes(k *Kubernetes, mistake func(field string, err error)) *kubernetes {
	c := &kubernetes{}
	for _, t := range []struct {
		field, pattern string
		of             func(*Place) string
	}{
		{"namespace", k.Namespace, func(p *Place) string { return p.Pod.Namespace }},
		{"pod_name", k.PodName, func(p *Place) string { return p.Pod.Name }},
		{"owner_kind", k.OwnerKind, func(p *Place) string { return p.Pod.Owner.Kind }},
		{"owner_name", k.OwnerName, func(p *Place) string { return p.Pod.Owner.Name }},
		{"container_name", k.ContainerName, func(p *Place) string { return p.Container }},
	} {
		if t.pattern == "" {
			continue
		}
		glob, err := CompileGlob(t.pattern)
		mistake("k8s."+t.field, err)
		c.texts = append(c.texts, textCondition{t.of, glob})
	}
	for _, m := range []struct {
		field   string
		entries map[string]string
		of      func(*Place) map[string]string
	}{
		{"namespace_labels", k.NamespaceLabels, func(p *Place) map[string]string { return p.Pod.NamespaceLabels }},
		{"namespace_annotations", k.NamespaceAnnotations, func(p *Place) map[string]string { return p.Pod.NamespaceAnnotations }},
		{"pod_labels", k.PodLabels, func(p *Place) map[string]string { return p.Pod.Labels }},
		{"pod_annotations", k.PodAnnotations, func(p *Place) map[string]string { return p.Pod.Annotations }},
	} {
		if len(m.entries) == 0 {
			continue
		}
		condition := mapCondition{of: m.of}
		for name, pattern := range m.entries {
			field := fmt.Sprintf("k8s.%s[%s]", m.field, name)
			if name == "" {
				mistake(field, fmt.Errorf(`"" is not a name; write name: glob`))
				continue
			}
			glob, err := CompileGlob(pattern)
			mistake(field, err)
			condition.entries = append(condition.entries, variable{name, glob})
		}
		c.maps = append(c.maps, condition)
	}
	if len(c.texts) == 0 && len(c.maps) == 0 {
		mistake("k8s", fmt.Errorf("no condition is given; write namespace, namespace_labels, namespace_annotations, pod_name, pod_labels, pod_annotations, owner_kind, owner_name or container_name, or remove k8s"))
	}
	return c
}

func (k *kubernetes) match(p *Place) bool {
	if p.Pod == nil {
		return false
	}
	for i := range k.texts {
		// What is not known, or not there (the owner of a bare pod), matches
		// nothing, not even "*".
		value := k.texts[i].of(p)
		if value == "" || !k.texts[i].glob.Match(value) {
			return false
		}
	}
	for i := range k.maps {
		values := k.maps[i].of(p)
		for _, want := range k.maps[i].entries {
			value, ok := values[want.name]
			if !ok || !want.value.Match(value) {
				return false
			}
		}
	}
	return true
}
