// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"encoding/json"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// Containers finds the names of containers in what their runtimes keep on disk. It is
// safe for concurrent use.
type Containers struct {
	roots []string

	mu    sync.Mutex
	known map[string]containerName
}

type containerName struct {
	name  string
	asked time.Time
}

const (
	// maxContainers bounds what is remembered; beyond it all is forgotten.
	maxContainers = 4096
	// nameless is how long a container stays without a name before it is asked for
	// again: runtimes write their state down before they start anything.
	nameless = 10 * time.Second
	// maxState bounds what is read of a runtime's file, in bytes.
	maxState = 8 << 20
)

// NewContainers looks below these directories, in this order. Of a Collector that runs
// in a container itself, the host's files are below /proc/1/root if it shares the host's
// process ids and may look there (CAP_SYS_PTRACE).
func NewContainers(roots ...string) *Containers {
	return &Containers{roots: roots, known: map[string]containerName{}}
}

// Name of the container with this id (64 hex digits); empty if that is not to be found.
func (c *Containers) Name(id string) string {
	if len(id) != 64 || strings.ContainsAny(id, "/.") {
		return ""
	}
	now := time.Now()
	c.mu.Lock()
	k, ok := c.known[id]
	c.mu.Unlock()
	if ok && (k.name != "" || now.Sub(k.asked) < nameless) {
		return k.name
	}
	name := c.find(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= maxContainers {
		clear(c.known)
	}
	c.known[id] = containerName{name, now}
	return name
}

// bundles are where the config.json of an OCI bundle is: "*" is the container's id.
var bundles = []string{
	"/run/containerd/io.containerd.runtime.v2.task/k8s.io/*/config.json",
	"/run/containerd/io.containerd.runtime.v2.task/default/*/config.json",
	"/run/containers/storage/overlay-containers/*/userdata/config.json",
}

// annotations of bundles that name the container: containerd's, CRI-O's, nerdctl's.
var annotations = []string{"io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name"}

// stores are where Podman lists its containers, by storage driver.
var stores = []string{
	"/var/lib/containers/storage/overlay-containers/containers.json",
	"/var/lib/containers/storage/vfs-containers/containers.json",
	"/var/lib/containers/storage/btrfs-containers/containers.json",
}

func (c *Containers) find(id string) string {
	for _, root := range c.roots {
		var docker struct{ Name string }
		if readState(root+"/var/lib/docker/containers/"+id+"/config.v2.json", &docker) && docker.Name != "" {
			return strings.TrimPrefix(docker.Name, "/")
		}
		for _, path := range bundles {
			var bundle struct {
				Annotations map[string]string `json:"annotations"`
			}
			if !readState(root+strings.Replace(path, "*", id, 1), &bundle) {
				continue
			}
			for _, key := range annotations {
				if name := bundle.Annotations[key]; name != "" {
					return name
				}
			}
		}
		for _, path := range stores {
			var containers []struct {
				ID    string   `json:"id"`
				Names []string `json:"names"`
			}
			if !readState(root+path, &containers) {
				continue
			}
			for _, container := range containers {
				if container.ID == id && len(container.Names) > 0 {
					return container.Names[0]
				}
			}
		}
	}
	return ""
}

// readState reads a file of JSON; false if it is not there, or something else.
func readState(path string, into any) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return false
	}
	return json.NewDecoder(io.LimitReader(f, maxState)).Decode(into) == nil
}
