// SPDX-License-Identifier: Apache-2.0

package runtimes

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// futureTask is the class of what executors run. Its objects say which thread runs them now.
const (
	futureTask = "java/util/concurrent/FutureTask"
	waitNode   = futureTask + "$WaitNode"
)

// What writes to the connections of java.net.http, and leads to their file descriptors.
const (
	writer  = "jdk/internal/net/http/SocketTube$InternalWriteSubscriber"
	tube    = "jdk/internal/net/http/SocketTube"
	channel = "sun/nio/ch/SocketChannelImpl"
)

// final stands for a field where an object of the class says who made it for whom.
const final = "."

// steps are those from the tasks that java.net.http has its own threads do to the request
// they are for, and what outlives requests: threads and connections. Releases have one or the
// other of the names for a class.
var steps = []struct {
	classes []string
	field   string
}{
	{[]string{writer}, "subscription"},
	{[]string{"jdk/internal/net/http/SocketTube$InternalWriteSubscriber$WriteSubscription"}, "upstreamSubscription"},
	{[]string{"jdk/internal/net/http/Http1Exchange$Http1Publisher$Http1WriteSubscription"}, "this$1"},
	{[]string{"jdk/internal/net/http/Http1Exchange$Http1Publisher$WriteTask"}, "this$1"},
	{[]string{"jdk/internal/net/http/Http1Exchange$Http1Publisher"}, "this$0"},
	{[]string{"jdk/internal/net/http/Http1Exchange"}, "request"},
	{[]string{"jdk/internal/net/http/HttpRequestImpl"}, final},
	{[]string{
		"java/lang/Thread", "java/util/concurrent/ThreadPoolExecutor$Worker",
		"jdk/internal/net/http/PlainHttpConnection", tube, channel,
		"jdk/internal/net/http/common/SequentialScheduler", "jdk/internal/net/http/common/SequentialScheduler$SchedulableTask",
		"jdk/internal/net/http/common/SequentialScheduler$LockingRestartableTask",
		"jdk/internal/net/http/common/SequentialScheduler$SynchronizedRestartableTask",
		"sun/net/www/http/HttpClient", "java/net/Socket", "sun/nio/ch/NioSocketImpl", "java/net/Socket$SocketOutputStream",
	}, ""},
}

// findSteps looks for the classes of steps among all that have been loaded.
func (h *hotspot) findSteps(v *JVM) {
	const mostLoaders, mostClasses = 10000, 200000
	var missing bool
	base := h.static(&missing, "CompressedKlassPointers._narrow_klass._base", "CompressedKlassPointers._base", "Universe._narrow_klass._base")
	shift := uint8(h.static(&missing, "CompressedKlassPointers._narrow_klass._shift", "CompressedKlassPointers._shift", "Universe._narrow_klass._shift"))
	loader := h.static(&missing, "ClassLoaderDataGraph._head")
	nextLoader := h.offset(&missing, "ClassLoaderData._next")
	classes := h.offset(&missing, "ClassLoaderData._klasses")
	next, name := h.offset(&missing, "Klass._next_link"), h.offset(&missing, "Klass._name")
	length, body := h.offset(&missing, "Symbol._length"), h.offset(&missing, "Symbol._body")
	if missing || shift > 8 {
		return
	}
	supers, threadObject := h.offset(&missing, "Klass._primary_supers[0]"), h.fields["JavaThread._threadObj"]
	v.ClassBase, v.ClassShift = base, shift
	lengths := map[int]bool{len(futureTask): true, len(waitNode): true, len(writer): true, len(tube): true, len(channel): true}
	for _, s := range steps {
		for _, c := range s.classes {
			lengths[len(c)] = true
		}
	}
	found, seen := 0, 0
	for n := 0; loader != 0 && n < mostLoaders; n++ {
		class := h.word(loader + classes)
		for ; class != 0 && seen < mostClasses; seen++ {
			symbol := h.word(class + name)
			n := int(uint16(h.word32(symbol + length)))
			if lengths[n] {
				b := make([]byte, n)
				h.read(b, symbol+body)
				if at, ok := uint32(0), string(b) == futureTask && !missing; ok {
					// The second of its superclasses is itself.
					if at, ok = h.fieldOf(class, "runner"); ok && h.word(class+supers+8) == class {
						v.FutureTask, v.Runner, v.Supers = class, uint16(at), uint16(supers+8)
						at, _ = h.fieldOf(class, "waiters")
						v.Waiters = uint16(at)
						v.ThreadObject, v.ThreadHandle = uint16(threadObject.offset), threadObject.kind == "OopHandle"
					}
				}
				if string(b) == waitNode {
					at, _ := h.fieldOf(class, "thread")
					v.Waiter = uint16(at)
				}
				h.findWriter(v, string(b), class, uint32((class-base)>>shift))
				for _, s := range steps {
					if !slices.Contains(s.classes, string(b)) || found == len(v.Steps) {
						continue
					}
					narrow := (class - base) >> shift
					var at uint32
					ok := s.field == "" || s.field == final
					if s.field == final {
						at = 1
					}
					if !ok {
						at, ok = h.fieldOf(class, s.field)
					}
					if ok && narrow>>32 == 0 {
						v.Steps[found] = JVMStep{uint32(narrow), at}
						found++
					}
				}
			}
			class = h.word(class + next)
		}
		loader = h.word(loader + nextLoader)
	}
	if v.Waiter == 0 {
		v.Waiters = 0
	}
	if v.WriterTube == 0 || v.TubeChannel == 0 || v.ChannelDescriptor == 0 {
		v.Writer = 0
	}
	slices.SortFunc(v.Steps[:found], func(a, b JVMStep) int { return cmp.Compare(b.Offset, a.Offset) })
}

