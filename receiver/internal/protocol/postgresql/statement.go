// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"strings"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/dbconv"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/stream"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/sqltext"
)

const (
	// maxStatements bounds the prepared statements that are known of a session, and
	// maxPortals its named portals.
	maxStatements = 1024
	maxPortals    = 256
	// maxTexts bounds the memory for the texts of named statements, in bytes. Those
	// prepared after that have a summary only.
	maxTexts = 256 << 10
	// maxFreeStatements and maxFreeText bound what is kept for reuse.
	maxFreeStatements = 8
	maxFreeText       = 2 << 10
)

// statement is what Parse prepared. Exchanges, portals and names refer to it.
type statement struct {
	refs    int
	text    []byte
	cut     bool
	summary sqltext.Summary
	// origin of the Parse message.
	origin stream.Origin
}

// session is what the messages have set up.
type session struct {
	// unnamed and portal are the statement and the portal without a name; portals
	// are the statements of those.
	unnamed, portal *statement
	statements      map[string]*statement
	portals         map[string]*statement
	texts           int // bytes of those in statements
	free            []*statement
}

func (s *session) acquire() *statement {
	if n := len(s.free); n > 0 {
		st := s.free[n-1]
		s.free = s.free[:n-1]
		st.text, st.cut, st.summary = st.text[:0], false, sqltext.Summary{}
		st.refs = 1
		return st
	}
	return &statement{refs: 1}
}

func retain(st *statement) *statement {
	if st != nil {
		st.refs++
	}
	return st
}

func (s *session) release(st *statement) {
	if st == nil {
		return
	}
	if st.refs--; st.refs == 0 && len(s.free) < maxFreeStatements && cap(st.text) <= maxFreeText {
		s.free = append(s.free, st)
	}
}

// prepare gives a statement its name; the name takes over the caller's reference.
func (s *session) prepare(name []byte, st *statement) {
	if len(name) == 0 {
		s.release(s.unnamed)
		s.unnamed = st
		return
	}
	s.closeStatement(name)
	if len(s.statements) >= maxStatements {
		for victim := range s.statements {
			s.closeStatement([]byte(victim))
			break
		}
	}
	if s.texts+len(st.text) > maxTexts {
		st.text, st.cut = st.text[:0], true
	}
	s.texts += len(st.text)
	if s.statements == nil {
		s.statements = make(map[string]*statement)
	}
	s.statements[string(name)] = st
}

func (s *session) statement(name []byte) *statement {
	if len(name) == 0 {
		return s.unnamed
	}
	return s.statements[string(name)]
}

func (s *session) closeStatement(name []byte) {
	if len(name) == 0 {
		s.release(s.unnamed)
		s.unnamed = nil
		return
	}
	if st := s.statements[string(name)]; st != nil {
		s.texts -= len(st.text)
		delete(s.statements, string(name))
		s.release(st)
	}
}

// bind makes a portal; an existing one of that name is gone.
func (s *session) bind(name []byte, st *statement) {
	retain(st)
	if len(name) == 0 {
		s.release(s.portal)
		s.portal = st
		return
	}
	s.closePortal(name)
	if st == nil || len(s.portals) >= maxPortals {
		s.release(st)
		return
	}
	if s.portals == nil {
		s.portals = make(map[string]*statement)
	}
	s.portals[string(name)] = st
}

func (s *session) portalOf(name []byte) *statement {
	if len(name) == 0 {
		return s.portal
	}
	return s.portals[string(name)]
}

func (s *session) closePortal(name []byte) {
	if len(name) == 0 {
		s.release(s.portal)
		s.portal = nil
		return
	}
	if st := s.portals[string(name)]; st != nil {
		delete(s.portals, string(name))
		s.release(st)
	}
}

// forget drops everything: messages were lost that may have changed it.
func (s *session) forget() { *s = session{free: s.free} }

// describe makes of a query's text what is reported of it: it appends to dst. Only a
// text that was prepared can have parameters.
func (p *parser) describe(dst, query []byte, cut, prepared bool) ([]byte, sqltext.Summary) {
	strings := p.host.Strings
	d := sqltext.PostgreSQL
	if p.escapes {
		d = sqltext.PostgreSQLEscapes
	}
	whole := query
	if cut {
		query = sqltext.Trim(query)
	}
	switch p.settings.QueryText {
	case dbconv.TextNone:
		return dst, sqltext.Summarize(query, d, strings)
	case dbconv.TextRaw:
		return append(dst, whole...), sqltext.Summarize(query, d, strings)
	}
	at := len(dst)
	dst, q := sqltext.Analyze(dst, query, d, strings)
	if prepared && q.Parameterized {
		dst = append(dst[:at], whole...)
	}
	return dst, q.Summary
}

// schemaOf is the schema that a search_path begins with, "" if that depends on the
// user.
func schemaOf(path string) string {
	first, _, _ := strings.Cut(path, ",")
	first = strings.TrimSpace(first)
	if n := len(first); n > 1 && first[0] == '"' && first[n-1] == '"' {
		first = first[1 : n-1]
	}
	if first == "$user" {
		return ""
	}
	return first
}
