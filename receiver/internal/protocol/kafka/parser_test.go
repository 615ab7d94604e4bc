// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
)

const (
	alpha = "AQIDBAUGBwgJCgsMDQ4PEA"
	beta  = "EA8ODQwLCgkIBwYFBAMCAQ"
)

// wanted is what the exchange of a key and version is reported as.
func wanted(key, version int16) []string {
	throttle, transaction := " throttle_time_ms=7", " transactional_id=tx-1"
	topic := func(operation, name, id string, byName bool, rest string) string {
		if byName {
			return operation + " " + name + rest
		}
		return operation + rest
	}
	id := func(byName bool, id string) string {
		if byName {
			return ""
		}
		return " topic_id=" + id
	}
	switch key {
	case apiProduce:
		if version < 1 {
			throttle = ""
		}
		if version < 3 {
			transaction = ""
		}
		byName := version < 13
		return []string{
			topic("send", "alpha", alpha, byName, " message_count=5 type=MESSAGE_TOO_LARGE"+id(byName, alpha)+" partitions=2"+throttle+transaction),
			topic("send", "beta", beta, byName, " id=2 message_count=1"+id(byName, beta)+" offset=40"+throttle+transaction),
		}
	case apiFetch:
		if version < 1 {
			throttle = ""
		}
		byName := version < 13
		return []string{
			topic("poll", "alpha", alpha, byName, " message_count=6"+id(byName, alpha)+" partitions=2"+throttle),
			topic("poll", "beta", beta, byName, " id=2 message_count=1"+id(byName, beta)+" offset=40"+throttle),
		}
	case apiOffsetCommit:
		if version >= 10 {
			return []string{"commit id=3 name=group-1 type=UNKNOWN_MEMBER_ID topic_id=" + alpha}
		}
		return []string{"commit alpha id=3 name=group-1 type=UNKNOWN_MEMBER_ID"}
	case apiTxnOffsetCommit:
		if version >= 6 {
			return []string{"commit id=3 name=group-1 type=INVALID_PRODUCER_EPOCH topic_id=" + alpha + " transactional_id=tx-1"}
		}
		return []string{"commit alpha id=3 name=group-1 type=INVALID_PRODUCER_EPOCH transactional_id=tx-1"}
	case apiMetadata:
		if version < 3 {
			throttle = ""
		}
		return []string{"Metadata type=LEADER_NOT_AVAILABLE" + throttle}
	case apiOffsetFetch:
		return []string{"OffsetFetch type=NOT_COORDINATOR"}
	case apiFindCoordinator:
		return []string{"FindCoordinator type=COORDINATOR_NOT_AVAILABLE"}
	case apiJoinGroup:
		return []string{"JoinGroup name=group-1 error=MEMBER_ID_REQUIRED"}
	case apiSyncGroup:
		return []string{"SyncGroup name=group-1 type=ILLEGAL_GENERATION"}
	case apiHeartbeat:
		return []string{"Heartbeat name=group-1 error=REBALANCE_IN_PROGRESS"}
	case apiLeaveGroup:
		return []string{"LeaveGroup name=group-1 type=UNKNOWN_MEMBER_ID"}
	case apiConsumerGroupHeartbeat:
		return []string{"ConsumerGroupHeartbeat name=group-1 type=FENCED_MEMBER_EPOCH"}
	case apiInitProducerID:
		return []string{"InitProducerId type=COORDINATOR_LOAD_IN_PROGRESS transactional_id=tx-1"}
	case apiEndTxn:
		return []string{"EndTxn type=INVALID_TXN_STATE transactional_id=tx-1"}
	case apiListOffsets:
		return []string{"ListOffsets type=NOT_LEADER_OR_FOLLOWER"}
	case apiCreateTopics:
		return []string{"CreateTopics type=TOPIC_ALREADY_EXISTS"}
	case apiDeleteTopics:
		return []string{"DeleteTopics type=UNKNOWN_TOPIC_OR_PARTITION"}
	case apiVersions:
		return []string{"ApiVersions error=UNSUPPORTED_VERSION"}
	case apiControlledShutdown:
		if version == 0 {
			return nil // the encoder does not know its header
		}
	case apiShareAcknowledge:
		return []string{"acknowledge"}
	case apiShareFetch:
		if version == 0 || version > 1 {
			return nil
		}
		return []string{"poll id=2 name=group-1 message_count=4 topic_id=" + alpha + " first_offset=5 last_offset=8"}
	}
	if int(key) >= len(apis) {
		return []string{fmt.Sprint("ApiKey ", key)}
	}
	return []string{apis[key].name}
}

