// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/config"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/http1"
)

// protocols is the registry: every protocol that is switched on, in the order
// detectors are asked.
func protocols(c *config.Config) ([]protocol.Protocol, error) {
	var all []protocol.Protocol
	if c.Protocols.HTTP.Enabled {
		routes, err := c.Routes.Compile()
		if err != nil {
			return nil, err
		}
		settings, err := c.Protocols.HTTP.Compile(routes, c.Metrics.Kernel)
		if err != nil {
			return nil, err
		}
		all = append(all, http1.New(http1.Options{Settings: settings}))
	}
	return all, nil
}
