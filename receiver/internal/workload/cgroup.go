// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strings"
)

// place is where a process lives, as its cgroup path tells.
type place struct {
	// container is the innermost container's id, 64 hex digits, without a
	// runtime prefix. Empty outside containers.
	container string
	// pod is the uid of the Kubernetes pod, dashed. Empty outside pods and
	// for static pods, whose cgroup has a hash that the API server does not
	// know.
	pod string
	// kubernetes: the container is one that Kubernetes knows.
	kubernetes bool
	// unit is the innermost systemd service, such as "nginx.service", inside
	// the container if there is one; unitPath is its cgroup path.
	unit, unitPath string
	// partial: the path climbs above the cgroup namespace we read it from, so
	// what lies above (kubepods) may be hidden.
	partial bool
}

// parseCgroup reads /proc/PID/cgroup (cgroups(7)). On cgroup v1 and hybrid
// hosts controllers may disagree: a container may show in some only.
func parseCgroup(text string) place {
	const unified, systemd = "0::", ":name=systemd:"
	var best place
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
		if p.container != "" {
			r += 100
		}
		if p.kubernetes {
			r += 50
		}
		if p.unit != "" {
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
func parsePath(path string) place {
	path = strings.TrimSuffix(path, " (deleted)")
	var p place
	var kubepods, pod bool
	containersInPod := 0
	end := 0
	for component := range strings.SplitSeq(path, "/") {
		end += len(component) + 1
		if component == ".." {
			p.partial = true
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
				p.pod = uid
				p.container, p.unit, p.unitPath = "", "", ""
			}
			if id := containerID(part); id != "" {
				p.container, p.unit, p.unitPath = id, "", ""
				containersInPod++
				if p.partial && (strings.HasPrefix(part, "cri-containerd-") || strings.HasPrefix(part, "crio-")) {
					kubepods = true // only Kubernetes' interface makes these
				}
			}
		}
		switch {
		case strings.HasSuffix(component, ".service"):
			p.unit, p.unitPath = component, path[:min(end-1, len(path))]
		case strings.HasSuffix(component, ".scope"):
			// A login session or a container: not started by the unit above
			// it (user@1000.service).
			p.unit, p.unitPath = "", ""
		}
	}
	if strings.HasPrefix(p.unit, "user@") {
		p.unit, p.unitPath = "", ""
	}
	// What runs in a container made by a container of a pod (Docker in
	// Docker) is unknown to Kubernetes.
	p.kubernetes = pod && containersInPod <= 1 || kubepods && containersInPod == 1
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
	if prefix != "" && !strings.HasSuffix(prefix, "-") || !isHex(id) {
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
	if uid = strings.ReplaceAll(s, "_", "-"); isUUID(uid) {
		return uid, true
	}
	return "", kubepods && len(s) == 32 && isHex(s)
}

func isUUID(s string) bool {
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

func isHex(s string) bool {
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

// podFromMounts finds the pod's uid where the cgroup path hides it: kubelet
// mounts files from .../pods/UID/ into every container.
func podFromMounts(mountinfo string) string {
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line) // proc_pid_mountinfo(5): the root is field 4
		if len(fields) < 5 {
			continue
		}
		_, after, ok := strings.Cut(fields[3], "/pods/")
		if !ok {
			continue
		}
		if uid, _, _ := strings.Cut(after, "/"); isUUID(uid) {
			return uid
		}
	}
	return ""
}

// unitName is the service a unit belongs to: "postgresql" for
// postgresql@15-main.service, because the instances of a template are
// instances of one service.
func unitName(unit string) string {
	name := strings.TrimSuffix(unit, ".service")
	if template, _, ok := strings.Cut(name, "@"); ok && template != "" {
		name = template
	}
	return unescape(name)
}

// unescape undoes systemd's \x2d (systemd.unit(5)).
func unescape(s string) string {
	if !strings.Contains(s, `\x`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if i+3 < len(s) && s[i] == '\\' && s[i+1] == 'x' && isHexDigit(s[i+2]) && isHexDigit(s[i+3]) {
			b.WriteByte(hexValue(s[i+2])<<4 | hexValue(s[i+3]))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c - 'a' + 10
}

// spawners are units whose processes are mostly not theirs: they start jobs,
// sessions and containers for others.
var spawners = map[string]bool{
	"docker": true, "containerd": true, "crio": true, "cri-o": true, "podman": true, "buildkit": true,
	"snap.docker.dockerd": true, "k3s": true, "k3s-agent": true, "rke2-server": true, "rke2-agent": true,
	"k0scontroller": true, "k0sworker": true, "kubelet": true, "nomad": true, "systemd-nspawn": true,
	"cron": true, "crond": true, "anacron": true, "atd": true, "ssh": true, "sshd": true,
	"xinetd": true, "inetd": true, "inetutils-inetd": true, "openbsd-inetd": true,
	"supervisor": true, "supervisord": true, "runit": true, "runsvdir": true, "monit": true, "rc-local": true,
	"gdm": true, "gdm3": true, "lightdm": true, "sddm": true, "display-manager": true, "dbus": true,
	"gitlab-runner": true, "buildkite-agent": true, "jenkins": true, "code-server": true, "ttyd": true,
	"amazon-ssm-agent": true, "cloud-final": true, "tmux": true, "screen": true,
}

func isSpawner(unit string) bool {
	name := unitName(unit)
	return spawners[name] || strings.HasPrefix(name, "pm2-") || strings.HasPrefix(name, "actions.runner.")
}