// Every request of the protocol in every version, as an independent encoder writes it:
// reported as what it is, on both sides, whole and byte by byte.
func TestMessages(t *testing.T) {
	t.Parallel()
	for _, p := range messages(t) {
		want := wanted(p.key, p.version)
		if want == nil {
			continue
		}
		for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer} {
			for _, step := range []int{1 << 20, 1, 7} {
				h := newHarness(t, role)
				for _, m := range []struct {
					dir protocol.Direction
					b   []byte
				}{{h.req, p.request}, {h.req.Other(), p.response}} {
					for at := 0; at < len(m.b); at += step {
						piece := m.b[at:min(at+step, len(m.b))]
						h.send(m.dir, piece, len(piece))
					}
				}
				require.NoError(t, h.err)
				require.Equal(t, want, h.texts(), "%d version %d, step %d", p.key, p.version, step)
				require.Zero(t, h.stats, "%d version %d", p.key, p.version)
			}
		}
	}
}

// Times, links and lag.
func TestFetchTells(t *testing.T) {
	t.Parallel()
	h := newHarness(t, exchange.RoleClient)
	p := message1(t, apiFetch, 12)
	h.request(p.request)
	h.response(p.response[:40])
	h.response(p.response[40:])
	require.Len(t, h.ended, 2)
	for _, r := range h.ended {
		require.EqualValues(t, 1009, r.start)
		require.EqualValues(t, 1030, r.end)
	}
	require.Equal(t, 1, h.ended[0].links, "all messages of the corpus carry the same context")
	require.EqualValues(t, -1, h.ended[0].lag, "two partitions")
	require.EqualValues(t, 9, h.ended[1].lag, "high watermark 50, read up to 40")
}

// Ids of topics are resolved with what any connection was told.
func TestTopicIDs(t *testing.T) {
	t.Parallel()
	h := newHarness(t, exchange.RoleClient)
	other := newHarness(t, exchange.RoleClient)
	other.parser.shared = h.parser.shared
	m := message1(t, apiMetadata, 12)
	other.request(m.request)
	other.response(m.response)
	p := message1(t, apiProduce, 13)
	h.request(p.request)
	h.response(p.response)
	require.Equal(t, []string{
		"send alpha message_count=5 type=MESSAGE_TOO_LARGE partitions=2 throttle_time_ms=7 transactional_id=tx-1",
		"send beta id=2 message_count=1 offset=40 throttle_time_ms=7 transactional_id=tx-1",
	}, h.texts())
}

// A group that one connection of a process names is that of its other connections.
func TestGroups(t *testing.T) {
	t.Parallel()
	h := newHarness(t, exchange.RoleClient)
	other := newHarness(t, exchange.RoleClient)
	other.parser.shared = h.parser.shared
	p := message1(t, apiHeartbeat, 4)
	other.request(p.request)
	other.response(p.response)
	f := message1(t, apiFetch, 12)
	h.request(f.request)
	h.response(f.response)
	require.Contains(t, h.texts()[0], "name=group-1")

	k := newTables()
	m := member{1, "c"}
	k.join(m, "a", 1)
	k.join(m, "a", 2)
	require.Equal(t, "a", k.group(m, 3))
	k.join(m, "b", 4)
	require.Empty(t, k.group(m, 5), "two groups of one name")
	require.Empty(t, k.group(m, stale+4))
	k.join(m, "b", 2*stale)
	require.Equal(t, "b", k.group(m, 2*stale+1))
	for i := range uint32(2 * maxGroups) {
		k.join(member{i, "x"}, "g", 1)
	}
	require.LessOrEqual(t, len(k.members), maxGroups)
	for i := range 2 * maxTopicIDs {
		k.name(topicID{byte(i), byte(i >> 8), byte(i >> 16)}, "t")
	}
	require.LessOrEqual(t, len(k.topics), maxTopicIDs)
}

// A poll that brought nothing is no latency.
func TestEmptyFetch(t *testing.T) {
	t.Parallel()
	p := message1(t, apiFetch, 12)
	h := newHarness(t, exchange.RoleClient)
	h.request(p.request)
	// Correlation id, tags, throttle, error, session, no topics, tags.
	h.response(append([]byte{0, 0, 0, 17}, append(p.response[4:8:8], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 1, 0)...))
	require.Empty(t, h.texts())
	require.Equal(t, 1, h.silent)
	require.Zero(t, h.stats)

	// One that waits when the consumer leaves.
	for role, abandoned := range map[exchange.Role]int{exchange.RoleClient: 1, exchange.RoleServer: 1} {
		h = newHarness(t, role)
		h.request(p.request)
		h.parser.Close(h.now, exchange.FailureClosed)
		require.Empty(t, h.ended)
		require.Equal(t, abandoned, h.abandoned)
	}
	h = newHarness(t, exchange.RoleClient)
	h.request(p.request)
	h.parser.End(protocol.End{Dir: protocol.Received, Time: h.now + 5, Cause: exchange.FailureReset})
	require.Len(t, h.ended, 1)
	require.Equal(t, exchange.FailureReset, h.ended[0].failure)
}

