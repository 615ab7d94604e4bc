// SPDX-License-Identifier: Apache-2.0

package dbconv

import (
	"testing"

	"github.com/stretchr/testify/require"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	conv "go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// Names are those of the conventions' own package.
func TestNames(t *testing.T) {
	t.Parallel()
	for ours, theirs := range map[string]string{
		attrSystem:                 string(semconv.DBSystemNameKey),
		attrNamespace:              string(semconv.DBNamespaceKey),
		attrOperation:              string(semconv.DBOperationNameKey),
		attrCollection:             string(semconv.DBCollectionNameKey),
		attrProcedure:              string(semconv.DBStoredProcedureNameKey),
		attrSummary:                string(semconv.DBQuerySummaryKey),
		attrText:                   string(semconv.DBQueryTextKey),
		attrStatus:                 string(semconv.DBResponseStatusCodeKey),
		attrRows:                   string(semconv.DBResponseReturnedRowsKey),
		attrBatch:                  string(semconv.DBOperationBatchSizeKey),
		attrErrorType:              string(semconv.ErrorTypeKey),
		exchange.AttrServerAddress: string(semconv.ServerAddressKey),
		exchange.AttrServerPort:    string(semconv.ServerPortKey),
		exchange.AttrPeerAddress:   string(semconv.NetworkPeerAddressKey),
		exchange.AttrPeerPort:      string(semconv.NetworkPeerPortKey),
		exchange.AttrClientAddress: string(semconv.ClientAddressKey),
		exchange.AttrTransport:     string(semconv.NetworkTransportKey),
	} {
		require.Equal(t, theirs, ours)
	}
	for _, ours := range []string{attrTruncated, attrUnprepared, Protocol.Server[0].Name} {
		require.Regexp(t, `^ebpf\.db\.`, ours)
	}
}

func TestInstruments(t *testing.T) {
	t.Parallel()
	want, got := conv.ClientOperationDuration{}, Protocol.Client[0]
	require.Equal(t, want.Name(), got.Name)
	require.Equal(t, want.Unit(), got.Unit)
	require.Equal(t, want.Description(), got.Description)
	require.Equal(t, []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}, got.Bounds)
}
