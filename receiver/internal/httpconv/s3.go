// SPDX-License-Identifier: Apache-2.0

package httpconv

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/xpdata"
)

// SignatureV4 is how an Authorization header begins that has AWS's signature version 4
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-auth-methods.html).
const SignatureV4 = "AWS4-HMAC-SHA256 "

// rpcSystemAWS is the value of rpc.system.name that the conventions' page of the AWS
// SDK gives.
const rpcSystemAWS = "aws-api"

// signedForS3 takes an Authorization header and returns the region it is for, if it is
// a signature for S3.
func signedForS3(v []byte) (region []byte, ok bool) {
	rest, ok := bytes.CutPrefix(v, []byte(SignatureV4))
	if !ok {
		return nil, false
	}
	i := bytes.Index(rest, []byte("Credential="))
	if i < 0 {
		return nil, false
	}
	rest = rest[i+len("Credential="):]
	if i = bytes.IndexAny(rest, ", "); i >= 0 {
		rest = rest[:i]
	}
	return scopeOfS3(rest)
}

// scopeOfS3 takes a credential: key/date/region/service/aws4_request.
func scopeOfS3(credential []byte) (region []byte, ok bool) {
	rest, ok := bytes.CutSuffix(credential, []byte("/s3/aws4_request"))
	if !ok {
		return nil, false
	}
	i := bytes.LastIndexByte(rest, '/')
	if i < 0 || len(rest)-i > 64 {
		return nil, false
	}
	return rest[i+1:], true
}

// presignedForS3 is signedForS3 for signatures in the query.
func (d *Detail) presignedForS3(a *application) bool {
	query := d.query()
	if algorithm, _ := parameterOf(query, "X-Amz-Algorithm"); string(algorithm) != SignatureV4[:len(SignatureV4)-1] {
		return false
	}
	credential, _ := parameterOf(query, "X-Amz-Credential")
	var buf [256]byte
	if len(credential) > len(buf) {
		return false
	}
	region, ok := scopeOfS3(unescape(buf[:0], credential))
	a.region = append(a.region[:0], region...)
	return ok
}

// recognizeS3: the request is signed for S3, the response has its identifiers.
func (d *Detail) recognizeS3(a *application) bool {
	if !a.signed && !d.presignedForS3(a) {
		return false
	}
	host := d.authority()
	if address, _ := d.parseHost(host); address == "" {
		host = d.Host
	}
	a.bucket, a.key, a.uploadID, a.part = nil, nil, nil, 0
	path := d.path()[1:]
	address, _ := d.parseHost(host)
	switch bucket, style := styleOf(address); {
	case style == styleHost:
		a.host = append(a.host[:0], bucket...)
		a.bucket, a.key = a.host, path
	default:
		i := bytes.IndexByte(path, '/')
		if i < 0 {
			i = len(path)
		}
		a.bucket = path[:i]
		a.key = path[min(i+1, len(path)):]
		if style == styleUnknown && len(a.key) == 0 {
			// A bucket, or an object of one that the host names.
			return false
		}
	}
	var ok bool
	a.operation, ok = s3Operation(d.request.method, a, d.query())
	if _, style := styleOf(address); style == styleUnknown {
		a.bucket, a.key = nil, nil
	}
	return ok
}

// style is where a request names its bucket.
type style uint8

const (
	// stylePath: in the path's first segment.
	stylePath style = iota
	// styleHost: in the host name.
	styleHost
	// styleUnknown: in either.
	styleUnknown
)

// styleOf judges a host (https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html).
// Of others' hosts only addresses, single names and those of Kubernetes's services are
// certain not to begin with a bucket.
func styleOf(host string) (bucket string, s style) {
	for i := range len(host) {
		if host[i] != 's' || i > 0 && host[i-1] != '.' || len(host) < i+3 || host[i+1] != '3' ||
			host[i+2] != '.' && (host[i+2] != '-' || !strings.Contains(host, ".amazonaws.com")) {
			continue
		}
		if i == 0 {
			return "", stylePath
		}
		return host[:i-1], styleHost
	}
	if n := len(host); n > 0 && (strings.IndexByte(host, ':') >= 0 || host[n-1] >= '0' && host[n-1] <= '9') {
		if _, err := netip.ParseAddr(host); err == nil {
			return "", stylePath
		}
	}
	dots := 0
	for i := range len(host) {
		if host[i] == '.' {
			dots++
		}
	}
	const cluster = ".svc.cluster.local"
	if n := len(host) - len(cluster); dots == 0 || dots == 4 && n > 0 && host[n:] == cluster {
		return "", stylePath
	}
	return "", styleUnknown
}

func (d *Detail) s3Name(a *application) string {
	d.scratch = append(append(d.scratch[:0], "S3."...), a.operation...)
	return d.Strings.String(d.scratch)
}

func (d *Detail) putS3(a *application, b *xpdata.MapBuilder) {
	b.AppendEmpty(attrRPCSystem).SetStr(rpcSystemAWS)
	d.scratch = append(append(d.scratch[:0], "S3/"...), a.operation...)
	b.AppendEmpty(attrRPCMethod).SetStr(d.Strings.String(d.scratch))
	d.put(b, attrCloudRegion, a.region)
	d.put(b, attrAWSRequestID, a.requestID)
	d.put(b, attrAWSExtendedID, a.extendedID)
	d.put(b, attrS3Bucket, a.bucket)
	d.scratch = unescape(d.scratch[:0], a.key)
	d.put(b, attrS3Key, d.scratch)
	d.scratch = unescape(d.scratch[:0], a.uploadID)
	d.put(b, attrS3UploadID, d.scratch)
	if a.part > 0 {
		b.AppendEmpty(attrS3Part).SetInt(int64(a.part))
	}
	if len(a.copySource) > 0 {
		d.scratch = unescape(d.scratch[:0], bytes.TrimPrefix(a.copySource, []byte("/")))
		d.put(b, attrS3CopySource, d.scratch)
	}
}

// partNumber is the value of a parameter, 0 if it is none.
func partNumber(v []byte) int {
	if len(v) == 0 || len(v) > 5 {
		return 0
	}
	n, err := strconv.ParseUint(string(v), 10, 16)
	if err != nil || n > 10000 {
		return 0
	}
	return int(n)
}
