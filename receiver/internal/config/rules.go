// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"slices"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery"
)

// Compile makes the rules ready to match processes, with the samplers and routes they
// have of their own.
func (d *Discovery) Compile() (*discovery.Matcher, error) {
	var p problems
	include, exclude := rules(&p, "discovery.include", d.Include), rules(&p, "discovery.exclude", d.Exclude)
	m, err := discovery.Compile(include, exclude)
	if err = errors.Join(append(p, err)...); err != nil {
		return nil, err
	}
	return m, nil
}

func rules(p *problems, path string, list []Rule) []discovery.Rule {
	out := make([]discovery.Rule, len(list))
	for i := range list {
		out[i] = list[i].compile(p, fmt.Sprintf("%s[%d]", path, i))
	}
	return out
}

func (r *Rule) compile(p *problems, path string) discovery.Rule {
	out := discovery.Rule{
		Exe:              r.Exe,
		Cmdline:          r.Cmdline,
		OpenPorts:        r.OpenPorts,
		PIDs:             r.PIDs,
		Environment:      r.Environment,
		Languages:        r.Language,
		ContainerName:    r.ContainerName,
		ServiceName:      r.ServiceName,
		ServiceNamespace: r.ServiceNamespace,
	}
	if r.K8s != nil {
		k := discovery.Kubernetes(*r.K8s)
		out.Kubernetes = &k
	}
	var err error
	if r.Sampler != nil {
		if out.Sampler, err = r.Sampler.compile(path + ".sampler"); err != nil {
			*p = append(*p, err)
		}
	}
	if r.Routes != nil {
		if out.Routes, err = r.Routes.compile(path + ".routes"); err != nil {
			*p = append(*p, err)
		}
	}
	if r.Signals != nil {
		if len(r.Signals) == 0 {
			p.addf(path+".signals", "the list is empty, so that nothing would be reported: write traces, metrics or both, or move the rule to discovery.exclude")
		}
		for i, s := range r.Signals {
			enum(p, fmt.Sprintf("%s.signals[%d]", path, i), s, SignalTraces, SignalMetrics)
		}
		out.WithoutTraces = !slices.Contains(r.Signals, SignalTraces)
		out.WithoutMetrics = !slices.Contains(r.Signals, SignalMetrics)
	}
	return out
}
