// SPDX-License-Identifier: Apache-2.0

package kafka

// API keys that have a layout of their own here.
const (
	apiProduce                = 0
	apiFetch                  = 1
	apiListOffsets            = 2
	apiMetadata               = 3
	apiControlledShutdown     = 7
	apiOffsetCommit           = 8
	apiOffsetFetch            = 9
	apiFindCoordinator        = 10
	apiJoinGroup              = 11
	apiHeartbeat              = 12
	apiLeaveGroup             = 13
	apiSyncGroup              = 14
	apiSaslHandshake          = 17
	apiVersions               = 18
	apiCreateTopics           = 19
	apiDeleteTopics           = 20
	apiInitProducerID         = 22
	apiAddPartitionsToTxn     = 24
	apiAddOffsetsToTxn        = 25
	apiEndTxn                 = 26
	apiTxnOffsetCommit        = 28
	apiSaslAuthenticate       = 36
	apiFetchSnapshot          = 59
	apiConsumerGroupHeartbeat = 68
	apiDescribeTopics         = 75
	apiShareGroupHeartbeat    = 76
	apiShareFetch             = 78
	apiShareAcknowledge       = 79
	apiStreamsGroupHeartbeat  = 88
)

// inflexible is the flexible version of requests that have none.
const inflexible = 1 << 14

// shape is how a response begins.
type shape uint8

const (
	// nothing is known of it.
	shapeless shape = iota
	// throttled: the throttle time.
	throttled
	// failing: the throttle time and the error code.
	failing
	// errorFirst: the error code.
	errorFirst
)

// api describes the requests with one key.
type api struct {
	name string
	// max is the highest version known, flexible the first one with compact
	// strings and tagged fields (KIP-482).
	max, flexible int16
	response      shape
	// throttleSince and errorSince are the first versions with the field.
	throttleSince, errorSince int16
}

