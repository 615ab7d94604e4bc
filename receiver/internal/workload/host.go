// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"os"
	"strings"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/container"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery/procfs"
)

// hostID is host.id by the semantic conventions: the machine id, else (not in
// the conventions, but where containers' hosts are images without one) the
// DMI's product UUID. Pid 1's root is the host's even when we are in a
// container that shares the host's pid namespace.
func hostID(fs procfs.FS) string {
	for _, root := range [...]string{fs.Path(1, "root"), ""} {
		for _, file := range [...]string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
			// systemd writes "uninitialized" on first boot.
			if id := procfs.ReadText(root + file); len(id) == 32 && container.IsHex(id) {
				return id
			}
		}
	}
	if id := strings.ToLower(procfs.ReadText("/sys/class/dmi/id/product_uuid")); container.IsUUID(id) {
		return id
	}
	return ""
}

// hostName is the host's, not that of the container we may be in.
func hostName(fs procfs.FS) string {
	ours := procfs.FS{}.Namespace(uint32(os.Getpid()), "uts")
	if theirs := fs.Namespace(1, "uts"); theirs != "" && theirs != ours {
		if name := procfs.ReadText(fs.Path(1, "root/etc/hostname")); name != "" && !strings.ContainsAny(name, " \n\t") {
			return name
		}
	}
	name, _ := os.Hostname()
	return name
}
