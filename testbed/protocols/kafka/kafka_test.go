// SPDX-License-Identifier: Apache-2.0

// Package kafka compares what the collector reports of Kafka with what a real broker
// and real clients did.
package kafka

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols"
)

// names of operations by API key; produce and fetch are compared by messages.
var names = map[int16]string{
	2: "ListOffsets", 3: "Metadata", 8: "commit", 9: "OffsetFetch", 10: "FindCoordinator", 11: "JoinGroup", 12: "Heartbeat",
	13: "LeaveGroup", 14: "SyncGroup", 18: "ApiVersions", 19: "CreateTopics", 22: "InitProducerId", 24: "AddPartitionsToTxn",
	26: "EndTxn", 68: "ConsumerGroupHeartbeat",
}

// seen is what spans say, of one side.
type seen struct {
	spans      int
	operations map[string]int
	requests   map[string]int        // distinct starts by operation
	messages   map[string]int64      // by topic
	offsets    map[string][][2]int64 // by topic/partition, first and last
	unknown    int                   // spans without a number of messages
	errors     map[string]int
	links      []string // trace ids
}

func look(spans []*groundtruth.Span, operation string, match func(*groundtruth.Span) bool) *seen {
	s := &seen{operations: map[string]int{}, requests: map[string]int{}, messages: map[string]int64{}, offsets: map[string][][2]int64{}, errors: map[string]int{}}
	starts := map[string]bool{}
	for _, span := range spans {
		if !match(span) {
			continue
		}
		s.spans++
		op := span.Text("messaging.operation.name")
		s.operations[op]++
		port, _ := span.Int("network.peer.port")
		if key := fmt.Sprint(op, span.Start, "/", port); !starts[key] {
			starts[key] = true
			s.requests[op]++
		}
		if op != operation {
			continue
		}
		if e := span.Text("error.type"); e != "" {
			s.errors[e]++
		}
		for _, id := range span.Links {
			s.links = append(s.links, id.String())
		}
		topic := span.Text("messaging.destination.name")
		n, ok := span.Int("messaging.batch.message_count")
		if !ok {
			s.unknown++
			continue
		}
		s.messages[topic] += n
		key := topic + "/" + span.Text("messaging.destination.partition.id")
		if o, ok := span.Int("messaging.kafka.offset"); ok {
			s.offsets[key] = append(s.offsets[key], [2]int64{o, o})
		} else if first, ok := span.Int("ebpf.kafka.first_offset"); ok {
			last, _ := span.Int("ebpf.kafka.last_offset")
			s.offsets[key] = append(s.offsets[key], [2]int64{first, last})
		}
	}
	return s
}

// disjoint checks that no offset is reported twice, nor one that does not exist; and
// returns how many are.
func (s *seen) disjoint(t *testing.T, r *truth) (covered int64) {
	t.Helper()
	for key, ranges := range s.offsets {
		sort.Slice(ranges, func(i, j int) bool { return ranges[i][0] < ranges[j][0] })
		topic, partition, _ := strings.Cut(key, "/")
		n, err := strconv.Atoi(partition)
		require.NoError(t, err)
		p := r.Offsets[topic][int32(n)]
		require.NotNil(t, p, "%s", key)
		next := p.First
		for _, o := range ranges {
			require.GreaterOrEqual(t, o[0], next, "%s: offsets twice: %v", key, ranges)
			next = o[1] + 1
			covered += o[1] - o[0] + 1
		}
		require.LessOrEqual(t, next, p.End, "%s", key)
	}
	return covered
}

// resolve gives messages of a topic without a name to the only topic there is. The connection
// that names a topic's id may be read a little later than the first one that uses it: there
// may be a few of those.
func (s *seen) resolve(t *testing.T, r *truth) {
	t.Helper()
	if len(r.Offsets) != 1 {
		return
	}
	for topic := range r.Offsets {
		for key, ranges := range s.offsets {
			if strings.HasPrefix(key, "/") {
				require.LessOrEqual(t, len(ranges), 5)
				s.offsets[topic+key] = append(s.offsets[topic+key], ranges...)
				delete(s.offsets, key)
			}
		}
		if n := s.messages[""]; n > 0 {
			s.messages[topic] += n
			delete(s.messages, "")
		}
	}
}

