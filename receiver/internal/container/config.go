// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"path"
	"strings"
)

// maxConfig bounds what is read of a configuration. Kubernetes' have 10 KiB
// usually; environments are part of them.
const maxConfig = 2 << 20

// config is the part of an OCI runtime configuration that names things.
// https://github.com/opencontainers/runtime-spec/blob/main/config.md
type config struct {
	Annotations map[string]string `json:"annotations"`
	Mounts      []struct {
		Destination string `json:"destination"`
		Source      string `json:"source"`
	} `json:"mounts"`

	read bool
}

// Annotations: of containerd's CRI plug-in, of CRI-O, and of nerdctl.
const (
	criType      = "io.kubernetes.cri.container-type"
	criContainer = "io.kubernetes.cri.container-name"
	criPod       = "io.kubernetes.cri.sandbox-name"
	criNamespace = "io.kubernetes.cri.sandbox-namespace"
	criUID       = "io.kubernetes.cri.sandbox-uid"

	crioType = "io.kubernetes.cri-o.ContainerType"

	nerdctlName = "nerdctl/name"
)

// Labels that kubelet puts on containers; CRI-O's annotations and Docker's labels
// have them.
const (
	kubeletContainer = "io.kubernetes.container.name"
	kubeletPod       = "io.kubernetes.pod.name"
	kubeletNamespace = "io.kubernetes.pod.namespace"
	kubeletUID       = "io.kubernetes.pod.uid"
)

func readConfig(root, bundle string) (c config) {
	if bundle == "" {
		return c
	}
	text := readBelow(root, bundle+"/config.json")
	c.read = text != nil && json.Unmarshal(text, &c) == nil
	return c
}

func (c *config) kubernetes() bool {
	return c.Annotations[criPod] != "" || c.Annotations[kubeletPod] != ""
}

func (c *config) names() Names {
	a := c.Annotations
	if a[criPod] != "" {
		n := Names{Container: a[criContainer], Pod: a[criPod], Namespace: a[criNamespace], UID: a[criUID]}
		if a[criType] == "sandbox" {
			n.Container = ""
		}
		return n
	}
	if a[kubeletPod] != "" {
		return ofLabels(a, a[crioType] == "sandbox")
	}
	return Names{Container: a[nerdctlName]}
}

func ofLabels(labels map[string]string, sandbox bool) Names {
	n := Names{
		Container: labels[kubeletContainer], Pod: labels[kubeletPod],
		Namespace: labels[kubeletNamespace], UID: labels[kubeletUID],
	}
	if sandbox || n.Container == "POD" {
		n.Container = ""
	}
	return n
}

// dockerDirectory is where Docker keeps what it knows of a container: it mounts
// /etc/hostname from there. Empty if another runtime made the configuration.
func (c *config) dockerDirectory(id string) string {
	for _, m := range c.Mounts {
		if m.Destination != "/etc/hostname" && m.Destination != "/etc/hosts" && m.Destination != "/etc/resolv.conf" {
			continue
		}
		if dir := path.Dir(m.Source); path.Base(dir) == id {
			return dir
		}
	}
	return ""
}

// readDocker reads Docker's own configuration of a container. Kubernetes with
// Docker (cri-dockerd) has labels on it.
func readDocker(root, dir string) Names {
	if dir == "" {
		return Names{}
	}
	var c struct {
		Name   string
		Config struct{ Labels map[string]string }
	}
	if json.Unmarshal(readBelow(root, dir+"/config.v2.json"), &c) != nil {
		return Names{}
	}
	if c.Config.Labels[kubeletPod] != "" {
		return ofLabels(c.Config.Labels, c.Config.Labels["io.kubernetes.docker.type"] == "podsandbox")
	}
	return Names{Container: strings.TrimPrefix(c.Name, "/")}
}
