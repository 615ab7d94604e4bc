// SPDX-License-Identifier: Apache-2.0

package container

import (
	"path"
	"strconv"

	"golang.org/x/sys/unix"
)

// readBelow reads a regular file by its path from a directory of /proc that is a
// link into a process's view of the file system. The process may be part of a
// container and mean ill, so links of its own lead nowhere else: an absolute path
// is taken from that root, a relative one may hold none. Nil if it cannot be read.
func readBelow(dir, name string) []byte {
	dirfd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(dirfd)
	resolve := uint64(unix.RESOLVE_NO_MAGICLINKS)
	if path.IsAbs(name) {
		resolve |= unix.RESOLVE_IN_ROOT
	} else {
		resolve |= unix.RESOLVE_NO_SYMLINKS
	}
	// Opened for good once it is known to be no device or pipe.
	file, err := unix.Openat2(dirfd, name, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: resolve})
	if err != nil {
		return nil
	}
	defer unix.Close(file)
	var stat unix.Stat_t
	if unix.Fstat(file, &stat) != nil || stat.Mode&unix.S_IFMT != unix.S_IFREG || stat.Size > maxConfig {
		return nil
	}
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(file), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	text := make([]byte, 0, stat.Size+1)
	for len(text) <= maxConfig {
		if len(text) == cap(text) {
			text = append(text, 0)[:len(text)]
		}
		n, err := unix.Read(fd, text[len(text):cap(text)])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			break
		}
		text = text[:len(text)+n]
	}
	return text
}