// of selects spans of a process.
func of(pid int) func(*groundtruth.Span) bool {
	return func(s *groundtruth.Span) bool { return s.PID() == pid }
}

// by selects the broker's spans about a client.
func (b *broker) by(id string) func(*groundtruth.Span) bool {
	return func(s *groundtruth.Span) bool { return s.PID() == b.pid && s.Text("messaging.client.id") == id }
}

func (b *broker) observe(t *testing.T, hooks string) *protocols.Watch {
	t.Helper()
	return protocols.Observe(t, hooks, `[{exe: "*/java"}, {exe: "*/_build/kafka/client"}, {exe: "*/python3*"}]`, "")
}

// settled waits until the client's requests have been seen on both sides.
func settled(w *protocols.Watch) []*groundtruth.Span {
	time.Sleep(300 * time.Millisecond)
	return w.Settled(0)
}

func TestGroundTruthProduceAndFetch(t *testing.T) {
	groundtruth.Requirements(t, "java", "mvn")
	b := startBroker(t)
	b.create(t, 1, "one")
	b.create(t, 3, "left", "right")
	b.create(t, 1, "big")
	w := b.observe(t, "sock")
	cases := []struct {
		name   string
		topics string
		n      int
		args   []string
		single bool // every request has one partition of each topic
	}{
		{"one", "one", 2000, []string{"-inflight", "1"}, true},
		{"five", "one", 4000, []string{"-inflight", "5"}, true},
		{"two", "one", 1000, []string{"-inflight", "2", "-acks", "1", "-batch", "1"}, true},
		{"hundred", "one", 4000, []string{"-inflight", "100", "-acks", "1", "-batch", "1"}, true},
		{"sixteen", "one", 4000, []string{"-inflight", "16", "-batch", "5"}, true},
		{"many", "left,right", 4000, []string{"-batch", "40"}, false},
		{"gzip", "one", 1000, []string{"-codec", "gzip"}, true},
		{"snappy", "one", 1000, []string{"-codec", "snappy"}, true},
		{"lz4", "one", 1000, []string{"-codec", "lz4"}, true},
		{"zstd", "one", 1000, []string{"-codec", "zstd"}, true},
		{"big", "big", 24, []string{"-size", "1000000", "-batch", "1", "-limit", "1500000"}, true},
		{"acks0", "one", 1000, []string{"-acks", "0", "-inflight", "1"}, true},
		{"transaction", "one", 200, []string{"-mode", "transaction"}, true},
		{"contexts", "left", 600, []string{"-contexts", "10", "-batch", "20"}, false},
	}
	var truths []*truth
	for _, c := range cases {
		truths = append(truths, b.franz(t, append([]string{"-topics", c.topics, "-n", fmt.Sprint(c.n), "-id", c.name}, c.args...)...).wait(t))
	}
	spans := settled(w)
	for i, c := range cases {
		r := truths[i]
		for side, s := range map[string]*seen{"client": look(spans, "send", of(r.pid)), "broker": look(spans, "send", b.by(c.name))} {
			t.Logf("%s, %s: %d requests, %d seen; %v messages, %v seen, %d unknown; %v", c.name, side, r.Requests[0], s.requests["send"], r.messages(), s.messages, s.unknown, s.operations)
			require.Equal(t, r.Requests[0], s.requests["send"], side)
			s.resolve(t, r)
			if c.name == "big" {
				// A burst at the beginning of a connection: until the collector knows
				// what it is, little is copied of what follows the first request.
				require.LessOrEqual(t, s.unknown, c.n/2, side)
				require.EqualValues(t, c.n, s.messages["big"]+int64(s.unknown), side)
				continue
			}
			require.Zero(t, s.unknown, side)
			require.Equal(t, r.messages(), s.messages, side)
			require.Empty(t, s.errors, side)
			covered := s.disjoint(t, r)
			if c.single && c.name != "acks0" {
				require.EqualValues(t, c.n, covered, side)
			}
			if c.name == "contexts" {
				require.ElementsMatch(t, r.TraceIDs, s.links, side)
			}
			for key, n := range r.Requests {
				if name := names[key]; name != "" {
					require.Equal(t, n, s.operations[name], "%s: %s", side, name)
				}
			}
		}
	}
}

