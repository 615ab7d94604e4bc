// SPDX-License-Identifier: Apache-2.0

package httpconv

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/route"
)

func TestApplicationNamesAreThoseOfTheConventions(t *testing.T) {
	for ours, theirs := range map[string]string{
		attrAWSExtendedID:                string(semconv.AWSExtendedRequestIDKey),
		attrAWSRequestID:                 string(semconv.AWSRequestIDKey),
		attrCloudRegion:                  string(semconv.CloudRegionKey),
		attrDBCollection:                 string(semconv.DBCollectionNameKey),
		attrDBNamespace:                  string(semconv.DBNamespaceKey),
		attrDBOperation:                  string(semconv.DBOperationNameKey),
		attrDBStatus:                     string(semconv.DBResponseStatusCodeKey),
		attrDBSystem:                     string(semconv.DBSystemNameKey),
		attrElasticsearchNode:            string(semconv.ElasticsearchNodeNameKey),
		attrGraphQLName:                  string(semconv.GraphQLOperationNameKey),
		attrGraphQLType:                  string(semconv.GraphQLOperationTypeKey),
		attrRPCMethod:                    string(semconv.RPCMethodKey),
		attrRPCSystem:                    string(semconv.RPCSystemNameKey),
		attrS3Bucket:                     string(semconv.AWSS3BucketKey),
		attrS3CopySource:                 string(semconv.AWSS3CopySourceKey),
		attrS3Key:                        string(semconv.AWSS3KeyKey),
		attrS3Part:                       string(semconv.AWSS3PartNumberKey),
		attrS3UploadID:                   string(semconv.AWSS3UploadIDKey),
		attrOperationParameter + "index": string(semconv.DBOperationParameter("index", "").Key),
		systemElasticsearch:              semconv.DBSystemNameElasticsearch.Value.AsString(),
		systemOpenSearch:                 semconv.DBSystemNameOpenSearch.Value.AsString(),
	} {
		require.Equal(t, theirs, ours)
	}
}

// conversation is an exchange with headers as "name: value" lines and bodies.
type conversation struct {
	method, target, host, agent string
	request, response           string // headers
	body, answer                string
	status                      int
	piece                       int // bytes of bodies at once; 0 is all
}

func (c *conversation) play(t testing.TB, d *Detail) {
	t.Helper()
	d.Reset()
	d.Version, d.Method, d.Target = Version11, append(d.Method, c.method...), append(d.Target, c.target...)
	d.Host, d.UserAgent = append(d.Host, c.host...), append(d.UserAgent, c.agent...)
	fields := func(lines string, pass func(Field, []byte)) {
		for l := range strings.Lines(lines) {
			name, value, _ := strings.Cut(strings.TrimSpace(l), ": ")
			if f, ok := FieldOf([]byte(strings.ToLower(name))); ok {
				pass(f, []byte(value))
			}
		}
	}
	bytes := func(b string, wants int, take func([]byte) int) {
		for n := c.piece; len(b) > 0 && wants > 0; b = b[n:] {
			if n == 0 || n > len(b) {
				n = len(b)
			}
			wants = take([]byte(b[:n]))
			require.GreaterOrEqual(t, wants, 0)
		}
	}
	fields(c.request, d.RequestField)
	bytes(c.body, d.WantsRequest(), d.TakeRequest)
	if d.Status = c.status; d.Status == 0 {
		d.Status = 200
	}
	fields(c.response, d.ResponseField)
	bytes(c.answer, d.WantsResponse(), d.TakeResponse)
}

// told are the attributes that an application adds, in the order of their names.
func told(x *exchange.Exchange) string {
	all := attributes(x)
	text := ""
	for _, key := range []string{
		attrDBSystem, attrDBOperation, attrDBCollection, attrDBNamespace, attrElasticsearchNode, attrDBStatus, attrRPCSystem, attrRPCMethod,
		attrCloudRegion, attrS3Bucket, attrS3Key, attrS3UploadID, attrS3Part, attrS3CopySource, attrAWSRequestID, attrAWSExtendedID,
		attrGraphQLType, attrGraphQLName,
	} {
		if v, ok := all[key]; ok {
			text += fmt.Sprint(" ", v)
		}
	}
	for _, key := range []string{"index", "id", "name", "metric", "scroll_id", "alias", "repository", "snapshot"} {
		if v, ok := all[attrOperationParameter+key]; ok {
			text += fmt.Sprint(" ", key, "=", v)
		}
	}
	return strings.TrimSpace(text)
}

