// SPDX-License-Identifier: Apache-2.0

package groundtruth

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// GoServer is a net/http server in this process that does what the query of a
// request asks: status, size (bytes), delay (us), chunks, chunkdelay (us), to
// (redirect to that id).
type GoServer struct {
	Port   int
	server *http.Server
	book   *Book
}

type connKey struct{}

// serving is the request a connection is answering.
type serving struct {
	mu      sync.Mutex
	pending *Record
}

// NewGoServer listens on a free port of the loopback interface.
func NewGoServer(book *Book) (*GoServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &GoServer{Port: l.Addr().(*net.TCPAddr).Port, book: book}
	var conns sync.Map
	s.server = &http.Server{
		Handler: http.HandlerFunc(s.handle),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			v := &serving{}
			conns.Store(c, v)
			return context.WithValue(ctx, connKey{}, v)
		},
		// A connection becomes idle or closed after the response has been
		// written: that is the upper bound of its end.
		ConnState: func(c net.Conn, state http.ConnState) {
			if state != http.StateIdle && state != http.StateClosed {
				return
			}
			v, ok := conns.Load(c)
			if !ok {
				return
			}
			sv := v.(*serving)
			sv.mu.Lock()
			defer sv.mu.Unlock()
			if sv.pending != nil {
				sv.pending.EndMax = time.Now().UnixNano()
				book.Add(sv.pending)
				sv.pending = nil
			}
			if state == http.StateClosed {
				conns.Delete(c)
			}
		},
	}
	book.Watch(os.Getpid(), "test-process")
	go func() { _ = s.server.Serve(l) }()
	return s, nil
}

// Close stops the server.
func (s *GoServer) Close() { s.server.Close() }

// URL of a request of a case.
func (s *GoServer) URL(name, id, query string) string { return caseURL(s.Port, name, id, query) }

func caseURL(port int, name, id, query string) string {
	u := fmt.Sprintf("http://127.0.0.1:%d/case/%s/%s", port, name, id)
	if query != "" {
		u += "?" + query
	}
	return u
}

func (s *GoServer) handle(w http.ResponseWriter, r *http.Request) {
	rec := &Record{
		Role: Server, PID: os.Getpid(), Method: r.Method, Version: strings.TrimPrefix(r.Proto, "HTTP/"),
		StartMax: time.Now().UnixNano(), UserAgent: r.UserAgent(), ServerPort: s.Port, Traceparent: r.Header.Get("traceparent"),
	}
	rec.SetURL(r.URL)
	if _, port, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		rec.PeerPort, _ = strconv.Atoi(port)
	}
	query := r.URL.Query()
	number := func(key string, otherwise int) int {
		if n, err := strconv.Atoi(query.Get(key)); err == nil {
			return n
		}
		return otherwise
	}
	rec.RequestBody, _ = io.Copy(io.Discard, r.Body)
	rec.Status = number("status", http.StatusOK)
	size, chunks := number("size", 10), number("chunks", 0)
	time.Sleep(time.Duration(number("delay", 0)) * time.Microsecond)
	if to := query.Get("to"); to != "" {
		w.Header().Set("Location", fmt.Sprintf("/case/%s/%s", rec.Case, to))
	}
	bare := r.Method == http.MethodHead || rec.Status == http.StatusNoContent || rec.Status == http.StatusNotModified
	rec.EndMin = time.Now().UnixNano()
	if chunks == 0 && rec.Status != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(size))
	}
	w.WriteHeader(rec.Status)
	switch {
	case bare:
	case chunks > 0:
		rec.ResponseBody = int64(size)
		for i := range chunks {
			_, _ = w.Write(make([]byte, size*(i+1)/chunks-size*i/chunks))
			rec.EndMin = time.Now().UnixNano()
			w.(http.Flusher).Flush()
			time.Sleep(time.Duration(number("chunkdelay", 0)) * time.Microsecond)
		}
		if r.ProtoAtLeast(1, 1) {
			rec.EndMin = time.Now().UnixNano() // the last chunk goes out after the handler
		}
	default:
		rec.ResponseBody = int64(size)
		_, _ = w.Write(make([]byte, size))
	}
	sv := r.Context().Value(connKey{}).(*serving)
	sv.mu.Lock()
	sv.pending = rec
	sv.mu.Unlock()
}