// Consumers of four clients, with groups of both protocols.
func TestGroundTruthClients(t *testing.T) {
	groundtruth.Requirements(t, "java", "mvn")
	b := startBroker(t)
	const n = 1500
	b.create(t, 3, "franz", "confluent", "python", "java")
	w := b.observe(t, "sock")
	var spans []*groundtruth.Span
	var checks []func()
	check := func(name, operation, group string, r *truth) {
		t.Helper()
		for side, s := range map[string]*seen{"client": look(spans, operation, of(r.pid)), "broker": look(spans, operation, b.by(name))} {
			t.Logf("%s, %s: %v messages, %v seen, %d unknown; %v", name, side, r.messages(), s.messages, s.unknown, s.operations)
			assert.Empty(t, s.errors, side)
			s.resolve(t, r)
			s.disjoint(t, r)
			if side == "broker" && operation == "poll" {
				// The broker sends records from its files to the socket without reading
				// them (sendfile): their number passes nobody's memory.
				assert.NotZero(t, s.operations[operation])
				continue
			}
			assert.Zero(t, s.unknown, side)
			assert.Equal(t, r.messages(), s.messages, side)
		}
		for _, s := range spans {
			if group != "" && s.PID() == r.pid && s.Text("messaging.operation.name") == operation {
				assert.Equal(t, group, s.Text("messaging.consumer.group.name"))
			}
		}
	}
	full := func(topic string) *truth {
		r := &truth{Offsets: map[string]map[int32]*struct{ First, End, Count int64 }{topic: {}}}
		for i := range int32(3) {
			r.Offsets[topic][i] = &struct{ First, End, Count int64 }{0, n, n / 3}
		}
		return r
	}

	later := func(name, operation, group string, r *truth) {
		checks = append(checks, func() { check(name, operation, group, r) })
	}

	r := b.franz(t, "-topics", "franz", "-n", fmt.Sprint(n), "-id", "franz-p").wait(t)
	later("franz-p", "send", "", r)
	r = b.franz(t, "-mode", "consume", "-topics", "franz", "-n", fmt.Sprint(n), "-id", "franz-c", "-group", "franz-group", "-limit", "20000").wait(t)
	later("franz-c", "poll", "franz-group", r)

	r = b.python(t, "confluent", "produce", "confluent", n, "confluent-p").wait(t)
	later("confluent-p", "send", "", r)
	for _, protocol := range []string{"classic", "consumer"} {
		id := "confluent-" + protocol
		r = b.python(t, "confluent", "consume", "confluent", n, id, id, protocol).wait(t)
		later(id, "poll", id, r)
	}

	r = b.python(t, "python", "produce", "python", n, "python-p").wait(t)
	later("python-p", "send", "", r)
	r = b.python(t, "python", "consume", "python", n, "python-c", "python-group").wait(t)
	later("python-c", "poll", "python-group", r)

	pid := java(t, "org.apache.kafka.tools.ProducerPerformance", "--topic", "java", "--num-records", fmt.Sprint(n), "--record-size", "300",
		"--throughput", "-1", "--producer-props", "bootstrap.servers="+b.address, "client.id=java-p", "batch.size=2000").finish(t).pid
	r = full("java")
	r.pid = pid
	later("java-p", "send", "", r)
	pid = java(t, "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", b.address, "--topic", "java", "--from-beginning",
		"--max-messages", fmt.Sprint(n), "--group", "java-group", "--consumer-property", "client.id=java-c",
		"--consumer-property", "fetch.max.bytes=20000", "--consumer-property", "max.partition.fetch.bytes=10000").finish(t).pid
	r = full("java")
	r.pid = pid
	later("java-c", "poll", "java-group", r)

	spans = settled(w)
	for _, c := range checks {
		c()
	}
}

