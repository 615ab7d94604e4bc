// SPDX-License-Identifier: Apache-2.0

package amqp

import (
	"testing"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/brokertest"
)

func FuzzParser(f *testing.F) {
	brokertest.Fuzz(f, New(Options{}), everything()[:40], opening(1).C(publishing(1, "", "q", "text", "")), consuming("\x02").B(delivery(1, "ctag-1", 1, "", "orders", "hello")))
}
