// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"time"
)

// malformed is the case of connections that carry something else: no span at
// all is expected. It runs in the test process, all of whose spans have to be
// accounted for.
const malformed = "malformed"

// runMalformed exchanges the pairs several times over one connection each.
func runMalformed(s *suite, name string) error {
	s.book.Watch(os.Getpid(), "test-process")
	noise := make([]byte, 3000)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	hello := append([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, noise[:500]...)
	answer := append([]byte{0x16, 3, 3, 0, 0x7a, 2, 0, 0, 0x76, 3, 3}, noise[500:1200]...)
	for i, pair := range []struct{ client, server []byte }{
		{noise, noise[1000:]},
		{hello, answer},
		{[]byte("SSH-2.0-OpenSSH_9.2p1\r\n"), []byte("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")},
		{[]byte("*2\r\n$3\r\nGET\r\n$7\r\n/ HTTP/\r\n"), []byte("$5\r\nhello\r\n")},
		{[]byte("GET key HTTP\r\n"), []byte("END\r\n")},
		{[]byte("get key\r\n"), []byte("VALUE key 0 5\r\nhello\r\nEND\r\n")},
		{[]byte("EHLO example.com\r\n"), []byte("250-mail\r\n250 OK\r\n")},
		{[]byte("GET /" + name + "\r\n"), []byte("<html>HTTP 0.9</html>\n")},
		{[]byte("GET  HTTP/1.1\r\n\r\n"), []byte("nothing\n")},
		{[]byte("GET /x HTTP/9.9.9\r\n\r\n"), []byte("?\n")},
		{[]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")},
		{[]byte("GET /" + strings.Repeat("a", 2000)), []byte("?")},
		{bytes.Repeat([]byte{0}, 100), bytes.Repeat([]byte{'\n'}, 100)},
		{[]byte("\r\n\r\n\r\n\r\n"), []byte("\r\n\r\n")},
		{[]byte("POST / HTTP"), []byte{1}},
	} {
		if err := talk(pair.client, pair.server); err != nil {
			return fmt.Errorf("pair %d: %w", i, err)
		}
	}
	return nil
}

func talk(request, response []byte) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	done := make(chan error, 1)
	const rounds = 4
	go func() {
		c, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		defer c.Close()
		buf := make([]byte, len(request))
		for range rounds {
			if _, err = io.ReadFull(c, buf); err == nil {
				_, err = c.Write(response)
			}
		}
		done <- err
	}()
	c, err := net.DialTimeout("tcp", l.Addr().String(), time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	buf := make([]byte, len(response))
	for range rounds {
		if _, err := c.Write(request); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			return err
		}
	}
	return <-done
}
