// SPDX-License-Identifier: Apache-2.0

// Package workload finds out who a process is: its service name, container,
// and the pdata Resource its telemetry belongs to.
//
// In: a process id, /proc, and the kernel's exec and exit notifications. Out:
// immutable Workloads, cached. It must never know about connections,
// protocols, or what the Resources are used for, and it never asks another
// daemon (Kubernetes, Docker): the k8s_attributes processor does that.
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
//  3. In a Kubernetes pod: nothing. k8s_attributes derives the name from the
//     pod's owner and never overwrites one that is there, so service.name and
//     service.instance.id are left out.
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
// even in one container. Processes outside containers that were told the same
// name and service.instance.id are one instance, because their metrics could
// not be told apart behind the exporters; in two containers, the second one
// gets an id of our making instead.
package workload
