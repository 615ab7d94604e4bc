// SPDX-License-Identifier: Apache-2.0

//go:build linux

package preflight

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mounts are those of the file systems that matter here.
type mounts struct {
	tracefs, proc string // where, and the options of proc; empty if nowhere
	cgroup1       bool
	cgroup2       []string
}

// readMounts reads proc_pid_mountinfo(5): ID parent device root mountpoint options
// [optional fields] - type source super-options
func readMounts(r io.Reader) (m mounts) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 6 || len(kind) < 3 {
			continue
		}
		path := unescapeMount(fields[4])
		switch kind[0] {
		case "tracefs":
			m.tracefs = path
		case "proc":
			if path == "/proc" {
				m.proc = kind[2]
			}
		case "cgroup":
			m.cgroup1 = true
		case "cgroup2":
			m.cgroup2 = append(m.cgroup2, path)
		}
	}
	return m
}

// unescapeMount decodes the octal escapes for blanks in mountinfo.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// cgroups says which of the two versions are mounted.
func (m *mounts) cgroups() string {
	switch {
	case m.cgroup1 && m.cgroup2 != nil:
		return "hybrid"
	case m.cgroup2 != nil:
		return "v2"
	case m.cgroup1:
		return "v1"
	default:
		return "none"
	}
}

// hidden is who may see processes of others by the options of /proc: proc(5), hidepid.
func (m *mounts) hidden() string {
	for option := range strings.SplitSeq(m.proc, ",") {
		if value, ok := strings.CutPrefix(option, "hidepid="); ok {
			return value
		}
	}
	return "off"
}

// subset reports whether /proc shows processes and nothing else.
func (m *mounts) subset() bool { return slices.Contains(strings.Split(m.proc, ","), "subset=pid") }

// CgroupRoot finds where the root of the cgroup2 hierarchy is mounted; programs
// attached there see the sockets of all processes.
func CgroupRoot(mountinfo string) (string, error) {
	f, err := os.Open(mountinfo)
	if err != nil {
		return "", fmt.Errorf("find the cgroup2 hierarchy: %w", err)
	}
	defer f.Close()
	m := readMounts(f)
	return m.cgroupRoot()
}

func (m *mounts) cgroupRoot() (string, error) {
	below := ""
	for _, path := range m.cgroup2 {
		// Every cgroup has a type but the root.
		if _, err := os.Stat(filepath.Join(path, "cgroup.type")); err != nil {
			return path, nil
		}
		below = path
	}
	if below != "" {
		return "", &Unsupported{Message: fmt.Sprintf("context_propagation.inject: %s is not the root of the cgroup2 hierarchy but a part of it: make the host's /sys/fs/cgroup visible here (Kubernetes: a hostPath volume)", below)}
	}
	return "", &Unsupported{Message: "context_propagation.inject: no cgroup2 hierarchy is mounted, to which programs that see all sockets are attached: mount one (mount -t cgroup2 none /sys/fs/cgroup/unified)"}
}
