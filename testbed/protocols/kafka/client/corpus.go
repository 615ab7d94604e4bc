// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The corpus is of exchanges that the unit tests of the parser know: what they are about
// is the same in all versions.
var (
	alphaID = [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	betaID  = [16]byte{16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}
)

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// corpus writes a request and its response of every key and version: a line each, with
// the key, the version, and the bytes as they are on the wire.
func corpus(w io.Writer) {
	formatter := kmsg.NewRequestFormatter(kmsg.FormatterClientID("unit"))
	for key := range int16(kmsg.MaxKey + 1) {
		r := kmsg.RequestForKey(key)
		if r == nil {
			continue
		}
		for version := range r.MaxVersion() + 1 {
			r := kmsg.RequestForKey(key)
			fillRequest(r, version)
			r.SetVersion(version)
			response := r.ResponseKind()
			fillResponse(response, version)
			response.SetVersion(version)
			id := int32(key)*100 + int32(version)
			b := binary.BigEndian.AppendUint32(make([]byte, 4), uint32(id))
			if response.IsFlexible() && key != 18 {
				b = append(b, 0)
			}
			b = response.AppendTo(b)
			binary.BigEndian.PutUint32(b, uint32(len(b)-4))
			fmt.Fprintln(w, key, version, hex.EncodeToString(formatter.AppendRequest(nil, r, id)), hex.EncodeToString(b))
		}
	}
}

// records is a batch of n, of which the first has a context; message sets are made for
// versions that had no batches.
func records(n int, first int64, sets bool) (b []byte) {
	if sets {
		for i := range n {
			m := binary.BigEndian.AppendUint64(nil, uint64(first)+uint64(i))
			m = binary.BigEndian.AppendUint32(m, 14+5)
			m = append(m, 0, 0, 0, 0, 0, 0)                   // checksum, magic, attributes
			m = append(m, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 5) // no key
			b = append(b, append(m, "value"...)...)
		}
		return b
	}
	for i := range n {
		r := kmsg.Record{OffsetDelta: int32(i), Key: []byte("key"), Value: []byte("value")}
		if i == 0 {
			r.Headers = []kmsg.Header{{Key: "other", Value: []byte("x")}, {Key: "traceparent", Value: []byte(traceparent)}}
		}
		body := r.AppendTo(nil)[1:] // without the length, which is 0 and one byte
		r.Length = int32(len(body))
		b = append(b, r.AppendTo(nil)...)
	}
	batch := kmsg.RecordBatch{
		FirstOffset: first, Length: int32(49 + len(b)), Magic: 2, LastOffsetDelta: int32(n - 1),
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(n), Records: b,
	}
	return batch.AppendTo(nil)
}

func fillRequest(request kmsg.Request, version int16) {
	transaction := "tx-1"
	switch r := request.(type) {
	case *kmsg.ProduceRequest:
		r.TransactionID = &transaction
		r.Acks, r.TimeoutMillis = -1, 1000
		sets := version < 3
		r.Topics = []kmsg.ProduceRequestTopic{
			{Topic: "alpha", TopicID: alphaID, Partitions: []kmsg.ProduceRequestTopicPartition{
				{Partition: 0, Records: records(2, 0, sets)}, {Partition: 1, Records: records(3, 0, sets)},
			}},
			{Topic: "beta", TopicID: betaID, Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: 2, Records: records(1, 0, sets)}}},
		}
	case *kmsg.FetchRequest:
		r.ReplicaID, r.MaxWaitMillis, r.MinBytes, r.MaxBytes = -1, 500, 1, 1<<20
		r.Topics = []kmsg.FetchRequestTopic{
			{Topic: "alpha", TopicID: alphaID, Partitions: []kmsg.FetchRequestTopicPartition{kmsg.NewFetchRequestTopicPartition(), kmsg.NewFetchRequestTopicPartition()}},
		}
		r.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: "gamma", Partitions: []int32{1, 2}}}
	case *kmsg.OffsetCommitRequest:
		r.Group = "group-1"
		r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "alpha", TopicID: alphaID, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Partition: 3}}}}
	case *kmsg.TxnOffsetCommitRequest:
		r.TransactionalID, r.Group = transaction, "group-1"
		r.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: "alpha", TopicID: alphaID, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{{Partition: 3}}}}
	case *kmsg.JoinGroupRequest:
		r.Group = "group-1"
	case *kmsg.SyncGroupRequest:
		r.Group = "group-1"
	case *kmsg.HeartbeatRequest:
		r.Group = "group-1"
	case *kmsg.LeaveGroupRequest:
		r.Group = "group-1"
	case *kmsg.ConsumerGroupHeartbeatRequest:
		r.Group = "group-1"
	case *kmsg.InitProducerIDRequest:
		r.TransactionalID = &transaction
	case *kmsg.EndTxnRequest:
		r.TransactionalID = transaction
	case *kmsg.ShareFetchRequest:
		group := "group-1"
		r.GroupID = &group
	}
}

