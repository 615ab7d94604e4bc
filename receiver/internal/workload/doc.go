// SPDX-License-Identifier: Apache-2.0

// Package workload finds out who a process is: its service name, container,
// and the pdata Resource its telemetry belongs to.
//
// In: a process id, /proc, and the kernel's exec and exit notifications. Out:
// immutable Workloads, cached. It must never know about connections,
// protocols, or what the Resources are used for, and it never asks another
// daemon. Names of containers come from what their runtimes leave on the host
// (package container), what Kubernetes knows from a cluster.View, if there is one;
// without, the k8s_attributes processor adds it downstream.
//
// # Service name
//
// The first of these that is known:
//
//  1. service_name of the discovery rule that selected the process: whoever
//     wrote that line meant this process, and has no other way to be heard.
//  2. What the process was told: -Dotel.service.name (for a JVM, where it beats
//     the environment in the OpenTelemetry agent as well), OTEL_SERVICE_NAME,
//     then service.name in OTEL_RESOURCE_ATTRIBUTES.
//  3. In a Kubernetes pod that the cluster.View knows: the pod's annotations and
//     labels, its owner's name, its own, by the semantic conventions. So are
//     service.namespace and service.version. If there is no view: nothing.
//     k8s_attributes finds the same and never overwrites what is there.
//  4. The systemd unit, without .service; a template's instances share its
//     name. Units that start other people's programs (cron, sshd,
//     supervisord, container runtimes) name only their own main process.
//  5. The program: for interpreters the script, module, jar or main class,
//     otherwise the executable's base name. A container is named after its
//     main program, not after what happens to run in it (health checks).
//  6. The short name (comm) the kernel told with exec or the connection, for a
//     process that was gone before it was looked at; unknown_service if none.
//
// # Instance
//
// Commands that come and go (young processes that listen nowhere) share one
// instance per name: each of them would be a series that nobody looks at twice.
//
// A service instance is a container, a systemd unit, or a family of processes:
// the topmost ancestor running the same program, and what descends from it.
// Processes that were told different service names are different instances
// even in one container. In Kubernetes an instance is namespace.pod.container, also
// when the container was started anew; only if neither the runtime nor the cluster
// tells these names, service.instance.id is left to k8s_attributes.
//
// No two instances have the same service.namespace, service.name and
// service.instance.id, which is all that a Prometheus exporter keeps of a Resource:
// in one container (and outside of all) they are one instance; in two, the second
// one gets an id of our making.
package workload