// GoClient makes requests with net/http and records them.
type GoClient struct {
	http.Client
	book      *Book
	transport *http.Transport
}

// NewGoClient makes a client; keepAlive false uses a connection per request.
func NewGoClient(book *Book, keepAlive bool) *GoClient {
	t := &http.Transport{
		DisableKeepAlives: !keepAlive, MaxIdleConnsPerHost: 256, MaxIdleConns: 256, ExpectContinueTimeout: time.Second,
	}
	book.Watch(os.Getpid(), "test-process")
	return &GoClient{Client: http.Client{Transport: &recorder{book, t}, Timeout: 20 * time.Second}, book: book, transport: t}
}

// Close closes idle connections.
func (c *GoClient) Close() { c.transport.CloseIdleConnections() }

// Request makes one request and reads the response. A Transfer-Encoding header
// means to send the body in chunks.
func (c *GoClient) Request(method, url string, body []byte, header map[string]string) error {
	var reader io.Reader
	if len(body) > 0 {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequest(method, url, reader)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "truth")
	for k, v := range header {
		if k == "Transfer-Encoding" {
			req.ContentLength = -1 // net/http chunks what it does not know the size of
			continue
		}
		req.Header.Set(k, v)
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// recorder is a RoundTripper: redirects make a record each.
type recorder struct {
	book *Book
	base *http.Transport
}

func (t *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	rec := &Record{
		Role: Client, PID: os.Getpid(), Method: req.Method, Version: "1.1", UserAgent: req.UserAgent(),
		RequestBody: max(req.ContentLength, 0), Traceparent: req.Header.Get("traceparent"),
	}
	if req.ContentLength < 0 {
		rec.RequestBody = -1
	}
	rec.SetURL(req.URL)
	rec.ServerPort, _ = strconv.Atoi(req.URL.Port())
	rec.PeerPort = rec.ServerPort
	// net/http's WroteRequest trace comes before the buffer is flushed, so it
	// is no bound; when the server saw the request is (fillBounds).
	rec.StartMin = time.Now().UnixNano()
	res, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	rec.Status = res.StatusCode
	finish := func(n int64) {
		rec.EndMax = time.Now().UnixNano()
		rec.ResponseBody = n
		t.book.Add(rec)
	}
	if res.Body == http.NoBody {
		finish(0)
		return res, nil
	}
	res.Body = &countingBody{ReadCloser: res.Body, finish: finish}
	return res, nil
}

type countingBody struct {
	io.ReadCloser
	n      int64
	finish func(int64)
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n += int64(n)
	if err != nil && b.finish != nil {
		b.finish(b.n)
		b.finish = nil
	}
	return n, err
}

// Each runs do for 0..count-1 on several goroutines and returns the first error.
func Each(count, concurrency int, do func(i int) error) error {
	var next atomic.Int64
	errs := make(chan error, concurrency)
	for range concurrency {
		go func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= count {
					errs <- nil
					return
				}
				if err := do(i); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	var first error
	for range concurrency {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Paced is Each at a given rate per second; it returns the rate achieved.
func Paced(rate float64, duration time.Duration, concurrency int, do func(i int) error) (float64, error) {
	start := time.Now()
	count := int(rate * duration.Seconds())
	err := Each(count, concurrency, func(i int) error {
		if wait := time.Until(start.Add(time.Duration(float64(i) / rate * 1e9))); wait > 0 {
			time.Sleep(wait)
		}
		return do(i)
	})
	return float64(count) / time.Since(start).Seconds(), err
}
