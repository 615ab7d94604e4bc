// SPDX-License-Identifier: Apache-2.0

package propagation

import (
	"encoding/binary"
	"net"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Packet is a TCP packet on the wire between the nodes, with the experimental
// options (kind 253 or 254) that it carries.
type Packet struct {
	Source, Destination string
	SYN, ACK            bool
	Seq                 uint32
	Payload             int
	Options             [][]byte
}

// Sniffer keeps all TCP packets that pass a node's device, in either direction.
type Sniffer struct {
	fd   int
	stop func()
	done sync.WaitGroup

	mu      sync.Mutex
	packets []Packet
}

// Sniff begins to watch the node's device, by a raw packet socket.
func (n *Node) Sniff() (*Sniffer, error) {
	s := &Sniffer{}
	opened := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends in the other namespace
		opened <- func() error {
			if err := n.enter(); err != nil {
				return err
			}
			device, err := net.InterfaceByName(n.Device)
			if err != nil {
				return err
			}
			const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8 // in network byte order
			if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all); err != nil {
				return err
			}
			_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
			_ = unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000})
			return unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: device.Index})
		}()
	}()
	if err := <-opened; err != nil {
		return nil, err
	}
	stop := make(chan struct{})
	s.done.Go(func() { s.read(stop) })
	s.stop = func() { close(stop) }
	return s, nil
}

func (s *Sniffer) read(stop chan struct{}) {
	buf := make([]byte, 128<<10)
	for {
		n, _, err := unix.Recvfrom(s.fd, buf, 0)
		if err != nil {
			select {
			case <-stop:
				return
			default:
				continue
			}
		}
		if p, ok := parsePacket(buf[:n]); ok {
			s.mu.Lock()
			s.packets = append(s.packets, p)
			s.mu.Unlock()
		}
	}
}

// Take ends the watch and returns what was seen.
func (s *Sniffer) Take() []Packet {
	time.Sleep(100 * time.Millisecond)
	s.stop()
	s.done.Wait()
	_ = unix.Close(s.fd)
	return s.packets
}

func parsePacket(b []byte) (p Packet, ok bool) {
	if len(b) < 14 {
		return p, false
	}
	ip := b[14:]
	var tcp []byte
	switch binary.BigEndian.Uint16(b[12:]) {
	case unix.ETH_P_IP:
		if len(ip) < 20 || ip[9] != unix.IPPROTO_TCP {
			return p, false
		}
		total := int(binary.BigEndian.Uint16(ip[2:]))
		if total == 0 || total > len(ip) { // 0: too large for the field
			total = len(ip)
		}
		p.Source, p.Destination = net.IP(ip[12:16]).String(), net.IP(ip[16:20]).String()
		tcp = ip[int(ip[0]&0xf)*4 : total]
	case unix.ETH_P_IPV6:
		if len(ip) < 40 || ip[6] != unix.IPPROTO_TCP {
			return p, false
		}
		p.Source, p.Destination = net.IP(ip[8:24]).String(), net.IP(ip[24:40]).String()
		tcp = ip[40:]
	default:
		return p, false
	}
	if len(tcp) < 20 {
		return p, false
	}
	p.Seq = binary.BigEndian.Uint32(tcp[4:])
	p.SYN, p.ACK = tcp[13]&2 != 0, tcp[13]&16 != 0
	header := int(tcp[12]>>4) * 4
	p.Payload = len(tcp) - header
	for o := tcp[20:header]; len(o) > 1; {
		if o[0] == 1 { // no-operation
			o = o[1:]
			continue
		}
		if o[0] == 0 || o[1] < 2 || int(o[1]) > len(o) {
			break
		}
		if o[0] == 253 || o[0] == 254 {
			p.Options = append(p.Options, append([]byte(nil), o[:o[1]]...))
		}
		o = o[o[1]:]
	}
	return p, true
}
