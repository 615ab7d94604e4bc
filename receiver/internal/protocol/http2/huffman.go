// SPDX-License-Identifier: Apache-2.0

package http2

// huffmanBits are the lengths of the codes of RFC 7541 appendix B. The code is
// canonical: within a length, codes count up with their symbols, so that the lengths
// are all there is to know.
var huffmanBits = [257]uint8{
	13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
	28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
	6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
	5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
	13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
	7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
	15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
	6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
	20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
	24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
	22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
	21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
	26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
	19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
	20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
	26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
	30,
}

const (
	maxCode = 30 // bits
	eos     = 256
	// fastBits is how many bits are looked up at once: what texts are made of.
	fastBits = 9
)

// huffman is the code, prepared for decoding.
var huffman = func() (t struct {
	// fast maps the next fastBits bits to symbol<<4 | length; 0 if the code is longer.
	fast [1 << fastBits]uint16
	// By length: the first code, and where its symbol is in symbols.
	first, count, index [maxCode + 1]uint32
	symbols             [257]uint16
}) {
	code, n := uint32(0), uint32(0)
	for bits := uint8(1); bits <= maxCode; bits++ {
		code <<= 1
		t.first[bits], t.index[bits] = code, n
		for s, b := range huffmanBits {
			if b != bits {
				continue
			}
			t.symbols[n] = uint16(s)
			if bits <= fastBits {
				from := code << (fastBits - bits)
				for i := range uint32(1) << (fastBits - bits) {
					t.fast[from+i] = uint16(s)<<4 | uint16(bits)
				}
			}
			n++
			code++
		}
		t.count[bits] = n - t.index[bits]
	}
	return t
}()

// unhuffman appends what src says to dst. It fails for codes of EOS, and padding that
// is longer than seven bits or not all ones (RFC 7541 section 5.2).
func unhuffman(dst, src []byte) ([]byte, bool) {
	var acc uint64
	var have uint
	for {
		for have <= 56 && len(src) > 0 {
			acc = acc<<8 | uint64(src[0])
			have += 8
			src = src[1:]
		}
		if have == 0 {
			return dst, true
		}
		// The next maxCode bits, with ones where there are no more.
		var next uint32
		if have >= maxCode {
			next = uint32(acc>>(have-maxCode)) & (1<<maxCode - 1)
		} else {
			missing := maxCode - have
			next = uint32(acc<<missing|(1<<missing-1)) & (1<<maxCode - 1)
		}
		symbol, bits := uint16(eos), uint(maxCode)
		if f := huffman.fast[next>>(maxCode-fastBits)]; f != 0 {
			symbol, bits = f>>4, uint(f&15)
		} else {
			for l := uint(fastBits + 1); l <= maxCode; l++ {
				if at := next>>(maxCode-l) - huffman.first[l]; at < huffman.count[l] {
					symbol, bits = huffman.symbols[huffman.index[l]+at], l
					break
				}
			}
		}
		if bits > have {
			ones := uint64(1)<<have - 1
			return dst, have < 8 && acc&ones == ones
		}
		if symbol == eos {
			return dst, false
		}
		dst = append(dst, byte(symbol))
		have -= bits
	}
}
