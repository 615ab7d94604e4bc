// SPDX-License-Identifier: Apache-2.0

package httpconv

import "bytes"

// s3Subresources are parameters of the query that make other operations of a method, and
// the operations' names without the verb (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html).
var s3Subresources = map[string]struct{ bucket, object string }{
	"accelerate":          {"BucketAccelerateConfiguration", ""},
	"acl":                 {"BucketAcl", "ObjectAcl"},
	"analytics":           {"BucketAnalyticsConfiguration", ""},
	"attributes":          {"", "ObjectAttributes"},
	"cors":                {"BucketCors", ""},
	"encryption":          {"BucketEncryption", ""},
	"intelligent-tiering": {"BucketIntelligentTieringConfiguration", ""},
	"inventory":           {"BucketInventoryConfiguration", ""},
	"legal-hold":          {"", "ObjectLegalHold"},
	"lifecycle":           {"BucketLifecycleConfiguration", ""},
	"location":            {"BucketLocation", ""},
	"logging":             {"BucketLogging", ""},
	"metrics":             {"BucketMetricsConfiguration", ""},
	"notification":        {"BucketNotificationConfiguration", ""},
	"object-lock":         {"ObjectLockConfiguration", ""},
	"ownershipControls":   {"BucketOwnershipControls", ""},
	"policy":              {"BucketPolicy", ""},
	"policyStatus":        {"BucketPolicyStatus", ""},
	"publicAccessBlock":   {"PublicAccessBlock", ""},
	"replication":         {"BucketReplication", ""},
	"requestPayment":      {"BucketRequestPayment", ""},
	"retention":           {"", "ObjectRetention"},
	"tagging":             {"BucketTagging", "ObjectTagging"},
	"torrent":             {"", "ObjectTorrent"},
	"versioning":          {"BucketVersioning", ""},
	"website":             {"BucketWebsite", ""},
}

// s3Names are the operations of s3Subresources by their verbs.
var s3Names = func() map[[2]string]string {
	m := map[[2]string]string{}
	for _, r := range s3Subresources {
		for _, name := range []string{r.bucket, r.object} {
			for method, verb := range map[string]string{"GET": "Get", "PUT": "Put", "DELETE": "Delete"} {
				m[[2]string{method, name}] = verb + name
			}
		}
	}
	m[[2]string{"DELETE", "BucketLifecycleConfiguration"}] = "DeleteBucketLifecycle"
	return m
}()

// s3Parameters is what else of the query tells an operation.
type s3Parameters struct {
	subresource                                 string // a key of s3Subresources
	listType2, versions, uploads, delete, part  bool
	upload, restore, selectContent, unknown, id bool
}

// s3Operation finds out which operation of the API a request is. It fills in what the
// operation has of a.uploadID and a.part.
func s3Operation(method string, a *application, query []byte) (operation string, ok bool) {
	var p s3Parameters
	for len(query) > 0 {
		pair := query
		if i := bytes.IndexByte(query, '&'); i >= 0 {
			pair, query = query[:i], query[i+1:]
		} else {
			query = nil
		}
		name, value, _ := bytes.Cut(pair, []byte("="))
		p.take(a, name, value)
	}
	switch {
	case p.unknown:
	case len(a.bucket) == 0:
		if method == "GET" && len(a.key) == 0 && p.subresource == "" {
			operation = "ListBuckets"
		}
	case len(a.key) == 0:
		operation = p.ofBucket(method)
	default:
		operation = p.ofObject(method, len(a.copySource) > 0)
	}
	if operation != "UploadPart" && operation != "UploadPartCopy" {
		a.part = 0
	}
	return operation, operation != ""
}

func (p *s3Parameters) take(a *application, name, value []byte) {
	switch string(name) {
	case "":
	case "list-type":
		p.listType2 = string(value) == "2"
	case "versions":
		p.versions = true
	case "uploads":
		p.uploads = true
	case "delete":
		p.delete = true
	case "restore":
		p.restore = true
	case "select":
		p.selectContent = true
	case "id": // of one of several configurations
		p.id = true
	case "uploadId":
		p.upload, a.uploadID = true, value
	case "partNumber":
		if a.part = partNumber(value); a.part > 0 {
			p.part = true
		}
	default:
		if _, ok := s3Subresources[string(name)]; ok {
			p.subresource = string(name)
		} else if len(value) == 0 && !harmless(name) {
			p.unknown = true // another operation
		}
	}
}

// harmless are parameters that may be empty and do not make another operation.
func harmless(name []byte) bool {
	switch string(name) {
	case "prefix", "delimiter", "marker", "key-marker", "version-id-marker", "upload-id-marker", "start-after",
		"continuation-token", "encoding-type", "versionId":
		return true
	}
	return false
}

func (p *s3Parameters) ofBucket(method string) string {
	if p.subresource != "" {
		if p.subresource == "attributes" {
			return ""
		}
		name := s3Subresources[p.subresource].bucket
		if method == "GET" && !p.id {
			switch p.subresource {
			case "analytics":
				return "ListBucketAnalyticsConfigurations"
			case "intelligent-tiering":
				return "ListBucketIntelligentTieringConfigurations"
			case "inventory":
				return "ListBucketInventoryConfigurations"
			case "metrics":
				return "ListBucketMetricsConfigurations"
			}
		}
		if name == "" {
			return ""
		}
		return s3Names[[2]string{method, name}]
	}
	switch method {
	case "GET":
		switch {
		case p.versions:
			return "ListObjectVersions"
		case p.uploads:
			return "ListMultipartUploads"
		case p.listType2:
			return "ListObjectsV2"
		}
		return "ListObjects"
	case "HEAD":
		return "HeadBucket"
	case "PUT":
		return "CreateBucket"
	case "DELETE":
		return "DeleteBucket"
	case "POST":
		if p.delete {
			return "DeleteObjects"
		}
	}
	return ""
}

func (p *s3Parameters) ofObject(method string, copied bool) string {
	if p.subresource != "" {
		name := s3Subresources[p.subresource].object
		if name == "" {
			return ""
		}
		return s3Names[[2]string{method, name}]
	}
	switch method {
	case "GET":
		if p.upload {
			return "ListParts"
		}
		return "GetObject"
	case "HEAD":
		return "HeadObject"
	case "PUT":
		switch {
		case p.part && p.upload && copied:
			return "UploadPartCopy"
		case p.part && p.upload:
			return "UploadPart"
		case copied:
			return "CopyObject"
		}
		return "PutObject"
	case "DELETE":
		if p.upload {
			return "AbortMultipartUpload"
		}
		return "DeleteObject"
	case "POST":
		switch {
		case p.uploads:
			return "CreateMultipartUpload"
		case p.upload:
			return "CompleteMultipartUpload"
		case p.restore:
			return "RestoreObject"
		case p.selectContent:
			return "SelectObjectContent"
		}
	}
	return ""
}
