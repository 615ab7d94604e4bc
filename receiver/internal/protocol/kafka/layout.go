// SPDX-License-Identifier: Apache-2.0

package kafka

// kind is a field's type in the words of the protocol guide.
type kind uint8

const (
	kindInt8 kind = iota
	kindInt16
	kindInt32
	kindInt64
	kindUUID
	// kindString is also a nullable one; kindBytes are skipped.
	kindString
	kindBytes
	// kindArray is of structs, of which sub are the fields.
	kindArray
	// kindInts is an array of int32.
	kindInts
	// kindTags are the tagged fields at the end of a struct of a flexible version.
	kindTags
	kindRecords
)

// meaning is what a value is for; none: it is passed over.
type meaning uint8

const (
	none meaning = iota
	// Of requests.
	isAcks
	isTransaction
	isGroup
	isGroupMember // the group of a member of it
	isReplica
	isMaxWait
	isMemberTopic // the topic of a commit
	isFetchTags   // the tagged fields of a fetch request
	// Of requests and responses.
	isTopic
	isTopicID
	isPartition
	isRecords
	// Of responses.
	isThrottle
	isError
	isHighWatermark
	isOffset
	// Of metadata.
	isNamedTopic
	isNamedID
)

// forever is the end of the versions of a field that has not been removed.
const forever = 1 << 14

// field is one of a message's, in versions since to until.
type field struct {
	kind         kind
	is           meaning
	since, until int16
	sub          []field
}

// of makes a field that all versions have.
func of(k kind, is meaning) field { return field{kind: k, is: is, until: forever} }

// array makes one of structs.
func array(sub ...field) field { return field{kind: kindArray, until: forever, sub: sub} }

// from limits a field to versions since a first one.
func (f field) from(version int16) field { f.since = version; return f }

// to limits a field to versions up to a last one.
func (f field) to(version int16) field { f.until = version; return f }

// compile is the fields that one version has, with tagged fields at the end of structs.
func compile(fields []field, version int16, flexible bool, tags meaning) []field {
	compiled := make([]field, 0, len(fields)+1)
	for _, f := range fields {
		if version < f.since || version > f.until {
			continue
		}
		if f.kind == kindArray {
			f.sub = compile(f.sub, version, flexible, none)
		}
		compiled = append(compiled, f)
	}
	if flexible {
		compiled = append(compiled, field{kind: kindTags, is: tags})
	}
	return compiled
}

// message is the layout of a request or response in all versions. Cut: only the
// beginning is described, the rest is of no interest.
type message struct {
	fields []field
	cut    bool
	tags   meaning // of the message's own tagged fields
	// request tells it from a response.
	request bool
}

// layout is a message's in one version, from behind the client id or the correlation id.
type layout struct {
	fields   []field
	flexible bool
}

func (m *message) compile(key, version int16) layout {
	flexible := isFlexible(key, version)
	fields := compile(m.fields, version, flexible, m.tags)
	if m.cut && flexible {
		fields = fields[:len(fields)-1]
	}
	if flexible && (m.request || key != apiVersions) {
		// The header has tagged fields too, but in the responses that tell which
		// versions there are: KIP-511.
		fields = append([]field{{kind: kindTags}}, fields...)
	}
	return layout{fields, flexible}
}

// requestLayouts and responseLayouts are by API key and version.
var requestLayouts, responseLayouts = compileAll(requests, true), compileAll(responses, false)

func compileAll(messages map[int16]message, request bool) (all [len(apis)][]layout) {
	for key := range apis {
		m, ok := messages[int16(key)]
		switch {
		case ok:
		case request:
			m = message{cut: true}
		default:
			m = head(&apis[key])
		}
		m.request = request
		for version := int16(0); version <= apis[key].max; version++ {
			all[key] = append(all[key], m.compile(int16(key), version))
		}
	}
	return all
}

// head is what is known of any response of an API.
func head(a *api) message {
	m := message{cut: true}
	switch a.response {
	case throttled:
		m.fields = []field{of(kindInt32, isThrottle).from(a.throttleSince)}
	case failing:
		m.fields = []field{of(kindInt32, isThrottle).from(a.throttleSince), of(kindInt16, isError).from(a.errorSince)}
	case errorFirst:
		m.fields = []field{of(kindInt16, isError)}
	}
	return m
}
