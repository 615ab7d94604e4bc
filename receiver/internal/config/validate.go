// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/route"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/sampling"
)

// Validate says what is wrong: per mistake one sentence that begins with the
// option's path as it is written in YAML and ends with the mend.
func (c *Config) Validate() error {
	p := slices.Clone(c.unknown)
	enum(&p, "hooks", c.Hooks, HooksAuto, HooksSock, HooksSysExit)
	enum(&p, "error_mode", c.ErrorMode, ErrorModePropagate, ErrorModeIgnore)
	if c.CollectionInterval < minCollectionInterval {
		p.addf("collection_interval", "%v is too short: write %v or more", c.CollectionInterval, minCollectionInterval)
	}
	_, discoveryErr := c.Discovery.Compile()
	enum(&p, "discovery.instrumented", c.Discovery.Instrumented, InstrumentedReport, InstrumentedSkipExporting, InstrumentedSkipAll)
	_, httpErr := c.Protocols.HTTP.Compile(nil, false)
	_, routesErr := c.Routes.Compile()
	_, samplerErr := c.Sampler.Compile()
	p = append(p, discoveryErr, httpErr, routesErr, samplerErr)
	c.Kubernetes.validate(&p, "kubernetes")
	for i, way := range c.ContextPropagation.Inject {
		enum(&p, fmt.Sprintf("context_propagation.inject[%d]", i), way, InjectTCPOption, InjectHTTPHeader)
	}
	for i, a := range c.Protocols.HTTP.Recognize {
		enum(&p, fmt.Sprintf("protocols.http.recognize[%d]", i), a, ApplicationElasticsearch, ApplicationS3, ApplicationGraphQL)
	}
	databases := []struct {
		key string
		d   *Database
	}{
		{"postgresql", &c.Protocols.PostgreSQL}, {"mysql", &c.Protocols.MySQL}, {"redis", &c.Protocols.Redis},
		{"memcached", &c.Protocols.Memcached}, {"mongodb", &c.Protocols.MongoDB}, {"cassandra", &c.Protocols.Cassandra},
	}
	for _, d := range databases {
		enum(&p, "protocols."+d.key+".query_text", d.d.QueryText, QueryTextSanitized, QueryTextNone, QueryTextRaw)
	}
	enum(&p, "metrics.temporality", c.Metrics.Temporality, Cumulative, Delta)
	enum(&p, "metrics.histogram", c.Metrics.Histogram, HistogramExplicit, HistogramExponential)
	c.Limits.validate(&p, "limits")
	return errors.Join(p...)
}

const minCollectionInterval = 100 * time.Millisecond

// problems are the mistakes found so far.
type problems []error

func (p *problems) addf(path, format string, args ...any) {
	*p = append(*p, fmt.Errorf("%s: "+format, append([]any{path}, args...)...))
}

func enum[T ~string](p *problems, path string, value T, choices ...T) {
	if slices.Contains(choices, value) {
		return
	}
	names := make([]string, len(choices))
	for i, choice := range choices {
		names[i] = string(choice)
	}
	p.addf(path, "%q is not known: write %s", value, oneOf(names))
}

// oneOf joins words to "a, b or c".
func oneOf(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// Compile makes the sampler.
func (s *Sampler) Compile() (*sampling.Sampler, error) {
	return s.compile("sampler")
}

func (s *Sampler) compile(path string) (*sampling.Sampler, error) {
	return sampling.New(path, string(s.Name), s.Arg)
}

// Compile makes the route matcher.
func (r *Routes) Compile() (*route.Matcher, error) { return r.compile("routes") }

func (r *Routes) compile(path string) (*route.Matcher, error) {
	unmatched, err := route.ParseUnmatched(path+".unmatched", string(r.Unmatched))
	if err != nil {
		return nil, err
	}
	ignoreMode, err := route.ParseIgnoreMode(path+".ignore_mode", string(r.IgnoreMode))
	if err != nil {
		return nil, err
	}
	return route.New(route.Options{
		Prefix:     path,
		Patterns:   r.Patterns,
		Ignored:    r.IgnoredPatterns,
		IgnoreMode: ignoreMode,
		Unmatched:  unmatched,
	})
}

// Compile makes the settings of the HTTP conventions; routes may be nil.
func (h *HTTP) Compile(routes *route.Matcher, kernel bool) (*httpconv.Settings, error) {
	ignore := httpconv.Elasticsearch | httpconv.S3 | httpconv.GraphQL
	for _, a := range h.Recognize {
		switch a {
		case ApplicationElasticsearch:
			ignore &^= httpconv.Elasticsearch
		case ApplicationS3:
			ignore &^= httpconv.S3
		case ApplicationGraphQL:
			ignore &^= httpconv.GraphQL
		}
	}
	return httpconv.NewSettings("protocols.http", httpconv.Options{
		KnownMethods:           h.KnownMethods,
		SensitiveQueryKeys:     h.SensitiveQueryParameters,
		ServerAddressOnMetrics: h.ServerAddressOnServerMetrics,
		KernelMetrics:          kernel,
		Ignore:                 ignore,
		Routes:                 routes,
	})
}

// Compile makes the settings of the database conventions.
func (d *Database) Compile(kernel bool) *dbconv.Settings {
	s := &dbconv.Settings{Kernel: kernel}
	switch d.QueryText {
	case QueryTextNone:
		s.QueryText = dbconv.TextNone
	case QueryTextRaw:
		s.QueryText = dbconv.TextRaw
	}
	return s
}

func (k *Kubernetes) validate(p *problems, path string) {
	enum(p, path+".enabled", k.Enabled, SwitchAuto, SwitchTrue, SwitchFalse)
	enum(p, path+".auth_type", k.AuthType, AuthServiceAccount, AuthKubeConfig)
	enum(p, path+".peers", k.Peers, PeersServices, PeersPods, PeersNone)
	if k.Context != "" && k.AuthType == AuthServiceAccount {
		p.addf(path+".context", "a service account has no contexts: write auth_type: kubeConfig, or leave context out")
	}
	if k.Node != "" && !nodeName.MatchString(k.Node) {
		p.addf(path+".node", "%q is not the name of a node: write what `kubectl get nodes` says", k.Node)
	}
}

// nodeName is a DNS subdomain (RFC 1123), as names of nodes have to be.
var nodeName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

func (l *Limits) validate(p *problems, path string) {
	within(p, path+".max_connections", l.MaxConnections, 1, 1<<22)
	within(p, path+".ring_buffer_size", l.RingBufferSize, MinRingBufferSize, 1<<30)
	within(p, path+".max_series_per_metric", l.MaxSeriesPerMetric, 1, 1<<20)
	within(p, path+".spans_per_batch", l.SpansPerBatch, 1, 1<<16)
	within(p, path+".queue_size", l.QueueSize, 1, 1<<16)
	within(p, path+".max_payload", l.MaxPayload, 256, MaxPayload)
}

func within(p *problems, path string, value, least, most int) {
	if value < least || value > most {
		p.addf(path, "%d is out of range: write a number from %d to %d", value, least, most)
	}
}
