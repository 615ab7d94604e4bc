// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"crypto/sha1"
	"encoding/hex"
	"path"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

const distribution = "otelcol-ebpf"

// identity is everything a Resource says, before it is one.
type identity struct {
	// key of the Instance; formerKey is the one that it would have had before its
	// pod was known.
	key, formerKey                   string
	name, namespace, version, instID string
	container, pod                   string
	attributes                       []attribute
	kube                             kube
}

func (r *Registry) newInstance(id identity) *Instance {
	instance := &Instance{Key: id.key, ServiceName: id.name, Metrics: pcommon.NewResource()}
	m := instance.Metrics.Attributes()
	m.EnsureCapacity(16 + len(id.attributes))
	put := func(key, value string) {
		if value != "" {
			m.PutStr(key, value)
		}
	}
	// First, so that what we have seen replaces what was declared.
	for _, a := range id.attributes {
		put(a.key, a.value)
	}
	put("service.name", id.name)
	put("service.namespace", id.namespace)
	put("service.version", id.version)
	put("service.instance.id", id.instID)
	put("container.id", id.container)
	put("k8s.pod.uid", id.pod)
	id.kube.resource(put)
	put("host.name", r.hostName)
	put("host.id", r.hostID)
	put("os.type", "linux")
	// telemetry.sdk.* would claim that an SDK in the process made this.
	put("telemetry.distro.name", distribution)
	put("telemetry.distro.version", r.options.Version)
	return instance
}

func (r *Registry) newTraces(instance *Instance, p *process) pcommon.Resource {
	res := pcommon.NewResource()
	m := res.Attributes()
	m.EnsureCapacity(instance.Metrics.Attributes().Len() + 4)
	instance.Metrics.Attributes().Range(func(k string, v pcommon.Value) bool {
		v.CopyTo(m.PutEmpty(k))
		return true
	})
	m.PutInt("process.pid", int64(p.PID))
	if p.exe != "" {
		m.PutStr("process.executable.name", clean(path.Base(p.exe)))
		m.PutStr("process.executable.path", clean(p.exe))
	} else if p.Comm != "" {
		m.PutStr("process.executable.name", clean(p.Comm))
	}
	if r.options.CommandArgs && len(p.args) > 0 {
		args := m.PutEmptySlice("process.command_args")
		for _, arg := range p.args {
			args.AppendEmpty().SetStr(clean(arg))
		}
	}
	return res
}

// instanceNamespace is the UUID namespace that the semantic conventions give
// for service.instance.id.
var instanceNamespace = [16]byte{
	0x4d, 0x63, 0x00, 0x9a, 0x8d, 0x0f, 0x11, 0xee, 0xaa, 0xd7, 0x4c, 0x79, 0x6e, 0xd8, 0xe3, 0x20,
}

// instanceID is a UUID version 5 (RFC 9562) of a key on this host.
func (r *Registry) instanceID(key string) string {
	host := r.hostID
	if host == "" {
		host = r.hostName
	}
	h := sha1.New()
	h.Write(instanceNamespace[:])
	h.Write([]byte(host + "\x00" + key))
	u := h.Sum(nil)[:16]
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	var b [36]byte
	hex.Encode(b[:], u[:4])
	hex.Encode(b[9:], u[4:6])
	hex.Encode(b[14:], u[6:8])
	hex.Encode(b[19:], u[8:10])
	hex.Encode(b[24:], u[10:])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}
