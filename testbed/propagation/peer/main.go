// SPDX-License-Identifier: Apache-2.0

// Peer is both ends of the traffic whose contexts are carried from node to node: a
// server that says what it was sent, byte for byte, and clients that compare that
// with what they sent.
//
//	peer server PORT
//	peer client MODE ADDRESS PATH REQUESTS CONNECTIONS LARGEST HEAD
//
// A client waits for a line on its standard input before it begins, and prints a
// result, as JSON.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "server":
		return serve(args[1])
	case len(args) == 8 && args[0] == "client":
		c := client{mode: args[1], address: args[2], path: args[3]}
		for i, to := range []*int{&c.requests, &c.connections, &c.largest, &c.head} {
			n, err := strconv.Atoi(args[4+i])
			if err != nil {
				return err
			}
			*to = n
		}
		return c.run()
	}
	return errors.New("usage: peer server PORT | peer client MODE ADDRESS PATH REQUESTS CONNECTIONS LARGEST HEAD")
}

// serve answers requests until it is killed.
func serve(port string) error {
	l, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	fmt.Println("listening", l.Addr().(*net.TCPAddr).Port)
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go converse(c)
	}
}

// converse is one connection. It takes requests apart by itself, so that nothing
// mends what is wrong with them.
func converse(c net.Conn) {
	defer c.Close()
	r := bufio.NewReaderSize(c, 64<<10)
	for {
		var head []byte
		for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return
			}
			head = append(head, line...)
		}
		body := sha256.New()
		length, chunked, last := int64(0), false, false
		sent := make([]byte, 0, len(head))
		var injected []string
		for i, line := range bytes.SplitAfter(head, []byte("\r\n")) {
			name, value, _ := bytes.Cut(line, []byte(":"))
			text := string(bytes.TrimSpace(value))
			switch strings.ToLower(string(name)) {
			case "content-length":
				length, _ = strconv.ParseInt(text, 10, 64)
			case "transfer-encoding":
				chunked = true
			case "connection":
				last = strings.EqualFold(text, "close")
			case "traceparent", "tracestate":
				injected = append(injected, strconv.Itoa(i)+" "+string(bytes.TrimSpace(line)))
				continue
			}
			sent = append(sent, line...)
		}
		var err error
		if chunked {
			err = dechunk(body, r)
		} else {
			_, err = io.CopyN(body, r, length)
		}
		if err != nil {
			return
		}
		h := sha256.Sum256(sent)
		answer := fmt.Sprintf("%x %x %s\n", h[:8], body.Sum(nil)[:8], strings.Join(injected, " | "))
		_, err = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
		if err != nil || last {
			return
		}
	}
}

func dechunk(to io.Writer, r *bufio.Reader) error {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(line), 16, 64)
		if err != nil {
			return err
		}
		if _, err := io.CopyN(to, r, n); err != nil {
			return err
		}
		if line, err = r.ReadString('\n'); err != nil || strings.TrimSpace(line) != "" {
			return fmt.Errorf("chunk ends with %q: %w", line, err)
		}
		if n == 0 {
			return nil
		}
	}
}

// Result of a client.
type Result struct {
	Requests, Failed, WrongHead, WrongBody, Injected, Misplaced int
	// First is what the first failure was.
	First string
	// Nanoseconds is how long it all took.
	Nanoseconds int64
}

type client struct {
	mode, address, path                  string
	requests, connections, largest, head int

	next   atomic.Int64
	mu     sync.Mutex
	result Result
}

func (c *client) run() error {
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	began := time.Now()
	var all sync.WaitGroup
	for range c.connections {
		all.Go(func() {
			switch c.mode {
			case "http", "http-fresh":
				c.standard()
			default:
				c.raw()
			}
		})
	}
	all.Wait()
	c.result.Nanoseconds = time.Since(began).Nanoseconds()
	return json.NewEncoder(os.Stdout).Encode(c.result)
}

// take is the next request's number.
func (c *client) take() (n int, ok bool) {
	n = int(c.next.Add(1)) - 1
	return n, n < c.requests
}

// size of a request's body: one in a hundred is as large as can be.
func (c *client) size(n int) int {
	switch {
	case n%3 == 0 || c.largest == 0:
		return 0
	case n%100 == 1:
		return c.largest
	case n%10 == 1:
		return rand.IntN(min(c.largest, 100<<10) + 1)
	default:
		return rand.IntN(min(c.largest, 2000) + 1)
	}
}

// filler is the value of a header that makes a head as large as it is to be.
func (c *client) filler(n int) string {
	switch {
	case n%50 == 7:
		return strings.Repeat("f", c.head)
	case n%5 == 0:
		return strings.Repeat("f", rand.IntN(min(c.head, 3000)+1))
	default:
		return ""
	}
}

