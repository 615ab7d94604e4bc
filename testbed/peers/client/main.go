// SPDX-License-Identifier: Apache-2.0

// Command client talks to servers by name, as its arguments say, with Go's own resolver:
//
//	client ROUNDS [-wait FILE] [-at-once] KIND:NAME:PORT...
//
// KIND is redis, pg or http. In each round it opens a connection to each, makes a request
// that says by which name, and closes all. With -wait it connects once, prints
// "connected", and makes the requests when the file is there. With -at-once it does each
// round's connections side by side.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

type target struct{ kind, name, port string }

func main() {
	rounds, err := strconv.Atoi(os.Args[1])
	check(err)
	wait, atOnce := "", false
	var targets []target
	for args := os.Args[2:]; len(args) > 0; args = args[1:] {
		switch args[0] {
		case "-wait":
			wait, args = args[1], args[1:]
		case "-at-once":
			atOnce = true
		default:
			p := strings.Split(args[0], ":")
			targets = append(targets, target{p[0], p[1], p[2]})
		}
	}
	time.Sleep(300 * time.Millisecond) // a process is looked at before it works
	if wait != "" {
		var open []net.Conn
		for _, t := range targets {
			c := connect(t)
			begin(c, t)
			request(c, t, "before")
			open = append(open, c)
		}
		fmt.Println("connected")
		for {
			if _, err := os.Stat(wait); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		for range rounds {
			for i, t := range targets {
				request(open[i], t, "old")
			}
		}
		return
	}
	for range rounds {
		var open []net.Conn
		var group sync.WaitGroup
		for _, t := range targets {
			one := func() net.Conn {
				c := connect(t)
				begin(c, t)
				request(c, t, "asked")
				return c
			}
			if atOnce {
				group.Go(func() { one().Close() })
				continue
			}
			open = append(open, one())
		}
		group.Wait()
		for i, c := range open { // once more, on connections that are there
			request(c, targets[i], "asked")
			c.Close()
		}
	}
}

func connect(t target) net.Conn {
	c, err := net.Dial("tcp", net.JoinHostPort(t.name, t.port))
	check(err)
	return c
}

// begin starts a session.
func begin(c net.Conn, t target) {
	if t.kind != "pg" {
		return
	}
	text := "user\x00tester\x00database\x00postgres\x00\x00"
	b := binary.BigEndian.AppendUint32(nil, uint32(len(text)+8))
	b = binary.BigEndian.AppendUint32(b, 3<<16)
	_, err := c.Write(append(b, text...))
	check(err)
	ready(c)
}

// ready reads messages until the server waits for a query.
func ready(c net.Conn) {
	head := make([]byte, 5)
	for {
		_, err := io.ReadFull(c, head)
		check(err)
		_, err = io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(head[1:]))-4)
		check(err)
		if head[0] == 'Z' {
			return
		}
	}
}

// request makes one that carries the name.
func request(c net.Conn, t target, as string) {
	switch t.kind {
	case "redis":
		key := as + "/" + t.name
		_, err := fmt.Fprintf(c, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", len(key), key)
		check(err)
		b := make([]byte, 64)
		_, err = c.Read(b)
		check(err)
	case "pg":
		query := "SELECT '" + as + "/" + t.name + "'\x00"
		_, err := c.Write(append(binary.BigEndian.AppendUint32([]byte{'Q'}, uint32(len(query)+4)), query...))
		check(err)
		ready(c)
	case "http":
		_, err := fmt.Fprintf(c, "GET /%s/%s HTTP/1.1\r\nHost: %s:%s\r\n\r\n", as, t.name, t.name, t.port)
		check(err)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		check(err)
		_, err = io.Copy(io.Discard, res.Body)
		check(err)
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
