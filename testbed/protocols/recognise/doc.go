// SPDX-License-Identifier: Apache-2.0

// Package recognise compares what the collector recognises in HTTP with what clients did:
// elasticsearch-py and opensearch-py, boto3, and gql (over HTTP/1.1 and HTTP/2), against
// moto's S3, strawberry's GraphQL, and servers that answer as the documentation of
// Elasticsearch, OpenSearch and CouchDB has it (python/servers.py).
package recognise
