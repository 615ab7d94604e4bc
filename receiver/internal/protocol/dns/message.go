// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"
)

// Sizes and flags of RFC 1035 section 4.1.1.
const (
	headerSize = 12

	flagResponse  = 1 << 15
	flagTruncated = 1 << 9
	opcodeShift   = 11
	opcodeMask    = 0xf
	codeMask      = 0xf

	opcodeQuery  = 0
	opcodeStatus = 2
	opcodeNotify = 4
	opcodeUpdate = 5

	maxName    = 255 // RFC 1035 section 2.3.4
	maxLabel   = 63
	maxAnswers = 64 // that are reported of a response
	maxPointer = 32 // followed in one name
)

// classIN is the Internet's.
const classIN = 1

// Record types that are treated in a way of their own.
const (
	typeA        = 1
	typeCNAME    = 5
	typeAAAA     = 28
	typeOPT      = 41 // RFC 6891
	typeNetBIOS  = 32 // NB, RFC 1002: another protocol in the same clothes
	typeNetBIOS2 = 33 // NBSTAT there; SRV in RFC 2782
)

// message is what is kept of one.
type message struct {
	id     uint16
	flags  uint16
	name   []byte // of the first question: lower case, labels separated by dots, "." for the root
	kind   uint16 // its type
	class  uint16
	asked  bool // there is a question
	counts [4]uint16
	// extended is the upper part of the response code (RFC 6891 section 6.1.3).
	extended uint8
	answers  []netip.Addr
	// With follow, resolved are those of the addresses that the question leads to, over
	// aliases (CNAME records) or directly, and ttl is the shortest time to live on the way,
	// in s. The aliases are looked for in the order of the records, as resolvers do.
	follow        bool
	resolved      []netip.Addr
	ttl           uint32
	target, owner []byte
	// whole: all of it was read, with nothing left.
	whole bool
}

func (m *message) response() bool { return m.flags&flagResponse != 0 }
func (m *message) opcode() uint16 { return m.flags >> opcodeShift & opcodeMask }
func (m *message) code() uint16   { return m.flags&codeMask | uint16(m.extended)<<4 }

// parse reads a message, as far as it was copied; false if it is none.
func (m *message) parse(b []byte) bool {
	m.asked, m.whole, m.extended = false, false, 0
	m.name, m.answers, m.resolved = m.name[:0], m.answers[:0], m.resolved[:0]
	if len(b) < headerSize {
		return false
	}
	m.id = binary.BigEndian.Uint16(b)
	m.flags = binary.BigEndian.Uint16(b[2:])
	records := 0
	for i := range m.counts {
		m.counts[i] = binary.BigEndian.Uint16(b[4+2*i:])
		if i > 0 {
			records += int(m.counts[i])
		}
	}
	at := headerSize
	for i := range m.counts[0] {
		end, ok := 0, false
		if i == 0 {
			m.name, end, ok = appendName(m.name, b, at)
		} else {
			end, ok = skipName(b, at)
		}
		if !ok || end+4 > len(b) {
			return false
		}
		if i == 0 {
			m.kind, m.class = binary.BigEndian.Uint16(b[end:]), binary.BigEndian.Uint16(b[end+2:])
			m.asked = true
		}
		at = end + 4
	}
	if m.follow {
		m.target, m.ttl = append(m.target[:0], m.name...), ^uint32(0)
	}
	for i := range records {
		end, ok := skipName(b, at)
		if !ok || end+10 > len(b) {
			return at <= len(b)
		}
		kind, size := binary.BigEndian.Uint16(b[end:]), int(binary.BigEndian.Uint16(b[end+8:]))
		data := end + 10
		if data+size > len(b) {
			return true
		}
		switch {
		case kind == typeOPT && i >= int(m.counts[1])+int(m.counts[2]):
			m.extended = b[end+4]
		case i < int(m.counts[1]) && len(m.answers) < maxAnswers && (kind == typeA && size == 4 || kind == typeAAAA && size == 16):
			address, _ := netip.AddrFromSlice(b[data : data+size])
			m.answers = append(m.answers, address)
		}
		if m.follow && i < int(m.counts[1]) {
			m.step(b, at, end, kind, data, size)
		}
		at = data + size
	}
	m.whole = at == len(b)
	return true
}