// Requests without a response end when they are sent; the next ones are paired.
func TestNoAcks(t *testing.T) {
	t.Parallel()
	p := message1(t, apiProduce, 12)
	silent := p.as(5)
	// Transactional id of 4 bytes behind the head, tags, length.
	at := 14 + len("unit") + 1 + 1 + 4
	silent.request[at], silent.request[at+1] = 0, 0
	h := newHarness(t, exchange.RoleClient)
	h.request(silent.request)
	require.Len(t, h.ended, 2)
	require.Contains(t, h.ended[0].text, "acks=0")
	h.request(p.as(6).request)
	h.response(p.as(6).response)
	require.Len(t, h.texts(), 4)
	require.Zero(t, h.stats)
}

// A response that is read before the call that sent the request returned.
func TestOrphans(t *testing.T) {
	t.Parallel()
	p := message1(t, apiProduce, 12)
	for _, cut := range []int{len(p.response), 60} {
		h := newHarness(t, exchange.RoleClient)
		h.request(p.as(1).request)
		h.response(p.as(1).response)
		r := p.as(2)
		h.response(r.response[:cut])
		h.now -= 10 // it began before
		h.request(r.request)
		if cut < len(r.response) {
			h.response(r.response[cut:])
		}
		require.Len(t, h.texts(), 4)
		require.Zero(t, h.stats.Unmatched)
	}
}

// marks are a request's group and its response's throttle time.
var marks = regexp.MustCompile(`^(?:Join|Sync|Leave|Heart).* name=group-(.).* throttle_time_ms=(\d+)`)

// marked are a request and a response that can be told from others.
func (p pair) marked(i int) pair {
	switch p.key {
	case apiJoinGroup, apiHeartbeat, apiLeaveGroup, apiSyncGroup:
		if p.version < 2 {
			return p
		}
		at := bytes.Index(p.request, []byte("group-1")) + 6
		p.request[at] = byte('A' + i)
		at = 11
		if p.version >= apis[p.key].flexible {
			at++
		}
		p.response[at] = byte('A' + i)
	}
	return p
}

// variable is what depends on what else was said: names of topic ids, groups, marks.
var variable = regexp.MustCompile(` alpha| beta| name=group-.| topic_id=\S*| throttle_time_ms=\d+`)

func plain(text string) string { return variable.ReplaceAllString(text, "") }

// model runs requests and responses with ids of their own in random segments, with
// losses, and checks that what is reported is right.
func model(t *testing.T, r *rand.Rand, all []pair, lossy bool) (ended int) {
	role := exchange.RoleClient
	if r.IntN(2) == 0 {
		role = exchange.RoleServer
	}
	h := newHarness(t, role)
	var calls []pair
	want := map[string]int{}
	for i := range 1 + r.IntN(20) {
		p := all[r.IntN(len(all))]
		for wanted(p.key, p.version) == nil {
			p = all[r.IntN(len(all))]
		}
		calls = append(calls, p.as(int32(1000+i)).marked(i))
		for _, text := range wanted(p.key, p.version) {
			want[plain(text)]++
		}
	}
	// Requests go ahead of their responses by up to depth.
	depth := 1 + r.IntN(8)
	var streams [2][]byte
	sent := 0
	flush := func(dir protocol.Direction, whole bool) {
		for len(streams[dir]) > 0 {
			n := 1 + r.IntN(200)
			if r.IntN(3) == 0 || whole {
				n = len(streams[dir])
			}
			n = min(n, len(streams[dir]))
			b := streams[dir][:n]
			streams[dir] = streams[dir][n:]
			switch {
			case lossy && r.IntN(12) == 0 && len(streams[dir]) > 0:
				m := 1 + r.IntN(len(streams[dir]))
				h.lost(dir, b, streams[dir][:m])
				streams[dir] = streams[dir][m:]
			case lossy && r.IntN(6) == 0:
				h.send(dir, b, r.IntN(n+1))
			default:
				h.send(dir, b, n)
			}
		}
	}
	for answered := 0; answered < len(calls); {
		for sent < len(calls) && sent-answered < depth {
			streams[h.req] = append(streams[h.req], calls[sent].request...)
			sent++
		}
		flush(h.req, false)
		n := 1 + r.IntN(sent-answered)
		for range n {
			streams[h.req.Other()] = append(streams[h.req.Other()], calls[answered].response...)
			answered++
		}
		flush(h.req.Other(), false)
	}
	got := map[string]int{}
	for _, text := range h.texts() {
		got[plain(text)]++
		if m := marks.FindStringSubmatch(text); m != nil {
			mark, err := strconv.Atoi(m[2])
			require.NoError(t, err)
			require.Equal(t, int(m[1][0]), mark, "a wrong pair: %s", text)
		}
	}
	if lossy {
		require.Empty(t, h.open)
		return len(h.ended)
	}
	require.NoError(t, h.err)
	require.Equal(t, want, got)
	require.Zero(t, h.stats)
	return len(h.ended)
}

