// SPDX-License-Identifier: Apache-2.0

package procfs

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ListeningSockets maps the inode of every listening TCP socket in the
// network namespace of a process to its local port.
func (fs FS) ListeningSockets(pid uint32) map[uint64]uint16 {
	ports := map[uint64]uint16{}
	for _, table := range [...]string{"net/tcp", "net/tcp6"} {
		fs.listening(pid, table, ports)
	}
	return ports
}

// listening reads one table. The kernel lists listening sockets before all
// others (tcp_get_idx in net/ipv4/tcp_ipv4.c), so reading stops at the first
// that is not: a busy proxy has a hundred thousand of those.
func (fs FS) listening(pid uint32, table string, ports map[uint64]uint16) {
	fd, err := retry(func() (int, error) {
		return unix.Open(fs.Path(pid, table), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return
	}
	defer unix.Close(fd)
	b, n := make([]byte, 16<<10), 0
	header := true
	for total := 0; total < maxTable; {
		got, err := retry(func() (int, error) { return unix.Read(fd, b[n:]) })
		if err != nil || got <= 0 {
			return
		}
		n, total = n+got, total+got
		rest := b[:n]
		for {
			line, after, whole := bytes.Cut(rest, []byte{'\n'})
			if !whole {
				break
			}
			rest = after
			if header {
				header = false
				continue
			}
			inode, port, listening := parseSocket(line)
			if !listening {
				return
			}
			ports[inode] = port
		}
		if n = copy(b, rest); n == len(b) {
			return // no line is that long
		}
	}
}

// parseSocket reads a line of /proc/net/tcp or tcp6:
//
//	sl: local_address:port remote_address:port st tx:rx tr:when retrnsmt uid timeout inode
func parseSocket(line []byte) (inode uint64, port uint16, listening bool) {
	const stateListen = "0A" // TCP_LISTEN, include/net/tcp_states.h
	fields := bytes.Fields(line)
	if len(fields) < 10 || string(fields[3]) != stateListen {
		return 0, 0, false
	}
	colon := bytes.LastIndexByte(fields[1], ':')
	p, err := strconv.ParseUint(string(fields[1][colon+1:]), 16, 16)
	if err != nil {
		return 0, 0, false
	}
	inode, err = strconv.ParseUint(string(fields[9]), 10, 64)
	return inode, uint16(p), err == nil
}

// Sockets calls use with the inode of every socket a process has open, until
// use returns false.
func (fs FS) Sockets(pid uint32, use func(inode uint64) bool) {
	dir, err := os.Open(fs.Path(pid, "fd"))
	if err != nil {
		return
	}
	defer dir.Close()
	var target [64]byte
	for {
		names, err := dir.Readdirnames(1024)
		for _, name := range names {
			n, err := unix.Readlinkat(int(dir.Fd()), name, target[:])
			if err != nil {
				continue
			}
			if inode, ok := socketInode(target[:n]); ok && !use(inode) {
				return
			}
		}
		if err != nil || len(names) == 0 {
			return
		}
	}
}

// socketInode parses "socket:[123]".
func socketInode(target []byte) (uint64, bool) {
	digits, ok := bytes.CutPrefix(target, []byte("socket:["))
	if !ok {
		return 0, false
	}
	digits, ok = bytes.CutSuffix(digits, []byte{']'})
	if !ok {
		return 0, false
	}
	inode, err := strconv.ParseUint(string(digits), 10, 64)
	return inode, err == nil
}
