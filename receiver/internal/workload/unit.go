// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"encoding/hex"
	"strings"
)

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
		if i+3 < len(s) && s[i] == '\\' && s[i+1] == 'x' {
			if code, err := hex.DecodeString(s[i+2 : i+4]); err == nil {
				b.Write(code)
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
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
