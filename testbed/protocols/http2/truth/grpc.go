// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// raw is a codec for messages that are bytes.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(b []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(b)
	return nil
}
func (raw) Name() string { return "proto" }

func init() { encoding.RegisterCodec(raw{}) }

const big = 1 << 20

// handle serves every method: /truth.KIND/ID.
func handle(_ any, s grpc.ServerStream) error {
	path, _ := grpc.MethodFromServerStream(s)
	start := now()
	err := serve(path, s)
	c := Call{Path: path, Code: name(status.Code(err)), Start: start, End: now()}
	if errors.Is(s.Context().Err(), context.Canceled) && !strings.Contains(path, "cancelled") {
		c.Code = "gone"
	}
	record(c)
	return err
}

func serve(path string, s grpc.ServerStream) error {
	kind, id, _ := strings.Cut(strings.TrimPrefix(path, "/truth."), "/")
	recv := func() (n int, err error) {
		var b []byte
		for {
			if err := s.RecvMsg(&b); err == io.EOF {
				return n, nil
			} else if err != nil {
				return n, err
			}
			n++
		}
	}
	send := func(n, size int) error {
		b := make([]byte, size)
		for range n {
			if err := s.SendMsg(&b); err != nil {
				return err
			}
		}
		return nil
	}
	switch kind {
	case "coded":
		// The status is a part of the id: a wrong pair shows.
		n, _ := strconv.Atoi(id[strings.LastIndexByte(id, '-')+1:])
		if _, err := recv(); err != nil {
			return err
		}
		if code := codes.Code(n % 17); code != codes.OK {
			return status.Error(code, "as asked for")
		}
		return send(1, 10)
	case "serverstream":
		if _, err := recv(); err != nil {
			return err
		}
		return send(5, 300)
	case "clientstream":
		if _, err := recv(); err != nil {
			return err
		}
		return send(1, 10)
	case "bidi":
		var b []byte
		for {
			if err := s.RecvMsg(&b); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			if err := s.SendMsg(&b); err != nil {
				return err
			}
		}
	case "slow", "cancelled":
		<-s.Context().Done()
		return status.FromContextError(s.Context().Err()).Err()
	case "big":
		if _, err := recv(); err != nil {
			return err
		}
		return send(1, big)
	}
	if _, err := recv(); err != nil {
		return err
	}
	return send(1, 10)
}

func grpcServer() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := grpc.NewServer(grpc.UnknownServiceHandler(handle), grpc.MaxRecvMsgSize(8<<20), grpc.MaxHeaderListSize(1<<20))
	go func() { _ = s.Serve(l) }()
	say("listening %d", l.Addr().(*net.TCPAddr).Port)
	untilEOF()
	s.Stop()
	return nil
}

func grpcClient(o *options) error {
	conn, err := grpc.NewClient(o.target, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(8<<20)))
	if err != nil {
		return err
	}
	defer conn.Close()
	run(o, func(kind, id string, n int) { grpcCall(conn, kind, id, n) })
	return nil
}

var both = &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}

func grpcCall(conn *grpc.ClientConn, kind, id string, n int) {
	path := "/truth." + kind + "/" + id
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	messages, size := 1, 10
	switch kind {
	case "slow":
		ctx, cancel = context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
	case "cancelled":
		ctx, cancel = context.WithCancel(ctx)
		time.AfterFunc(5*time.Millisecond, cancel)
	case "clientstream", "bidi":
		messages, size = 4, 300
	case "big":
		size = big
	case "longheader":
		ctx = metadata.AppendToOutgoingContext(ctx, "x-long", strings.Repeat("long/", 16<<10/5)+strconv.Itoa(n), "x-binary-bin", strings.Repeat("\xff\x00", 4<<10))
	}
	start := now()
	err := func() error {
		s, err := conn.NewStream(ctx, both, path)
		if err != nil {
			return err
		}
		b := make([]byte, size)
		var in []byte
		for range messages {
			if err := s.SendMsg(&b); err != nil {
				break // RecvMsg knows why
			}
			if kind == "bidi" {
				if err := s.RecvMsg(&in); err != nil {
					return err
				}
			}
		}
		if err := s.CloseSend(); err != nil {
			return err
		}
		for {
			if err := s.RecvMsg(&in); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
		}
	}()
	record(Call{Path: path, Code: name(status.Code(err)), Start: start, End: now()})
}

// name is the code as the conventions spell it.
func name(c codes.Code) string {
	if c == codes.OK {
		return "OK"
	}
	var b strings.Builder
	for i, r := range c.String() {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	s := strings.ToUpper(b.String())
	if c == codes.Canceled {
		return "CANCELLED"
	}
	return s
}
