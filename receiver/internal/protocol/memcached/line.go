// SPDX-License-Identifier: Apache-2.0

package memcached

import "bytes"

const (
	// maxKey is the longest key; base64 keys of meta commands are as long.
	maxKey = 250
	// maxLine bounds lines: memcached takes up to 64 KiB of keys for a get.
	maxLine = 64 << 10
	// maxValue bounds values: 1 MiB is the default, 1 GiB the most.
	maxValue = 1 << 30
)

// line is a text command.
type line struct {
	command *command
	// words behind the name, keys among them.
	words, keys int
	// data is how many bytes follow, -1 if none do.
	data int
	// silent: noreply. quiet: the flag q.
	silent, quiet bool
	// opaque is that of a meta command; key the first key.
	opaque, key []byte
}

// parse reads a line, without its line feed. It is false if that is no command.
func (l *line) parse(b []byte) bool {
	*l = line{data: -1}
	b = bytes.TrimSuffix(b, []byte("\r"))
	name, rest, _ := bytes.Cut(b, []byte(" "))
	l.command = commands[string(name)]
	if l.command == nil {
		return false
	}
	numbers := 0
	for len(rest) > 0 {
		var word []byte
		word, rest, _ = bytes.Cut(rest, []byte(" "))
		if len(word) == 0 {
			continue
		}
		for _, c := range word {
			if c < ' ' || c == 0x7f {
				return false
			}
		}
		l.words++
		if !l.word(word, &numbers) {
			return false
		}
	}
	switch l.command.shape {
	case retrieval, touching:
		return l.keys > 0
	case storage:
		want := 3
		if l.command.name == "cas" {
			want = 4
		}
		return numbers == want && l.data >= 0
	case meta:
		return l.words > 0
	case metaStore:
		return l.data >= 0
	}
	return true
}

// word takes the next word behind the name.
func (l *line) word(w []byte, numbers *int) bool {
	shape := l.command.shape
	switch {
	case shape == retrieval || shape == touching && l.words > 1:
		l.keys++
		return len(w) <= maxKey
	case shape == touching:
		return number(w, true) != -1
	case shape == storage && l.words > 1:
		if string(w) == "noreply" {
			l.silent = true
			return true
		}
		n := number(w, l.words != 4)
		if *numbers++; l.words == 4 {
			l.data = n
		}
		return n != -1
	case shape == metaStore && l.words == 2:
		l.data = number(w, false)
		return l.data >= 0
	case shape == meta || shape == metaStore:
		switch {
		case l.words == 1:
			l.key = w
			l.keys = 1
			return len(w) <= maxKey
		case w[0] == 'q' && len(w) == 1:
			l.quiet = true
		case w[0] == 'O':
			l.opaque = w[1:]
		}
	case shape == other && string(w) == "noreply":
		l.silent = true
	}
	return l.words > 1 || len(w) <= maxKey
}

// number is the value of digits, -1 if they are not; big ones, and negative ones where
// they are allowed, have no certain value.
func number(w []byte, negative bool) int {
	if negative && len(w) > 1 && w[0] == '-' {
		w = w[1:]
	}
	if !digits(w) || len(w) > 20 {
		return -1
	}
	n := 0
	for _, c := range w {
		n = min(n*10+int(c-'0'), maxValue)
	}
	return n
}
