// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

const (
	idA  = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	idB  = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
	uid  = "3b1a3f0c-5e6f-4f6e-9a1b-0c2d3e4f5a6b"
	uid_ = "3b1a3f0c_5e6f_4f6e_9a1b_0c2d3e4f5a6b"
	hash = "d4e6b5a3c2f1908172635445362718d9"
)

// Paths as these runtimes write them, with the ids replaced.
func TestParseCgroup(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       place
	}{
		{"host root", "0::/", place{}},
		{"empty", "", place{}},
		{"garbage", "hello\n0:x\n", place{}},
		{"systemd service", "0::/system.slice/nginx.service", place{unit: "nginx.service", unitPath: "/system.slice/nginx.service"}},
		{"delegated subgroup", "0::/system.slice/nginx.service/workers", place{unit: "nginx.service", unitPath: "/system.slice/nginx.service"}},
		{"template", "0::/system.slice/system-postgresql.slice/postgresql@15-main.service",
			place{unit: "postgresql@15-main.service", unitPath: "/system.slice/system-postgresql.slice/postgresql@15-main.service"}},
		{"session", "0::/user.slice/user-1000.slice/session-3.scope", place{}},
		{"user manager", "0::/user.slice/user-1000.slice/user@1000.service/init.scope", place{}},
		{"user manager without scope", "0::/user.slice/user-1000.slice/user@1000.service", place{}},
		{"user's service", "0::/user.slice/user-1000.slice/user@1000.service/app.slice/web.service",
			place{unit: "web.service", unitPath: "/user.slice/user-1000.slice/user@1000.service/app.slice/web.service"}},
		{"desktop application", "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-77.scope", place{}},

		{"docker systemd v2", "0::/system.slice/docker-" + idA + ".scope", place{container: idA}},
		{"docker cgroupfs v2", "0::/docker/" + idA, place{container: idA}},
		{"docker cgroupfs v1", "12:pids:/docker/" + idA + "\n2:cpu,cpuacct:/docker/" + idA + "\n1:name=systemd:/docker/" + idA + "\n0::/system.slice/containerd.service",
			place{container: idA}},
		{"docker with a parent", "0::/custom.slice/docker-" + idA + ".scope", place{container: idA}},
		{"docker init scope", "0::/system.slice/docker-" + idA + ".scope/init.scope", place{container: idA}},
		{"docker in docker", "0::/docker/" + idA + "/docker/" + idB, place{container: idB}},
		{"rootless docker", "0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + idA + ".scope", place{container: idA}},
		{"compose", "4:memory:/docker/buildx/" + idA, place{container: idA}},
		{"podman", "0::/machine.slice/libpod-" + idA + ".scope/container", place{container: idA}},
		{"podman pod", "0::/machine.slice/machine-libpod_pod_" + idB + ".slice/libpod-" + idA + ".scope", place{container: idA}},
		{"podman pod slice alone", "0::/machine.slice/machine-libpod_pod_" + idB + ".slice", place{}},
		{"podman cgroupfs", "0::/libpod_parent/libpod-" + idA, place{container: idA}},
		{"podman rootless", "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + idA + ".scope/container", place{container: idA}},
		{"conmon", "0::/machine.slice/libpod-conmon-" + idA + ".scope", place{}},
		{"podman quadlet", "0::/system.slice/web.service/libpod-payload-" + idA, place{container: idA}},
		{"nerdctl", "0::/system.slice/nerdctl-" + idA + ".scope", place{container: idA}},
		{"ecs", "9:memory:/ecs/6f2e8c9f0a1b4c5d/" + idA, place{container: idA}},
		{"systemd in a container", "0::/docker/" + idA + "/system.slice/nginx.service",
			place{container: idA, unit: "nginx.service", unitPath: "/docker/" + idA + "/system.slice/nginx.service"}},
		{"lxc", "0::/lxc.payload.web/system.slice/nginx.service", place{unit: "nginx.service", unitPath: "/lxc.payload.web/system.slice/nginx.service"}},

		{"k8s containerd systemd", "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uid_ + ".slice/cri-containerd-" + idA + ".scope",
			place{container: idA, pod: uid, kubernetes: true}},
		{"k8s guaranteed", "0::/kubepods.slice/kubepods-pod" + uid_ + ".slice/cri-containerd-" + idA + ".scope",
			place{container: idA, pod: uid, kubernetes: true}},
		{"k8s containerd cgroupfs", "0::/kubepods/besteffort/pod" + uid + "/" + idA, place{container: idA, pod: uid, kubernetes: true}},
		{"k8s containerd mixed drivers", "0::/system.slice/containerd.service/kubepods-burstable-pod" + uid_ + ".slice:cri-containerd:" + idA,
			place{container: idA, pod: uid, kubernetes: true}},
		{"k8s cri-o", "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uid_ + ".slice/crio-" + idA + ".scope/container",
			place{container: idA, pod: uid, kubernetes: true}},
		{"k8s docker v1", "11:memory:/kubepods/burstable/pod" + uid + "/" + idA + "\n1:name=systemd:/kubepods/burstable/pod" + uid + "/" + idA,
			place{container: idA, pod: uid, kubernetes: true}},
		{"k8s docker systemd v1", "11:cpuset:/kubepods.slice/kubepods-pod" + uid_ + ".slice/docker-" + idA + ".scope",
			place{container: idA, pod: uid, kubernetes: true}},
		{"k8s static pod", "0::/kubepods/burstable/pod" + hash + "/" + idA, place{container: idA, kubernetes: true}},
		{"k8s static pod systemd", "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + hash + ".slice/cri-containerd-" + idA + ".scope",
			place{container: idA, kubernetes: true}},
		{"k8s pod without container", "0::/kubepods/besteffort/pod" + uid, place{pod: uid, kubernetes: true}},
		{"kubepods itself", "0::/kubepods.slice", place{}},
		{"k3s v1 hybrid", "0::/system.slice/k3s.service\n3:cpu:/kubepods/pod" + uid + "/" + idA, place{container: idA, pod: uid, kubernetes: true}},
		{"gke", "0::/kubepods/burstable/pod" + uid + "/" + idA, place{container: idA, pod: uid, kubernetes: true}},
		{"kind", "0::/system.slice/docker-" + idB + ".scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod" + uid_ + ".slice/cri-containerd-" + idA + ".scope",
			place{container: idA, pod: uid, kubernetes: true}},
		{"kind cgroupfs", "0::/docker/" + idB + "/kubelet/kubepods/besteffort/pod" + uid + "/" + idA, place{container: idA, pod: uid, kubernetes: true}},
		{"kind's kubelet", "0::/docker/" + idB + "/kubelet.slice/kubelet.service",
			place{container: idB, unit: "kubelet.service", unitPath: "/docker/" + idB + "/kubelet.slice/kubelet.service"}},
		{"docker in a pod", "0::/kubepods/besteffort/pod" + uid + "/" + idA + "/docker/" + idB, place{container: idB, pod: uid}},

		{"namespaced root", "0::/..", place{partial: true}},
		{"namespaced pod", "0::/../../kubepods-besteffort-pod" + uid_ + ".slice/cri-containerd-" + idA + ".scope",
			place{container: idA, pod: uid, kubernetes: true, partial: true}},
		{"namespaced pod cgroupfs", "0::/../../pod" + uid + "/" + idA, place{container: idA, pod: uid, kubernetes: true, partial: true}},
		{"namespaced sibling", "0::/../cri-containerd-" + idA + ".scope", place{container: idA, kubernetes: true, partial: true}},
		{"namespaced sibling cgroupfs", "0::/../" + idA, place{container: idA, partial: true}},
		{"namespaced service", "0::/../../../system.slice/nginx.service",
			place{unit: "nginx.service", unitPath: "/../../../system.slice/nginx.service", partial: true}},
		{"namespaced docker", "0::/../docker-" + idA + ".scope", place{container: idA, partial: true}},

		{"deleted", "0::/docker/" + idA + " (deleted)", place{container: idA}},
		{"63 digits", "0::/docker/" + idA[1:], place{}},
		{"65 digits", "0::/docker/0" + idA, place{}},
		{"upper case", "0::/docker/" + strings.ToUpper(idA), place{}},
		{"podcast", "0::/podcast/pod-" + uid, place{}},
		{"v1 bare", "9:name=systemd:/\n8:pids:/\n4:memory:/process_api/" + idA[:32] + "\n0::/", place{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, parseCgroup(test.text))
			assert.Equal(t, test.want, parseCgroup(test.text+"\n"))
		})
	}
}

