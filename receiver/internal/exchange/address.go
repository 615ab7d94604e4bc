// SPDX-License-Identifier: Apache-2.0

package exchange

import (
	"strings"

	"go.opentelemetry.io/collector/pdata/xpdata"
)

// Attribute names of semantic conventions v1.43.0 that all protocols share.
const (
	AttrClientAddress = "client.address"
	AttrPeerAddress   = "network.peer.address"
	AttrPeerPort      = "network.peer.port"
	AttrServerAddress = "server.address"
	AttrServerPort    = "server.port"
	AttrTransport     = "network.transport"
)

// Address is the local or the peer's end of the socket; "" if unnamed, as the peer's of
// a UDP socket that talks with many is. Of a unix
// socket only the server's end has a name, and no port.
func (c *Connection) Address(local bool) (address string, port int) {
	if c == nil {
		return "", 0
	}
	if c.Transport == TransportUnix {
		if local == (c.Role == RoleServer) {
			return strings.ToValidUTF8(c.Path, "\uFFFD"), 0
		}
		return "", 0
	}
	if local {
		if !c.Local.IsValid() || c.Local.Addr().IsUnspecified() {
			return "", 0
		}
		return c.LocalAddress(), int(c.Local.Port())
	}
	if !c.Peer.IsValid() || c.Peer.Addr().IsUnspecified() {
		return "", 0
	}
	return c.PeerAddress(), int(c.Peer.Port())
}

// ServerAddress is the server's end of the socket: server.address and server.port of
// protocols that do not name the server in the request. A client's is the name by which
// it looked the address up, where that is known.
func (x *Exchange) ServerAddress() (address string, port int) {
	if c := x.Connection; c != nil && c.ServerName != "" && x.Role == RoleClient {
		return c.ServerName, int(c.Peer.Port())
	}
	return x.Connection.Address(x.Role == RoleServer)
}

// PutAddresses adds the ends of the socket to the attributes of a span: at most six.
func (x *Exchange) PutAddresses(b *xpdata.MapBuilder) {
	if address, port := x.ServerAddress(); address != "" {
		b.AppendEmpty(AttrServerAddress).SetStr(address)
		if port != 0 {
			b.AppendEmpty(AttrServerPort).SetInt(int64(port))
		}
	}
	if peer, port := x.Connection.Address(false); peer != "" {
		if x.Role != RoleClient {
			b.AppendEmpty(AttrClientAddress).SetStr(peer)
		}
		b.AppendEmpty(AttrPeerAddress).SetStr(peer)
		if port != 0 {
			b.AppendEmpty(AttrPeerPort).SetInt(int64(port))
		}
	}
	if x.Connection != nil && x.Connection.Transport != TransportTCP {
		b.AppendEmpty(AttrTransport).SetStr(x.Connection.Transport.String())
	}
}

// Seconds is the exchange's duration.
func (x *Exchange) Seconds() float64 {
	if x.End <= x.Start {
		return 0
	}
	return float64(x.End-x.Start) / 1e9
}
