// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"testing"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/recorded"
)

func TestRecorded(t *testing.T) {
	recorded.Test(t, func() protocol.Protocol { return New(Options{HTTP: true, GRPC: true}) }, recorded.Options{Walked: true})
}

func BenchmarkRecorded(b *testing.B) { recorded.Benchmark(b, New(Options{HTTP: true, GRPC: true})) }
