// SPDX-License-Identifier: Apache-2.0

// Command record writes down what a client and a server say to each other, and what the
// client says it did.
//
//	record [-udp] [-about TEXT] [-limit BYTES] FILE LISTEN TARGET COMMAND...
//
// It is a proxy from LISTEN to TARGET (HOST:PORT) while the command runs. Lines of the
// command's output that begin with a word of a truth (exchanges, messages, own) go into the
// file; what the file is like says package receiver/internal/protocol/recorded.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

// recorder takes pieces in the order they were read.
type recorder struct {
	mu      sync.Mutex
	names   []string // of this machine: must not be in what is written
	lines   bytes.Buffer
	bytes   int
	count   int
	private string
	moving  sync.WaitGroup
}

func (r *recorder) connection() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	return r.count
}

func (r *recorder) piece(connection int, from string, b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := "-"
	if b != nil {
		text = base64.StdEncoding.EncodeToString(b)
		r.bytes += len(b)
		for _, name := range r.names {
			if bytes.Contains(b, []byte(name)) {
				r.private = name
			}
		}
	}
	fmt.Fprintf(&r.lines, "%d %s %s\n", connection, from, text)
}

func run() error {
	udp := flag.Bool("udp", false, "datagrams")
	about := flag.String("about", "", "the first line of the file")
	limit := flag.Int("limit", 64<<10, "bytes that the conversation may have")
	flag.Parse()
	if flag.NArg() < 4 {
		return errors.New("usage: record [-udp] [-about TEXT] [-limit BYTES] FILE LISTEN TARGET COMMAND")
	}
	file, listen, target, command := flag.Arg(0), flag.Arg(1), flag.Arg(2), flag.Args()[3:]
	r := &recorder{names: strings.Fields(os.Getenv("PRIVATE"))}
	start := r.streams
	if *udp {
		start = r.datagrams
	}
	closer, err := start(listen, target)
	if err != nil {
		return err
	}
	truth, err := client(command)
	if err != nil {
		return err
	}
	closer.Close()
	quiet := make(chan struct{})
	go func() { r.moving.Wait(); close(quiet) }()
	select { // until both ends have hung up
	case <-quiet:
	case <-time.After(2 * time.Second):
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.private != "":
		return fmt.Errorf("%s: %q is in what was said", file, r.private)
	case r.bytes > *limit:
		return fmt.Errorf("%s: %d bytes are too many", file, r.bytes)
	case r.bytes == 0:
		return fmt.Errorf("%s: nothing was said", file)
	case len(truth) == 0:
		return fmt.Errorf("%s: the client does not say what it did", file)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "# %s\n", *about)
	if *udp {
		out.WriteString("datagrams\n")
	}
	for _, line := range truth {
		out.WriteString(line + "\n")
	}
	out.Write(r.lines.Bytes())
	fmt.Printf("%s: %d bytes on %d connections\n", file, r.bytes, r.count)
	return os.WriteFile(file, out.Bytes(), 0o644)
}

// client runs the command and returns its truth, sorted.
func client(command []string) (truth []string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s%s", command[0], err, out, errs.Bytes())
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		switch word, _, _ := strings.Cut(lines.Text(), " "); word {
		case "exchanges", "messages", "own":
			truth = append(truth, lines.Text())
		}
	}
	slices.Sort(truth)
	return truth, nil
}

func (r *recorder) streams(listen, target string) (io.Closer, error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				fmt.Fprintln(os.Stderr, "record:", err)
				in.Close()
				continue
			}
			n := r.connection()
			r.moving.Add(2)
			go r.move(n, "c", in, out)
			go r.move(n, "s", out, in)
		}
	}()
	return l, nil
}

func (r *recorder) move(connection int, from string, in, out net.Conn) {
	defer r.moving.Done()
	buf := make([]byte, 64<<10)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			r.piece(connection, from, buf[:n])
			_, _ = out.Write(buf[:n])
		}
		if err != nil {
			r.piece(connection, from, nil)
			_ = out.(*net.TCPConn).CloseWrite()
			return
		}
	}
}

// datagrams passes on those of several clients; each has a connection of its own.
func (r *recorder) datagrams(listen, target string) (io.Closer, error) {
	in, err := net.ListenPacket("udp", listen)
	if err != nil {
		return nil, err
	}
	type peer struct {
		conn net.Conn
		n    int
	}
	peers := map[string]peer{}
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := in.ReadFrom(buf)
			if err != nil {
				return
			}
			p, ok := peers[from.String()]
			if !ok {
				out, err := net.Dial("udp", target)
				if err != nil {
					return
				}
				p = peer{out, r.connection()}
				peers[from.String()] = p
				go func() {
					answer := make([]byte, 64<<10)
					for {
						n, err := out.Read(answer)
						if err != nil {
							return
						}
						r.piece(p.n, "s", answer[:n])
						_, _ = in.WriteTo(answer[:n], from)
					}
				}()
			}
			r.piece(p.n, "c", buf[:n])
			_, _ = p.conn.Write(buf[:n])
		}
	}()
	return in, nil
}
