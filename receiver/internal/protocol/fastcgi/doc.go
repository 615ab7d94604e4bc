// SPDX-License-Identifier: Apache-2.0

// Package fastcgi understands FastCGI, which web servers pass requests on with to
// applications: segments with gaps in, exchanges out.
//
// A request is told by the parameters REQUEST_METHOD, REQUEST_URI, HTTP_HOST,
// HTTP_USER_AGENT and HTTPS, its response by the field Status at the beginning of STDOUT
// (200 if it is not there: RFC 3875 section 6.3.3). It becomes an HTTP span with
// network.protocol.name=fastcgi: SERVER at the application, CLIENT at the web server, of
// which server.address is the application's, not the host that the user asked for.
// Requests are paired by their ids.
//
// An END_REQUEST that refuses a request (protocolStatus) is its error.type. What is in
// STDERR does not count: it is a log.
//
// References:
//   - FastCGI 1.0: https://fastcgi-archives.github.io/FastCGI_Specification.html
//   - RFC 3875, CGI 1.1: https://www.rfc-editor.org/rfc/rfc3875.html
package fastcgi
