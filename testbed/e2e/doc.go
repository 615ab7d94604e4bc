// SPDX-License-Identifier: Apache-2.0

// Package e2e runs the collector against real traffic and compares every span
// and metric with the truth (package groundtruth). It needs root and BPF.
//
// All cases of a backend share one collector. E2E_CASES, a regular expression,
// selects cases by name; E2E_REPORT names a file the tables are appended to.
package e2e
