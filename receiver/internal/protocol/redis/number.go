// SPDX-License-Identifier: Apache-2.0

package redis

import "bytes"

const (
	// maxBulk and maxArray bound lengths: Redis takes 512 MB bulk strings and 1M
	// arguments by default; both can be raised.
	maxBulk  = 4 << 30
	maxArray = 1 << 31
	// streamed is the length `?` of RESP3: not known in advance.
	streamed = -2
)

// header reads the length in a line like "$12\r\n", of which the first byte is looked at
// already. used is the length of the line, 0 if it is incomplete, -1 if it is no such
// line. n is -1 for null.
func header(b []byte) (n int64, used int) {
	// By far the most have one or two digits.
	if len(b) >= 4 && b[2] == '\r' && b[1]-'0' < 10 {
		if b[3] != '\n' {
			return 0, -1
		}
		return int64(b[1] - '0'), 4
	}
	if len(b) >= 5 && b[3] == '\r' && b[4] == '\n' && b[1]-'0' < 10 && b[2]-'0' < 10 {
		return int64(b[1]-'0')*10 + int64(b[2]-'0'), 5
	}
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c-'0' < 10:
			n = n*10 + int64(c-'0')
			if i > 12 {
				return 0, -1
			}
		case c == '\r' && i > 1:
			if i+1 == len(b) {
				return 0, 0
			}
			if b[i+1] != '\n' {
				return 0, -1
			}
			return n, i + 2
		case i == 1 && c == '-':
			return constant(b, "-1\r\n", -1)
		case i == 1 && c == '?':
			return constant(b, "?\r\n", streamed)
		default:
			return 0, -1
		}
	}
	return 0, 0
}

func constant(b []byte, rest string, value int64) (int64, int) {
	have := min(len(b)-1, len(rest))
	if string(b[1:1+have]) != rest[:have] {
		return 0, -1
	}
	if have < len(rest) {
		return 0, 0
	}
	return value, 1 + len(rest)
}

// line is the length of the line at the start of b with its end, 0 if it is incomplete,
// -1 if it does not end as lines do.
func line(b []byte) int {
	i := bytes.IndexByte(b, '\n')
	switch {
	case i < 0:
		return 0
	case i == 0 || b[i-1] != '\r':
		return -1
	}
	return i + 1
}
