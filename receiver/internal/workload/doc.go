// SPDX-License-Identifier: Apache-2.0

// Package workload finds out who a process is: its service name, container,
// and the pdata Resource its telemetry belongs to.
package workload
