// SPDX-License-Identifier: Apache-2.0

// Package httpconv maps HTTP exchanges, of any HTTP version, to the OpenTelemetry
// semantic conventions v1.43.0. Parsers fill a Detail; nothing here parses
// messages off the wire.
package httpconv

// Version is the HTTP version of a request as network.protocol.version has it.
type Version uint8

const (
	VersionUnknown Version = iota
	Version10
	Version11
	Version2
	Version3
)

// Detail is the HTTP half of an exchange. It is reused: Reset keeps the
// buffers. The byte slices belong to the Detail (parsers append into them).
type Detail struct {
	// Settings are shared by all exchanges of an engine; never nil.
	Settings *Settings
	Version  Version
	// Method is the method token as sent; Target the request target as sent
	// (origin, absolute, authority or asterisk form), possibly cut at
	// MaxTarget bytes with TargetCut set.
	Method, Target []byte
	TargetCut      bool
	// Host is the Host header or :authority, UserAgent the User-Agent header.
	Host, UserAgent []byte
	// Status is the response's status code; 0 if none was seen.
	Status int
	// RequestBody and ResponseBody are payload body sizes in bytes (after
	// removing chunked framing); -1 if not known.
	RequestBody, ResponseBody int64
}

// MaxTarget bounds the request target kept, in bytes.
const MaxTarget = 8 << 10
