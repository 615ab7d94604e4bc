// SPDX-License-Identifier: Apache-2.0

package intern

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestStringKeepsNoReferenceToItsInput(t *testing.T) {
	table := New(16)
	b := []byte("example.com")
	s := table.String(b)
	copy(b, "XXXXXXXXXXX")
	require.Equal(t, "example.com", s)
	require.Equal(t, "example.com", table.String([]byte("example.com")))
}

func TestStringIsAlwaysValidUTF8(t *testing.T) {
	for _, table := range []*Table{nil, New(4)} {
		for _, in := range []string{"", "plain", "\xff\xfe", "a\xc3", "grün", strings.Repeat("\x80", MaxLength+1)} {
			for range 2 {
				out := table.String([]byte(in))
				require.True(t, utf8.ValidString(out))
				if utf8.ValidString(in) {
					require.Equal(t, in, out)
				}
			}
		}
	}
}

func TestCollidingStringsStayRight(t *testing.T) {
	table := New(2)
	for range 3 {
		for i := range 100 {
			want := fmt.Sprintf("/path/%d", i)
			require.Equal(t, want, table.String([]byte(want)))
		}
	}
}

func TestHitDoesNotAllocate(t *testing.T) {
	table := New(0)
	b := []byte("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36")
	table.String(b)
	require.Zero(t, testing.AllocsPerRun(100, func() { table.String(b) }))
}

func BenchmarkStringHit(b *testing.B) {
	table := New(0)
	in := []byte("GET /api/users/{id}")
	b.ReportAllocs()
	for b.Loop() {
		table.String(in)
	}
}
