// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/route"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/sampling"
)

// Rule selects processes: every condition that is given has to hold.
type Rule struct {
	// Exe is a glob over the path of the executable, as the process sees it.
	Exe string
	// Cmdline is a glob over the arguments joined by single spaces.
	Cmdline string
	// OpenPorts are TCP ports one of which the process listens on, such as
	// "8080-8090,9000".
	OpenPorts string
	// PIDs are process ids, one of which it has.
	PIDs []int
	// Environment has a glob over the value of each variable named. A
	// variable that is not set matches nothing, not even "*".
	Environment map[string]string
	// Languages are names of runtimes (ParseLanguage), one of which it has.
	Languages []string
	// ContainerName is a glob over the name of the container it runs in.
	ContainerName string
	// Kubernetes is nil if the rule does not ask for pods.
	Kubernetes *Kubernetes

	// ServiceName and ServiceNamespace override what would be reported for
	// the processes an include rule selects.
	ServiceName, ServiceNamespace string
	// Sampler and Routes replace those of all processes; nil for none. They are
	// only carried along.
	Sampler *sampling.Sampler
	Routes  *route.Matcher
	// WithoutTraces and WithoutMetrics: that signal is not wanted.
	WithoutTraces, WithoutMetrics bool
}

// Matcher is a compiled set of rules. It is safe for concurrent use.
type Matcher struct {
	include, exclude []compiledRule
	needs            Needs
}

// Needs are what some rule looks at that can change while a process runs.
type Needs struct {
	// Ports: it may start to listen. Languages: it may load its runtime later. Pods:
	// what is known of its pod may change.
	Ports, Languages, Pods bool
	// Containers: the names of containers outside Kubernetes, too.
	Containers bool
}

// Decision is the verdict over a process.
type Decision struct {
	Selected bool
	// Rule is the include rule that selected the process; nil if it was
	// selected by default. Do not change it.
	Rule *Rule

	// by is the rule that decided, nil if none did.
	by *compiledRule
}

// Traces reports whether traces of the process are wanted.
func (d Decision) Traces() bool { return d.Selected && (d.Rule == nil || !d.Rule.WithoutTraces) }

// Metrics reports whether metrics of the process are wanted.
func (d Decision) Metrics() bool { return d.Selected && (d.Rule == nil || !d.Rule.WithoutMetrics) }

type compiledRule struct {
	rule         Rule
	exe, cmdline *Glob
	ports        Ports
	environment  []variable
	languages    Languages
	container    *Glob
	kubernetes   *kubernetes
}

type variable struct {
	name  string
	value *Glob
}

// Compile checks rules and makes them ready to match. The error has one
// sentence per mistake, joined; each begins with the configuration path.
func Compile(include, exclude []Rule) (*Matcher, error) {
	m := &Matcher{}
	var mistakes []error
	for i, rule := range include {
		mistakes = append(mistakes, m.add(&m.include, fmt.Sprintf("discovery.include[%d]", i), rule))
	}
	for i, rule := range exclude {
		path := fmt.Sprintf("discovery.exclude[%d]", i)
		for _, override := range []struct {
			key   string
			given bool
		}{
			{"service_name", rule.ServiceName != ""},
			{"service_namespace", rule.ServiceNamespace != ""},
			{"sampler", rule.Sampler != nil},
			{"routes", rule.Routes != nil},
			{"signals", rule.WithoutTraces || rule.WithoutMetrics},
		} {
			if override.given {
				mistakes = append(mistakes, fmt.Errorf("%s.%s: an excluded process reports nothing; move %s to an include rule", path, override.key, override.key))
			}
		}
		mistakes = append(mistakes, m.add(&m.exclude, path, rule))
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Matcher) add(list *[]compiledRule, path string, rule Rule) error {
	c := compiledRule{rule: rule}
	c.rule.PIDs = slices.Clone(rule.PIDs)
	if rule.Exe == "" && rule.Cmdline == "" && rule.OpenPorts == "" && len(rule.PIDs) == 0 && len(rule.Environment) == 0 &&
		len(rule.Languages) == 0 && rule.ContainerName == "" && rule.Kubernetes == nil {
		return fmt.Errorf(`%s: a rule without conditions would match every process; give it exe, cmdline, open_ports, language, container_name, k8s, pids or environment (exe: "*" for every process)`, path)
	}
	var mistakes []error
	mistake := func(field string, err error) {
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s.%s: %w", path, field, err))
		}
	}
	var err error
	if rule.Exe != "" {
		c.exe, err = CompileGlob(rule.Exe)
		mistake("exe", err)
		if err == nil && !c.exe.startsWith('/') {
			mistake("exe", fmt.Errorf("%q can never match, as the path of an executable begins with a slash; write %q", rule.Exe, "*/"+rule.Exe))
		}
	}
	if rule.Cmdline != "" {
		c.cmdline, err = CompileGlob(rule.Cmdline)
		mistake("cmdline", err)
	}
	if rule.OpenPorts != "" {
		c.ports, err = ParsePorts(rule.OpenPorts)
		mistake("open_ports", err)
		m.needs.Ports = true
	}
	for i, name := range rule.Languages {
		set, err := ParseLanguage(name)
		if len(rule.Languages) == 1 {
			mistake("language", err)
		} else {
			mistake(fmt.Sprintf("language[%d]", i), err)
		}
		c.languages |= set
		m.needs.Languages = true
	}
	if rule.ContainerName != "" {
		c.container, err = CompileGlob(rule.ContainerName)
		mistake("container_name", err)
		m.needs.Pods, m.needs.Containers = true, true
	}
	if rule.Kubernetes != nil {
		c.kubernetes = compileKubernetes(rule.Kubernetes, mistake)
		m.needs.Pods = true
	}
	for i, pid := range rule.PIDs {
		if pid <= 0 {
			mistake(fmt.Sprintf("pids[%d]", i), fmt.Errorf("%d is not a process id; write a positive number", pid))
		}
	}
	for name, pattern := range rule.Environment {
		field := fmt.Sprintf("environment[%s]", name)
		if name == "" || strings.Contains(name, "=") {
			mistake(field, fmt.Errorf("%q is not the name of a variable; write NAME: glob", name))
			continue
		}
		value, err := CompileGlob(pattern)
		mistake(field, err)
		c.environment = append(c.environment, variable{name, value})
	}
	// Maps have no order; the sentences should.
	sort.Slice(mistakes, func(i, j int) bool { return mistakes[i].Error() < mistakes[j].Error() })
	*list = append(*list, c)
	return errors.Join(mistakes...)
}

