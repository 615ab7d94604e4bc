// SPDX-License-Identifier: Apache-2.0

// The program goroutine prints a line of numbers about the goroutine that it
// then keeps until its input ends:
//
//	goid of the goroutine, its g, what the register of g contains, the thread
//	pointer, the thread's id, goid of the requester
//
// It waits in Go code, with the build tag tls in C code.
//
// The goroutine is one of its own; with -request it is that which writes a
// request of net/http.Transport, and the requester is who made it.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"goroutine/current"
)

func main() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if len(os.Args) > 1 {
			request()
		} else {
			keep("0")
		}
	}()
	<-done
}

func keep(requester string) {
	runtime.LockOSThread()
	work()
	fmt.Printf("%s %d %d %d %d %s\n", goid(), current.G(), current.Register(), current.ThreadPointer(), syscall.Gettid(), requester)
	block()
	os.Exit(0)
}

// goid is that of the caller.
func goid() string {
	b := make([]byte, 64)
	return strings.Fields(string(b[:runtime.Stack(b, false)]))[1]
}

type conn struct{ net.Conn }

func (conn) Write(b []byte) (int, error) {
	time.Sleep(50 * time.Millisecond) // until the requester waits
	for _, line := range strings.Split(string(b), "\r\n") {
		if requester := strings.TrimPrefix(line, "Requester: "); requester != line {
			keep(requester)
		}
	}
	panic("no request")
}

func request() {
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		go io.Copy(io.Discard, there)
		return conn{here}, nil
	}}
	r, _ := http.NewRequest("GET", "http://127.0.0.1/", nil)
	r.Header.Set("Requester", goid())
	fmt.Println(transport.RoundTrip(r))
}
