// SPDX-License-Identifier: Apache-2.0

// Package container finds out in which container a process is, and what that
// container is called where no API server is asked.
//
// In: /proc, and what container runtimes leave on the host for themselves. Out:
// ids, pods' uids and names. It must never know about rules or telemetry, and it
// never talks to a daemon.
package container