// Needs are what verdicts depend on that can change.
func (m *Matcher) Needs() Needs { return m.needs }

// NeedsCluster reports whether a rule has conditions on pods alone, which nothing but a
// cluster can answer.
func (m *Matcher) NeedsCluster() bool {
	asks := func(c compiledRule) bool { return c.kubernetes != nil }
	return slices.ContainsFunc(m.include, asks) || slices.ContainsFunc(m.exclude, asks)
}

// Forget drops what the routes of rules have learned of a service instance.
func (m *Matcher) Forget(instance string) {
	for i := range m.include {
		m.include[i].rule.Routes.Forget(instance)
	}
}

// Default reports whether there is no include rule, so that whatever is not
// excluded is selected.
func (m *Matcher) Default() bool { return len(m.include) == 0 }

// Trivial reports whether every process is selected, without looking at it.
func (m *Matcher) Trivial() bool { return len(m.include) == 0 && len(m.exclude) == 0 }

// Match judges a process. Exclude beats include; the first include rule that
// matches gives the overrides.
func (m *Matcher) Match(p *Process) Decision {
	for i := range m.exclude {
		if m.exclude[i].match(p) {
			return Decision{by: &m.exclude[i]}
		}
	}
	for i := range m.include {
		if m.include[i].match(p) {
			return Decision{Selected: true, Rule: &m.include[i].rule, by: &m.include[i]}
		}
	}
	return Decision{Selected: m.Default()}
}

// Decided reports whether a rule has decided, and not the absence of one.
func (d Decision) Decided() bool { return d.by != nil }

// Inherits reports whether a process that was forked by one with this decision, and has
// executed nothing since, is what the rule meant as well. It is the same program; its id
// and ports, and what it has written over its arguments and environment, say nothing. But
// what is known of its pod can have changed.
func (d Decision) Inherits(child *Process) bool { return d.by != nil && d.by.matchPlace(child) }

// match looks at the cheap conditions first.
func (c *compiledRule) match(p *Process) bool {
	if len(c.rule.PIDs) > 0 && !slices.Contains(c.rule.PIDs, int(p.PID)) {
		return false
	}
	if c.exe != nil && !c.exe.Match(p.Exe) {
		return false
	}
	if c.cmdline != nil && !c.cmdline.Match(strings.Join(p.Cmdline, " ")) {
		return false
	}
	if !c.matchPlace(p) {
		return false
	}
	if len(c.environment) > 0 {
		env := p.environ()
		for _, want := range c.environment {
			value, ok := lookup(env, want.name)
			if !ok || !want.value.Match(value) {
				return false
			}
		}
	}
	if c.languages != 0 && !c.languages.Contains(p.language()) {
		return false
	}
	if c.ports != nil && !slices.ContainsFunc(p.listeningPorts(), c.ports.Contains) {
		return false
	}
	return true
}

func (c *compiledRule) matchPlace(p *Process) bool {
	if c.kubernetes == nil && c.container == nil {
		return true
	}
	place := p.place()
	if c.kubernetes != nil && !c.kubernetes.match(&place) {
		return false
	}
	return c.container == nil || place.Container != "" && c.container.Match(place.Container)
}

// lookup finds a variable in NAME=value entries; the first one counts, as in
// getenv(3).
func lookup(env []string, name string) (string, bool) {
	for _, entry := range env {
		if len(entry) > len(name) && entry[len(name)] == '=' && entry[:len(name)] == name {
			return entry[len(name)+1:], true
		}
	}
	return "", false
}
