// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/config"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/http1"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/route"
)

// protocols is the registry: every protocol that is switched on, in the order
// detectors are asked.
func protocols(c *config.Config) ([]protocol.Protocol, error) {
	var all []protocol.Protocol
	if c.Protocols.HTTP.Enabled {
		settings, err := httpSettings(c)
		if err != nil {
			return nil, err
		}
		all = append(all, http1.New(http1.Options{Settings: settings}))
	}
	return all, nil
}

func httpSettings(c *config.Config) (*httpconv.Settings, error) {
	unmatched, err := route.ParseUnmatched("routes", string(c.Routes.Unmatched))
	if err != nil {
		return nil, err
	}
	mode, err := route.ParseIgnoreMode("routes", string(c.Routes.IgnoreMode))
	if err != nil {
		return nil, err
	}
	routes, err := route.New(route.Options{
		Patterns:   c.Routes.Patterns,
		Ignored:    c.Routes.IgnoredPatterns,
		IgnoreMode: mode,
		Unmatched:  unmatched,
	})
	if err != nil {
		return nil, err
	}
	return httpconv.NewSettings("protocols.http", httpconv.Options{
		KnownMethods:           c.Protocols.HTTP.KnownMethods,
		SensitiveQueryKeys:     c.Protocols.HTTP.SensitiveQueryParameters,
		ServerAddressOnMetrics: c.Protocols.HTTP.ServerAddressOnServerMetrics,
		Routes:                 routes,
	})
}
