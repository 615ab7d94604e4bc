// SPDX-License-Identifier: Apache-2.0

package httpconv

import (
	"bytes"
	"net/netip"
	"strings"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
)

// hostCache remembers the last authority parsed: on one connection it is
// nearly always the same.
type hostCache struct {
	raw     string
	address string // "" if raw is no host
	port    int    // 0 if raw has none
}

// parseHost splits "host", "host:port", "[v6]:port". The address is "" if the
// bytes cannot be a host; the port is 0 if there is none that makes sense.
func (d *Detail) parseHost(raw []byte) (address string, port int) {
	if len(raw) == 0 {
		return "", 0
	}
	if string(raw) == d.host.raw {
		return d.host.address, d.host.port
	}
	d.host = hostCache{raw: string(raw)}
	d.host.address, d.host.port = SplitHost(d.host.raw)
	if len(raw) > 1<<10 {
		address, port = d.host.address, d.host.port
		d.host = hostCache{} // not worth its memory
		return address, port
	}
	return d.host.address, d.host.port
}

// SplitHost splits "host", "host:port", "[v6]:port", with or without userinfo. The
// address is "" if the text cannot be a host; the port is 0 if there is none that makes
// sense.
func SplitHost(s string) (address string, port int) {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		s = s[i+1:] // userinfo
	}
	rest := ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", 0
		}
		address, rest = s[1:end], s[end+1:]
		if _, err := netip.ParseAddr(address); err != nil {
			return "", 0
		}
		if rest != "" && rest[0] != ':' {
			return "", 0
		}
	} else if i := strings.IndexByte(s, ':'); i >= 0 {
		if strings.IndexByte(s[i+1:], ':') >= 0 {
			// More than one colon: an IPv6 address that lost its brackets.
			if _, err := netip.ParseAddr(s); err != nil {
				return "", 0
			}
			return s, 0
		}
		address, rest = s[:i], s[i:]
	} else {
		address = s
	}
	for i := range len(address) {
		switch c := address[i]; {
		case c <= ' ' || c >= 0x7f,
			strings.IndexByte("\"#/<>?@[\\]^`{|}", c) >= 0:
			return "", 0
		}
	}
	if len(rest) > 1 && len(rest) <= 6 {
		for _, c := range []byte(rest[1:]) {
			if c < '0' || c > '9' {
				return address, 0
			}
			port = port*10 + int(c-'0')
		}
		if port > 65535 {
			port = 0
		}
	}
	return address, port
}

// server is server.address and server.port: the host of an absolute or
// authority form target, else that of the Host header (with the scheme's port
// if it names none), else the server's end of the socket, by the name a client looked it
// up by. (A host that is an address is what the client asked for.) Port 0 means there is
// none to report.
func (d *Detail) server(x *exchange.Exchange) (address string, port int) {
	r := d.parsed()
	address, port = d.parseHost(d.authority())
	if address == "" {
		address, port = d.parseHost(d.Host)
	}
	c := x.Connection
	unix := c != nil && c.Transport == exchange.TransportUnix
	if address == "" {
		return x.ServerAddress()
	}
	if unix && len(address) > 3 && strings.EqualFold(address[:3], "%2f") {
		// A socket's path in place of a host name, as some clients do.
		if c.Path != "" {
			return strings.ToValidUTF8(c.Path, "\uFFFD"), 0
		}
	}
	if port == 0 && !unix && r.form != formAuthority {
		port = defaultPort(r.scheme)
	}
	return address, port
}

func defaultPort(scheme string) int {
	switch scheme {
	case "http":
		return 80
	case "https":
		return 443
	}
	return 0
}

// fullURL is url.full: scheme, host as named in the request (or the peer's
// address), path and query, without credentials.
func (d *Detail) fullURL(x *exchange.Exchange) string {
	r := d.parsed()
	b := d.scratch[:0]
	authority := d.authority()
	switch {
	case r.form == formAuthority:
		// As net/url writes a URL that has only a host.
		b = append(b, "//"...)
		b = appendAuthority(b, authority)
		d.scratch = b
		return d.Strings.String(b)
	case r.form == formAbsolute:
	default:
		authority = d.Host
		if address, _ := d.parseHost(authority); address == "" {
			authority = nil
		}
	}
	switch {
	case len(authority) > 0:
		b = append(append(b, r.scheme...), "://"...)
		b = appendAuthority(b, authority)
	default:
		b = d.appendPeer(b, x, r.scheme)
	}
	if r.form == formOther && len(d.path()) > 0 {
		b = append(b, '/')
	}
	if r.form != formAsterisk {
		b = append(b, d.path()...)
	}
	if r.hasQuery {
		b = d.appendQuery(append(b, '?'))
	}
	d.scratch = b
	return d.Strings.String(b)
}

// appendAuthority appends host and port, and says that there was userinfo.
func appendAuthority(b, authority []byte) []byte {
	if i := bytes.LastIndexByte(authority, '@'); i >= 0 {
		b = append(b, redacted...)
		if bytes.IndexByte(authority[:i], ':') >= 0 {
			b = append(append(b, ':'), redacted...)
		}
		b = append(b, '@')
		authority = authority[i+1:]
	}
	return append(b, authority...)
}

// appendPeer appends the scheme and the server's end of the socket. A unix
// socket's path is percent-encoded, below http+unix, as its users write it. A
// socket without a name adds nothing: the URL stays a relative one.
func (d *Detail) appendPeer(b []byte, x *exchange.Exchange, scheme string) []byte {
	address, port := x.ServerAddress()
	switch {
	case address == "":
		return b
	case x.Connection.Transport == exchange.TransportUnix:
		b = append(append(b, scheme...), "+unix://"...)
		for i := range len(address) {
			c := address[i]
			if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~' {
				b = append(b, c)
			} else {
				b = append(b, '%', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15])
			}
		}
		return b
	}
	b = append(append(b, scheme...), "://"...)
	if strings.IndexByte(address, ':') >= 0 {
		b = append(append(append(b, '['), address...), ']')
	} else {
		b = append(b, address...)
	}
	if port != 0 && port != defaultPort(scheme) {
		b = appendInt(append(b, ':'), port)
	}
	return b
}
