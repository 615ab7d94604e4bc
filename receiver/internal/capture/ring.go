// SPDX-License-Identifier: Apache-2.0

//go:build linux

package capture

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Layout of a BPF ring buffer's mapping (kernel/bpf/ringbuf.c): one page with
// the consumer position, one with the producer position, then the data pages
// twice in a row, so that no record ever wraps.
const (
	recordHeaderSize = 8
	recordBusy       = 1 << 31
	recordDiscarded  = 1 << 30
)

// Ring reads one BPF ring buffer in place. Producers never wake the reader
// but when the ring fills up, so Wait sleeps on a timer.
//
// cilium/ebpf's reader copies every record under a lock and needs a wakeup or
// a deadline to see data; this one costs a fifth of that per record.
//
// A Ring belongs to one goroutine; only Wake may be called from another.
type Ring struct {
	consumer  []byte
	producer  []byte
	data      unsafe.Pointer
	size      uint64
	consumed  uint64
	epoll     int
	wakeEvent int
	events    [2]unix.EpollEvent
}

// newRing maps the ring buffer map with file descriptor fd and size bytes of
// data (a power of two).
func newRing(fd int, size int) (*Ring, error) {
	page := os.Getpagesize()
	consumer, err := unix.Mmap(fd, 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map ring consumer page: %w", err)
	}
	producer, err := unix.Mmap(fd, int64(page), page+2*size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		_ = unix.Munmap(consumer)
		return nil, fmt.Errorf("map ring data pages: %w", err)
	}
	r := &Ring{
		consumer: consumer, producer: producer,
		data: unsafe.Pointer(&producer[page]), size: uint64(size),
		epoll: -1, wakeEvent: -1,
	}
	r.consumed = atomic.LoadUint64(r.consumerPosition())
	if r.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		r.close()
		return nil, fmt.Errorf("create epoll instance: %w", err)
	}
	if r.wakeEvent, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		r.close()
		return nil, fmt.Errorf("create eventfd: %w", err)
	}
	// Edge-triggered: readiness alone (there is nearly always some data) must
	// not end a sleep, only a wakeup sent by a producer.
	for _, f := range []int{fd, r.wakeEvent} {
		ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(f)}
		if err = unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, f, &ev); err != nil {
			r.close()
			return nil, fmt.Errorf("watch ring: %w", err)
		}
	}
	return r, nil
}

func (r *Ring) consumerPosition() *uint64 { return (*uint64)(unsafe.Pointer(&r.consumer[0])) }
func (r *Ring) producerPosition() *uint64 { return (*uint64)(unsafe.Pointer(&r.producer[0])) }

// Drain calls f for every record in the ring and returns how many bytes of
// the ring they filled. A record is valid only during the call.
func (r *Ring) Drain(f func(record []byte)) (bytes uint64) {
	start := r.consumed
	for {
		produced := atomic.LoadUint64(r.producerPosition())
		if r.consumed >= produced {
			break
		}
		batch := r.consumed
		for r.consumed < produced {
			header := (*uint32)(unsafe.Add(r.data, r.consumed&(r.size-1)))
			length := atomic.LoadUint32(header)
			if length&recordBusy != 0 {
				// Its producer has not finished; it will have by next time.
				atomic.StoreUint64(r.consumerPosition(), r.consumed)
				return r.consumed - start
			}
			n := uint64(length &^ recordDiscarded)
			if length&recordDiscarded == 0 {
				f(unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(header), recordHeaderSize)), n))
			}
			r.consumed += (n + recordHeaderSize + 7) &^ 7
			if r.consumed-batch > r.size/16 {
				// Give space back in portions: one store per batch, not
				// per record, on a line the producers read.
				atomic.StoreUint64(r.consumerPosition(), r.consumed)
				batch = r.consumed
			}
		}
		atomic.StoreUint64(r.consumerPosition(), r.consumed)
	}
	return r.consumed - start
}

// Size of the ring in bytes.
func (r *Ring) Size() uint64 { return r.size }

// Wait sleeps for d, or until the ring fills up or Wake is called.
func (r *Ring) Wait(d time.Duration) {
	ms := int(d.Milliseconds())
	if ms < 1 {
		ms = 1
	}
	// EINTR and timeouts alike just end the sleep.
	n, _ := unix.EpollWait(r.epoll, r.events[:], ms)
	for i := range max(n, 0) {
		if int(r.events[i].Fd) == r.wakeEvent {
			var b [8]byte
			_, _ = unix.Read(r.wakeEvent, b[:])
		}
	}
}

// Wake ends a Wait early. Safe for concurrent use, but not with close.
func (r *Ring) Wake() {
	b := [8]byte{1}
	_, _ = unix.Write(r.wakeEvent, b[:])
}

func (r *Ring) close() {
	for _, fd := range []int{r.epoll, r.wakeEvent} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	_ = unix.Munmap(r.consumer)
	_ = unix.Munmap(r.producer)
}