func fillResponse(response kmsg.Response, version int16) {
	switch r := response.(type) {
	case *kmsg.ProduceResponse:
		r.ThrottleMillis = 7
		r.Topics = []kmsg.ProduceResponseTopic{
			{Topic: "beta", TopicID: betaID, Partitions: []kmsg.ProduceResponseTopicPartition{{Partition: 2, BaseOffset: 40}}},
			{Topic: "alpha", TopicID: alphaID, Partitions: []kmsg.ProduceResponseTopicPartition{
				{Partition: 0, BaseOffset: 10}, {Partition: 1, ErrorCode: 10, BaseOffset: -1, ErrorRecords: []kmsg.ProduceResponseTopicPartitionErrorRecord{{RelativeOffset: 1}}},
			}},
		}
	case *kmsg.FetchResponse:
		r.ThrottleMillis = 7
		sets := version < 4
		r.Topics = []kmsg.FetchResponseTopic{
			{Topic: "alpha", TopicID: alphaID, Partitions: []kmsg.FetchResponseTopicPartition{
				{Partition: 0, HighWatermark: 20, RecordBatches: append(records(2, 10, sets), records(3, 12, sets)...)},
				{Partition: 1, HighWatermark: 30, RecordBatches: records(1, 29, sets)},
			}},
			{Topic: "empty", Partitions: []kmsg.FetchResponseTopicPartition{{Partition: 5, HighWatermark: 1}}},
			{Topic: "beta", TopicID: betaID, Partitions: []kmsg.FetchResponseTopicPartition{
				{Partition: 2, HighWatermark: 50, RecordBatches: append(records(1, 40, sets), records(2, 41, sets)[:30]...)},
			}},
		}
	case *kmsg.MetadataResponse:
		alpha, beta := "alpha", "beta"
		r.ThrottleMillis = 7
		r.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 1, Host: "localhost", Port: 9092}}
		r.Topics = []kmsg.MetadataResponseTopic{
			{Topic: &alpha, TopicID: alphaID, Partitions: []kmsg.MetadataResponseTopicPartition{{Partition: 0, Replicas: []int32{1}, ISR: []int32{1}}, {Partition: 1}}},
			{Topic: &beta, TopicID: betaID, ErrorCode: 5},
		}
	case *kmsg.OffsetCommitResponse:
		r.Topics = []kmsg.OffsetCommitResponseTopic{{Topic: "alpha", TopicID: alphaID, Partitions: []kmsg.OffsetCommitResponseTopicPartition{{Partition: 3, ErrorCode: 25}}}}
	case *kmsg.TxnOffsetCommitResponse:
		r.Topics = []kmsg.TxnOffsetCommitResponseTopic{{Topic: "alpha", TopicID: alphaID, Partitions: []kmsg.TxnOffsetCommitResponseTopicPartition{{Partition: 3, ErrorCode: 47}}}}
	case *kmsg.OffsetFetchResponse:
		r.Topics = []kmsg.OffsetFetchResponseTopic{{Topic: "alpha", Partitions: []kmsg.OffsetFetchResponseTopicPartition{{Partition: 3, ErrorCode: 16}}}}
		r.Groups = []kmsg.OffsetFetchResponseGroup{{Group: "group-1", ErrorCode: 16, Topics: []kmsg.OffsetFetchResponseGroupTopic{{Topic: "alpha", Partitions: []kmsg.OffsetFetchResponseGroupTopicPartition{{Partition: 3}}}}}}
	case *kmsg.FindCoordinatorResponse:
		r.ErrorCode = 15
		r.Coordinators = []kmsg.FindCoordinatorResponseCoordinator{{Key: "group-1", ErrorCode: 15}}
	case *kmsg.JoinGroupResponse:
		r.ErrorCode = 79
	case *kmsg.SyncGroupResponse:
		r.ErrorCode = 22
	case *kmsg.HeartbeatResponse:
		r.ErrorCode = 27
	case *kmsg.LeaveGroupResponse:
		r.ErrorCode = 25
	case *kmsg.ConsumerGroupHeartbeatResponse:
		r.ErrorCode = 110
	case *kmsg.InitProducerIDResponse:
		r.ErrorCode = 14
	case *kmsg.EndTxnResponse:
		r.ErrorCode = 48
	case *kmsg.ListOffsetsResponse:
		r.Topics = []kmsg.ListOffsetsResponseTopic{{Topic: "alpha", Partitions: []kmsg.ListOffsetsResponseTopicPartition{{Partition: 3}, {Partition: 4, ErrorCode: 6}}}}
	case *kmsg.CreateTopicsResponse:
		r.Topics = []kmsg.CreateTopicsResponseTopic{{Topic: "alpha", TopicID: alphaID}, {Topic: "beta", ErrorCode: 36, TopicID: betaID}}
	case *kmsg.DeleteTopicsResponse:
		r.Topics = []kmsg.DeleteTopicsResponseTopic{{ErrorCode: 3, Topic: kmsg.StringPtr("alpha")}}
	case *kmsg.ApiVersionsResponse:
		r.ErrorCode = 35
		r.ApiKeys = []kmsg.ApiVersionsResponseApiKey{{ApiKey: 18, MaxVersion: 4}}
	case *kmsg.ShareFetchResponse:
		partition := kmsg.NewShareFetchResponseTopicPartition()
		partition.Partition, partition.Records = 2, records(4, 5, false)
		r.Topics = []kmsg.ShareFetchResponseTopic{{TopicID: alphaID, Partitions: []kmsg.ShareFetchResponseTopicPartition{partition}}}
	}
}
