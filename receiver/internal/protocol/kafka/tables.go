// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"encoding/base64"
	"strings"
	"sync"
)

const (
	// maxTopics bounds the topic ids that are remembered, maxGroups the clients.
	maxTopicIDs = 16 << 10
	maxGroups   = 4 << 10
	// stale is how long a client may be silent about its group, ns: members say it
	// every few seconds (heartbeat.interval.ms).
	stale = 600e9
)

// topicID is a UUID.
type topicID [16]byte

// appendTo appends the id as Kafka's tools write it.
func (id *topicID) appendTo(b []byte) []byte { return base64.RawURLEncoding.AppendEncode(b, id[:]) }

// member is a client of a process.
type member struct {
	pid    uint32
	client string
}

// membership is the group a client has named; "" if it has named several.
type membership struct {
	group string
	seen  uint64
}

// tables are what connections tell each other. They are safe for concurrent use.
type tables struct {
	mu      sync.RWMutex
	topics  map[topicID]string
	members map[member]membership
}

func newTables() *tables {
	return &tables{topics: map[topicID]string{}, members: map[member]membership{}}
}

// name remembers what a topic id stands for.
func (t *tables) name(id topicID, topic string) {
	if t.topic(id) == topic {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for other := range t.topics {
		if len(t.topics) < maxTopicIDs {
			break
		}
		delete(t.topics, other)
	}
	t.topics[id] = strings.Clone(topic)
}

// topic is the name of a topic id, "" if it is not known.
func (t *tables) topic(id topicID) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.topics[id]
}

// join remembers that a client is a member of a group at a time.
func (t *tables) join(m member, group string, now uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.members[m]
	if ok && known.group != group && now < known.seen+stale {
		group = "" // two consumers of one name
	}
	if !ok {
		for other := range t.members {
			if len(t.members) < maxGroups {
				break
			}
			delete(t.members, other)
		}
		m.client = strings.Clone(m.client)
	}
	t.members[m] = membership{group: group, seen: now}
}

// group is that of a client, "" if it is not certain.
func (t *tables) group(m member, now uint64) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	known := t.members[m]
	if now >= known.seen+stale {
		return ""
	}
	return known.group
}
