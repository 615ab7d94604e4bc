// SPDX-License-Identifier: Apache-2.0

package httpconv

import (
	"bytes"

	"go.opentelemetry.io/collector/pdata/xpdata"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// Application is what is recognised in HTTP requests beyond HTTP; a set of bits.
type Application uint8

const (
	// Elasticsearch, and OpenSearch.
	Elasticsearch Application = 1 << iota
	// S3 is Amazon's, and whatever speaks its protocol.
	S3
	GraphQL
)

// Field is a header that tells an application, or something about what it does.
type Field uint8

const (
	FieldAuthorization Field = iota
	FieldContentType
	FieldAmzCopySource
	FieldAmzID2
	FieldAmzRequestID
	FieldElasticProduct
	FieldFoundCluster
	FieldFoundInstance
	FieldOpenSearchVersion
)

// fieldNames are in lower case.
var fieldNames = [...]string{
	"authorization", "content-type", "x-amz-copy-source", "x-amz-id-2", "x-amz-request-id", "x-elastic-product",
	"x-found-handling-cluster", "x-found-handling-instance", "x-opensearch-version",
}

// String is the header's name in lower case.
func (f Field) String() string { return fieldNames[f] }

// FieldOf looks up the name of a header, in lower case.
func FieldOf(name []byte) (Field, bool) {
	switch string(name) {
	case "authorization":
		return FieldAuthorization, true
	case "content-type":
		return FieldContentType, true
	case "x-amz-copy-source":
		return FieldAmzCopySource, true
	case "x-amz-id-2":
		return FieldAmzID2, true
	case "x-amz-request-id":
		return FieldAmzRequestID, true
	case "x-elastic-product":
		return FieldElasticProduct, true
	case "x-found-handling-cluster":
		return FieldFoundCluster, true
	case "x-found-handling-instance":
		return FieldFoundInstance, true
	case "x-opensearch-version":
		return FieldOpenSearchVersion, true
	}
	return 0, false
}

const (
	// maxRequest and maxResponse bound what is kept of the beginning of a body, and
	// maxText of a header's value, in bytes.
	maxRequest  = 2 << 10
	maxResponse = 64
	maxText     = 256
)

// application is what an exchange showed of an application. It is made for the first
// exchange of a Detail that shows anything, and used again.
type application struct {
	// Of the request. signed: by AWS's signature version 4, for S3 in region.
	signed, graphQLType bool
	region, copySource  []byte
	request             []byte // its body begins so
	// Of the response. product is a value of db.system.name, by a header.
	product                  string
	amz, graphQLResponse     bool
	requestID, extendedID    []byte
	cluster, node            []byte
	response                 []byte // its body begins so
	resolved                 bool
	kind                     Application // 0: none
	operation, operationType string
	system                   string
	parameters               [maxParameters]parameter
	bucket, key              []byte // as in the URL, percent-encoded
	uploadID                 []byte
	part                     int
	document, name           []byte // of GraphQL
	host, unescaped          []byte // scratch space
}

func (a *application) reset() {
	a.signed, a.graphQLType, a.product, a.amz, a.graphQLResponse, a.resolved = false, false, "", false, false, false
	a.region, a.copySource, a.request = a.region[:0], a.copySource[:0], a.request[:0]
	a.requestID, a.extendedID, a.cluster, a.node = a.requestID[:0], a.extendedID[:0], a.cluster[:0], a.node[:0]
	a.response = a.response[:0]
}

// evidence is where the exchange's is kept.
func (d *Detail) evidence() *application {
	if d.app == nil {
		d.app = new(application)
	}
	if !d.evident {
		d.app.reset()
		d.evident = true
	}
	d.app.resolved = false
	return d.app
}

func (s *Settings) recognizes(a Application) bool { return s.ignored&a == 0 }

// RequestField takes a header of the request. Nothing of a signature is kept.
func (d *Detail) RequestField(f Field, v []byte) {
	switch f {
	case FieldAuthorization:
		if !d.Settings.recognizes(S3) {
			return
		}
		if region, ok := signedForS3(v); ok {
			a := d.evidence()
			a.signed, a.region = true, append(a.region[:0], region...)
		}
	case FieldAmzCopySource:
		if d.Settings.recognizes(S3) && len(v) <= maxText {
			a := d.evidence()
			a.copySource = append(a.copySource[:0], v...)
		}
	case FieldContentType:
		if d.Settings.recognizes(GraphQL) && IsGraphQL(v) {
			d.evidence().graphQLType = true
		}
	}
}

// ResponseField takes a header of the response.
func (d *Detail) ResponseField(f Field, v []byte) {
	keep := func(to *[]byte) {
		if len(v) <= maxText {
			*to = append((*to)[:0], v...)
		}
	}
	switch f {
	case FieldAmzID2, FieldAmzRequestID:
		if !d.Settings.recognizes(S3) {
			return
		}
		a := d.evidence()
		a.amz = true
		if f == FieldAmzID2 {
			keep(&a.extendedID)
		} else {
			keep(&a.requestID)
		}
	case FieldElasticProduct, FieldOpenSearchVersion, FieldFoundCluster, FieldFoundInstance:
		if !d.Settings.recognizes(Elasticsearch) {
			return
		}
		a := d.evidence()
		switch {
		case f == FieldFoundCluster:
			keep(&a.cluster)
		case f == FieldFoundInstance:
			keep(&a.node)
		case f == FieldOpenSearchVersion:
			a.product = systemOpenSearch
		case bytes.EqualFold(v, []byte(systemElasticsearch)):
			a.product = systemElasticsearch
		}
	case FieldContentType:
		if d.Settings.recognizes(GraphQL) && IsGraphQL(v) {
			d.evidence().graphQLResponse = true
		}
	}
}

// WantsRequest is how many bytes of the beginning of the request's body are wanted; 0
// as a rule.
func (d *Detail) WantsRequest() int {
	if string(d.Method) != "POST" || !d.Settings.recognizes(GraphQL) {
		return 0
	}
	return maxRequest
}

// TakeRequest takes the next bytes of the request's body and returns how many more are
// wanted.
func (d *Detail) TakeRequest(b []byte) int {
	var have []byte
	if d.evident {
		have = d.app.request
	}
	strict := !d.graphQLPath() && !(d.evident && d.app.graphQLType)
	if len(have) == 0 && !mayBeGraphQL(b, strict) {
		return 0
	}
	a := d.evidence()
	a.request = append(a.request, b[:min(len(b), maxRequest-len(a.request))]...)
	if len(have) > 0 && !mayBeGraphQL(a.request, strict) {
		a.request = a.request[:0]
		return 0
	}
	return maxRequest - len(a.request)
}

// WantsType reports whether the Content-Type of the response is wanted.
func (d *Detail) WantsType() bool { return d.evident && len(d.app.request) > 0 }

// WantsResponse is how many bytes of the beginning of the response's body are wanted; 0
// as a rule. Asked when the head of the response is known.
func (d *Detail) WantsResponse() int {
	if bytes.IndexByte(d.Target, '_') < 0 {
		return 0 // as a rule
	}
	return d.wantsResponse()
}

func (d *Detail) wantsResponse() int {
	if !d.Settings.recognizes(Elasticsearch) || d.evident && d.app.product != "" || !bytes.Contains(d.Target, []byte("/_")) {
		return 0
	}
	return maxResponse
}

// answerBegins are the first letters of what answersLikeElasticsearch looks for.
var answerBegins = [256]bool{'_': true, 't': true, 'e': true, 'd': true, 'c': true}

// MayAnswer judges by the first bytes of a response's body whether it is worth asking
// WantsResponse.
func MayAnswer(b []byte) bool {
	return b[0] == '{' && (len(b) < 3 || b[1] != '"' || answerBegins[b[2]])
}

// TakeResponse takes the next bytes of the response's body and returns how many more
// are wanted.
func (d *Detail) TakeResponse(b []byte) int {
	if !d.evident || len(d.app.response) == 0 {
		if !MayAnswer(b) {
			return 0
		}
	}
	a := d.evidence()
	a.response = append(a.response, b[:min(len(b), maxResponse-len(a.response))]...)
	return maxResponse - len(a.response)
}

// AdoptResponse takes over what the headers of a response told that came before its
// request.
func (d *Detail) AdoptResponse(early *Detail) {
	if !early.evident {
		return
	}
	a, b := d.evidence(), early.app
	a.product, a.amz, a.graphQLResponse = b.product, b.amz, b.graphQLResponse
	a.requestID, a.extendedID = append(a.requestID[:0], b.requestID...), append(a.extendedID[:0], b.extendedID...)
	a.cluster, a.node = append(a.cluster[:0], b.cluster...), append(a.node[:0], b.node...)
}

// application is what the exchange is recognised as; nil if nothing. To be asked when
// it is over.
func (d *Detail) application() *application {
	if !d.evident {
		if !d.parsed().hasQuery || string(d.Method) != "GET" || !d.Settings.recognizes(GraphQL) || !d.graphQLPath() {
			return nil
		}
		d.evidence()
	}
	a := d.app
	if !a.resolved {
		a.resolved = true
		d.parsed()
		a.kind = d.recognize(a)
	}
	if a.kind == 0 {
		return nil
	}
	return a
}

func (d *Detail) recognize(a *application) Application {
	if f := d.request.form; f != formOrigin && f != formAbsolute || d.pathCut() {
		return 0
	}
	switch {
	case a.amz && d.recognizeS3(a):
		return S3
	case (a.product != "" || len(a.response) > 0) && d.recognizeElasticsearch(a):
		return Elasticsearch
	case d.recognizeGraphQL(a):
		return GraphQL
	}
	return 0
}

// applicationName is the span's, "" if it is HTTP's.
func (d *Detail) applicationName(a *application, x *exchange.Exchange) string {
	switch a.kind {
	case Elasticsearch:
		return d.elasticsearchName(a, x)
	case S3:
		return d.s3Name(a)
	}
	// The conventions name the span of a GraphQL server, which is in that of HTTP.
	return ""
}

// maxAttributes is how many an application adds at most.
const maxAttributes = 12

func (d *Detail) putApplication(a *application, b *xpdata.MapBuilder) {
	switch a.kind {
	case Elasticsearch:
		d.putElasticsearch(a, b)
	case S3:
		d.putS3(a, b)
	case GraphQL:
		d.putGraphQL(a, b)
	}
}

// put adds a text that is not empty.
func (d *Detail) put(b *xpdata.MapBuilder, key string, value []byte) {
	if len(value) > 0 {
		b.AppendEmpty(key).SetStr(d.Strings.String(value))
	}
}

// unescape appends s with percent-encoding undone; what is no encoding stays.
func unescape(b, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			high, low := unhex(s[i+1]), unhex(s[i+2])
			if high < 16 && low < 16 {
				b = append(b, high<<4|low)
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return b
}

// unhex is the value of a hexadecimal digit, 16 or more if it is none.
func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 16
}

// parameterOf finds a parameter of a query; ok is false if there is none. The value is
// percent-encoded.
func parameterOf(query []byte, key string) (value []byte, ok bool) {
	for len(query) > 0 {
		pair := query
		if i := bytes.IndexByte(query, '&'); i >= 0 {
			pair, query = query[:i], query[i+1:]
		} else {
			query = nil
		}
		name, value, _ := bytes.Cut(pair, []byte("="))
		if string(name) == key {
			return value, true
		}
	}
	return nil, false
}
