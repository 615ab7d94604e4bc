// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery"
)

// Workload is who an exchange belongs to: a service instance. Several
// processes (the workers of one nginx) share one Instance for metrics; each
// process has its own resource for traces.
//
// A Workload is immutable once published, so pointers may be shared between
// goroutines and compared.
type Workload struct {
	// Instance is shared by all processes of one service instance; metrics
	// are aggregated per Instance.
	Instance *Instance
	// PID is the thread group id in the host's pid namespace.
	PID uint32
	// Traces is the resource of this process's spans: that of Instance plus
	// process.* attributes. Copy it, do not change it.
	Traces pcommon.Resource
	// Discovery is what the rules say about the process, as it was when it
	// was first looked at.
	Discovery discovery.Decision
}

// Transient reports whether an instance stands for all the short-lived runs of a program,
// which have nothing in common but that.
func (i *Instance) Transient() bool { return strings.HasPrefix(i.Key, programKey("")) }

// Instance is a service instance: container, unit or process family.
type Instance struct {
	// Key is unique per instance on this host.
	Key string
	// ServiceName as reported; empty where Kubernetes will name it.
	ServiceName string
	// Metrics is the resource of its metrics; it has no process.pid, and its
	// service.instance.id is unique on this host. Copy it, do not change it.
	Metrics pcommon.Resource
}
