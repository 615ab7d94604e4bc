// SPDX-License-Identifier: Apache-2.0

package httpconv

import (
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// Attribute names of semantic conventions v1.43.0; a test compares them with
// the Go semconv package, which is too heavy a type for the hot path.
const (
	attrClientAddress      = "client.address"
	attrErrorType          = "error.type"
	attrRequestBodySize    = "http.request.body.size"
	attrRequestMethod      = "http.request.method"
	attrRequestMethodOrig  = "http.request.method_original"
	attrResponseBodySize   = "http.response.body.size"
	attrResponseStatusCode = "http.response.status_code"
	attrRoute              = "http.route"
	attrPeerAddress        = "network.peer.address"
	attrPeerPort           = "network.peer.port"
	attrProtocolName       = "network.protocol.name"
	attrProtocolVersion    = "network.protocol.version"
	attrTransport          = "network.transport"
	attrServerAddress      = "server.address"
	attrServerPort         = "server.port"
	attrURLFull            = "url.full"
	attrURLPath            = "url.path"
	attrURLQuery           = "url.query"
	attrURLScheme          = "url.scheme"
	attrURLTemplate        = "url.template"
	attrUserAgent          = "user_agent.original"

	attrAWSExtendedID      = "aws.extended_request_id"
	attrAWSRequestID       = "aws.request_id"
	attrCloudRegion        = "cloud.region"
	attrDBCollection       = "db.collection.name"
	attrDBNamespace        = "db.namespace"
	attrDBOperation        = "db.operation.name"
	attrDBStatus           = "db.response.status_code"
	attrDBSystem           = "db.system.name"
	attrElasticsearchNode  = "elasticsearch.node.name"
	attrGraphQLName        = "graphql.operation.name"
	attrGraphQLType        = "graphql.operation.type"
	attrRPCMethod          = "rpc.method"
	attrRPCSystem          = "rpc.system.name"
	attrS3Bucket           = "aws.s3.bucket"
	attrS3CopySource       = "aws.s3.copy_source"
	attrS3Key              = "aws.s3.key"
	attrS3Part             = "aws.s3.part_number"
	attrS3UploadID         = "aws.s3.upload_id"
	attrOperationParameter = "db.operation.parameter." // and the parameter's name

	// attrURLTruncated is our own: the target was longer than what was seen.
	attrURLTruncated = "ebpf.url.truncated"
	attrRouteGuessed = "ebpf.http.route.guessed"
	// attrConnect is the protocol a CONNECT request asks for (RFC 8441).
	attrConnect = "ebpf.http.connect.protocol"
)

// PutSpanAttributes implements exchange.Detail.
//
// Attributes are most of a span's memory: they get one allocation of the right
// size. The builder spares the search for each key that pcommon.Map makes.
func (d *Detail) PutSpanAttributes(x *exchange.Exchange, m pcommon.Map) {
	r := d.parsed()
	client := x.Role == exchange.RoleClient
	path := d.path()
	template := d.template(x)
	errorType := d.errorType(x)
	other := r.method == methodOther
	address, port := d.server(x)
	peer, peerPort := x.Connection.Address(false)
	version := d.Version.String()
	unix := x.Connection != nil && x.Connection.Transport == exchange.TransportUnix
	guessed := template != "" && r.pattern == ""

	n := 1 + count(guessed) + count(address != "") + count(address != "" && port != 0) +
		count(peer != "") + count(peer != "" && peerPort != 0) + count(version != "") + count(d.Carrier != "") + count(unix) +
		count(other) + count(template != "") + count(d.TargetCut) + count(d.Status != 0) + count(errorType != "") + count(d.Connect != "") +
		count(d.RequestBody > 0) + count(d.ResponseBody > 0) + x.KernelAttributes()
	if client {
		n++ // url.full
	} else {
		n += 1 + count(peer != "") + count(len(path) > 0) + count(r.hasQuery) + count(len(d.UserAgent) > 0)
	}
	a := d.application()
	if a != nil {
		n += maxAttributes
	}
	b := &d.attributes
	b.EnsureCapacity(m.Len() + n)
	if m.Len() > 0 {
		for k, v := range m.All() {
			v.CopyTo(b.AppendEmpty(k))
		}
	}

	if !client {
		b.AppendEmpty(attrURLScheme).SetStr(r.scheme)
	}
	if address != "" {
		b.AppendEmpty(attrServerAddress).SetStr(address)
		if port != 0 {
			b.AppendEmpty(attrServerPort).SetInt(int64(port))
		}
	}
	if peer != "" {
		if !client {
			b.AppendEmpty(attrClientAddress).SetStr(peer)
		}
		b.AppendEmpty(attrPeerAddress).SetStr(peer)
		if peerPort != 0 {
			b.AppendEmpty(attrPeerPort).SetInt(int64(peerPort))
		}
	}
	if d.Carrier != "" {
		b.AppendEmpty(attrProtocolName).SetStr(d.Carrier)
	}
	if version != "" {
		b.AppendEmpty(attrProtocolVersion).SetStr(version)
	}
	if unix {
		b.AppendEmpty(attrTransport).SetStr("unix")
	}
	b.AppendEmpty(attrRequestMethod).SetStr(r.method)
	if other {
		b.AppendEmpty(attrRequestMethodOrig).SetStr(d.Strings.String(d.Method))
	}
	if client {
		b.AppendEmpty(attrURLFull).SetStr(d.fullURL(x))
		if template != "" {
			b.AppendEmpty(attrURLTemplate).SetStr(template)
		}
	} else {
		if template != "" {
			b.AppendEmpty(attrRoute).SetStr(template)
			if guessed {
				b.AppendEmpty(attrRouteGuessed).SetBool(true)
			}
		}
		if len(path) > 0 {
			b.AppendEmpty(attrURLPath).SetStr(d.Strings.String(path))
		}
		if r.hasQuery {
			d.scratch = d.appendQuery(d.scratch[:0])
			b.AppendEmpty(attrURLQuery).SetStr(d.Strings.String(d.scratch))
		}
	}
	if d.TargetCut {
		b.AppendEmpty(attrURLTruncated).SetBool(true)
	}
	if d.Status != 0 {
		b.AppendEmpty(attrResponseStatusCode).SetInt(int64(d.Status))
	}
	if errorType != "" {
		b.AppendEmpty(attrErrorType).SetStr(errorType)
	}
	if d.Connect != "" {
		b.AppendEmpty(attrConnect).SetStr(d.Connect)
	}
	if d.RequestBody > 0 {
		b.AppendEmpty(attrRequestBodySize).SetInt(d.RequestBody)
	}
	if d.ResponseBody > 0 {
		b.AppendEmpty(attrResponseBodySize).SetInt(d.ResponseBody)
	}
	if a != nil {
		d.putApplication(a, b)
	}
	x.PutKernelAttributes(b)
	if !client && len(d.UserAgent) > 0 {
		b.AppendEmpty(attrUserAgent).SetStr(d.Strings.String(d.UserAgent))
	}
	b.UnsafeIntoMap(m)
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}
