// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package capture

import "encoding/binary"

// Beginning is what the first bytes of a connection are, whoever sends them: Bytes where
// Mask has bits set, at most 16 of each. At least one of the first 8 is looked at, and a
// connection whose first call moves fewer than 8 is none. With Framed, frames of HTTP/2
// (RFC 9113 section 4.1) follow after the first Skip bytes, in both directions if both
// begin so: of those, large DATA frames are not copied.
type Beginning struct {
	Bytes, Mask [16]byte
	Framed      bool
	Skip        uint8
	// Values: RESP follows, of which long strings are not copied in large calls.
	Values bool
}

// beginnings are those in the form that the probes have them; what is too many is left
// out.
func beginnings(list []Beginning) (all [captureBeginnings]captureBeginning) {
	for i, b := range list[:min(len(list), len(all))] {
		switch {
		case b.Framed:
			all[i].Framed = 1 + uint64(b.Skip)
		case b.Values:
			all[i].Framed = framedValues
		}
		for j := range 2 {
			all[i].Mask[j] = binary.NativeEndian.Uint64(b.Mask[8*j:])
			all[i].Value[j] = binary.NativeEndian.Uint64(b.Bytes[8*j:]) & all[i].Mask[j]
		}
	}
	return all
}

// Of bpf/record.h.
const (
	captureBeginnings = 12   // BEGINNINGS
	framedValues      = 0xfe // FRAMED_RESP
)
