// SPDX-License-Identifier: Apache-2.0

package sampling

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// Default is the sampler used when no name is given.
const Default = "parentbased_always_on"

// names are those of OTEL_TRACES_SAMPLER:
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
var names = []string{
	"always_on", "always_off", "traceidratio",
	"parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio",
}

// Parent is what a request's trace context says about the caller's decision.
type Parent uint8

const (
	// ParentUnknown: the request carried no trace context, or one that left the
	// decision open.
	ParentUnknown Parent = iota
	// ParentDropped: it did, with the sampled flag clear.
	ParentDropped
	// ParentSampled: it did, with the sampled flag set.
	ParentSampled
)

// Sampler is an immutable decision rule. The zero Sampler keeps everything.
type Sampler struct {
	parentBased bool
	// bound in (0, 2^63): trace ids whose lower 63 bits are below it are kept.
	// 0: the trace id does not matter, and none says what happens instead.
	bound uint64
	none  bool
	text  string
}

// New makes the sampler with one of the names of OTEL_TRACES_SAMPLER and its
// argument (a probability from 0 to 1 for the ratio samplers, 1 if empty;
// nothing for the others). An empty name is Default. The error is one sentence
// that begins with the YAML path below prefix, e.g. "sampler".
func New(prefix, name, arg string) (*Sampler, error) {
	if name == "" {
		name = Default
	}
	s := &Sampler{text: name}
	kind, parentBased := strings.CutPrefix(name, "parentbased_")
	s.parentBased = parentBased
	switch kind {
	case "always_on", "always_off":
		if arg != "" {
			return nil, fmt.Errorf("%s.arg: %s takes no argument: remove %q or use %s", prefix, name, arg,
				strings.Replace(name, kind, "traceidratio", 1))
		}
		s.none = kind == "always_off"
	case "traceidratio":
		ratio := 1.0
		if arg != "" {
			var err error
			ratio, err = strconv.ParseFloat(arg, 64)
			if err != nil || math.IsNaN(ratio) || ratio < 0 || ratio > 1 {
				return nil, fmt.Errorf("%s.arg: %q is not a probability: use a number from 0 to 1, such as \"0.1\" for a tenth of the traces", prefix, arg)
			}
		}
		s.text = fmt.Sprintf("%s{%g}", name, ratio)
		switch {
		case ratio >= 1:
		case ratio <= 0:
			s.none = true
		default:
			// As sdk/trace.TraceIDRatioBased; a ratio too small for one
			// trace id in 2^63 keeps none there and here.
			s.bound = uint64(ratio * (1 << 63))
			s.none = s.bound == 0
		}
	default:
		return nil, fmt.Errorf("%s.name: %q is not a sampler: use one of %s", prefix, name, strings.Join(names, ", "))
	}
	return s, nil
}

// Sample reports whether the spans of a trace are kept. It agrees with the Go
// SDK's TraceIDRatioBased: the last eight bytes of the trace id, big endian,
// without the lowest bit, are compared with the ratio in 1/2^63. Those bytes
// are also where W3C level 2 and OTel's consistent probability sampling expect
// a trace id's randomness.
func (s *Sampler) Sample(id pcommon.TraceID, p Parent) bool {
	if s == nil {
		return true
	}
	if s.parentBased && p != ParentUnknown {
		return p == ParentSampled
	}
	if s.bound == 0 {
		return !s.none
	}
	return binary.BigEndian.Uint64(id[8:])>>1 < s.bound
}

// Rule is what a Sampler goes by, for those who decide elsewhere: the probes,
// where they write the sampled flag into requests.
type Rule struct {
	// ParentBased: a decision that came with the trace holds.
	ParentBased bool
	// Otherwise trace ids are kept whose lower 63 bits are below Bound; with 0
	// all of them are, or None.
	Bound uint64
	None  bool
}

// Rule of the sampler.
func (s *Sampler) Rule() Rule {
	if s == nil {
		return Rule{}
	}
	return Rule{ParentBased: s.parentBased, Bound: s.bound, None: s.none}
}

// String describes the sampler for a log line.
func (s *Sampler) String() string {
	if s == nil || s.text == "" {
		return "always_on"
	}
	return s.text
}
