// SPDX-License-Identifier: Apache-2.0

package receiver

import "github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/config"

// Config is what a user writes under `receivers: ebpf:`.
type Config = config.Config