// apis are by API key. Keys that Kafka 4.0 removed have the versions of 3.9.
var apis = [...]api{
	0:  {"Produce", 13, 9, shapeless, 0, 0},
	1:  {"Fetch", 18, 12, shapeless, 0, 0},
	2:  {"ListOffsets", 11, 6, shapeless, 0, 0},
	3:  {"Metadata", 13, 9, shapeless, 0, 0},
	4:  {"LeaderAndIsr", 7, 4, errorFirst, 0, 0},
	5:  {"StopReplica", 4, 2, errorFirst, 0, 0},
	6:  {"UpdateMetadata", 8, 6, errorFirst, 0, 0},
	7:  {"ControlledShutdown", 3, 3, errorFirst, 0, 0},
	8:  {"OffsetCommit", 10, 8, shapeless, 0, 0},
	9:  {"OffsetFetch", 10, 6, shapeless, 0, 0},
	10: {"FindCoordinator", 6, 3, shapeless, 0, 0},
	11: {"JoinGroup", 9, 6, failing, 2, 0},
	12: {"Heartbeat", 4, 4, failing, 1, 0},
	13: {"LeaveGroup", 5, 4, failing, 1, 0},
	14: {"SyncGroup", 5, 4, failing, 1, 0},
	15: {"DescribeGroups", 6, 5, throttled, 1, 0},
	16: {"ListGroups", 5, 3, failing, 1, 0},
	17: {"SaslHandshake", 1, inflexible, errorFirst, 0, 0},
	18: {"ApiVersions", 5, 3, errorFirst, 0, 0},
	19: {"CreateTopics", 7, 5, shapeless, 0, 0},
	20: {"DeleteTopics", 6, 4, shapeless, 0, 0},
	21: {"DeleteRecords", 2, 2, throttled, 0, 0},
	22: {"InitProducerId", 6, 2, failing, 0, 0},
	23: {"OffsetForLeaderEpoch", 4, 4, throttled, 2, 0},
	24: {"AddPartitionsToTxn", 5, 3, failing, 0, 4},
	25: {"AddOffsetsToTxn", 4, 3, failing, 0, 0},
	26: {"EndTxn", 5, 3, failing, 0, 0},
	27: {"WriteTxnMarkers", 2, 1, shapeless, 0, 0},
	28: {"TxnOffsetCommit", 6, 3, shapeless, 0, 0},
	29: {"DescribeAcls", 3, 2, failing, 0, 0},
	30: {"CreateAcls", 3, 2, throttled, 0, 0},
	31: {"DeleteAcls", 3, 2, throttled, 0, 0},
	32: {"DescribeConfigs", 4, 4, throttled, 0, 0},
	33: {"AlterConfigs", 2, 2, throttled, 0, 0},
	34: {"AlterReplicaLogDirs", 2, 2, throttled, 0, 0},
	35: {"DescribeLogDirs", 5, 2, failing, 0, 3},
	36: {"SaslAuthenticate", 2, 2, errorFirst, 0, 0},
	37: {"CreatePartitions", 3, 2, throttled, 0, 0},
	38: {"CreateDelegationToken", 3, 2, errorFirst, 0, 0},
	39: {"RenewDelegationToken", 2, 2, errorFirst, 0, 0},
	40: {"ExpireDelegationToken", 2, 2, errorFirst, 0, 0},
	41: {"DescribeDelegationToken", 3, 2, errorFirst, 0, 0},
	42: {"DeleteGroups", 2, 2, throttled, 0, 0},
	43: {"ElectLeaders", 2, 2, failing, 0, 1},
	44: {"IncrementalAlterConfigs", 1, 1, throttled, 0, 0},
	45: {"AlterPartitionReassignments", 1, 0, throttled, 0, 0},
	46: {"ListPartitionReassignments", 0, 0, failing, 0, 0},
	47: {"OffsetDelete", 0, inflexible, errorFirst, 0, 0},
	48: {"DescribeClientQuotas", 1, 1, failing, 0, 0},
	49: {"AlterClientQuotas", 1, 1, throttled, 0, 0},
	50: {"DescribeUserScramCredentials", 0, 0, failing, 0, 0},
	51: {"AlterUserScramCredentials", 0, 0, throttled, 0, 0},
	52: {"Vote", 2, 0, errorFirst, 0, 0},
	53: {"BeginQuorumEpoch", 1, 1, errorFirst, 0, 0},
	54: {"EndQuorumEpoch", 1, 1, errorFirst, 0, 0},
	55: {"DescribeQuorum", 2, 0, errorFirst, 0, 0},
	56: {"AlterPartition", 3, 0, failing, 0, 0},
	57: {"UpdateFeatures", 2, 0, failing, 0, 0},
	58: {"Envelope", 0, 0, shapeless, 0, 0},
	59: {"FetchSnapshot", 1, 0, failing, 0, 0},
	60: {"DescribeCluster", 2, 0, failing, 0, 0},
	61: {"DescribeProducers", 0, 0, throttled, 0, 0},
	62: {"BrokerRegistration", 4, 0, failing, 0, 0},
	63: {"BrokerHeartbeat", 2, 0, failing, 0, 0},
	64: {"UnregisterBroker", 0, 0, failing, 0, 0},
	65: {"DescribeTransactions", 0, 0, throttled, 0, 0},
	66: {"ListTransactions", 2, 0, failing, 0, 0},
	67: {"AllocateProducerIds", 0, 0, failing, 0, 0},
	68: {"ConsumerGroupHeartbeat", 1, 0, failing, 0, 0},
	69: {"ConsumerGroupDescribe", 1, 0, throttled, 0, 0},
	70: {"ControllerRegistration", 0, 0, failing, 0, 0},
	71: {"GetTelemetrySubscriptions", 0, 0, failing, 0, 0},
	72: {"PushTelemetry", 0, 0, failing, 0, 0},
	73: {"AssignReplicasToDirs", 0, 0, failing, 0, 0},
	74: {"ListConfigResources", 1, 0, failing, 0, 0},
	75: {"DescribeTopicPartitions", 0, 0, shapeless, 0, 0},
	76: {"ShareGroupHeartbeat", 1, 0, failing, 0, 0},
	77: {"ShareGroupDescribe", 1, 0, throttled, 0, 0},
	78: {"ShareFetch", 2, 0, shapeless, 0, 0},
	79: {"ShareAcknowledge", 2, 0, failing, 0, 0},
	80: {"AddRaftVoter", 1, 0, failing, 0, 0},
	81: {"RemoveRaftVoter", 0, 0, failing, 0, 0},
	82: {"UpdateRaftVoter", 0, 0, failing, 0, 0},
	83: {"InitializeShareGroupState", 0, 0, shapeless, 0, 0},
	84: {"ReadShareGroupState", 0, 0, shapeless, 0, 0},
	85: {"WriteShareGroupState", 1, 0, shapeless, 0, 0},
	86: {"DeleteShareGroupState", 0, 0, shapeless, 0, 0},
	87: {"ReadShareGroupStateSummary", 1, 0, shapeless, 0, 0},
	88: {"StreamsGroupHeartbeat", 1, 0, failing, 0, 0},
	89: {"StreamsGroupDescribe", 1, 0, throttled, 0, 0},
	90: {"DescribeShareGroupOffsets", 1, 0, throttled, 0, 0},
	91: {"AlterShareGroupOffsets", 0, 0, failing, 0, 0},
	92: {"DeleteShareGroupOffsets", 0, 0, failing, 0, 0},
	93: {"StreamsGroupTopologyDescriptionUpdate", 0, 0, shapeless, 0, 0},
	94: {"UnregisterController", 0, 0, shapeless, 0, 0},
}

const (
	// newerKeys and newerVersions are how far keys and versions may be beyond what
	// is known: of those, the head of the request is read, nothing else.
	newerKeys     = 32
	newerVersions = 4
)

// known reports whether the layout of such requests is known.
func known(key, version int16) bool {
	return int(key) < len(apis) && version <= apis[key].max
}

// possible reports whether key and version can be those of a request.
func possible(key, version int16) bool {
	if key < 0 || version < 0 {
		return false
	}
	if int(key) >= len(apis) {
		return int(key) < len(apis)+newerKeys && version <= newerVersions
	}
	return version <= apis[key].max+newerVersions
}

// isFlexible reports whether header and body have compact strings and tagged fields.
func isFlexible(key, version int16) bool {
	return int(key) >= len(apis) || version >= apis[key].flexible
}
