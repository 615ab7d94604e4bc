// SPDX-License-Identifier: Apache-2.0

package kafka

// requests are the layouts of those of which more than the head is of interest.
var requests = map[int16]message{
	apiProduce: {fields: []field{
		of(kindString, isTransaction).from(3),
		of(kindInt16, isAcks),
		of(kindInt32, none), // timeout
		array(
			of(kindString, isTopic).to(12),
			of(kindUUID, isTopicID).from(13),
			array(
				of(kindInt32, isPartition),
				of(kindRecords, isRecords),
			),
		),
	}},
	apiFetch: {tags: isFetchTags, fields: []field{
		of(kindInt32, isReplica).to(14),
		of(kindInt32, isMaxWait),
		of(kindInt32, none),         // least bytes
		of(kindInt32, none).from(3), // most bytes
		of(kindInt8, none).from(4),  // isolation level
		of(kindInt32, none).from(7), // session id
		of(kindInt32, none).from(7), // session epoch
		array(
			of(kindString, none).to(12),
			of(kindUUID, none).from(13),
			array(
				of(kindInt32, none),          // partition
				of(kindInt32, none).from(9),  // leader epoch
				of(kindInt64, none),          // offset
				of(kindInt32, none).from(12), // epoch fetched last
				of(kindInt64, none).from(5),  // first offset
				of(kindInt32, none),          // most bytes
			),
		),
		array(
			of(kindString, none).to(12),
			of(kindUUID, none).from(13),
			array32(none),
		).from(7),
		of(kindString, none).from(11), // rack
	}},
	apiOffsetCommit: {cut: true, fields: []field{
		of(kindString, isGroupMember),
		of(kindInt32, none).from(1),       // generation
		of(kindString, none).from(1),      // member
		of(kindString, none).from(7),      // instance
		of(kindInt64, none).from(2).to(4), // retention
		array(
			of(kindString, isMemberTopic).to(9),
			of(kindUUID, isTopicID).from(10),
			array(
				of(kindInt32, isPartition),
				of(kindInt64, none),               // offset
				of(kindInt64, none).from(1).to(1), // time stamp
				of(kindInt32, none).from(6),       // leader epoch
				of(kindString, none),              // metadata
			),
		),
	}},
	apiTxnOffsetCommit: {cut: true, fields: []field{
		of(kindString, isTransaction),
		of(kindString, isGroup),
		of(kindInt64, none),          // producer
		of(kindInt16, none),          // epoch
		of(kindInt32, none).from(3),  // generation
		of(kindString, none).from(3), // member
		of(kindString, none).from(3), // instance
		array(
			of(kindString, isMemberTopic).to(5),
			of(kindUUID, isTopicID).from(6),
			array(
				of(kindInt32, isPartition),
				of(kindInt64, none),         // offset
				of(kindInt32, none).from(2), // leader epoch
				of(kindString, none),        // metadata
			),
		),
	}},
	apiOffsetFetch:            {cut: true, fields: []field{of(kindString, isGroup).to(7)}},
	apiJoinGroup:              {cut: true, fields: []field{of(kindString, isGroupMember)}},
	apiHeartbeat:              {cut: true, fields: []field{of(kindString, isGroupMember)}},
	apiLeaveGroup:             {cut: true, fields: []field{of(kindString, isGroup)}},
	apiSyncGroup:              {cut: true, fields: []field{of(kindString, isGroupMember)}},
	apiConsumerGroupHeartbeat: {cut: true, fields: []field{of(kindString, isGroupMember)}},
	apiShareGroupHeartbeat:    {cut: true, fields: []field{of(kindString, isGroup)}},
	apiStreamsGroupHeartbeat:  {cut: true, fields: []field{of(kindString, isGroupMember)}},
	apiShareFetch:             {cut: true, fields: []field{of(kindString, isGroup)}},
	apiShareAcknowledge:       {cut: true, fields: []field{of(kindString, isGroup)}},
	apiInitProducerID:         {cut: true, fields: []field{of(kindString, isTransaction)}},
	apiAddOffsetsToTxn: {cut: true, fields: []field{
		of(kindString, isTransaction),
		of(kindInt64, none),
		of(kindInt16, none),
		of(kindString, isGroup),
	}},
	apiEndTxn:             {cut: true, fields: []field{of(kindString, isTransaction)}},
	apiAddPartitionsToTxn: {cut: true, fields: []field{of(kindString, isTransaction).to(3)}},
	apiFetchSnapshot:      {cut: true, fields: []field{of(kindInt32, isReplica)}},
}