// step follows a record of the answer, at b[at:], whose owner's name ends before end.
func (m *message) step(b []byte, at, end int, kind uint16, data, size int) {
	address := kind == typeA && size == 4 || kind == typeAAAA && size == 16
	if !address && kind != typeCNAME || binary.BigEndian.Uint16(b[end+2:]) != classIN {
		return
	}
	ok := false
	if m.owner, _, ok = appendName(m.owner[:0], b, at); !ok || !bytes.Equal(m.owner, m.target) {
		return
	}
	m.ttl = min(m.ttl, binary.BigEndian.Uint32(b[end+4:]))
	if !address {
		if m.target, _, ok = appendName(m.target[:0], b, data); !ok {
			m.target = m.target[:0] // nobody's
		}
		return
	}
	if a, ok := netip.AddrFromSlice(b[data : data+size]); ok && len(m.resolved) < maxAnswers {
		m.resolved = append(m.resolved, a.Unmap())
	}
}

// appendName reads the name at b[at:] and returns where it ends.
func appendName(name, b []byte, at int) (_ []byte, end int, ok bool) {
	begin := len(name)
	for pointers := 0; ; {
		if at >= len(b) {
			return name, 0, false
		}
		n := int(b[at])
		switch {
		case n == 0:
			if end == 0 {
				end = at + 1
			}
			if len(name) == begin {
				name = append(name, '.')
			}
			return name, end, true
		case n >= 0xc0: // RFC 1035 section 4.1.4
			if at+1 >= len(b) {
				return name, 0, false
			}
			if end == 0 {
				end = at + 2
			}
			target := n&0x3f<<8 | int(b[at+1])
			if pointers++; pointers > maxPointer || target >= at {
				return name, 0, false
			}
			at = target
		case n > maxLabel || at+1+n > len(b) || len(name)-begin+n > maxName:
			return name, 0, false
		default:
			if len(name) > begin {
				name = append(name, '.')
			}
			for _, c := range b[at+1 : at+1+n] {
				switch {
				case c >= 'A' && c <= 'Z':
					c |= 0x20
				case c == '.' || c == '\\':
					name = append(name, '\\')
				case c <= ' ' || c >= 0x7f: // RFC 4343 section 2.1
					name = append(name, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
					continue
				}
				name = append(name, c)
			}
			at += 1 + n
		}
	}
}

func skipName(b []byte, at int) (end int, ok bool) {
	for at < len(b) {
		n := int(b[at])
		switch {
		case n == 0:
			return at + 1, true
		case n >= 0xc0:
			return at + 2, at+2 <= len(b)
		case n > maxLabel:
			return 0, false
		}
		at += 1 + n
	}
	return 0, false
}

// typeNames are those of https://www.iana.org/assignments/dns-parameters that are met.
var typeNames = map[uint16]string{
	1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT", 17: "RP", 18: "AFSDB",
	24: "SIG", 25: "KEY", 28: "AAAA", 29: "LOC", 33: "SRV", 35: "NAPTR", 36: "KX", 37: "CERT", 39: "DNAME",
	43: "DS", 44: "SSHFP", 45: "IPSECKEY", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 49: "DHCID", 50: "NSEC3",
	51: "NSEC3PARAM", 52: "TLSA", 53: "SMIMEA", 55: "HIP", 59: "CDS", 60: "CDNSKEY", 61: "OPENPGPKEY",
	62: "CSYNC", 63: "ZONEMD", 64: "SVCB", 65: "HTTPS", 249: "TKEY", 250: "TSIG", 251: "IXFR", 252: "AXFR",
	255: "ANY", 256: "URI", 257: "CAA",
}

// typeName is a record type as zone files have it (RFC 3597 section 5).
func typeName(kind uint16) string {
	if name, ok := typeNames[kind]; ok {
		return name
	}
	return "TYPE" + strconv.Itoa(int(kind))
}

// codeNames are the response codes, of the same registry.
var codeNames = [...]string{
	"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE", "DSOTYPENI",
	16: "BADVERS", 17: "BADKEY", 18: "BADTIME", 19: "BADMODE", 20: "BADNAME", 21: "BADALG", 22: "BADTRUNC", 23: "BADCOOKIE",
}

func codeName(code uint16) string {
	if int(code) < len(codeNames) && codeNames[code] != "" {
		return codeNames[code]
	}
	return "RCODE" + strconv.Itoa(int(code))
}
