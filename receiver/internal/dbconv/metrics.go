// SPDX-License-Identifier: Apache-2.0

package dbconv

import (
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// Attribute names of semantic conventions v1.43.0; a test compares them with the Go
// semconv package.
const (
	attrSystem     = "db.system.name"
	attrNamespace  = "db.namespace"
	attrOperation  = "db.operation.name"
	attrCollection = "db.collection.name"
	attrProcedure  = "db.stored_procedure.name"
	attrSummary    = "db.query.summary"
	attrText       = "db.query.text"
	attrStatus     = "db.response.status_code"
	attrRows       = "db.response.returned_rows"
	attrBatch      = "db.operation.batch.size"
	attrErrorType  = "error.type"

	// Our own: the query was longer than what was seen; and the statement was
	// prepared before we came.
	attrTruncated  = "ebpf.db.query.truncated"
	attrUnprepared = "ebpf.db.query.unknown"
)

// durationBounds are those the conventions advise, in s.
var durationBounds = []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}

// Protocol describes the instruments of databases, the same for all.
var Protocol = &exchange.Protocol{
	Name: "db",
	Server: []exchange.Instrument{
		{Name: "ebpf.db.server.operation.duration", Description: "Duration of database operations as the server sees them.", Unit: "s", Bounds: durationBounds},
	},
	Client: []exchange.Instrument{
		{Name: "db.client.operation.duration", Description: "Duration of database client operations.", Unit: "s", Bounds: durationBounds},
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
	values[0] = x.Seconds()
	if d.Settings.Kernel {
		x.MeasureKernel(values[1:])
	}
}

// AppendMetricKey implements exchange.Detail.
func (d *Detail) AppendMetricKey(x *exchange.Exchange, b []byte) []byte {
	address, port := x.ServerAddress()
	b = append(b, byte(x.Failure), byte(port>>8), byte(port))
	failed := byte(0)
	if d.Failed {
		failed = 1
	}
	b = append(b, failed)
	for _, s := range [...]string{d.System, d.Namespace, d.Operation, d.Collection, d.Procedure, d.Summary, d.Status, d.Error, address} {
		b = append(b, byte(len(s)>>8), byte(len(s)))
		b = append(b, s...)
	}
	return b
}

// PutMetricAttributes implements exchange.Detail.
func (d *Detail) PutMetricAttributes(x *exchange.Exchange, m pcommon.Map) {
	address, port := x.ServerAddress()
	m.EnsureCapacity(m.Len() + 10)
	m.PutStr(attrSystem, d.System)
	for _, a := range [...][2]string{
		{attrNamespace, d.Namespace}, {attrOperation, d.Operation}, {attrCollection, d.Collection}, {attrProcedure, d.Procedure},
		{attrSummary, d.Summary}, {attrStatus, d.Status}, {attrErrorType, d.errorType(x)}, {exchange.AttrServerAddress, address},
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
