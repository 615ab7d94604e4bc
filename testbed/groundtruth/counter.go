// SPDX-License-Identifier: Apache-2.0

package groundtruth

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Counter is a Sink for benchmarks: it counts spans on the wire without
// decoding them.
type Counter struct {
	server   *grpc.Server
	endpoint string
	spans    atomic.Int64
	bytes    atomic.Int64
}

// NewCounter listens on a free port of the loopback interface.
func NewCounter() (*Counter, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	c := &Counter{endpoint: l.Addr().String()}
	c.server = grpc.NewServer(grpc.MaxRecvMsgSize(64<<20), grpc.ForceServerCodecV2(rawCodec{}), grpc.UnknownServiceHandler(c.handle))
	go func() { _ = c.server.Serve(l) }()
	return c, nil
}

// Endpoint is host:port.
func (c *Counter) Endpoint() string { return c.endpoint }

// Spans is the number of spans so far.
func (c *Counter) Spans() int64 { return c.spans.Load() }

// Bytes is the uncompressed size of all trace requests so far.
func (c *Counter) Bytes() int64 { return c.bytes.Load() }

// Close stops the server.
func (c *Counter) Close() { c.server.Stop() }

func (c *Counter) handle(_ any, stream grpc.ServerStream) error {
	var raw []byte
	if err := stream.RecvMsg(&raw); err != nil {
		return err
	}
	if method, _ := grpc.MethodFromServerStream(stream); strings.Contains(method, "TraceService") {
		n, err := countSpans(raw)
		if err != nil {
			return err
		}
		c.spans.Add(n)
		c.bytes.Add(int64(len(raw)))
	}
	return stream.SendMsg(&[]byte{})
}

var errWire = errors.New("malformed export request")

// countSpans counts resource_spans(1).scope_spans(2).spans(2) of an
// ExportTraceServiceRequest (opentelemetry/proto/trace/v1/trace.proto).
func countSpans(request []byte) (n int64, err error) {
	err = each(request, 1, func(resource []byte) error {
		return each(resource, 2, func(scope []byte) error {
			return each(scope, 2, func([]byte) error {
				n++
				return nil
			})
		})
	})
	return n, err
}

func each(b []byte, field protowire.Number, do func([]byte) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errWire
		}
		b = b[n:]
		if num == field && typ == protowire.BytesType {
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return errWire
			}
			if err := do(v); err != nil {
				return err
			}
			b = b[n:]
			continue
		}
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return errWire
		}
		b = b[n:]
	}
	return nil
}

// rawCodec hands messages through as *[]byte.
type rawCodec struct{}

var _ encoding.CodecV2 = rawCodec{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}
