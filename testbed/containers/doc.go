// SPDX-License-Identifier: Apache-2.0

// Package containers runs real containers by real runtimes (Podman, Docker,
// containerd, runc) and compares what is reported of them with what the runtimes say. Images
// are made here, of one static program: there is no registry.
package containers
