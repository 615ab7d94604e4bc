// SPDX-License-Identifier: Apache-2.0

package amqp

import (
	"testing"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/recorded"
)

func TestRecorded(t *testing.T) {
	recorded.Test(t, func() protocol.Protocol { return New(Options{}) }, recorded.Options{Degraded: `deliver ex:k\.\d+( nack)?|publish ex:nowhere|return ex:nowhere NO_ROUTE|channel\.close NOT_FOUND`})
}

func BenchmarkRecorded(b *testing.B) { recorded.Benchmark(b, New(Options{})) }
