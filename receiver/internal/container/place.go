// SPDX-License-Identifier: Apache-2.0

package container

import (
	"strings"
)

// Place is where a process lives, as its cgroup path tells.
type Place struct {
	// ID is the innermost container's id, 64 hex digits, without a
	// runtime prefix. Empty outside containers.
	ID string
	// Pod is the uid of the Kubernetes pod, dashed. Empty outside pods and
	// for static pods, whose cgroup has a hash that the API server does not
	// know.
	Pod string
	// Kubernetes: the container is one that Kubernetes knows.
	Kubernetes bool
	// Unit is the innermost systemd service, such as "nginx.service", inside
	// the container if there is one; UnitPath is its cgroup path.
	Unit, UnitPath string
	// Partial: the path climbs above the cgroup namespace we read it from, so
	// what lies above (kubepods) may be hidden.
	Partial bool
}

// Parse reads /proc/PID/cgroup (cgroups(7)). On cgroup v1 and hybrid
// hosts controllers may disagree: a container may show in some only.
func Parse(text string) Place {
	const unified, systemd = "0::", ":name=systemd:"
	var best Place
	var rank int
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 {
			continue
		}
		p := parsePath(parts[2])
		// Evidence first (container, then unit), then the hierarchy that
		// systemd keeps tidy.
		r := 1
		if p.ID != "" {
			r += 100
		}
		if p.Kubernetes {
			r += 50
		}
		if p.Unit != "" {
			r += 10
		}
		if strings.HasPrefix(line, unified) {
			r += 2
		} else if strings.Contains(line, systemd) {
			r++
		}
		if r > rank {
			best, rank = p, r
		}
	}
	return best
}

// parsePath reads one path from the outermost component to the innermost.
func parsePath(path string) Place {
	path = strings.TrimSuffix(path, " (deleted)")
	var p Place
	var kubepods, pod bool
	containersInPod := 0
	end := 0
	parent, previous := "", ""
	for component := range strings.SplitSeq(path, "/") {
		end += len(component) + 1
		parent, previous = previous, component
		if component == ".." {
			p.Partial = true
			continue
		}
		if strings.Contains(component, "kubepods") {
			kubepods, containersInPod = true, 0
		}
		// containerd with the cgroupfs driver and systemd-style names makes
		// slice:prefix:id of it.
		for part := range strings.SplitSeq(component, ":") {
			if uid, ok := podUID(part, kubepods); ok {
				pod, containersInPod = true, 0
				p.Pod = uid
				p.ID, p.Unit, p.UnitPath = "", "", ""
			}
			id := containerID(part)
			if parent == "libpod_parent" && id == part {
				id = "" // of a Podman pod; its containers are libpod-ID
			}
			if id != "" {
				p.ID, p.Unit, p.UnitPath = id, "", ""
				containersInPod++
				if p.Partial && (strings.HasPrefix(part, "cri-containerd-") || strings.HasPrefix(part, "crio-")) {
					kubepods = true // only Kubernetes' interface makes these
				}
			}
		}
		switch {
		case strings.HasSuffix(component, ".service"):
			p.Unit, p.UnitPath = component, path[:min(end-1, len(path))]
		case strings.HasSuffix(component, ".scope"):
			// A login session or a container: not started by the unit above
			// it (user@1000.service).
			p.Unit, p.UnitPath = "", ""
		}
	}
	if strings.HasPrefix(p.Unit, "user@") {
		p.Unit, p.UnitPath = "", ""
	}
	// What runs in a container made by a container of a pod (Docker in
	// Docker) is unknown to Kubernetes.
	p.Kubernetes = pod && containersInPod <= 1 || kubepods && containersInPod == 1
	return p
}

// containerID finds the id in a path component: the whole of it (cgroupfs
// drivers) or behind a runtime's prefix (docker-ID.scope, crio-ID.scope,
// cri-containerd-ID.scope, libpod-ID.scope, nerdctl-ID.scope).
func containerID(component string) string {
	const length = 64
	// The slice of a Podman pod carries the pod's id; conmon watches a
	// container from outside.
	if strings.HasSuffix(component, ".slice") || strings.Contains(component, "conmon-") {
		return ""
	}
	s := strings.TrimSuffix(component, ".scope")
	if len(s) < length {
		return ""
	}
	prefix, id := s[:len(s)-length], s[len(s)-length:]
	if prefix != "" && !strings.HasSuffix(prefix, "-") || !IsHex(id) {
		return ""
	}
	return id
}

// podUID finds the uid in kubepods-burstable-podUID.slice or podUID. ok is
// also true for a static pod, with an empty uid.
func podUID(component string, kubepods bool) (uid string, ok bool) {
	s := strings.TrimSuffix(component, ".slice")
	i := strings.LastIndex(s, "pod")
	if i < 0 || i > 0 && (!strings.Contains(s[:i], "kubepods") || s[i-1] != '-') {
		return "", false
	}
	s = s[i+len("pod"):]
	// systemd takes a dash for a step down the tree, so kubelet writes an
	// underscore.
	if uid = strings.ReplaceAll(s, "_", "-"); IsUUID(uid) {
		return uid, true
	}
	return "", kubepods && len(s) == 32 && IsHex(s)
}

// IsUUID reports whether s is a UUID in lower case, with dashes.
func IsUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			if !isHexDigit(s[i]) {
				return false
			}
		}
	}
	return true
}

// IsHex reports whether s has hex digits in lower case only, at least one.
func IsHex(s string) bool {
	for i := range len(s) {
		if !isHexDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

func isHexDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f'
}

// PodFromMounts finds the pod's uid where the cgroup path hides it: kubelet
// mounts files from .../pods/UID/ into every container.
func PodFromMounts(mountinfo string) string {
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line) // proc_pid_mountinfo(5): the root is field 4
		if len(fields) < 5 {
			continue
		}
		_, after, ok := strings.Cut(fields[3], "/pods/")
		if !ok {
			continue
		}
		if uid, _, _ := strings.Cut(after, "/"); IsUUID(uid) {
			return uid
		}
	}
	return ""
}
