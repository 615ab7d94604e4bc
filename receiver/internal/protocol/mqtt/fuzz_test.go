// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"testing"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/brokertest"
)

func FuzzParser(f *testing.F) {
	brokertest.Fuzz(f, New(Options{}), everything()[:40], opening(4).C(pub(2, 2, "a/2", "", "hello")).B(packet(pubrec<<4, id(2))))
}
