// SPDX-License-Identifier: Apache-2.0

// Package httpconv maps HTTP exchanges, of any HTTP version, to the
// OpenTelemetry semantic conventions v1.43.0
// (https://opentelemetry.io/docs/specs/semconv/http/).
//
// In: what a parser read off the wire (Detail), and the configuration
// (Settings). Out: span names, kinds, status and attributes, metric attributes
// and values. Nothing here parses messages, and it must never know about BPF,
// about other protocols, or about how spans are batched and metrics aggregated.
//
// # Where the conventions leave a choice
//
//   - X-Forwarded-For and its kin are not trusted: client.address is the peer,
//     server.address what Host says.
//   - A target of which no Host is known is located by the socket.
//   - http.route is set from routes.patterns only, or in the mode that the
//     configuration chose for unmatched paths; url.template, on client spans
//     and client metrics, from routes.patterns only. The conventions keep http.route for
//     what a framework has matched, so by default there is none. Who asks for another mode
//     wants span names, span_metrics and dashboards to group by it, and these know one
//     attribute only: a guess is in http.route as well, and its span says that it is
//     one, with ebpf.http.route.guessed.
//   - http.request.body.size and http.response.body.size (opt-in in the
//     conventions) are on spans that had a body; the metrics also count the
//     requests and responses known to have none, as 0.
//   - network.transport (opt-in) is only set where it is not tcp.
//   - error.type is the status code where that is an error, otherwise eof,
//     connection_reset, timeout or closed (exchange.Failure).
//   - ebpf.url.truncated is true if the target was longer than what was seen;
//     the url attributes then hold its beginning, and there is no route if the
//     path itself was cut.
//
// # Applications
//
// Some of what travels on HTTP has conventions of its own. Where both directions show
// it, the span says that, too, and keeps everything that HTTP says. Kind, status and
// error.type stay HTTP's, and so do the metrics: nothing is counted twice, and there is
// no db.client.operation.duration of these.
//
//   - Elasticsearch and OpenSearch
//     (https://opentelemetry.io/docs/specs/semconv/db/elasticsearch/): the path is one of
//     the API (elasticsearch_api.go), and the response names the product in a header or
//     begins as these servers' answers do. What does not name itself and is not asked
//     by OpenSearch's client is called elasticsearch. db.collection.name is the path's
//     index, or its list of them; patterns and _all are none. Bodies are not copied, so
//     there is neither db.query.text nor db.operation.batch.size.
//   - S3 (https://opentelemetry.io/docs/specs/semconv/object-stores/s3/): the request has
//     a signature version 4 for S3, in a header or in the query, and the response
//     x-amz-request-id or x-amz-id-2. The name is "S3.{operation}". rpc.system and
//     rpc.service, which that page asks for, are deprecated: rpc.system.name is aws-api,
//     and rpc.method is fully qualified, "S3/GetObject". Where a host name may begin
//     with the bucket or not, there is no bucket and no key. No part of a signature or
//     credential but its region is kept.
//   - GraphQL (https://opentelemetry.io/docs/specs/semconv/graphql/graphql-spans/): a
//     document in the query of a GET or at the beginning of a POST's body (2 KiB), where
//     the path ends in graphql or gql, or a media type says so. The span's name stays
//     HTTP's: the page names the span of the library, which is inside this one. There
//     is no graphql.document, as it may have secrets in it. Of a batch the first
//     operation is reported.
package httpconv
