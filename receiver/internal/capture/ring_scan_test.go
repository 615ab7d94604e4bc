// SPDX-License-Identifier: Apache-2.0

//go:build linux

package capture

import (
	"encoding/binary"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// Scan sees what Drain will see, once, and ends where a record is being written.
func TestScan(t *testing.T) {
	t.Parallel()
	const size = 4096
	data := make([]byte, size)
	r := &Ring{consumer: make([]byte, 8), producer: make([]byte, 8), data: unsafe.Pointer(&data[0]), size: size}
	produced := uint64(0)
	write := func(text string, flags uint32) uint64 {
		at := produced
		binary.NativeEndian.PutUint32(data[at:], uint32(len(text))|flags)
		copy(data[at+recordHeaderSize:], text)
		produced += (uint64(len(text)) + recordHeaderSize + 7) &^ 7
		*r.producerPosition() = produced
		return at
	}
	var scanned, drained []string
	scan := func() bool {
		scanned = nil
		return r.Scan(func(b []byte) { scanned = append(scanned, string(b)) })
	}
	write("one", 0)
	write("gone", recordDiscarded)
	write("two", 0)
	require.True(t, scan())
	require.Equal(t, []string{"one", "two"}, scanned)
	require.True(t, scan())
	require.Empty(t, scanned)
	busy := write("three", recordBusy)
	write("four", 0)
	require.False(t, scan())
	require.Empty(t, scanned)
	r.Drain(func(b []byte) {
		if drained = append(drained, string(b)); len(drained) == 1 {
			binary.NativeEndian.PutUint32(data[busy:], 5)
			require.True(t, scan()) // while Drain calls
			require.Equal(t, []string{"three", "four"}, scanned)
		}
	})
	require.Equal(t, []string{"one", "two", "three", "four"}, drained)
	require.True(t, scan())
	require.Empty(t, scanned)
	write("five", 0)
	r.Drain(func([]byte) {})
	require.True(t, scan())
	require.Empty(t, scanned, "what was drained is not scanned")
	require.EqualValues(t, produced, *r.consumerPosition())
}
