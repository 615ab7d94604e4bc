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