const (
	elastic  = "X-elastic-product: Elasticsearch"
	opens    = "X-OpenSearch-Version: OpenSearch/3.2.0 (opensearch)"
	secret   = "5f6cc1f1b3a9e1c6c2a1"
	signedS3 = "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/eu-west-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + secret
	amz      = "x-amz-request-id: C9ER4AJX75574TDJ"
	presign  = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20261123%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20261123T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=" + secret
)

var conversations = []struct {
	name string
	conversation
	span string // "" is HTTP's
	want string
}{
	// Elasticsearch and OpenSearch.
	{"search", conversation{method: "POST", target: "/books/_search?q=a", response: elastic, answer: `{"took":5`}, "search books", "elasticsearch search books 200 index=books"},
	{"search of a list", conversation{method: "GET", target: "/a,b%2Cc/_search", response: elastic}, "search a,b,c", "elasticsearch search a,b,c 200 index=a,b,c"},
	{"search of a pattern", conversation{method: "GET", target: "/logs-*/_search", response: elastic}, "search h:9200", "elasticsearch search 200 index=logs-*"},
	{"search of all", conversation{method: "GET", target: "/_all/_search", response: elastic}, "search h:9200", "elasticsearch search 200 index=_all"},
	{"get", conversation{method: "GET", target: "/books/_doc/a%2Fb", response: elastic, status: 404}, "get books", "elasticsearch get books 404 index=books id=a/b"},
	{"exists", conversation{method: "HEAD", target: "/books/_doc/7", response: elastic}, "exists books", "elasticsearch exists books 200 index=books id=7"},
	{"index", conversation{method: "PUT", target: "/books/_doc/7", response: elastic, status: 201}, "index books", "elasticsearch index books 201 index=books id=7"},
	{"bulk", conversation{method: "PUT", target: "/_bulk", response: opens}, "bulk h:9200", "opensearch bulk 200"},
	{"cluster", conversation{method: "GET", target: "/_cluster/health", response: elastic + "\nX-Found-Handling-Cluster: prod\nX-Found-Handling-Instance: instance-1"}, "cluster.health prod", "elasticsearch cluster.health prod instance-1 200"},
	{"cat", conversation{method: "GET", target: "/_cat/indices?v", response: opens}, "cat.indices h:9200", "opensearch cat.indices 200"},
	{"scroll", conversation{method: "DELETE", target: "/_search/scroll/abc", response: elastic}, "clear_scroll h:9200", "elasticsearch clear_scroll 200 scroll_id=abc"},
	{"info", conversation{method: "GET", target: "/", response: elastic}, "info h:9200", "elasticsearch info 200"},
	{"ping", conversation{method: "HEAD", target: "/", response: elastic}, "ping h:9200", "elasticsearch ping 200"},
	{"create", conversation{method: "PUT", target: "/books", response: elastic}, "indices.create books", "elasticsearch indices.create books 200 index=books"},
	{"no header, an answer", conversation{method: "POST", target: "/books/_search", answer: "{\n  \"took\" : 5,"}, "search books", "elasticsearch search books 200 index=books"},
	{"no header, OpenSearch's client", conversation{method: "POST", target: "/books/_search", agent: "opensearch-py/3.2.0", answer: `{"took":5,`}, "search books", "opensearch search books 200 index=books"},
	{"no header, a document", conversation{method: "GET", target: "/books/_doc/1", answer: `{"_index":"books",`}, "get books", "elasticsearch get books 200 index=books id=1"},
	{"no header, a count", conversation{method: "GET", target: "/books/_count", answer: `{"count":7,"_shards":{"total":1`}, "count books", "elasticsearch count books 200 index=books"},
	{"no header, an error", conversation{method: "GET", target: "/books/_search", status: 400, answer: `{"error":{"root_cause":[{"type"`}, "search books", "elasticsearch search books 400 index=books"},
	{"an endpoint that is not known", conversation{method: "GET", target: "/_nonsense/x", response: elastic}, "", ""},
	{"a method that does not fit", conversation{method: "DELETE", target: "/_cat/indices", response: elastic}, "", ""},
	{"another product", conversation{method: "GET", target: "/_search", response: "X-elastic-product: Kibana"}, "", ""},
	{"CouchDB", conversation{method: "POST", target: "/books/_bulk_docs", answer: `[{"ok":true,"id":"1"`}, "", ""},
	{"CouchDB, all", conversation{method: "GET", target: "/books/_all_docs", answer: `{"total_rows":3,"offset":0`}, "", ""},
	{"CouchDB, text", conversation{method: "GET", target: "/books/_design/x/_search/y", answer: `{"total_rows":3,"bookmark"`}, "", ""},
	{"CouchDB, a document", conversation{method: "GET", target: "/books/1", answer: `{"_id":"1","_rev":"1-2"`}, "", ""},
	{"an API with search", conversation{method: "GET", target: "/api/search?q=1", answer: `{"took":5,"items":[]}`}, "", ""},
	{"an API with _search", conversation{method: "GET", target: "/books/_search", answer: `{"items":[],"took":5}`}, "", ""},
	{"a root with took", conversation{method: "GET", target: "/", answer: `{"took":5,`}, "", ""},
	// S3.
	{"get object", conversation{method: "GET", target: "/photos/2026/a%20b.jpg", request: signedS3, response: amz}, "S3.GetObject", "aws-api S3/GetObject eu-west-1 photos 2026/a b.jpg C9ER4AJX75574TDJ"},
	{"head bucket", conversation{method: "HEAD", target: "/photos", request: signedS3, response: amz}, "S3.HeadBucket", "aws-api S3/HeadBucket eu-west-1 photos C9ER4AJX75574TDJ"},
	{"list buckets", conversation{method: "GET", target: "/?x-id=ListBuckets", request: signedS3, response: amz}, "S3.ListBuckets", "aws-api S3/ListBuckets eu-west-1 C9ER4AJX75574TDJ"},
	{"list objects", conversation{method: "GET", target: "/photos?list-type=2&prefix=&delimiter=%2F", request: signedS3, response: amz}, "S3.ListObjectsV2", "aws-api S3/ListObjectsV2 eu-west-1 photos C9ER4AJX75574TDJ"},
	{"delete objects", conversation{method: "POST", target: "/photos?delete", request: signedS3, response: amz}, "S3.DeleteObjects", "aws-api S3/DeleteObjects eu-west-1 photos C9ER4AJX75574TDJ"},
	{"start upload", conversation{method: "POST", target: "/photos/a?uploads", request: signedS3, response: amz}, "S3.CreateMultipartUpload", "aws-api S3/CreateMultipartUpload eu-west-1 photos a C9ER4AJX75574TDJ"},
	{"upload part", conversation{method: "PUT", target: "/photos/a?partNumber=3&uploadId=u%2B1", request: signedS3, response: amz}, "S3.UploadPart", "aws-api S3/UploadPart eu-west-1 photos a u+1 3 C9ER4AJX75574TDJ"},
	{"complete upload", conversation{method: "POST", target: "/photos/a?uploadId=u1", request: signedS3, response: amz}, "S3.CompleteMultipartUpload", "aws-api S3/CompleteMultipartUpload eu-west-1 photos a u1 C9ER4AJX75574TDJ"},
	{"copy", conversation{method: "PUT", target: "/photos/b", request: signedS3 + "\nX-Amz-Copy-Source: /photos/a", response: amz}, "S3.CopyObject", "aws-api S3/CopyObject eu-west-1 photos b photos/a C9ER4AJX75574TDJ"},
	{"tagging", conversation{method: "PUT", target: "/photos/b?tagging", request: signedS3, response: amz}, "S3.PutObjectTagging", "aws-api S3/PutObjectTagging eu-west-1 photos b C9ER4AJX75574TDJ"},
	{"bucket in the host", conversation{method: "GET", target: "/a/b", host: "photos.s3.eu-west-1.amazonaws.com", request: signedS3, response: "x-amz-id-2: id2"}, "S3.GetObject", "aws-api S3/GetObject eu-west-1 photos a/b id2"},
	{"bucket with dots in the host", conversation{method: "PUT", target: "/", host: "my.photos.s3-eu-west-1.amazonaws.com", request: signedS3, response: amz}, "S3.CreateBucket", "aws-api S3/CreateBucket eu-west-1 my.photos C9ER4AJX75574TDJ"},
	{"S3's own host", conversation{method: "GET", target: "/photos", host: "s3.eu-west-1.amazonaws.com", request: signedS3, response: amz}, "S3.ListObjects", "aws-api S3/ListObjects eu-west-1 photos C9ER4AJX75574TDJ"},
	{"a host that may begin with a bucket", conversation{method: "GET", target: "/a/b", host: "photos.minio.example", request: signedS3, response: amz}, "S3.GetObject", "aws-api S3/GetObject eu-west-1 C9ER4AJX75574TDJ"},
	{"and a path that does not tell", conversation{method: "GET", target: "/a", host: "photos.minio.example", request: signedS3, response: amz}, "", ""},
	{"presigned", conversation{method: "GET", target: "/photos/a?" + presign, response: amz}, "S3.GetObject", "aws-api S3/GetObject us-east-1 photos a C9ER4AJX75574TDJ"},
	{"no signature", conversation{method: "GET", target: "/photos/a", response: amz}, "", ""},
	{"no identifier", conversation{method: "GET", target: "/photos/a", request: signedS3}, "", ""},
	{"another service", conversation{method: "POST", target: "/", request: strings.Replace(signedS3, "/s3/", "/dynamodb/", 1), response: amz}, "", ""},
	{"an operation that is not known", conversation{method: "GET", target: "/photos?session", request: signedS3, response: amz}, "", ""},
	// GraphQL.
	{"query", conversation{method: "POST", target: "/graphql", body: `{"query":"query Books($n: Int = 1) { books(n: $n) { title } }"}`}, "", "query Books"},
	{"mutation", conversation{method: "POST", target: "/api/graphql/", body: `{"operationName": null, "variables": {"a": [1, "}"]}, "query": "mutation\nAdd { add }"}`}, "", "mutation Add"},
	{"anonymous", conversation{method: "POST", target: "/gql", body: `{"query":"{ books { title } }"}`}, "", "query"},
	{"subscription", conversation{method: "POST", target: "/graphql", body: `{"query":"# hm\nsubscription S { s }"}`}, "", "subscription S"},
	{"one of several", conversation{method: "POST", target: "/graphql", body: `{"operationName":"B","query":"fragment F on T { a(x: \"}\") } query A { a } mutation B { b { ...F } }"}`}, "", "mutation B"},
	{"several and no name", conversation{method: "POST", target: "/graphql", body: `{"query":"query A { a } mutation B { b }"}`}, "", ""},
	{"stored", conversation{method: "POST", target: "/graphql", body: `{"operationName":"Books","extensions":{"persistedQuery":{}}}`}, "", "Books"},
	{"a batch", conversation{method: "POST", target: "/graphql", body: `[{"query":"query A { a }"},{"query":"mutation B { b }"}]`}, "", "query A"},
	{"cut", conversation{method: "POST", target: "/graphql", body: `{"query":"query Books { ` + strings.Repeat("book ", 1000) + `"}`}, "", "query Books"},
	{"cut before the document", conversation{method: "POST", target: "/graphql", body: `{"operationName":"Books","variables":{"x":"` + strings.Repeat("book ", 1000) + `"},"query":"query Books { a }"}`}, "", "Books"},
	{"by its answer's type", conversation{method: "POST", target: "/api", response: "Content-Type: application/graphql-response+json; charset=utf-8", body: `{"query":"{ a }"}`}, "", "query"},
	{"by its type", conversation{method: "POST", target: "/api", request: "Content-Type: application/graphql+json", body: `{"query":"{ a }"}`}, "", "query"},
	{"in the query", conversation{method: "GET", target: "/graphql?operationName=A&query=query+A%20%7B%20a%20%7D"}, "", "query A"},
	{"another path", conversation{method: "POST", target: "/api", body: `{"query":"query A { a }"}`}, "", ""},
	{"text like it", conversation{method: "POST", target: "/graphql", body: `{"query":"query builder tips"}`}, "", ""},
	{"text", conversation{method: "POST", target: "/graphql", body: `{"query":"hello"}`}, "", ""},
	{"an object", conversation{method: "POST", target: "/graphql", body: `{"query":{"match":{}}}`}, "", ""},
	{"an empty selection", conversation{method: "POST", target: "/graphql", body: `{"query":"{}"}`}, "", ""},
	{"a search for graphql", conversation{method: "GET", target: "/graphql?query=hello"}, "", ""},
	{"no JSON", conversation{method: "POST", target: "/graphql", body: `query=%7Ba%7D`}, "", ""},
	{"plain", conversation{method: "POST", target: "/api", body: `{"id":1}`, answer: `{"id":1}`}, "", ""},
}

