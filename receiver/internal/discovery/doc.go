// SPDX-License-Identifier: Apache-2.0

// Package discovery decides which processes are observed.
//
// In: the rules of the configuration's discovery section and what /proc says
// about a process. Out: selected or not, and the rule whose overrides apply.
// It must never know about YAML, BPF or pdata.
package discovery
