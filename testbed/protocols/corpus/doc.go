// SPDX-License-Identifier: Apache-2.0

// Package corpus records the conversations that the tests and fuzz targets of the parsers
// begin with: record.sh starts the servers, clients.py and other clients talk to them through
// the proxy in record. See package receiver/internal/protocol/recorded for what comes out.
package corpus
