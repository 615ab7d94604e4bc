// SPDX-License-Identifier: Apache-2.0

package messagingconv

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/xpdata"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
)

// OperationType is messaging.operation.type.
type OperationType uint8

const (
	// None: not one of those the conventions know, as metadata requests. It has no
	// messaging metrics of its own beyond the duration.
	None OperationType = iota
	Create
	Send
	Receive
	Process
	Settle
)

var operationTypes = [...]string{"", "create", "send", "receive", "process", "settle"}

func (t OperationType) String() string {
	if int(t) < len(operationTypes) {
		return operationTypes[t]
	}
	return ""
}

// Settings are shared by all exchanges of a protocol.
type Settings struct {
	// Kernel adds histograms of what only the kernel knows.
	Kernel bool
}

// Detail is the messaging half of an exchange. It is reused: Reset keeps the buffers.
// What concerns the request must be in place before Sink.Begin and stay until the
// next Reset; what concerns the response, before Sink.End.
//
// Strings that come from the wire have to come through Strings, so that they are valid
// UTF-8 and cost nothing when they are seen again.
type Detail struct {
	Settings *Settings
	Strings  *intern.Table
	// System is messaging.system: kafka, rabbitmq, nats, mqtt...
	System string
	// Operation is messaging.operation.name, in the system's words; Type what it is
	// in the conventions'.
	Operation string
	Type      OperationType
	// Destination, Partition, Group, Client, Message and Subscription are
	// messaging.destination.name, messaging.destination.partition.id,
	// messaging.consumer.group.name, messaging.client.id, messaging.message.id and
	// messaging.destination.subscription.name; "" where there is none.
	Destination, Partition, Group, Client, Message, Subscription string
	// Temporary and Anonymous: the destination is made for one connection, or named
	// by the broker. Its name is then no metric attribute.
	Temporary, Anonymous bool
	// Messages sent or received; -1 if not known. It counts in the metrics, and is
	// messaging.batch.message_count on spans of Batch operations.
	Messages int64
	Batch    bool
	// Body is messaging.message.body.size in bytes, -1 if not known.
	Body int64
	// Error is error.type if the broker refused; "" if it did not.
	Error string
	// Empty: a receive that brought no message. It is the absence of messages, not an
	// operation, and not reported.
	Empty bool
	// Lag is how many messages the consumer is behind on the partition, -1 if not
	// known.
	Lag int64
	// Contexts are those that messages carried; spans link to them.
	Contexts []exchange.Link
	// Extra are further attributes of the span.
	Extra []Attribute

	scratch    []byte
	attributes xpdata.MapBuilder // empty between calls
}

// Attribute is a text, or a number if Text is empty.
type Attribute struct {
	Key, Text string
	Int       int64
}

// Reset prepares the Detail for the next exchange. Settings, Strings, System, Client
// and the memory of the buffers stay.
func (d *Detail) Reset() {
	d.Operation, d.Type = "", None
	d.Destination, d.Partition, d.Group, d.Message, d.Subscription = "", "", "", "", ""
	d.Temporary, d.Anonymous = false, false
	d.Messages, d.Batch, d.Body, d.Lag = -1, false, -1, -1
	d.Error = ""
	d.Empty = false
	d.Contexts = d.Contexts[:0]
	d.Extra = d.Extra[:0]
}

var (
	_ exchange.Detail = (*Detail)(nil)
	_ exchange.Linker = (*Detail)(nil)
)

// Links implements exchange.Linker.
func (d *Detail) Links(*exchange.Exchange) []exchange.Link { return d.Contexts }

// Suppressed implements exchange.Detail.
func (d *Detail) Suppressed(*exchange.Exchange) (traces, metrics bool) { return d.Empty, d.Empty }

// SpanName implements exchange.Detail: "{operation} {destination}", or either.
func (d *Detail) SpanName(*exchange.Exchange) string {
	destination := d.Destination
	switch {
	case d.Temporary:
		destination = "(temporary)"
	case d.Anonymous:
		destination = "(anonymous)"
	}
	switch {
	case destination == "" && d.Operation == "":
		return d.System
	case destination == "":
		return d.Operation
	case d.Operation == "":
		return destination
	}
	d.scratch = append(append(append(d.scratch[:0], d.Operation...), ' '), destination...)
	return d.Strings.String(d.scratch)
}

// SpanKind implements exchange.Detail, after "Span kind" of messaging-spans.md. A send is
// PRODUCER if messages carry its context as that of their creation. We do not write into
// messages, and a context that the application wrote is of a span of its own: so ours are
// CLIENT.
func (d *Detail) SpanKind(x *exchange.Exchange) ptrace.SpanKind {
	switch {
	case x.Role != exchange.RoleClient:
		return ptrace.SpanKindServer
	case d.Type == Process:
		return ptrace.SpanKindConsumer
	}
	return ptrace.SpanKindClient
}

// SpanStatus implements exchange.Detail.
func (d *Detail) SpanStatus(x *exchange.Exchange) ptrace.StatusCode {
	if d.errorType(x) != "" {
		return ptrace.StatusCodeError
	}
	return ptrace.StatusCodeUnset
}

func (d *Detail) errorType(x *exchange.Exchange) string {
	if d.Error != "" {
		return d.Error
	}
	return x.Failure.ErrorType()
}

// PutSpanAttributes implements exchange.Detail.
func (d *Detail) PutSpanAttributes(x *exchange.Exchange, m pcommon.Map) {
	b := &d.attributes
	b.EnsureCapacity(m.Len() + 20 + len(d.Extra) + x.KernelAttributes())
	for k, v := range m.All() {
		v.CopyTo(b.AppendEmpty(k))
	}
	put := func(key, value string) {
		if value != "" {
			b.AppendEmpty(key).SetStr(value)
		}
	}
	put(attrSystem, d.System)
	put(attrOperation, d.Operation)
	put(attrOperationType, d.Type.String())
	put(attrDestination, d.Destination)
	put(attrPartition, d.Partition)
	put(attrSubscription, d.Subscription)
	put(attrGroup, d.Group)
	put(attrClient, d.Client)
	put(attrMessage, d.Message)
	if d.Temporary {
		b.AppendEmpty(attrTemporary).SetBool(true)
	}
	if d.Anonymous {
		b.AppendEmpty(attrAnonymous).SetBool(true)
	}
	if d.Batch && d.Messages >= 0 {
		b.AppendEmpty(attrBatch).SetInt(d.Messages)
	}
	if d.Body >= 0 {
		b.AppendEmpty(attrBody).SetInt(d.Body)
	}
	put(attrErrorType, d.errorType(x))
	for i := range d.Extra {
		if e := &d.Extra[i]; e.Text != "" {
			b.AppendEmpty(e.Key).SetStr(e.Text)
		} else {
			b.AppendEmpty(e.Key).SetInt(e.Int)
		}
	}
	x.PutAddresses(b)
	x.PutKernelAttributes(b)
	b.UnsafeIntoMap(m)
}
