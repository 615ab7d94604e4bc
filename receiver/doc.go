// SPDX-License-Identifier: Apache-2.0

//go:generate go tool -modfile=../distribution/tools.mod mdatagen metadata.yaml

// Package receiver is the OpenTelemetry Collector receiver `ebpf`: traces and
// metrics of every process on the host, observed with eBPF, without a change
// to any of them.
package receiver
