// SPDX-License-Identifier: Apache-2.0

// Package memcached compares what the collector reports of memcached with what gomemcache,
// pymemcache, python-binary-memcached and pipelines of meta commands did.
package memcached