func TestModel(t *testing.T) {
	t.Parallel()
	all := messages(t)
	r := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		model(t, r, all, false)
	}
}

func TestLosses(t *testing.T) {
	t.Parallel()
	all := messages(t)
	r := rand.New(rand.NewPCG(3, 4))
	ended := 0
	for range 2000 {
		ended += model(t, r, all, true)
	}
	require.Greater(t, ended, 5000, "it recovers")
}

// After a SaslHandshake of version 0 tokens are sent without a request around them.
func TestRawSASL(t *testing.T) {
	t.Parallel()
	for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer} {
		h := newHarness(t, role)
		p := message1(t, apiSaslHandshake, 0)
		h.request(p.request)
		h.response(p.response)
		h.request([]byte("\x00\x00\x00\x0c\x00user\x00secret"))
		h.response([]byte("\x00\x00\x00\x00"))
		p = message1(t, apiHeartbeat, 4)
		h.request(p.request)
		h.response(p.response)
		require.NoError(t, h.err)
		require.Equal(t, []string{"SaslHandshake", "Heartbeat name=group-1 error=REBALANCE_IN_PROGRESS"}, h.texts())
	}
}

// Bytes that stop to fit are given up.
func TestMismatch(t *testing.T) {
	t.Parallel()
	h := newHarness(t, exchange.RoleServer)
	p := message1(t, apiHeartbeat, 4)
	h.request(p.request)
	h.response(p.response)
	for range maxStrikes {
		h.request([]byte("GET / HTTP/1.1\r\n\r\n"))
		h.parser.requests.synced = true
	}
	require.ErrorIs(t, h.err, protocol.ErrMismatch)
	require.Len(t, h.texts(), 1)
}

// Records that pass unseen cost their number, not the boundaries.
func TestHolesInRecords(t *testing.T) {
	t.Parallel()
	for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer} {
		h := newHarness(t, role)
		p := message1(t, apiProduce, 12)
		h.send(h.req, p.request, 100)
		h.response(p.response)
		next := message1(t, apiHeartbeat, 4).as(9)
		h.request(next.request)
		h.response(next.response)
		all := h.texts()
		require.Len(t, all, 3, "%v", all)
		require.Contains(t, all[0], "send alpha type=MESSAGE_TOO_LARGE partitions=2")
		require.NotContains(t, all[0], "message_count")
		require.Contains(t, all[1], "send beta id=2 throttle", "the response names it")
		require.Contains(t, all[2], "Heartbeat")
		require.Zero(t, h.stats.Resyncs)
	}
}

// A connection whose end is seen ends its requests.
func TestClosed(t *testing.T) {
	t.Parallel()
	p := message1(t, apiProduce, 12)
	h := newHarness(t, exchange.RoleClient)
	h.request(p.request)
	h.parser.Close(h.now+7, exchange.FailureReset)
	require.Len(t, h.ended, 2)
	for _, r := range h.ended {
		require.Equal(t, exchange.FailureReset, r.failure)
		require.EqualValues(t, h.now+7, r.end)
	}
	h = newHarness(t, exchange.RoleClient)
	h.request(p.request)
	require.Empty(t, h.texts(), "evicted: nothing is known")
}

// More topics than get an exchange each share one.
func TestManyTopics(t *testing.T) {
	t.Parallel()
	// Produce version 3.
	body := []byte{0, 0, 0, 3, 0, 0, 0, 1, 0, 1, 'c', 0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0}
	body = append(body, 0, 0, 0, 100)
	for i := range 100 {
		body = append(body, 0, 2, 't', byte('!'+i%90), 0, 0, 0, 1, 0, 0, 0, byte(i), 0, 0, 0, 0)
	}
	body = append([]byte{byte(len(body) >> 24), byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
	h := newHarness(t, exchange.RoleClient)
	h.request(body)
	require.Zero(t, h.stats)
	require.Len(t, h.open, maxTopics)
	h.response([]byte{0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0})
	all := h.texts()
	require.Len(t, all, maxTopics)
	require.Contains(t, all[maxTopics-1], fmt.Sprint("topics=", 100-maxTopics+1))
}