// responses are the layouts of those with more to them than throttle time and error.
var responses = map[int16]message{
	apiProduce: {fields: []field{
		array(
			of(kindString, isTopic).to(12),
			of(kindUUID, isTopicID).from(13),
			array(
				of(kindInt32, isPartition),
				of(kindInt16, isError),
				of(kindInt64, isOffset),
				of(kindInt64, none).from(2), // append time
				of(kindInt64, none).from(5), // first offset
				array(
					of(kindInt32, none),
					of(kindString, none),
				).from(8), // errors of records
				of(kindString, none).from(8), // error message
			),
		),
		of(kindInt32, isThrottle).from(1),
	}},
	apiFetch: {fields: []field{
		of(kindInt32, isThrottle).from(1),
		of(kindInt16, isError).from(7),
		of(kindInt32, none).from(7), // session
		array(
			of(kindString, isTopic).to(12),
			of(kindUUID, isTopicID).from(13),
			array(
				of(kindInt32, isPartition),
				of(kindInt16, isError),
				of(kindInt64, isHighWatermark),
				of(kindInt64, none).from(4), // last stable offset
				of(kindInt64, none).from(5), // first offset
				array(
					of(kindInt64, none),
					of(kindInt64, none),
				).from(4), // aborted transactions
				of(kindInt32, none).from(11), // preferred replica
				of(kindRecords, isRecords),
			),
		),
	}},
	apiShareFetch: {cut: true, fields: []field{
		of(kindInt32, isThrottle),
		of(kindInt16, isError),
		of(kindString, none),        // error message
		of(kindInt32, none).from(1), // lock timeout
		array(
			of(kindUUID, isTopicID),
			array(
				of(kindInt32, isPartition),
				of(kindInt16, isError),
				of(kindString, none),
				of(kindInt16, none), // error of acknowledgements
				of(kindString, none),
				of(kindInt32, none), // leader
				of(kindInt32, none),
				of(kindTags, none),
				of(kindRecords, isRecords),
				array(
					of(kindInt64, none),
					of(kindInt64, none),
					of(kindInt16, none),
				),
			),
		),
	}},
	apiMetadata: {cut: true, fields: []field{
		of(kindInt32, isThrottle).from(3),
		array(
			of(kindInt32, none),          // node
			of(kindString, none),         // host
			of(kindInt32, none),          // port
			of(kindString, none).from(1), // rack
		),
		of(kindString, none).from(2), // cluster
		of(kindInt32, none).from(1),  // controller
		array(
			of(kindInt16, isError),
			of(kindString, isNamedTopic),
			of(kindUUID, isNamedID).from(10),
			of(kindInt8, none).from(1), // internal
			array(
				of(kindInt16, none),         // error
				of(kindInt32, none),         // partition
				of(kindInt32, none),         // leader
				of(kindInt32, none).from(7), // leader epoch
				array32(none),
				array32(none),
				array32(none).from(5),
			),
			of(kindInt32, none).from(8), // operations
		),
	}},
	apiCreateTopics: {cut: true, fields: []field{
		of(kindInt32, isThrottle).from(2),
		array(
			of(kindString, isNamedTopic),
			of(kindUUID, isNamedID).from(7),
			of(kindInt16, isError),
			of(kindString, none).from(1), // error message
			of(kindInt32, none).from(5),  // partitions
			of(kindInt16, none).from(5),  // replicas
			array(
				of(kindString, none),
				of(kindString, none),
				of(kindInt8, none),
				of(kindInt8, none),
				of(kindInt8, none),
			).from(5), // configuration
		),
	}},
	apiDeleteTopics: {cut: true, fields: []field{
		of(kindInt32, isThrottle).from(1),
		array(
			of(kindString, none),
			of(kindUUID, none).from(6),
			of(kindInt16, isError),
			of(kindString, none).from(5),
		),
	}},
	apiDescribeTopics: {cut: true, fields: []field{
		of(kindInt32, isThrottle),
		array(
			of(kindInt16, isError),
			of(kindString, isNamedTopic),
			of(kindUUID, isNamedID),
			of(kindInt8, none),
			array(
				of(kindInt16, none),
				of(kindInt32, none),
				of(kindInt32, none),
				of(kindInt32, none),
				array32(none), array32(none), array32(none), array32(none), array32(none),
			),
			of(kindInt32, none),
		),
	}},
	apiListOffsets: {cut: true, fields: []field{
		of(kindInt32, isThrottle).from(2),
		array(
			of(kindString, none),
			array(
				of(kindInt32, none),
				of(kindInt16, isError),
				array(of(kindInt64, none)).to(0), // offsets
				of(kindInt64, none).from(1),      // time stamp
				of(kindInt64, none).from(1),      // offset
				of(kindInt32, none).from(4),      // leader epoch
			),
		),
	}},
	apiOffsetCommit: {cut: true, fields: []field{
		of(kindInt32, isThrottle).from(3),
		array(
			of(kindString, none).to(9),
			of(kindUUID, none).from(10),
			array(
				of(kindInt32, none),
				of(kindInt16, isError),
			),
		),
	}},
	apiTxnOffsetCommit: {cut: true, fields: []field{
		of(kindInt32, isThrottle),
		array(
			of(kindString, none).to(5),
			of(kindUUID, none).from(6),
			array(
				of(kindInt32, none),
				of(kindInt16, isError),
			),
		),
	}},
	apiOffsetFetch: {cut: true, fields: []field{
		of(kindInt32, isThrottle).from(3),
		array(
			of(kindString, none),
			array(
				of(kindInt32, none),
				of(kindInt64, none),
				of(kindInt32, none).from(5),
				of(kindString, none),
				of(kindInt16, isError),
			),
		).to(7),
		of(kindInt16, isError).from(2).to(7),
		array(
			of(kindString, none),
			array(
				of(kindString, none).to(9),
				of(kindUUID, none).from(10),
				array(
					of(kindInt32, none),
					of(kindInt64, none),
					of(kindInt32, none),
					of(kindString, none),
					of(kindInt16, isError),
				),
			),
			of(kindInt16, isError),
		).from(8),
	}},
	apiFindCoordinator: {cut: true, fields: []field{
		of(kindInt32, isThrottle).from(1),
		of(kindInt16, isError).to(3),
		array(
			of(kindString, none),
			of(kindInt32, none),
			of(kindString, none),
			of(kindInt32, none),
			of(kindInt16, isError),
			of(kindString, none),
		).from(4),
	}},
}

// array32 is an array of int32, whose elements have no tagged fields.
func array32(is meaning) field { return field{kind: kindInts, is: is, until: forever} }
