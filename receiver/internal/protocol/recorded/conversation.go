// SPDX-License-Identifier: Apache-2.0

package recorded

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Piece is what one end of a connection sent with one call, or the end of what it sends.
type Piece struct {
	Connection int
	Client     bool
	End        bool
	Bytes      []byte
}

// Conversation is one file.
type Conversation struct {
	Name      string
	Datagrams bool
	// Exchanges and Messages are the client's truth, by line; Own the lines of which it
	// does not know how many there are.
	Exchanges, Messages map[string]int
	Own                 map[string]bool
	Pieces              []Piece
}

// Read reads the conversations of the package that is tested.
func Read(t testing.TB) []*Conversation {
	t.Helper()
	return ReadOf(t, ".")
}

// ReadOf reads those of the package in a directory.
func ReadOf(t testing.TB, dir string) (all []*Conversation) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "testdata", "recorded", "*.txt"))
	require.NoError(t, err)
	require.NotEmpty(t, files, "%s has no recorded conversations: run make corpus", dir)
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		c, err := parse(string(text))
		require.NoError(t, err, f)
		c.Name = strings.TrimSuffix(filepath.Base(f), ".txt")
		all = append(all, c)
	}
	return all
}

func parse(text string) (*Conversation, error) {
	c := &Conversation{Exchanges: map[string]int{}, Messages: map[string]int{}, Own: map[string]bool{}}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "#":
		case "datagrams":
			c.Datagrams = true
		case "own":
			c.Own[rest] = true
		case "exchanges", "messages":
			count, name, _ := strings.Cut(rest, " ")
			n, err := strconv.Atoi(count)
			if err != nil || name == "" {
				return nil, fmt.Errorf("no truth: %q", line)
			}
			if word == "exchanges" {
				c.Exchanges[name] += n
			} else {
				c.Messages[name] += n
			}
		default:
			from, content, _ := strings.Cut(rest, " ")
			n, err := strconv.Atoi(word)
			if err != nil || from != "c" && from != "s" {
				return nil, fmt.Errorf("no piece: %.80q", line)
			}
			p := Piece{Connection: n, Client: from == "c", End: content == "-"}
			if !p.End {
				if p.Bytes, err = base64.StdEncoding.DecodeString(content); err != nil || len(p.Bytes) == 0 {
					return nil, fmt.Errorf("no piece: %.80q", line)
				}
			}
			c.Pieces = append(c.Pieces, p)
		}
	}
	return c, nil
}

// Seed is a connection of a conversation as the fuzz targets take it: two streams, and a
// script that cuts them as they were sent.
type Seed struct{ Requests, Replies, Script []byte }

// maxSeed is how many bytes of a connection are a seed: mutating more takes too long.
const maxSeed = 16 << 10

// Seeds are those of all conversations.
//
// A script has three bytes per segment, as most targets understand it: flags (1: a reply;
// 2: the length is in units of 64), the length, and what is lost, which is nothing here.
func Seeds(t testing.TB) (all []Seed) {
	t.Helper()
	for _, c := range Read(t) {
		seeds := map[int]*Seed{}
		for _, p := range c.Pieces {
			s := seeds[p.Connection]
			if s == nil {
				s = &Seed{}
				seeds[p.Connection] = s
			}
			if len(s.Requests)+len(s.Replies)+len(p.Bytes) > maxSeed {
				continue
			}
			to, flags := &s.Requests, byte(0)
			if !p.Client {
				to, flags = &s.Replies, 1
			}
			*to = append(*to, p.Bytes...)
			for n := len(p.Bytes) / 64; n > 0; n -= min(n, 255) {
				s.Script = append(s.Script, flags|2, byte(min(n, 255)), 0)
			}
			if n := len(p.Bytes) % 64; n > 0 {
				s.Script = append(s.Script, flags, byte(n), 0)
			}
		}
		for n := 1; n <= len(seeds); n++ {
			if s := seeds[n]; s != nil && len(s.Script) > 0 {
				all = append(all, *s)
			}
		}
	}
	return all
}
