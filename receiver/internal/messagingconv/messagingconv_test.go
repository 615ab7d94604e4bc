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
		exchange.AttrServerPort:    string(semconv.ServerPortKey),
		exchange.AttrServerAddress: string(semconv.ServerAddressKey),
	} {
		require.Equal(t, theirs, ours)
	}
}

// instrument is what the generated instruments have in common.
type instrument interface {
	Name() string
	Unit() string
	Description() string
}

func TestInstruments(t *testing.T) {
	t.Parallel()
	for i, want := range map[int]instrument{
		0: conv.ClientOperationDuration{}, 1: conv.ClientSentMessages{}, 2: conv.ClientConsumedMessages{}, 4: conv.ProcessDuration{},
	} {
		got := Protocol.Client[i]
		require.Equal(t, want.Name(), got.Name)
		require.Equal(t, want.Unit(), got.Unit)
		require.Equal(t, want.Description(), got.Description)
	}
	for _, ours := range []exchange.Instrument{Protocol.Server[0], Protocol.Client[3]} {
		require.Regexp(t, `^ebpf\.messaging\.`, ours.Name)
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
	require.Equal(t, ptrace.SpanKindClient, d.SpanKind(x))
	require.Equal(t, ptrace.StatusCodeUnset, d.SpanStatus(x))
	d.Error = "MESSAGE_TOO_LARGE"
	require.Equal(t, ptrace.StatusCodeError, d.SpanStatus(x))
	d.Temporary = true
	require.Equal(t, "send (temporary)", d.SpanName(x))
	x.Role = exchange.RoleServer
	require.Equal(t, ptrace.SpanKindServer, d.SpanKind(x))

	// The context is that of a span of the application's.
	x, d = client()
	d.Operation, d.Type, d.Contexts = "send", Send, append(d.Contexts, exchange.Link{SpanID: pcommon.SpanID{1}})
	require.Equal(t, ptrace.SpanKindClient, d.SpanKind(x))
	for kind, want := range map[OperationType]ptrace.SpanKind{
		None: ptrace.SpanKindClient, Create: ptrace.SpanKindClient, Receive: ptrace.SpanKindClient,
		Process: ptrace.SpanKindConsumer, Settle: ptrace.SpanKindClient,
	} {
		d.Type = kind
		require.Equal(t, want, d.SpanKind(x), kind)
	}

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
