// SPDX-License-Identifier: Apache-2.0

// Package capture loads the BPF programs of bpf/capture.bpf.c, chooses the hook
// backend the kernel can run, and hands out the rings its records arrive in.
//
// In: what the kernel offers, and per-connection policies. Out: records. It
// knows nothing of protocols, spans or pipelines.
package capture
