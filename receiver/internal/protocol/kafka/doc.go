// SPDX-License-Identifier: Apache-2.0

// Package kafka is the protocol of Apache Kafka, all request versions up to 4.1
// (https://kafka.apache.org/protocol.html; the messages' definitions are in Kafka's
// clients/src/main/resources/common/message).
//
// In: both directions of a connection, of which the bulk of the records need not have
// been copied. Out: an exchange per topic of what producers send and consumers fetch, and
// one of any other request. Requests and responses are paired by correlation id.
//
// # What is counted
//
// A produce request is `send`, from its first byte to the last one of the response;
// without one (acks=0) to the last byte of the request. A fetch that brought messages
// or an error is `poll`. Its duration contains the time that the broker waited for
// messages, as it does in clients' own instrumentation. A fetch that brought nothing is
// the absence of messages, not an operation that took long: it is neither a span nor in
// the metrics, on either side. Nor is a fetch that was waiting when its client closed
// the connection. Fetches of replicas are `replicate`. A request with more topics than
// maxTopics counts the rest of them in one exchange without a name.
//
// Messages are counted by the heads of the record batches, which are not compressed. If
// one of those was not copied, the number is not known and not reported.
//
// # What is shared
//
// Topic ids (KIP-516) are resolved with those that metadata responses of any connection
// named; a consumer's group is that which the same process named with the same client id
// elsewhere. Both tables are bounded. What is elsewhere may be read later: exchanges wait for
// it, for a second at most.
package kafka
