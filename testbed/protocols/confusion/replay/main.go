// SPDX-License-Identifier: Apache-2.0

// Command replay records what a client and a server say to each other, and says it again.
//
//	replay record FILE LISTEN TARGET    a proxy, until a signal; writes its longest conversation
//	replay serve FILE                   prints "listening PORT"; plays the server on every connection
//	replay serve FILE PORT              the same, on a port
//	replay play FILE HOST:PORT TIMES    plays the client, a connection each time
//
// A conversation is a file of one line per piece: `c` or `s` (who sends it), a space, and the
// bytes in base64. Each end waits until it has all the bytes the other sent before a piece.
// In files whose name ends in .udp every piece is a datagram.
package main

import (
	"bufio"
	"cmp"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "replay:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("usage: replay record|serve|play FILE")
	}
	if args[0] == "record" {
		return record(args[1], args[2], args[3])
	}
	pieces, err := read(args[1])
	if err != nil {
		return err
	}
	udp := strings.HasSuffix(args[1], ".udp")
	if args[0] == "serve" {
		port := "0"
		if len(args) > 2 {
			port = args[2]
		}
		return serve(pieces, "127.0.0.1:"+port, udp)
	}
	times, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	network := "tcp"
	if udp {
		network = "udp"
	}
	for range times {
		c, err := net.Dial(network, args[2])
		if err != nil {
			return err
		}
		if err := play(c, pieces, 'c', udp); err != nil {
			return err
		}
		c.Close()
	}
	return nil
}

type piece struct {
	from  byte
	bytes []byte
}

func read(name string) (pieces []piece, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		from, text, ok := strings.Cut(lines.Text(), " ")
		b, err := base64.StdEncoding.DecodeString(text)
		if !ok || err != nil {
			return nil, fmt.Errorf("%s: no piece of a conversation: %.50q", name, lines.Text())
		}
		pieces = append(pieces, piece{from[0], b})
	}
	return pieces, lines.Err()
}

// play is one end of the conversation.
func play(c net.Conn, pieces []piece, who byte, udp bool) error {
	buf := make([]byte, 64<<10)
	for _, p := range pieces {
		if p.from == who {
			if _, err := c.Write(p.bytes); err != nil {
				return err
			}
			continue
		}
		if udp {
			if _, err := c.Read(buf); err != nil {
				return err
			}
			continue
		}
		for left := len(p.bytes); left > 0; {
			n, err := c.Read(buf[:min(left, len(buf))])
			if err != nil {
				return err
			}
			left -= n
		}
	}
	return nil
}

func serve(pieces []piece, address string, udp bool) error {
	if udp {
		c, err := net.ListenPacket("udp", address)
		if err != nil {
			return err
		}
		fmt.Println("listening", c.LocalAddr().(*net.UDPAddr).Port)
		buf := make([]byte, 64<<10)
		for {
			for i := 0; i < len(pieces); i++ {
				if pieces[i].from != 'c' {
					continue
				}
				_, peer, err := c.ReadFrom(buf)
				if err != nil {
					return err
				}
				for i+1 < len(pieces) && pieces[i+1].from == 's' {
					i++
					if _, err := c.WriteTo(pieces[i].bytes, peer); err != nil {
						return err
					}
				}
			}
		}
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Println("listening", l.Addr().(*net.TCPAddr).Port)
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			if err := play(c, pieces, 's', udp); err != nil {
				fmt.Fprintln(os.Stderr, "replay:", err)
				return
			}
			_, _ = io.Copy(io.Discard, c) // until the client has hung up
		}()
	}
}

// record is a proxy; of UDP for one client.
func record(name, listen, target string) error {
	type conversation struct {
		pieces []piece
		size   int
	}
	var mu sync.Mutex
	first := &conversation{}
	all := []*conversation{first}
	add := func(c *conversation, from byte, b []byte) {
		mu.Lock()
		defer mu.Unlock()
		c.pieces = append(c.pieces, piece{from, append([]byte(nil), b...)})
		c.size += len(b)
	}
	done := make(chan os.Signal, 1)
	signal.Notify(done, syscall.SIGINT, syscall.SIGTERM)
	if strings.HasSuffix(name, ".udp") {
		in, err := net.ListenPacket("udp", listen)
		if err != nil {
			return err
		}
		out, err := net.Dial("udp", target)
		if err != nil {
			return err
		}
		go func() {
			buf, answer := make([]byte, 64<<10), make([]byte, 64<<10)
			for {
				n, peer, err := in.ReadFrom(buf)
				if err != nil {
					return
				}
				add(first, 'c', buf[:n])
				_, _ = out.Write(buf[:n])
				if n, err = out.Read(answer); err == nil {
					add(first, 's', answer[:n])
					_, _ = in.WriteTo(answer[:n], peer)
				}
			}
		}()
	} else {
		l, err := net.Listen("tcp", listen)
		if err != nil {
			return err
		}
		go func() {
			for {
				in, err := l.Accept()
				if err != nil {
					return
				}
				out, err := net.Dial("tcp", target)
				if err != nil {
					fmt.Fprintln(os.Stderr, "replay:", err)
					in.Close()
					continue
				}
				c := &conversation{}
				mu.Lock()
				all = append(all, c)
				mu.Unlock()
				copying := func(from byte, r, w net.Conn) {
					buf := make([]byte, 64<<10)
					for {
						n, err := r.Read(buf)
						if n > 0 {
							add(c, from, buf[:n])
							_, _ = w.Write(buf[:n])
						}
						if err != nil {
							_ = w.(*net.TCPConn).CloseWrite()
							return
						}
					}
				}
				go copying('c', in, out)
				go copying('s', out, in)
			}
		}()
	}
	fmt.Println("listening")
	<-done
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	longest := slices.MaxFunc(all, func(a, b *conversation) int { return cmp.Compare(a.size, b.size) })
	for _, p := range longest.pieces {
		fmt.Fprintf(f, "%c %s\n", p.from, base64.StdEncoding.EncodeToString(p.bytes))
	}
	return f.Close()
}