var content = func() []byte {
	b := make([]byte, 2<<20)
	source := rand.NewChaCha8([32]byte{})
	_, _ = source.Read(b)
	return b
}()

// body is n bytes, at times ones that look like a request.
func body(n, size int) []byte {
	b := content[n%(1<<20):][:size]
	const trap = "GET /trap HTTP/1.1\r\nHost: trap\r\n\r\n"
	if size > len(trap) && n%7 == 0 {
		b = append([]byte(trap), b[len(trap):]...)
	}
	return b
}

// report takes in how a request went. head is nil where it is not known.
func (c *client) report(err error, head, body []byte, answer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.result
	r.Requests++
	wrong := func(count *int, format string, args ...any) {
		*count++
		if r.First == "" {
			r.First = fmt.Sprintf(format, args...)
		}
	}
	if err != nil {
		wrong(&r.Failed, "%v", err)
		return
	}
	fields := strings.SplitN(strings.TrimSuffix(answer, "\n"), " ", 3)
	if len(fields) != 3 {
		wrong(&r.Failed, "answer %q", answer)
		return
	}
	if h := sha256.Sum256(head); head != nil && fields[0] != hex.EncodeToString(h[:8]) {
		wrong(&r.WrongHead, "head arrived changed: %.300q", head)
	}
	if h := sha256.Sum256(body); fields[1] != hex.EncodeToString(h[:8]) {
		wrong(&r.WrongBody, "body of %d bytes arrived changed", len(body))
	}
	if fields[2] != "" {
		r.Injected++
		if strings.Contains(fields[2], " | ") || !strings.HasPrefix(fields[2], "1 traceparent: 00-") {
			wrong(&r.Misplaced, "injected %q", fields[2])
		}
	}
}

// standard sends requests by Go's HTTP client.
func (c *client) standard() {
	transport := &http.Transport{DisableKeepAlives: c.mode == "http-fresh", DisableCompression: true, MaxIdleConnsPerHost: 1}
	defer transport.CloseIdleConnections()
	h := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	for {
		n, ok := c.take()
		if !ok {
			return
		}
		b := body(n, c.size(n))
		method := http.MethodPost
		var reader io.Reader = bytes.NewReader(b)
		if len(b) == 0 {
			method, reader = http.MethodGet, nil
		} else if n%4 == 1 {
			reader = io.MultiReader(reader) // of a length that is not known: chunked
		}
		req, err := http.NewRequest(method, fmt.Sprintf("http://%s%s/%d", c.address, c.path, n), reader)
		if err != nil {
			c.report(err, nil, nil, "")
			continue
		}
		if f := c.filler(n); f != "" {
			req.Header.Set("X-Filler", f)
		}
		res, err := h.Do(req)
		if err != nil {
			c.report(err, nil, nil, "")
			continue
		}
		answer, err := io.ReadAll(res.Body)
		res.Body.Close()
		c.report(err, nil, b, string(answer))
	}
}

// raw writes requests itself: in one call, or in pieces.
func (c *client) raw() {
	var conn net.Conn
	var r *bufio.Reader
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	for {
		n, ok := c.take()
		if !ok {
			return
		}
		if conn == nil || n%1000 == 999 {
			if conn != nil {
				conn.Close()
			}
			var err error
			if conn, err = net.Dial("tcp", c.address); err != nil {
				c.report(err, nil, nil, "")
				conn = nil
				continue
			}
			r = bufio.NewReader(conn)
		}
		b := body(n, c.size(n))
		head := fmt.Sprintf("POST %s/%d HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", c.path, n, c.address, len(b))
		if f := c.filler(n); f != "" {
			head += "X-Filler: " + f + "\r\n"
		}
		head += "\r\n"
		err := c.write(conn, []byte(head), b, n)
		answer := ""
		if err == nil {
			_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
			var res *http.Response
			if res, err = http.ReadResponse(r, nil); err == nil {
				var text []byte
				text, err = io.ReadAll(res.Body)
				answer = string(text)
			}
		}
		c.report(err, []byte(head), b, answer)
		if err != nil {
			conn.Close()
			conn = nil
		}
	}
}

func (c *client) write(conn net.Conn, head, body []byte, n int) error {
	all := append(head[:len(head):len(head)], body...)
	var parts [][]byte
	switch c.mode {
	case "raw":
		parts = [][]byte{all}
	case "raw-split": // the body by itself
		parts = [][]byte{head, body}
	case "raw-pieces":
		for len(all) > 0 && len(parts) < 5 {
			i := min(1+rand.IntN(40), len(all))
			parts = append(parts, all[:i])
			all = all[i:]
		}
		parts = append(parts, all)
	default:
		return fmt.Errorf("unknown mode %q", c.mode)
	}
	for _, p := range parts {
		if len(p) == 0 {
			continue
		}
		if _, err := conn.Write(p); err != nil {
			return err
		}
		if c.mode == "raw-pieces" && n%8 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}
