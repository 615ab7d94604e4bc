// SPDX-License-Identifier: Apache-2.0

package nats

import (
	"testing"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/brokertest"
)

func FuzzParser(f *testing.F) {
	brokertest.Fuzz(f, New(Options{}), everything()[:40], opening(`"verbose":true`).C(pub("a", "", "x")).B("+OK\r\n-ERR 'x'\r\n"))
}
