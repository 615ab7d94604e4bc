// SPDX-License-Identifier: Apache-2.0

package tracecontext

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDecodeHex(t *testing.T) {
	for c := range 256 {
		for at := range 8 {
			src := []byte("00000000")
			src[at] = byte(c)
			var dst [4]byte
			ok, nonzero := decodeHex(dst[:], src)
			v := strings.IndexByte("0123456789abcdef", byte(c))
			require.Equal(t, v >= 0, ok, "%q", src)
			if ok {
				require.Equal(t, v > 0, nonzero)
				require.Equal(t, byte(v<<(4*(1-at%2))), dst[at/2])
			}
		}
	}
}

func TestParseLink(t *testing.T) {
	t.Parallel()
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	l, ok := ParseLink([]byte(good))
	require.True(t, ok)
	require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", l.TraceID.String())
	require.Equal(t, "00f067aa0ba902b7", l.SpanID.String())
	require.EqualValues(t, 1, l.Flags)
	_, ok = ParseLink([]byte("01" + good[2:] + "-more"))
	require.True(t, ok, "a version to come")
	for _, bad := range []string{
		"", good[1:], good + "-x", "ff" + good[2:], "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
	} {
		_, ok := ParseLink([]byte(bad))
		require.False(t, ok, bad)
	}
}
