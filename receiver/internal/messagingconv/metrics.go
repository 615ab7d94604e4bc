// SPDX-License-Identifier: Apache-2.0

package messagingconv

import (
	"math"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// Attribute names of semantic conventions v1.43.0; a test compares them with the Go
// semconv package.
const (
	attrSystem        = "messaging.system"
	attrOperation     = "messaging.operation.name"
	attrOperationType = "messaging.operation.type"
	attrDestination   = "messaging.destination.name"
	attrPartition     = "messaging.destination.partition.id"
	attrSubscription  = "messaging.destination.subscription.name"
	attrTemporary     = "messaging.destination.temporary"
	attrAnonymous     = "messaging.destination.anonymous"
	attrGroup         = "messaging.consumer.group.name"
	attrClient        = "messaging.client.id"
	attrMessage       = "messaging.message.id"
	attrBody          = "messaging.message.body.size"
	attrBatch         = "messaging.batch.message_count"
	attrErrorType     = "error.type"
)

// durationBounds are those the conventions advise, in s.
var durationBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

// Protocol describes the instruments of messaging systems, the same for all.
var Protocol = &exchange.Protocol{
	Name: "messaging",
	Server: []exchange.Instrument{
		{Name: "ebpf.messaging.server.operation.duration", Description: "Duration of messaging operations as the broker sees them.", Unit: "s", Bounds: durationBounds},
	},
	Client: []exchange.Instrument{
		{Name: "messaging.client.operation.duration", Description: "Duration of messaging operation initiated by a producer or consumer client.", Unit: "s", Bounds: durationBounds},
		{Name: "messaging.client.sent.messages", Description: "Number of messages producer attempted to send to the broker.", Unit: "{message}", Kind: exchange.Counter},
		{Name: "messaging.client.consumed.messages", Description: "Number of messages that were delivered to the application.", Unit: "{message}", Kind: exchange.Counter},
		{Name: "ebpf.messaging.consumer.lag", Description: "Number of messages a consumer is behind the end of a partition, as its last fetch showed.", Unit: "{message}", Kind: exchange.Gauged},
		{Name: "messaging.process.duration", Description: "Duration of processing operation.", Unit: "s", Bounds: durationBounds},
	},
}

// withKernel is Protocol and what only the kernel knows.
var withKernel = Protocol.WithKernel()

// Protocol implements exchange.Detail.
func (d *Detail) Protocol() *exchange.Protocol {
	if d.Settings.Kernel {
		return withKernel
	}
	return Protocol
}

// Measure implements exchange.Detail.
func (d *Detail) Measure(x *exchange.Exchange, values []float64) {
	duration, process := x.Seconds(), d.Type == Process && x.Role == exchange.RoleClient
	values[0] = duration
	if process {
		values[0] = math.NaN() // the conventions keep it out of the operations' duration
	}
	values = values[1:]
	if x.Role == exchange.RoleClient {
		nan := math.NaN()
		values[0], values[1], values[2], values[3] = nan, nan, nan, nan
		switch {
		case d.Messages < 0:
		case d.Type == Send:
			values[0] = float64(d.Messages)
		case d.Type == Receive || d.Type == Process:
			values[1] = float64(d.Messages)
		}
		if d.Lag >= 0 {
			values[2] = float64(d.Lag)
		}
		if process {
			values[3] = duration
		}
		values = values[4:]
	}
	if d.Settings.Kernel {
		x.MeasureKernel(values)
	}
}

// destination is that of metrics: names that are made for one connection would make
// a series each.
func (d *Detail) destination() string {
	if d.Temporary || d.Anonymous {
		return ""
	}
	return d.Destination
}

// AppendMetricKey implements exchange.Detail.
func (d *Detail) AppendMetricKey(x *exchange.Exchange, b []byte) []byte {
	address, port := x.ServerAddress()
	b = append(b, byte(x.Failure), byte(d.Type), byte(port>>8), byte(port))
	for _, s := range [...]string{d.System, d.Operation, d.destination(), d.Partition, d.Group, d.Subscription, d.Error, address} {
		b = append(b, byte(len(s)>>8), byte(len(s)))
		b = append(b, s...)
	}
	return b
}

// PutMetricAttributes implements exchange.Detail.
func (d *Detail) PutMetricAttributes(x *exchange.Exchange, m pcommon.Map) {
	address, port := x.ServerAddress()
	m.EnsureCapacity(m.Len() + 10)
	for _, a := range [...][2]string{
		{attrSystem, d.System}, {attrOperation, d.Operation}, {attrOperationType, d.Type.String()},
		{attrDestination, d.destination()}, {attrPartition, d.Partition}, {attrGroup, d.Group}, {attrSubscription, d.Subscription},
		{attrErrorType, d.errorType(x)}, {exchange.AttrServerAddress, address},
	} {
		if a[1] != "" {
			m.PutStr(a[0], a[1])
		}
	}
	if address != "" && port != 0 {
		m.PutInt(exchange.AttrServerPort, int64(port))
	}
}

// AppendActiveKey implements exchange.Detail.
func (d *Detail) AppendActiveKey(_ *exchange.Exchange, b []byte) []byte { return b }

// PutActiveAttributes implements exchange.Detail.
func (d *Detail) PutActiveAttributes(*exchange.Exchange, pcommon.Map) {}