func TestPodFromMounts(t *testing.T) {
	const mounts = `1 2 0:5 / /proc rw - proc proc rw
600 500 8:1 /var/lib/kubelet/pods/` + uid + `/etc-hosts /etc/hosts rw,relatime - ext4 /dev/sda1 rw
`
	assert.Equal(t, uid, podFromMounts(mounts))
	assert.Empty(t, podFromMounts("600 500 8:1 /home/pods/music /x rw - ext4 /dev/sda1 rw\nshort"))
}

func TestUnitName(t *testing.T) {
	for unit, want := range map[string]string{
		"nginx.service":              "nginx",
		"postgresql@15-main.service": "postgresql",
		"my.app.service":             "my.app",
		`a\x2db.service`:             "a-b",
		`trailing\x.service`:         `trailing\x`,
		"@odd.service":               "@odd",
	} {
		assert.Equal(t, want, unitName(unit))
	}
	assert.True(t, isSpawner("cron.service"))
	assert.True(t, isSpawner("systemd-nspawn@web.service"))
	assert.True(t, isSpawner("pm2-root.service"))
	assert.False(t, isSpawner("nginx.service"))
}

func FuzzParseCgroup(f *testing.F) {
	f.Add("0::/../kubepods/pod" + uid + "/" + idA + "/a.service")
	f.Fuzz(func(t *testing.T, text string) {
		p := parseCgroup(text)
		assert.True(t, p.container == "" || len(p.container) == 64)
		assert.True(t, p.pod == "" || isUUID(p.pod))
		assert.True(t, strings.HasSuffix(p.unitPath, p.unit))
	})
}