func TestApplications(t *testing.T) {
	for _, role := range []exchange.Role{server, client} {
		x, d := message{role: role, method: "GET", target: "/", host: "h"}.exchange(t, settings(t, Options{}, route.Options{}))
		for _, piece := range []int{0, 1, 3} {
			for _, c := range conversations {
				t.Run(fmt.Sprint(role, "/", piece, "/", c.name), func(t *testing.T) {
					c.piece = piece
					if c.host == "" {
						c.host = "h:9200"
					}
					c.play(t, d)
					if c.span == "" {
						c.span = c.method
					}
					require.Equal(t, c.want, told(x))
					require.Equal(t, c.span, d.SpanName(x))
					all := attributes(x)
					require.Equal(t, c.method, all["http.request.method"])
					require.EqualValues(t, d.Status, all["http.response.status_code"])
					for key, value := range all {
						require.NotContains(t, fmt.Sprint(value), secret, key)
						require.NotContains(t, fmt.Sprint(value), "AKID", key)
						require.NotContains(t, key, "graphql.document")
					}
				})
			}
		}
	}
}

// What is not asked for is not recognised, and metrics are the same either way.
func TestIgnoredApplications(t *testing.T) {
	for _, c := range conversations {
		c.host = "h"
		x, d := message{role: client, method: "GET", target: "/", host: "h"}.exchange(t, settings(t, Options{Ignore: Elasticsearch | S3 | GraphQL}, route.Options{}))
		c.play(t, d)
		require.Empty(t, told(x), c.name)
		require.False(t, d.evident, c.name)
		key := string(d.AppendMetricKey(x, nil))
		y, e := message{role: client, method: "GET", target: "/", host: "h"}.exchange(t, settings(t, Options{}, route.Options{}))
		c.play(t, e)
		require.Equal(t, key, string(e.AppendMetricKey(y, nil)), c.name)
	}
}

