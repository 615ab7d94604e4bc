// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/container"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery/procfs"
)

// Locate tells the container a process runs in (64 hex digits) and the uid of its pod, as
// far as its cgroup shows; empty otherwise.
func Locate(fs procfs.FS, pid uint32) (id, pod string) {
	where := container.Parse(fs.Cgroup(pid))
	if where.ID != "" && where.Partial && where.Pod == "" {
		where.Pod = container.PodFromMounts(fs.MountInfo(pid))
	}
	return where.ID, where.Pod
}