// findWriter notes what a class says of java.net.http's writers.
func (h *hotspot) findWriter(v *JVM, name string, class uint64, narrow uint32) {
	at := func(field string) uint16 {
		offset, _ := h.fieldOf(class, field)
		return uint16(offset)
	}
	switch name {
	case writer:
		v.Writer, v.WriterTube = narrow, at("this$0")
	case tube:
		v.TubeChannel = at("channel")
	case channel:
		v.ChannelDescriptor = at("fdVal")
	}
}

// fieldOf is the offset of a field that a class itself declares.
func (h *hotspot) fieldOf(class uint64, name string) (offset uint32, ok bool) {
	var missing bool
	pool := h.word(class + h.offset(&missing, "InstanceKlass._constants"))
	entries := h.sizes["ConstantPool"]
	length, body := h.offset(&missing, "Symbol._length"), h.offset(&missing, "Symbol._body")
	if missing || entries == 0 {
		return 0, false
	}
	is := func(index uint32) bool {
		symbol := h.word(pool + entries + 8*uint64(index))
		b := make([]byte, len(name))
		h.read(b, symbol+body)
		return int(uint16(h.word32(symbol+length))) == len(name) && string(b) == name
	}
	const mostFields = 1000
	if f, old := h.fields["InstanceKlass._fields"]; old {
		// Up to release 20: an Array<u2>, of six for each field (fieldInfo.hpp): flags, indices of
		// the name, the type and the value, and the offset with a tag of two bits.
		const internal = 0x400 // its name is elsewhere
		array := h.word(class + f.offset)
		b := make([]byte, 12)
		for i := range uint64(min(h.word32(array)/6, mostFields)) {
			h.read(b, array+4+12*i)
			if binary.LittleEndian.Uint16(b)&internal == 0 && is(uint32(binary.LittleEndian.Uint16(b[2:]))) {
				return binary.LittleEndian.Uint32(b[8:]) >> 2, true
			}
		}
		return 0, false
	}
	f, ok := h.fields["InstanceKlass._fieldinfo_stream"]
	if !ok {
		return 0, false
	}
	array := h.word(class + f.offset)
	stream := fieldStream(make([]byte, min(h.word32(array), 16*mostFields)))
	h.read(stream, array+4)
	count := stream.next()
	stream.next() // those that the machine has added
	for range min(count, mostFields) {
		index := stream.next()
		stream.next() // type
		offset := stream.next()
		stream.next() // access
		flags := stream.next()
		for _, optional := range []uint32{1 << 0, 1 << 2, 1 << 4} { // a value, a generic type, a group
			if flags&optional != 0 {
				stream.next()
			}
		}
		if is(index) {
			return offset, true
		}
	}
	return 0, false
}

// fieldStream is a FieldInfoStream, numbers that are encoded as UNSIGNED5 (unsigned5.hpp).
type fieldStream []byte

func (s *fieldStream) next() (n uint32) {
	const least, low, bits = 1, 191, 6
	for i := range 5 {
		if len(*s) == 0 || (*s)[0] < least {
			return 0
		}
		b := uint32((*s)[0])
		*s = (*s)[1:]
		n += (b - least) << (bits * i)
		if b < least+low {
			break
		}
	}
	return n
}
