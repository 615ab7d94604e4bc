// SPDX-License-Identifier: Apache-2.0

// Command client is franz-go, and writes down what it did: one line of JSON, the Truth.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Truth is what happened.
type Truth struct {
	// Requests written and answered, by API key.
	Requests map[int16]int
	// Offsets of the messages that were acknowledged, or read: by topic and partition
	// the lowest one, the one behind the highest, and how many there were.
	Offsets map[string]map[int32]*Range
	// Errors by name, and the trace ids of the contexts that messages carried.
	Errors   map[string]int
	TraceIDs []string
}

// Range is of a partition.
type Range struct{ First, End, Count int64 }

var (
	mu    sync.Mutex
	truth = Truth{Requests: map[int16]int{}, Offsets: map[string]map[int32]*Range{}, Errors: map[string]int{}}
)

type hooks struct{}

func (hooks) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	if e.Err() != nil {
		return
	}
	mu.Lock()
	truth.Requests[key]++
	mu.Unlock()
}

func moved(r *kgo.Record) {
	mu.Lock()
	defer mu.Unlock()
	partitions := truth.Offsets[r.Topic]
	if partitions == nil {
		partitions = map[int32]*Range{}
		truth.Offsets[r.Topic] = partitions
	}
	p := partitions[r.Partition]
	if p == nil {
		p = &Range{First: r.Offset, End: r.Offset}
		partitions[r.Partition] = p
	}
	p.First, p.End, p.Count = min(p.First, r.Offset), max(p.End, r.Offset+1), p.Count+1
}

func main() {
	mode := flag.String("mode", "produce", "produce, consume, create, transaction or corpus")
	broker := flag.String("broker", "", "")
	topics := flag.String("topics", "", "")
	id := flag.String("id", "franz", "client id")
	group := flag.String("group", "", "")
	n := flag.Int("n", 1000, "messages")
	size := flag.Int("size", 100, "bytes of a message")
	inflight := flag.Int("inflight", 5, "")
	acks := flag.Int("acks", -1, "")
	codec := flag.String("codec", "none", "")
	batch := flag.Int("batch", 20, "messages until a batch is sent")
	contexts := flag.Int("contexts", 0, "every so many messages one has a traceparent")
	partitions := flag.Int("partitions", 1, "")
	limit := flag.Int("limit", 0, "bytes of a batch, or of a fetch")
	wait := flag.Bool("wait", false, "connect, and wait for a line before anything else")
	flag.Parse()
	if *mode == "corpus" {
		corpus(os.Stdout)
		return
	}
	names := strings.Split(*topics, ",")

	options := []kgo.Opt{
		kgo.SeedBrokers(*broker), kgo.ClientID(*id), kgo.WithHooks(hooks{}), kgo.DisableClientMetrics(),
		kgo.Dialer((&net.Dialer{}).DialContext), kgo.RecordRetries(1), kgo.AllowAutoTopicCreation(),
	}
	switch *mode {
	case "produce", "transaction":
		options = append(options, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()),
			kgo.ProducerBatchCompression(map[string]kgo.CompressionCodec{
				"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
				"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
			}[*codec]))
		if *limit > 0 {
			options = append(options, kgo.ProducerBatchMaxBytes(int32(*limit)))
		}
		if *mode == "transaction" {
			options = append(options, kgo.TransactionalID("t-"+*id))
		} else if *acks != -1 || *inflight > 5 {
			options = append(options, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(*inflight))
			switch *acks {
			case 0:
				options = append(options, kgo.RequiredAcks(kgo.NoAck()))
			case 1:
				options = append(options, kgo.RequiredAcks(kgo.LeaderAck()))
			}
		}
	case "consume":
		options = append(options, kgo.ConsumeTopics(names...), kgo.FetchMaxWait(200*time.Millisecond))
		if *group != "" {
			options = append(options, kgo.ConsumerGroup(*group))
		}
		if *limit > 0 {
			options = append(options, kgo.FetchMaxBytes(int32(*limit)), kgo.FetchMaxPartitionBytes(int32(*limit)))
		}
	}
	client, err := kgo.NewClient(options...)
	check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if *wait {
		check(client.Ping(ctx))
		if *mode == "produce" {
			check(client.ProduceSync(ctx, message(names[0], 10, false)).FirstErr())
		}
		fmt.Println("ready")
		fmt.Scanln()
		mu.Lock()
		clear(truth.Requests)
		clear(truth.Offsets)
		mu.Unlock()
	}
	switch *mode {
	case "create":
		create(ctx, client, names, *partitions)
	case "produce":
		produce(ctx, client, names, *n, *size, *batch, *contexts, *inflight)
	case "transaction":
		check(client.BeginTransaction())
		produce(ctx, client, names, *n, *size, *batch, *contexts, *inflight)
		check(client.EndTransaction(ctx, kgo.TryCommit))
	case "consume":
		for read := 0; read < *n; {
			fetches := client.PollFetches(ctx)
			check(fetches.Err())
			fetches.EachRecord(func(r *kgo.Record) { read++; moved(r) })
		}
		if *group != "" {
			check(client.CommitUncommittedOffsets(ctx))
		}
	}
	client.Close()
	mu.Lock()
	defer mu.Unlock()
	check(json.NewEncoder(os.Stdout).Encode(&truth))
}

func create(ctx context.Context, client *kgo.Client, names []string, partitions int) {
	r := kmsg.NewPtrCreateTopicsRequest()
	r.TimeoutMillis = 10000
	for _, name := range names {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, int32(partitions), 1
		r.Topics = append(r.Topics, t)
	}
	_, err := r.RequestWith(ctx, client)
	check(err)
}

func message(topic string, size int, traced bool) *kgo.Record {
	value := make([]byte, size)
	_, err := rand.Read(value)
	check(err)
	copy(value[size/2:], make([]byte, size/2)) // half of it can be compressed
	r := &kgo.Record{Topic: topic, Value: value, Key: []byte("key")}
	if traced {
		var b [24]byte
		_, err := rand.Read(b[:])
		check(err)
		id := hex.EncodeToString(b[:16])
		r.Headers = []kgo.RecordHeader{
			{Key: "other", Value: []byte("x")},
			{Key: "traceparent", Value: []byte("00-" + id + "-" + hex.EncodeToString(b[16:]) + "-01")},
		}
		truth.TraceIDs = append(truth.TraceIDs, id)
	}
	return r
}

// produce sends n messages, batch at a time to one topic after another, with as many of
// those outstanding as requests may be.
func produce(ctx context.Context, client *kgo.Client, names []string, n, size, batch, contexts, inflight int) {
	var wg sync.WaitGroup
	outstanding := make(chan struct{}, inflight*batch)
	for i := range n {
		traced := contexts > 0 && i%contexts == 0
		r := message(names[i/batch%len(names)], size, traced)
		outstanding <- struct{}{}
		wg.Add(1)
		client.Produce(ctx, r, func(r *kgo.Record, err error) {
			defer wg.Done()
			<-outstanding
			if err != nil {
				mu.Lock()
				truth.Errors[err.Error()]++
				mu.Unlock()
				return
			}
			moved(r)
		})
	}
	wg.Wait()
	check(client.Flush(ctx))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}
