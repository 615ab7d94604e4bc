// SPDX-License-Identifier: Apache-2.0

package httpconv

import (
	"fmt"
	"slices"
	"strings"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/route"
)

// DefaultKnownMethods are the methods of RFC 9110, PATCH (RFC 5789) and QUERY.
// Any other is reported as _OTHER.
func DefaultKnownMethods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"}
}

// DefaultSensitiveQueryKeys are the query parameters whose values are replaced
// by REDACTED: those of semantic conventions v1.43.0, and the two of AWS
// signature version 2 that earlier conventions had.
func DefaultSensitiveQueryKeys() []string {
	return []string{
		"X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "sig", "X-Goog-Signature",
		"AWSAccessKeyId", "Signature",
	}
}

// Options configure Settings.
type Options struct {
	// KnownMethods and SensitiveQueryKeys replace the defaults, as the
	// conventions demand, unless nil. Both are case-sensitive.
	KnownMethods, SensitiveQueryKeys []string
	// ServerAddressOnMetrics adds server.address and server.port to server
	// metrics. They come from the Host header, which clients choose.
	ServerAddressOnMetrics bool
	// KernelMetrics adds histograms of what only the kernel knows.
	KernelMetrics bool
	// Ignore are the applications that are not recognised.
	Ignore Application
	// Routes may be nil.
	Routes *route.Matcher
}

// Settings configure the mapping; shared by all exchanges of an engine and
// immutable after the engine starts. The zero value has the defaults.
type Settings struct {
	methods       map[string]string   // nil: the defaults
	sensitive     map[string]struct{} // nil: the defaults
	serverAddress bool
	kernel        bool
	ignored       Application
	routes        *route.Matcher
}

// NewSettings checks options. The error is one sentence that begins with the
// YAML path below prefix, e.g. "protocols.http".
func NewSettings(prefix string, o Options) (*Settings, error) {
	s := &Settings{serverAddress: o.ServerAddressOnMetrics, kernel: o.KernelMetrics, ignored: o.Ignore, routes: o.Routes}
	if o.KnownMethods != nil && !slices.Equal(o.KnownMethods, DefaultKnownMethods()) {
		s.methods = map[string]string{}
		for i, m := range o.KnownMethods {
			if m == "" || strings.ContainsFunc(m, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r) }) {
				return nil, fmt.Errorf("%s.known_methods[%d]: %q is not an HTTP method: write a token such as PROPFIND", prefix, i, m)
			}
			s.methods[m] = m
		}
	}
	if o.SensitiveQueryKeys != nil && !slices.Equal(o.SensitiveQueryKeys, DefaultSensitiveQueryKeys()) {
		s.sensitive = map[string]struct{}{}
		for i, k := range o.SensitiveQueryKeys {
			if k == "" || strings.ContainsAny(k, "&=") {
				return nil, fmt.Errorf("%s.sensitive_query_parameters[%d]: %q cannot be the name of a query parameter: write the name alone, such as token", prefix, i, k)
			}
			s.sensitive[k] = struct{}{}
		}
	}
	return s, nil
}

// KnownMethodsFromEnvironment reads the value of
// OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS: a comma-separated list that replaces
// the default. It is nil for an empty value, which means "not set".
func KnownMethodsFromEnvironment(value string) []string {
	var methods []string
	for m := range strings.SplitSeq(value, ",") {
		if m = strings.TrimSpace(m); m != "" {
			methods = append(methods, m)
		}
	}
	return methods
}

// Forget drops what was learned about the routes of a service instance.
func (s *Settings) Forget(instance string) { s.routes.Forget(instance) }

// methodOther is http.request.method for methods that are not known.
const methodOther = "_OTHER"

// method is the value of http.request.method.
func (s *Settings) method(token []byte) string {
	if s.methods != nil {
		if m, ok := s.methods[string(token)]; ok {
			return m
		}
		return methodOther
	}
	switch string(token) {
	case "GET":
		return "GET"
	case "POST":
		return "POST"
	case "PUT":
		return "PUT"
	case "DELETE":
		return "DELETE"
	case "HEAD":
		return "HEAD"
	case "PATCH":
		return "PATCH"
	case "OPTIONS":
		return "OPTIONS"
	case "CONNECT":
		return "CONNECT"
	case "TRACE":
		return "TRACE"
	case "QUERY":
		return "QUERY"
	}
	return methodOther
}

// isSensitive reports whether the value of a query parameter is hidden.
func (s *Settings) isSensitive(key []byte) bool {
	if s.sensitive != nil {
		_, ok := s.sensitive[string(key)]
		return ok
	}
	switch string(key) {
	case "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "sig", "X-Goog-Signature",
		"AWSAccessKeyId", "Signature":
		return true
	}
	return false
}
