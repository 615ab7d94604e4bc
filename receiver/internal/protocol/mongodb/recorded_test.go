// SPDX-License-Identifier: Apache-2.0

package mongodb

import (
	"testing"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/recorded"
)

func TestRecorded(t *testing.T) {
	recorded.Test(t, func() protocol.Protocol { return New(Options{}) }, recorded.Options{Degraded: `[a-zA-Z]+( items| shop)?( \d+)?`})
}

func BenchmarkRecorded(b *testing.B) { recorded.Benchmark(b, New(Options{})) }
