// SPDX-License-Identifier: Apache-2.0

package memcached

// shape is what a command's line and its answers are like.
type shape uint8

const (
	// retrieval: get key*. touching: gat exptime key*.
	retrieval shape = iota
	touching
	// storage: set key flags exptime bytes [noreply], and as many bytes.
	storage
	// other: one line, any answer of one line, or STAT lines.
	other
	statistics
	// meta: mg key flags*. metaStore: ms key bytes flags*, and as many bytes.
	meta
	metaStore
	metaNoop
	// quitting: the server only closes. watching: it sends logs from then on.
	quitting
	watching
)

// command is what is known of one.
type command struct {
	name  string
	shape shape
	// quiet, of binary commands: it is not answered if there is no news.
	quiet bool
	// gets, of binary commands: it retrieves.
	gets bool
}

var commands = map[string]*command{}

func add(s shape, names ...string) {
	for _, name := range names {
		commands[name] = &command{name: name, shape: s}
	}
}

func init() {
	add(retrieval, "get", "gets")
	add(touching, "gat", "gats")
	add(storage, "set", "add", "replace", "append", "prepend", "cas")
	add(other, "delete", "incr", "decr", "touch", "version", "flush_all", "verbosity", "cache_memlimit", "slabs", "lru", "shutdown")
	add(statistics, "stats", "lru_crawler", "me")
	add(meta, "mg", "md", "ma")
	add(metaStore, "ms")
	add(metaNoop, "mn")
	add(quitting, "quit")
	add(watching, "watch")
}

// binary are the commands of the binary protocol by opcode.
var binary = [0x23]*command{}

func init() {
	for code, name := range map[int]string{
		0x00: "get", 0x01: "set", 0x02: "add", 0x03: "replace", 0x04: "delete", 0x05: "increment", 0x06: "decrement", 0x07: "quit",
		0x08: "flush", 0x09: "getq", 0x0a: "noop", 0x0b: "version", 0x0c: "getk", 0x0d: "getkq", 0x0e: "append", 0x0f: "prepend",
		0x10: "stat", 0x11: "setq", 0x12: "addq", 0x13: "replaceq", 0x14: "deleteq", 0x15: "incrementq", 0x16: "decrementq", 0x17: "quitq",
		0x18: "flushq", 0x19: "appendq", 0x1a: "prependq", 0x1b: "verbosity", 0x1c: "touch", 0x1d: "gat", 0x1e: "gatq",
		0x20: "sasl_list_mechs", 0x21: "sasl_auth", 0x22: "sasl_step",
	} {
		binary[code] = &command{name: name, shape: other, quiet: name[len(name)-1] == 'q'}
	}
	for _, code := range []int{0x00, 0x09, 0x0c, 0x0d, 0x1d, 0x1e} {
		binary[code].gets = true
	}
	binary[opStat].shape = statistics
}

// Opcodes and magic bytes of the binary protocol.
const (
	magicRequest = 0x80
	magicReply   = 0x81
	headerSize   = 24
	opStat       = 0x10
	opQuitQ      = 0x17
)

// extras is the range of lengths that the extras of a binary request have, by opcode.
func extras(opcode byte) (least, most int) {
	switch opcode {
	case 0x01, 0x02, 0x03, 0x11, 0x12, 0x13:
		return 8, 8
	case 0x05, 0x06, 0x15, 0x16:
		return 20, 20
	case 0x08, 0x18:
		return 0, 4
	case 0x1b, 0x1c, 0x1d, 0x1e:
		return 4, 4
	}
	return 0, 0
}

// keyed reports whether binary requests of an opcode have keys.
func keyed(opcode byte) (needed, allowed bool) {
	switch opcode {
	case 0x07, 0x17, 0x08, 0x18, 0x0a, 0x0b, 0x1b, 0x20:
		return false, false
	case opStat:
		return false, true
	}
	return true, true
}

// header is the head of a binary message.
type header struct {
	opcode, extras byte
	key            int
	status         uint16
	body           uint32
	opaque         uint32
}

// parseHeader reads the 24 bytes; ok is false if they are none.
func parseHeader(b []byte, request bool) (h header, ok bool) {
	_ = b[headerSize-1]
	h = header{
		opcode: b[1], key: int(b[2])<<8 | int(b[3]), extras: b[4], status: uint16(b[6])<<8 | uint16(b[7]),
		body:   uint32(b[8])<<24 | uint32(b[9])<<16 | uint32(b[10])<<8 | uint32(b[11]),
		opaque: uint32(b[12])<<24 | uint32(b[13])<<16 | uint32(b[14])<<8 | uint32(b[15]),
	}
	if int(h.opcode) >= len(binary) || binary[h.opcode] == nil || b[5] != 0 || uint64(h.body) < uint64(h.key)+uint64(h.extras) {
		return h, false
	}
	if !request {
		return h, b[0] == magicReply
	}
	least, most := extras(h.opcode)
	needed, allowed := keyed(h.opcode)
	return h, b[0] == magicRequest && int(h.extras) >= least && int(h.extras) <= most && (h.key > 0 || !needed) && (h.key == 0 || allowed) && h.key <= 250
}
