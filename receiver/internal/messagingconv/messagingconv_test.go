// SPDX-License-Identifier: Apache-2.0

package messagingconv

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	conv "go.opentelemetry.io/otel/semconv/v1.43.0/messagingconv"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
)

// Names are those of the conventions' own package.
func TestNames(t *testing.T) {
	t.Parallel()
	for ours, theirs := range map[string]string{
		attrSystem:                 string(semconv.MessagingSystemKey),
		attrOperation:              string(semconv.MessagingOperationNameKey),
		attrOperationType:          string(semconv.MessagingOperationTypeKey),
		attrDestination:            string(semconv.MessagingDestinationNameKey),
		attrPartition:              string(semconv.MessagingDestinationPartitionIDKey),
		attrSubscription:           string(semconv.MessagingDestinationSubscriptionNameKey),
		attrTemporary:              string(semconv.MessagingDestinationTemporaryKey),
		attrAnonymous:              string(semconv.MessagingDestinationAnonymousKey),
		attrGroup:                  string(semconv.MessagingConsumerGroupNameKey),
		attrClient:                 string(semconv.MessagingClientIDKey),
		attrMessage:                string(semconv.MessagingMessageIDKey),
		attrBody:                   string(semconv.MessagingMessageBodySizeKey),
		attrBatch:                  string(semconv.MessagingBatchMessageCountKey),
		attrErrorType:              string(semconv.ErrorTypeKey),
		Create.String():            semconv.MessagingOperationTypeCreate.Value.AsString(),
		Send.String():              semconv.MessagingOperationTypeSend.Value.AsString(),
		Receive.String():           semconv.MessagingOperationTypeReceive.Value.AsString(),
		Process.String():           semconv.MessagingOperationTypeProcess.Value.AsString(),
		Settle.String():            semconv.MessagingOperationTypeSettle.Value.AsString(),
		Protocol.Client[0].Name:    conv.ClientOperationDuration{}.Name(),
		Protocol.Client[0].Unit:    conv.ClientOperationDuration{}.Unit(),
		Protocol.Client[1].Name:    conv.ClientSentMessages{}.Name(),
		Protocol.Client[1].Unit:    conv.ClientSentMessages{}.Unit(),
		Protocol.Client[2].Name:    conv.ClientConsumedMessages{}.Name(),
		exchange.AttrServerAddress: string(semconv.ServerAddressKey),
	} {
		require.Equal(t, theirs, ours)
	}
}

func client() (*exchange.Exchange, *Detail) {
	d := &Detail{Settings: &Settings{}, Strings: intern.New(0), System: "kafka"}
	d.Reset()
	return &exchange.Exchange{Connection: &exchange.Connection{Role: exchange.RoleClient}, Role: exchange.RoleClient, Start: 1e9, End: 3e9, Detail: d}, d
}

func TestSpans(t *testing.T) {
	t.Parallel()
	x, d := client()
	require.Equal(t, "kafka", d.SpanName(x))
	d.Operation, d.Type, d.Destination = "send", Send, "orders"
	require.Equal(t, "send orders", d.SpanName(x))
	require.Equal(t, ptrace.SpanKindProducer, d.SpanKind(x))
	require.Equal(t, ptrace.StatusCodeUnset, d.SpanStatus(x))
	d.Error = "MESSAGE_TOO_LARGE"
	require.Equal(t, ptrace.StatusCodeError, d.SpanStatus(x))
	d.Temporary = true
	require.Equal(t, "send (temporary)", d.SpanName(x))
	x.Role = exchange.RoleServer
	require.Equal(t, ptrace.SpanKindServer, d.SpanKind(x))

	x, d = client()
	d.Operation, d.Type, d.Batch, d.Messages = "poll", Receive, true, 3
	require.Equal(t, ptrace.SpanKindClient, d.SpanKind(x))
	m := pcommon.NewMap()
	d.PutSpanAttributes(x, m)
	require.Equal(t, map[string]any{
		"messaging.system": "kafka", "messaging.operation.name": "poll", "messaging.operation.type": "receive", "messaging.batch.message_count": int64(3),
	}, m.AsRaw())
	traces, metrics := d.Suppressed(x)
	require.False(t, traces || metrics)
	d.Empty = true
	traces, metrics = d.Suppressed(x)
	require.True(t, traces && metrics)
	d.Reset()
	require.False(t, d.Empty)
}

func TestMeasure(t *testing.T) {
	t.Parallel()
	x, d := client()
	values := make([]float64, len(d.Protocol().Client))
	number := func(i int) any {
		if math.IsNaN(values[i]) {
			return nil
		}
		return values[i]
	}
	for _, c := range []struct {
		kind            OperationType
		messages, lag   int64
		sent, got, lags any
	}{
		{Send, 3, -1, 3.0, nil, nil},
		{Receive, 4, 7, nil, 4.0, 7.0},
		{Receive, -1, 0, nil, nil, 0.0},
		{None, 5, -1, nil, nil, nil},
	} {
		d.Type, d.Messages, d.Lag = c.kind, c.messages, c.lag
		d.Measure(x, values)
		require.Equal(t, 2.0, values[0])
		require.Equal(t, c.sent, number(1))
		require.Equal(t, c.got, number(2))
		require.Equal(t, c.lags, number(3))
	}
	one := string(d.AppendMetricKey(x, nil))
	d.Group = "g"
	require.NotEqual(t, one, string(d.AppendMetricKey(x, nil)))
}

func TestParseTraceparent(t *testing.T) {
	t.Parallel()
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	l, ok := ParseTraceparent([]byte(good))
	require.True(t, ok)
	require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", l.TraceID.String())
	require.Equal(t, "00f067aa0ba902b7", l.SpanID.String())
	require.EqualValues(t, 1, l.Flags)
	_, ok = ParseTraceparent([]byte("01" + good[2:] + "-more"))
	require.True(t, ok, "a version to come")
	for _, bad := range []string{
		"", good[1:], good + "-x", "ff" + good[2:], "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
	} {
		_, ok := ParseTraceparent([]byte(bad))
		require.False(t, ok, bad)
	}
}
