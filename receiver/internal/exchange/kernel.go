// SPDX-License-Identifier: Apache-2.0

package exchange

import (
	"math"

	"go.opentelemetry.io/collector/pdata/xpdata"
)

// Names of what only the kernel knows about an exchange: span attributes, and
// histograms on request (metrics.kernel). Times are in seconds, as doubles.
const (
	// ParentMethod, an attribute only, says how the span's parent, or linked
	// span, was found: see Method. Strings.
	ParentMethod = "ebpf.parent.method"
	// QueueTime, of servers over TCP, is how long the request's bytes had waited
	// in the socket when the application read them, exact to half a tick of the
	// kernel (2 ms where CONFIG_HZ is 250).
	QueueTime = "ebpf.socket.queue_time"
	// ThreadCPU and RunQueue, of servers where one thread served the request,
	// are the CPU time of that thread from request to response (exact to a tick
	// if it has changed CPUs), and the time it was runnable but had no CPU.
	ThreadCPU = "ebpf.thread.cpu_time"
	RunQueue  = "ebpf.thread.runqueue_time"
	// RTT is the connection's smoothed round trip time at the end of the
	// exchange.
	RTT = "ebpf.tcp.rtt"
	// Retransmits, an integer, counts the packets this side sent again during
	// the exchange.
	Retransmits = "ebpf.tcp.retransmits"
)

// waitBounds are of times that may be very short, in s.
var waitBounds = []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

var (
	rttHistogram        = Instrument{RTT, "Smoothed TCP round trip time at the end of requests.", "s", Histogram, waitBounds}
	retransmitHistogram = Instrument{Retransmits, "Packets sent again during requests.", "{packet}", Histogram, []float64{0, 1, 2, 3, 5, 10, 25, 100}}
)

// kernelInstruments are by role.
var kernelInstruments = map[Role][]Instrument{
	RoleServer: {
		{QueueTime, "Time that requests waited in the socket until the server read them.", "s", Histogram, waitBounds},
		{ThreadCPU, "CPU time of the serving thread from request to response.", "s", Histogram, waitBounds},
		{RunQueue, "Time that the serving thread waited for a CPU from request to response.", "s", Histogram, waitBounds},
		rttHistogram, retransmitHistogram,
	},
	RoleClient: {rttHistogram, retransmitHistogram},
}

// WithKernel is a protocol's instruments with those of what only the kernel
// knows behind them; MeasureKernel writes their values.
func (p *Protocol) WithKernel() *Protocol {
	q := *p
	q.Server = append(p.Server[:len(p.Server):len(p.Server)], kernelInstruments[RoleServer]...)
	q.Client = append(p.Client[:len(p.Client):len(p.Client)], kernelInstruments[RoleClient]...)
	return &q
}

// KernelAttributes is how many attributes PutKernelAttributes adds, at most.
func (x *Exchange) KernelAttributes() (n int) {
	n = x.partyAttributes()
	if x.Context.Method != MethodNone {
		n++
	}
	m := &x.Measured
	if x.Role != RoleClient {
		for _, us := range [...]uint32{m.QueueTime, m.ThreadCPU, m.RunQueue} {
			if us != NotMeasured {
				n++
			}
		}
	}
	if m.RTT != 0 {
		n += 2
	}
	return n
}

// PutKernelAttributes adds what only the kernel knows about the exchange, and who is at
// the other end of the connection, to the attributes of its span.
func (x *Exchange) PutKernelAttributes(b *xpdata.MapBuilder) {
	x.putParty(b)
	if x.Context.Method != MethodNone {
		b.AppendEmpty(ParentMethod).SetStr(x.Context.Method.String())
	}
	m := &x.Measured
	if x.Role != RoleClient {
		putSeconds(b, QueueTime, m.QueueTime)
		putSeconds(b, ThreadCPU, m.ThreadCPU)
		putSeconds(b, RunQueue, m.RunQueue)
	}
	if m.RTT != 0 {
		putSeconds(b, RTT, m.RTT)
		b.AppendEmpty(Retransmits).SetInt(int64(m.Retransmits))
	}
}

func putSeconds(b *xpdata.MapBuilder, key string, us uint32) {
	if us != NotMeasured {
		b.AppendEmpty(key).SetDouble(float64(us) / 1e6)
	}
}

// MeasureKernel is Detail.Measure for the instruments WithKernel adds.
func (x *Exchange) MeasureKernel(values []float64) {
	m := &x.Measured
	if x.Role != RoleClient {
		values[0], values[1], values[2] = seconds(m.QueueTime), seconds(m.ThreadCPU), seconds(m.RunQueue)
		values = values[3:]
	}
	values[0], values[1] = math.NaN(), math.NaN()
	if m.RTT != 0 {
		values[0], values[1] = seconds(m.RTT), float64(m.Retransmits)
	}
}

func seconds(us uint32) float64 {
	if us == NotMeasured {
		return math.NaN()
	}
	return float64(us) / 1e6
}
