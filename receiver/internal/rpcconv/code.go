// SPDX-License-Identifier: Apache-2.0

package rpcconv

// Code is a status code of gRPC
// (https://github.com/grpc/grpc/blob/master/doc/statuscodes.md).
type Code int8

const (
	// NoCode: none was seen.
	NoCode Code = iota - 1
	OK
	Cancelled
	Unknown
	InvalidArgument
	DeadlineExceeded
	NotFound
	AlreadyExists
	PermissionDenied
	ResourceExhausted
	FailedPrecondition
	Aborted
	OutOfRange
	Unimplemented
	Internal
	Unavailable
	DataLoss
	Unauthenticated
	codes
)

var codeNames = [codes]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE",
	"DATA_LOSS", "UNAUTHENTICATED",
}

// String is the value of rpc.response.status_code, "" for NoCode.
func (c Code) String() string {
	if c < 0 || c >= codes {
		return ""
	}
	return codeNames[c]
}

// IsError reports whether the status is an error for one of the sides
// (docs/rpc/grpc.md): for clients all but OK, for servers what is their own fault.
func (c Code) IsError(client bool) bool {
	switch c {
	case NoCode, OK:
		return false
	case Unknown, DeadlineExceeded, Unimplemented, Internal, Unavailable, DataLoss:
		return true
	}
	return client
}

// ParseCode reads the value of grpc-status: decimal digits. Codes that do not exist
// are UNKNOWN, as libraries take them.
func ParseCode(v []byte) Code {
	if len(v) == 0 || len(v) > 10 {
		return Unknown
	}
	n := 0
	for _, c := range v {
		if c < '0' || c > '9' {
			return Unknown
		}
		n = n*10 + int(c-'0')
	}
	if n >= int(codes) {
		return Unknown
	}
	return Code(n)
}

// CodeOfHTTP is what an HTTP status means where no grpc-status came with it
// (https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md).
func CodeOfHTTP(status int) Code {
	switch status {
	case 400:
		return Internal
	case 401:
		return Unauthenticated
	case 403:
		return PermissionDenied
	case 404:
		return Unimplemented
	case 429, 502, 503, 504:
		return Unavailable
	}
	return Unknown
}

// CodeOfReset is what an error code of RST_STREAM means
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#errors).
func CodeOfReset(code uint32) Code {
	switch code {
	case 0x7: // REFUSED_STREAM
		return Unavailable
	case 0x8: // CANCEL
		return Cancelled
	case 0xb: // ENHANCE_YOUR_CALM
		return ResourceExhausted
	case 0xc: // INADEQUATE_SECURITY
		return PermissionDenied
	}
	return Internal
}
