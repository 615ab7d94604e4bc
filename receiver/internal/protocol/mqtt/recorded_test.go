// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"testing"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/recorded"
)

func TestRecorded(t *testing.T) {
	recorded.Test(t, func() protocol.Protocol { return New(Options{}) }, recorded.Options{Degraded: `(un)?subscribe`})
}

func BenchmarkRecorded(b *testing.B) { recorded.Benchmark(b, New(Options{})) }
