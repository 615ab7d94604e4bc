// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package receiver

import "github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/engine"

type engineSettings = engine.Settings

func newEngine(s engineSettings) startStopper { return engine.New(s) }
