// SPDX-License-Identifier: Apache-2.0

package broker

import "github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/tracecontext"

// Context adds the context that a message carries (W3C Trace Context) to those the
// exchange links to.
func (s *Slot) Context(parent, state []byte) {
	l, ok := tracecontext.ParseLink(parent)
	if !ok {
		return
	}
	if len(state) <= tracecontext.MaxState {
		l.State = s.D.Strings.String(state)
	}
	s.D.Contexts = append(s.D.Contexts, l)
}
