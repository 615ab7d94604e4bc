// SPDX-License-Identifier: Apache-2.0

// Package examplestest runs what is in examples/, with the built Collector, on
// this host.
package examplestest
