// SPDX-License-Identifier: Apache-2.0

package container

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
func TestParse(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       Place
	}{
		{"host root", "0::/", Place{}},
		{"empty", "", Place{}},
		{"garbage", "hello\n0:x\n", Place{}},
		{"systemd service", "0::/system.slice/nginx.service", Place{Unit: "nginx.service", UnitPath: "/system.slice/nginx.service"}},
		{"delegated subgroup", "0::/system.slice/nginx.service/workers", Place{Unit: "nginx.service", UnitPath: "/system.slice/nginx.service"}},
		{"template", "0::/system.slice/system-postgresql.slice/postgresql@15-main.service",
			Place{Unit: "postgresql@15-main.service", UnitPath: "/system.slice/system-postgresql.slice/postgresql@15-main.service"}},
		{"session", "0::/user.slice/user-1000.slice/session-3.scope", Place{}},
		{"user manager", "0::/user.slice/user-1000.slice/user@1000.service/init.scope", Place{}},
		{"user manager without scope", "0::/user.slice/user-1000.slice/user@1000.service", Place{}},
		{"user's service", "0::/user.slice/user-1000.slice/user@1000.service/app.slice/web.service",
			Place{Unit: "web.service", UnitPath: "/user.slice/user-1000.slice/user@1000.service/app.slice/web.service"}},
		{"desktop application", "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-77.scope", Place{}},

		{"docker systemd v2", "0::/system.slice/docker-" + idA + ".scope", Place{ID: idA}},
		{"docker cgroupfs v2", "0::/docker/" + idA, Place{ID: idA}},
		{"docker cgroupfs v1", "12:pids:/docker/" + idA + "\n2:cpu,cpuacct:/docker/" + idA + "\n1:name=systemd:/docker/" + idA + "\n0::/system.slice/containerd.service",
			Place{ID: idA}},
		{"docker with a parent", "0::/custom.slice/docker-" + idA + ".scope", Place{ID: idA}},
		{"docker init scope", "0::/system.slice/docker-" + idA + ".scope/init.scope", Place{ID: idA}},
		{"docker in docker", "0::/docker/" + idA + "/docker/" + idB, Place{ID: idB}},
		{"rootless docker", "0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + idA + ".scope", Place{ID: idA}},
		{"compose", "4:memory:/docker/buildx/" + idA, Place{ID: idA}},
		{"podman", "0::/machine.slice/libpod-" + idA + ".scope/container", Place{ID: idA}},
		{"podman pod", "0::/machine.slice/machine-libpod_pod_" + idB + ".slice/libpod-" + idA + ".scope", Place{ID: idA}},
		{"podman pod slice alone", "0::/machine.slice/machine-libpod_pod_" + idB + ".slice", Place{}},
		{"podman cgroupfs", "0::/libpod_parent/libpod-" + idA, Place{ID: idA}},
		{"podman rootless", "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + idA + ".scope/container", Place{ID: idA}},
		{"conmon", "0::/machine.slice/libpod-conmon-" + idA + ".scope", Place{}},
		{"podman quadlet", "0::/system.slice/web.service/libpod-payload-" + idA, Place{ID: idA}},
		{"nerdctl", "0::/system.slice/nerdctl-" + idA + ".scope", Place{ID: idA}},
		{"ecs", "9:memory:/ecs/6f2e8c9f0a1b4c5d/" + idA, Place{ID: idA}},
		{"systemd in a container", "0::/docker/" + idA + "/system.slice/nginx.service",
			Place{ID: idA, Unit: "nginx.service", UnitPath: "/docker/" + idA + "/system.slice/nginx.service"}},
		{"lxc", "0::/lxc.payload.web/system.slice/nginx.service", Place{Unit: "nginx.service", UnitPath: "/lxc.payload.web/system.slice/nginx.service"}},

		{"k8s containerd systemd", "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uid_ + ".slice/cri-containerd-" + idA + ".scope",
			Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"k8s guaranteed", "0::/kubepods.slice/kubepods-pod" + uid_ + ".slice/cri-containerd-" + idA + ".scope",
			Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"k8s containerd cgroupfs", "0::/kubepods/besteffort/pod" + uid + "/" + idA, Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"k8s containerd mixed drivers", "0::/system.slice/containerd.service/kubepods-burstable-pod" + uid_ + ".slice:cri-containerd:" + idA,
			Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"k8s cri-o", "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uid_ + ".slice/crio-" + idA + ".scope/container",
			Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"k8s docker v1", "11:memory:/kubepods/burstable/pod" + uid + "/" + idA + "\n1:name=systemd:/kubepods/burstable/pod" + uid + "/" + idA,
			Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"k8s docker systemd v1", "11:cpuset:/kubepods.slice/kubepods-pod" + uid_ + ".slice/docker-" + idA + ".scope",
			Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"k8s static pod", "0::/kubepods/burstable/pod" + hash + "/" + idA, Place{ID: idA, Kubernetes: true}},
		{"k8s static pod systemd", "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + hash + ".slice/cri-containerd-" + idA + ".scope",
			Place{ID: idA, Kubernetes: true}},
		{"k8s pod without container", "0::/kubepods/besteffort/pod" + uid, Place{Pod: uid, Kubernetes: true}},
		{"kubepods itself", "0::/kubepods.slice", Place{}},
		{"k3s v1 hybrid", "0::/system.slice/k3s.service\n3:cpu:/kubepods/pod" + uid + "/" + idA, Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"gke", "0::/kubepods/burstable/pod" + uid + "/" + idA, Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"kind", "0::/system.slice/docker-" + idB + ".scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod" + uid_ + ".slice/cri-containerd-" + idA + ".scope",
			Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"kind cgroupfs", "0::/docker/" + idB + "/kubelet/kubepods/besteffort/pod" + uid + "/" + idA, Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"kind's kubelet", "0::/docker/" + idB + "/kubelet.slice/kubelet.service",
			Place{ID: idB, Unit: "kubelet.service", UnitPath: "/docker/" + idB + "/kubelet.slice/kubelet.service"}},
		{"docker in a pod", "0::/kubepods/besteffort/pod" + uid + "/" + idA + "/docker/" + idB, Place{ID: idB, Pod: uid}},

		{"namespaced root", "0::/..", Place{Partial: true}},
		{"namespaced pod", "0::/../../kubepods-besteffort-pod" + uid_ + ".slice/cri-containerd-" + idA + ".scope",
			Place{ID: idA, Pod: uid, Kubernetes: true, Partial: true}},
		{"namespaced pod cgroupfs", "0::/../../pod" + uid + "/" + idA, Place{ID: idA, Pod: uid, Kubernetes: true, Partial: true}},
		{"namespaced sibling", "0::/../cri-containerd-" + idA + ".scope", Place{ID: idA, Kubernetes: true, Partial: true}},
		{"namespaced sibling cgroupfs", "0::/../" + idA, Place{ID: idA, Partial: true}},
		{"namespaced service", "0::/../../../system.slice/nginx.service",
			Place{Unit: "nginx.service", UnitPath: "/../../../system.slice/nginx.service", Partial: true}},
		{"namespaced docker", "0::/../docker-" + idA + ".scope", Place{ID: idA, Partial: true}},

		{"docker container of actions", "0::/actions_job/" + idA, Place{ID: idA}},
		{"docker v1 controllers disagree", "9:name=systemd:/user.slice/user-0.slice/session-2.scope\n8:memory:/docker/" + idA + "\n0::/user.slice/user-0.slice/session-2.scope", Place{ID: idA}},
		{"docker v1 systemd inside", "9:memory:/docker/" + idA + "\n1:name=systemd:/docker/" + idA + "/system.slice/nginx.service",
			Place{ID: idA, Unit: "nginx.service", UnitPath: "/docker/" + idA + "/system.slice/nginx.service"}},
		{"docker v1 systemd outside", "11:cpuset:/system.slice/docker-" + idA + ".scope\n1:name=systemd:/system.slice/docker-" + idA + ".scope", Place{ID: idA}},
		{"docker hybrid", "4:memory:/system.slice/docker-" + idA + ".scope\n1:name=systemd:/system.slice/docker-" + idA + ".scope\n0::/system.slice/docker-" + idA + ".scope", Place{ID: idA}},
		{"docker swarm with a parent of its own", "0::/swarm/services/" + idA, Place{ID: idA}},
		{"docker in lxc", "0::/lxc.payload.104/docker/" + idA, Place{ID: idA}},
		{"docker in lxc v1", "8:memory:/lxc/104/ns/docker/" + idA, Place{ID: idA}},
		{"docker's buildkit worker", "0::/docker/" + idA + "/docker/buildkit/wjx2s1mz6fq0h3a8v5n7c4b9d", Place{ID: idA}},
		{"docker in docker, systemd", "0::/system.slice/docker-" + idA + ".scope/docker/" + idB, Place{ID: idB}},
		{"docker's daemon in docker", "0::/docker/" + idA + "/init", Place{ID: idA}},
		{"sysbox", "0::/docker/" + idA + "/syscont-cgroup-root/docker/" + idB, Place{ID: idB}},
		{"nomad", "0::/nomad.slice/share.slice/docker-" + idA + ".scope", Place{ID: idA}},
		{"nomad exec", "0::/nomad.slice/share.slice/8d0e8ae1-3f2f-4b7a-9a7e-0d1c2b3a4958.web.scope", Place{}},
		{"ecs v2", "0::/ecstasks.slice/ecstasks-6f2e8c9f0a1b4c5d6f2e8c9f0a1b4c5d.slice/docker-" + idA + ".scope", Place{ID: idA}},
		{"nerdctl cgroupfs", "0::/default/" + idA, Place{ID: idA}},
		{"nerdctl rootless", "0::/user.slice/user-1000.slice/user@1000.service/user.slice/nerdctl-" + idA + ".scope", Place{ID: idA}},
		{"gvisor", "0::/docker/" + idA + "/runsc-sandbox", Place{ID: idA}},
		{"garden", "0::/garden/6b3f2c1e-7d85-4a93", Place{}},

		{"podman cgroupfs pod", "9:name=systemd:/libpod_parent/" + idB + "/libpod-" + idA + "\n0::/libpod_parent/" + idB + "/libpod-" + idA, Place{ID: idA}},
		{"podman cgroupfs pod alone", "0::/libpod_parent/" + idB, Place{}},
		{"podman cgroupfs pod's conmon", "0::/libpod_parent/" + idB + "/conmon", Place{}},
		{"podman cgroupfs conmon", "4:memory:/libpod_parent/conmon\n0::/", Place{}},
		{"podman cgroupfs v1 crun", "4:memory:/libpod_parent/libpod-" + idA + "\n0::/libpod_parent/libpod-" + idA + "/container", Place{ID: idA}},
		{"podman init", "0::/machine.slice/libpod-" + idA + ".scope/container/init.scope", Place{ID: idA}},
		{"podman systemd inside", "0::/machine.slice/libpod-" + idA + ".scope/container/system.slice/httpd.service",
			Place{ID: idA, Unit: "httpd.service", UnitPath: "/machine.slice/libpod-" + idA + ".scope/container/system.slice/httpd.service"}},
		{"podman rootless pod", "0::/user.slice/user-1000.slice/user@1000.service/user.slice/user-libpod_pod_" + idB + ".slice/libpod-" + idA + ".scope/container", Place{ID: idA}},
		{"podman rootless v1, not moved", "9:name=systemd:/user.slice/user-1000.slice/session-4.scope\n0::/user.slice/user-1000.slice/user@1000.service/app.slice/podman-1234.scope", Place{}},
		{"podman rootless conmon", "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-conmon-" + idA + ".scope", Place{}},
		{"podman split's conmon", "0::/system.slice/web.service/supervisor", Place{Unit: "web.service", UnitPath: "/system.slice/web.service"}},
		{"podman in podman", "0::/machine.slice/libpod-" + idA + ".scope/container/libpod_parent/libpod-" + idB, Place{ID: idB}},
		{"toolbox", "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + idA + ".scope/container", Place{ID: idA}},

		{"lxc v1", "8:memory:/lxc/web\n1:name=systemd:/lxc/web/init.scope", Place{}},
		{"lxc's monitor", "0::/lxc.monitor.web", Place{}},
		{"lxd", "0::/lxc.payload.u1/user.slice/user-0.slice/session-1.scope", Place{}},
		{"nspawn", "0::/machine.slice/systemd-nspawn@web.service/payload",
			Place{Unit: "systemd-nspawn@web.service", UnitPath: "/machine.slice/systemd-nspawn@web.service"}},
		{"nspawn's service", "0::/machine.slice/systemd-nspawn@web.service/payload/system.slice/nginx.service",
			Place{Unit: "nginx.service", UnitPath: "/machine.slice/systemd-nspawn@web.service/payload/system.slice/nginx.service"}},
		{"nspawn by machinectl", "0::/machine.slice/machine-web.scope/payload/init.scope", Place{}},
		{"virtual machine", `0::/machine.slice/machine-qemu\x2d1\x2dweb.scope/libvirt/emulator`, Place{}},
		{"runc by hand", "0::/user.slice/web", Place{}},

		{"k8s burstable cgroupfs cri-o", "0::/kubepods/burstable/pod" + uid + "/crio-" + idA, Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"k8s cri-o conmon", "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uid_ + ".slice/crio-conmon-" + idA + ".scope", Place{Pod: uid, Kubernetes: true}},
		{"openshift v1", "11:memory:/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uid_ + ".slice/crio-" + idA + ".scope\n1:name=systemd:/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uid_ + ".slice/crio-" + idA + ".scope",
			Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"openshift, systemd inside", "0::/kubepods.slice/kubepods-pod" + uid_ + ".slice/crio-" + idA + ".scope/container/system.slice/httpd.service",
			Place{ID: idA, Pod: uid, Kubernetes: true, Unit: "httpd.service", UnitPath: "/kubepods.slice/kubepods-pod" + uid_ + ".slice/crio-" + idA + ".scope/container/system.slice/httpd.service"}},
		{"eks", "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uid_ + ".slice/cri-containerd-" + idA + ".scope",
			Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"eks v1 hybrid", "11:pids:/kubepods/burstable/pod" + uid + "/" + idA + "\n1:name=systemd:/kubepods/burstable/pod" + uid + "/" + idA + "\n0::/", Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"bottlerocket", "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uid_ + ".slice/cri-containerd-" + idA + ".scope",
			Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"bottlerocket's host containers", "0::/runtime.slice/host-containerd.service/default/admin", Place{Unit: "host-containerd.service", UnitPath: "/runtime.slice/host-containerd.service"}},
		{"mixed drivers, parent", "0::/runtime.slice/containerd.service/kubepods-besteffort-pod" + uid_ + ".slice:cri-containerd:" + idA, Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"mixed drivers, guaranteed", "0::/system.slice/containerd.service/kubepods-pod" + uid_ + ".slice:cri-containerd:" + idA, Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"gke guaranteed", "0::/kubepods/pod" + uid + "/" + idA, Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"gke sandbox (gvisor)", "0::/kubepods/burstable/pod" + uid + "/" + idA + "/sub", Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"kata", "0::/kubepods/burstable/pod" + uid + "/kata_" + idA, Place{Pod: uid, Kubernetes: true}},
		{"k3s", "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uid_ + ".slice/cri-containerd-" + idA + ".scope", Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"k3s rootless", "0::/user.slice/user-1000.slice/user@1000.service/app.slice/k3s-rootless.service/kubepods/burstable/pod" + uid + "/" + idA, Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"k3s in docker", "0::/docker/" + idB + "/kubepods/besteffort/pod" + uid + "/" + idA, Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"k3d v1", "9:memory:/docker/" + idB + "/kubepods/besteffort/pod" + uid + "/" + idA + "\n1:name=systemd:/docker/" + idB + "\n0::/", Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"microk8s", "12:memory:/kubepods/besteffort/pod" + uid + "/" + idA + "\n0::/system.slice/snap.microk8s.daemon-containerd.service", Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"minikube none", "0::/system.slice/kubelet.service", Place{Unit: "kubelet.service", UnitPath: "/system.slice/kubelet.service"}},
		{"minikube kic", "0::/system.slice/docker-" + idB + ".scope/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uid_ + ".slice/docker-" + idA + ".scope",
			Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"kind rootless", "0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + idB + ".scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod" + uid_ + ".slice/cri-containerd-" + idA + ".scope",
			Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"kind in a pod", "0::/kubepods/burstable/pod" + uid[:35] + "0/" + idB + "/docker/" + idB[1:] + "a/kubelet/kubepods/besteffort/pod" + uid + "/" + idA, Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"docker in a pod, systemd", "0::/kubepods.slice/kubepods-pod" + uid_ + ".slice/cri-containerd-" + idA + ".scope/docker/" + idB, Place{ID: idB, Pod: uid}},
		{"podman in a pod", "0::/kubepods.slice/kubepods-pod" + uid_ + ".slice/crio-" + idA + ".scope/container/libpod_parent/libpod-" + idB, Place{ID: idB, Pod: uid}},
		{"kubernetes in lxc", "0::/lxc.payload.k8s/kubepods.slice/kubepods-pod" + uid_ + ".slice/cri-containerd-" + idA + ".scope", Place{ID: idA, Pod: uid, Kubernetes: true}},
		{"crictl without kubelet", "0::/test.slice/crio-" + idA + ".scope", Place{ID: idA}},

		{"namespaced pod, systemd parent", "0::/../../../kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uid_ + ".slice/cri-containerd-" + idA + ".scope",
			Place{ID: idA, Pod: uid, Kubernetes: true, Partial: true}},
		{"namespaced sibling cri-o", "0::/../crio-" + idA + ".scope/container", Place{ID: idA, Kubernetes: true, Partial: true}},
		{"namespaced from a unit", "0::/../../system.slice/docker-" + idA + ".scope", Place{ID: idA, Partial: true}},
		{"ourselves in a namespace", "0::/", Place{}},
		{"below ourselves", "0::/docker/" + idA + "/..", Place{ID: idA, Partial: true}},

		{"deleted", "0::/docker/" + idA + " (deleted)", Place{ID: idA}},
		{"63 digits", "0::/docker/" + idA[1:], Place{}},
		{"65 digits", "0::/docker/0" + idA, Place{}},
		{"upper case", "0::/docker/" + strings.ToUpper(idA), Place{}},
		{"podcast", "0::/podcast/pod-" + uid, Place{}},
		{"v1 bare", "9:name=systemd:/\n8:pids:/\n4:memory:/process_api/" + idA[:32] + "\n0::/", Place{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, Parse(test.text))
			assert.Equal(t, test.want, Parse(test.text+"\n"))
		})
	}
}

func TestPodFromMounts(t *testing.T) {
	const mounts = `1 2 0:5 / /proc rw - proc proc rw
600 500 8:1 /var/lib/kubelet/pods/` + uid + `/etc-hosts /etc/hosts rw,relatime - ext4 /dev/sda1 rw
`
	assert.Equal(t, uid, PodFromMounts(mounts))
	assert.Empty(t, PodFromMounts("600 500 8:1 /home/pods/music /x rw - ext4 /dev/sda1 rw\nshort"))
}

func FuzzParse(f *testing.F) {
	f.Add("0::/../kubepods/pod" + uid + "/" + idA + "/a.service")
	f.Fuzz(func(t *testing.T, text string) {
		p := Parse(text)
		assert.True(t, p.ID == "" || len(p.ID) == 64)
		assert.True(t, p.Pod == "" || IsUUID(p.Pod))
		assert.True(t, strings.HasSuffix(p.UnitPath, p.Unit))
	})
}
