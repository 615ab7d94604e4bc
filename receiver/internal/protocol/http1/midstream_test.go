// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A client that sends batches and pauses between them, first seen while the
// responses of one come in: two at once, which looks like anything.
func TestBatchesJoinedMidway(t *testing.T) {
	h := newClient()
	request, response := "GET /x HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	h.response(strings.Repeat(response, 2))
	h.response(response)
	for range 3 {
		h.now += pause
		h.request(strings.Repeat(request, 4))
		h.response(response)
		h.response(strings.Repeat(response, 3))
	}
	require.NoError(t, h.err)
	require.Len(t, h.ended, 12)
	require.Empty(t, h.wrong)
}

// Without a pause it may be a client that keeps several requests outstanding:
// every pairing would be off by as many.
func TestSlidingJoinedMidway(t *testing.T) {
	h := newClient()
	request, response := "GET /x HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	h.response(strings.Repeat(response, 2))
	for range 10 {
		h.request(strings.Repeat(request, 2))
		h.response(strings.Repeat(response, 2))
	}
	require.NoError(t, h.err)
	require.Empty(t, h.ended)
}
