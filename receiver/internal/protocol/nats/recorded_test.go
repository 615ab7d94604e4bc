// SPDX-License-Identifier: Apache-2.0

package nats

import (
	"testing"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/recorded"
)

func TestRecorded(t *testing.T) {
	recorded.Test(t, func() protocol.Protocol { return New(Options{}) }, recorded.Options{Degraded: `request o\.\d|publish \(temporary\)|(publish|request) (nobody|svc)`})
}

func BenchmarkRecorded(b *testing.B) { recorded.Benchmark(b, New(Options{})) }
