// SPDX-License-Identifier: Apache-2.0

// Package whyslow forces requests to be slow in known ways, one experiment per
// way, and looks whether their spans say why: a server that is stopped, one that
// computes, one that has to share its CPU, packets that get lost.
package whyslow