// Errors are those of the broker, by name.
func TestGroundTruthErrors(t *testing.T) {
	groundtruth.Requirements(t, "java", "mvn")
	b := startBroker(t)
	b.create(t, 1, "small")
	w := b.observe(t, "sock")
	const n = 3
	r := b.python(t, "confluent", "toolarge", "small", n, "too-large").wait(t)
	require.Equal(t, map[string]int{"MSG_SIZE_TOO_LARGE": n}, r.Errors)
	spans := settled(w)
	for side, match := range map[string]func(*groundtruth.Span) bool{"client": of(r.pid), "broker": b.by("too-large")} {
		s := look(spans, "send", match)
		t.Logf("too large, %s: %v", side, s.errors)
		require.GreaterOrEqual(t, s.errors["MESSAGE_TOO_LARGE"], 1, side)
		require.Equal(t, s.operations["send"], s.errors["MESSAGE_TOO_LARGE"], side)
	}
	r = b.python(t, "confluent", "produce", "missing", n, "no-topic").wait(t)
	require.NotEmpty(t, r.Errors)
	spans = settled(w)
	for side, match := range map[string]func(*groundtruth.Span) bool{"client": of(r.pid), "broker": b.by("no-topic")} {
		s := look(spans, "Metadata", match)
		t.Logf("no topic, %s: %v", side, s.errors)
		require.GreaterOrEqual(t, s.errors["UNKNOWN_TOPIC_OR_PARTITION"], 1, side)
		delete(s.errors, "closed") // a client that goes may do so before the answer
		require.Len(t, s.errors, 1, side)
	}
}

// Connections that are older than the collector: what follows is reported, topics by id
// until somebody asks for their names.
func TestGroundTruthOlder(t *testing.T) {
	for _, hooks := range protocols.Backends {
		t.Run(hooks, func(t *testing.T) { older(t, hooks) })
	}
}

func older(t *testing.T, hooks string) {
	groundtruth.Requirements(t, "java", "mvn")
	b := startBroker(t)
	topic := "old-" + hooks
	b.create(t, 1, topic)
	const n = 1000
	c := b.franz(t, "-topics", topic, "-n", fmt.Sprint(n), "-id", "older-"+hooks, "-wait")
	require.Eventually(t, func() bool { return strings.Contains(c.output(), "ready") }, 20*time.Second, 10*time.Millisecond)
	w := b.observe(t, hooks)
	_, err := c.input.WriteString("\n")
	require.NoError(t, err)
	r := c.wait(t)
	spans := settled(w)
	for side, match := range map[string]func(*groundtruth.Span) bool{"client": of(r.pid), "broker": b.by("older-" + hooks)} {
		s := look(spans, "send", match)
		t.Logf("older, %s: %d requests, %d seen; %v messages, %v seen, %d unknown; %v", side, r.Requests[0], s.requests["send"], r.messages(), s.messages, s.unknown, s.operations)
		require.Equal(t, r.Requests[0], s.requests["send"], side)
		require.EqualValues(t, n, s.messages[topic]+s.messages[""], side)
		require.Empty(t, s.errors)
	}
	// A new client asks for the topic's name, and has a group and a lag. Names and messages
	// go by different connections, and may be read in either order: then the next one has them.
	named := func(attempt int) bool {
		group := fmt.Sprint("group-", hooks, attempt)
		r := b.franz(t, "-mode", "consume", "-topics", topic, "-n", fmt.Sprint(n+1), "-id", fmt.Sprint("late-", hooks, attempt), "-group", group, "-limit", "8000").wait(t)
		s := look(settled(w), "poll", of(r.pid))
		require.Zero(t, s.unknown)
		require.Equal(t, r.messages()[topic], s.messages[topic]+s.messages[""])
		time.Sleep(2500 * time.Millisecond) // metrics come every second
		for _, metric := range []string{"messaging.client.consumed.messages", "ebpf.messaging.consumer.lag", "messaging.client.operation.duration"} {
			points := 0
			for _, p := range w.Sink.Points(metric) {
				if p.Attributes["messaging.consumer.group.name"] == group && p.Attributes["messaging.operation.name"] == "poll" && p.Attributes["messaging.destination.name"] == topic {
					points++
					if metric == "messaging.client.consumed.messages" && p.Value != float64(r.messages()[topic]) {
						return false
					}
				}
			}
			if points == 0 {
				return false
			}
		}
		return s.messages[""] == 0
	}
	for attempt := 0; !named(attempt); attempt++ {
		require.Less(t, attempt, 4, "names stay unknown")
	}
}
