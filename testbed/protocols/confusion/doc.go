// SPDX-License-Identifier: Apache-2.0

// Package confusion plays what clients and servers of all protocols say to each other, on
// ports that belong to other protocols, and looks at what it is taken for.
//
// testdata is recorded from real ones by record.sh.
package confusion
