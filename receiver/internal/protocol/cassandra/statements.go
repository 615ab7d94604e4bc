// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"net/netip"
	"sync"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

const (
	// maxServers bounds the servers of which statements are known, maxStatements those
	// of a server, and maxTexts the bytes of their texts.
	maxServers    = 256
	maxStatements = 4096
	maxTexts      = 2 << 20
	// maxID is the longest id: Cassandra's are of 16 bytes.
	maxID = 64
)

// statement is a prepared one. It never changes.
type statement struct {
	described
	text []byte
}

// statements are those of a server. They are shared by connections, and so by goroutines.
type statements struct {
	mu    sync.RWMutex
	byID  map[string]*statement
	bytes int
	// users is guarded by servers.mu.
	users int
}

// get finds a statement by its id, nil if it was prepared before we came.
func (t *statements) get(id []byte) *statement {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byID[string(id)]
}

// put takes in a statement the server has given an id to. What it is prepared again
// for is the same. Where there are too many, any of the others are forgotten.
func (t *statements) put(id, text []byte, q *described) {
	if len(id) == 0 || len(id) > maxID {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.byID[string(id)]; s != nil {
		if s.described == *q && string(s.text) == string(text) {
			return
		}
		t.bytes -= len(s.text)
		delete(t.byID, string(id))
	}
	if t.byID == nil {
		t.byID = make(map[string]*statement)
	}
	for other, s := range t.byID {
		if len(t.byID) < maxStatements && t.bytes+len(text) <= maxTexts {
			break
		}
		t.bytes -= len(s.text)
		delete(t.byID, other)
	}
	t.byID[string(id)] = &statement{*q, append([]byte(nil), text...)}
	t.bytes += len(text)
}

// address is a server's, as one side of its connections has it.
type address struct {
	role  exchange.Role
	at    netip.AddrPort
	path  string
	netNS uint32
}

// servers are those that connections are to, or that accepted them.
type servers struct {
	mu  sync.Mutex
	all map[address]*statements
}

// acquire finds the statements of a connection's server.
func (s *servers) acquire(c *exchange.Connection, role exchange.Role) *statements {
	key := address{role: role, at: c.Peer, path: c.Path, netNS: c.NetNS}
	if role == exchange.RoleServer {
		key.at = c.Local
	}
	if !key.at.IsValid() && key.path == "" {
		return &statements{users: 1}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.all[key]
	if t == nil {
		for other, unused := range s.all {
			if len(s.all) < maxServers {
				break
			}
			if unused.users == 0 {
				delete(s.all, other)
			}
		}
		t = &statements{}
		if len(s.all) < maxServers {
			if s.all == nil {
				s.all = make(map[address]*statements)
			}
			s.all[key] = t
		}
	}
	t.users++
	return t
}

// release is called once for every acquire.
func (s *servers) release(t *statements) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.users--
}
