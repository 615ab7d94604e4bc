// SPDX-License-Identifier: Apache-2.0

// Package preflight looks at where the receiver runs before it does anything: kernel,
// capabilities, namespaces, mounts. It says what stops the receiver, what is missing, what
// that turns off and how to grant it, each thing once.
//
// In: /proc and /sys, what the kernel's programs can do, what the configuration wants. Out:
// an error of one sentence, or a report that is logged, part of the component's status and
// the metric receiver_ebpf_features. It knows nothing of probes, processes or pipelines, and
// changes nothing.
package preflight