func TestApplicationsDoNotAllocate(t *testing.T) {
	x, d := message{role: client, method: "GET", target: "/", host: "h"}.exchange(t, settings(t, Options{}, route.Options{}))
	for _, c := range []struct {
		method, target string
		field          Field
		value, body    string
		signature      string
	}{
		{"POST", "/books/_search", FieldElasticProduct, "Elasticsearch", "", ""},
		{"PUT", "/photos/a", FieldAmzRequestID, "C9ER4AJX75574TDJ", "", strings.TrimPrefix(signedS3, "Authorization: ")},
		{"POST", "/graphql", FieldContentType, "application/json", `{"query":"query A { a }"}`, ""},
	} {
		value, body, signature := []byte(c.value), []byte(c.body), []byte(c.signature)
		f := func() {
			d.Reset()
			d.Status, d.Method, d.Target, d.Host = 200, append(d.Method, c.method...), append(d.Target, c.target...), append(d.Host, "h:1"...)
			d.RequestField(FieldAuthorization, signature)
			if d.WantsRequest() > 0 && len(body) > 0 {
				d.TakeRequest(body)
			}
			d.ResponseField(c.field, value)
			_ = d.SpanName(x)
			if d.application() == nil {
				t.Fatal(c.target)
			}
		}
		f()
		require.Zero(t, testing.AllocsPerRun(100, f), c.target)
	}
}

func FuzzApplication(f *testing.F) {
	for _, c := range conversations {
		f.Add(c.method, c.target, c.host, c.request, c.response, c.body, c.answer, uint8(0))
	}
	s := settings(f, Options{}, route.Options{})
	x, d := message{role: client, method: "GET", target: "/", host: "h"}.exchange(f, s)
	y, e := message{role: client, method: "GET", target: "/", host: "h"}.exchange(f, s)
	f.Fuzz(func(t *testing.T, method, target, host, request, response, body, answer string, piece uint8) {
		c := conversation{method: method, target: target, host: host, request: request, response: response, body: body, answer: answer}
		c.play(t, d)
		whole, name := told(x), d.SpanName(x)
		c.piece = int(piece)%7 + 1
		c.play(t, e)
		require.Equal(t, whole, told(y))
		require.Equal(t, name, e.SpanName(y))
		if d.evident {
			require.LessOrEqual(t, len(d.app.request), maxRequest)
			require.LessOrEqual(t, len(d.app.response), maxResponse)
		}
	})
}
