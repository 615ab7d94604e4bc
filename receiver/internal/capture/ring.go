// SPDX-License-Identifier: Apache-2.0

//go:build linux

package capture

import (
	"fmt"
	"os"
	"sync"
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
// A Ring belongs to one goroutine; only Wake may be called from others.
type Ring struct {
	consumer  []byte
	producer  []byte
	data      unsafe.Pointer
	size      uint64
	consumed  uint64
	scanned   uint64 // how far Scan has got
	epoll     int
	stopEvent int
	timer     *time.Timer
	wake      chan struct{}
	watching  sync.WaitGroup
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
		epoll: -1, stopEvent: -1, wake: make(chan struct{}, 1),
	}
	r.consumed = atomic.LoadUint64(r.consumerPosition())
	if r.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		r.close()
		return nil, fmt.Errorf("create epoll instance: %w", err)
	}
	if r.stopEvent, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		r.close()
		return nil, fmt.Errorf("create eventfd: %w", err)
	}
	// Edge-triggered: readiness alone (there is nearly always some data) must
	// not end a sleep, only a wakeup sent by a producer.
	for _, f := range []int{fd, r.stopEvent} {
		ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(f)}
		if err = unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, f, &ev); err != nil {
			r.close()
			return nil, fmt.Errorf("watch ring: %w", err)
		}
	}
	r.timer = time.NewTimer(time.Hour)
	r.watching.Go(r.watch)
	return r, nil
}

// watch waits for wakeups sent by producers, which are rare. Waiting in the
// reader itself, with a timeout, would be a system call that blocks every few
// milliseconds, and each makes Go's scheduler look after its threads every 20 us
// for the next millisecond: more CPU time than a busy reader needs.
func (r *Ring) watch() {
	var events [2]unix.EpollEvent
	for {
		n, err := unix.EpollWait(r.epoll, events[:], -1)
		if err != nil && err != unix.EINTR {
			return
		}
		for i := range max(n, 0) {
			if int(events[i].Fd) == r.stopEvent {
				return
			}
		}
		if n > 0 {
			r.Wake()
		}
	}
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

// Scan calls f for every record that neither Drain nor Scan have called anything for yet;
// Drain will, nevertheless. It reports whether it came to the end: a record that is still
// being written hides what is behind it. It may be called while Drain calls.
func (r *Ring) Scan(f func(record []byte)) bool {
	r.scanned = max(r.scanned, r.consumed)
	produced := atomic.LoadUint64(r.producerPosition())
	for r.scanned < produced {
		header := (*uint32)(unsafe.Add(r.data, r.scanned&(r.size-1)))
		length := atomic.LoadUint32(header)
		if length&recordBusy != 0 {
			return false
		}
		n := uint64(length &^ recordDiscarded)
		if length&recordDiscarded == 0 {
			f(unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(header), recordHeaderSize)), n))
		}
		r.scanned += (n + recordHeaderSize + 7) &^ 7
	}
	return true
}

// Size of the ring in bytes.
func (r *Ring) Size() uint64 { return r.size }

// Wait sleeps for d, or until the ring fills up or Wake is called.
func (r *Ring) Wait(d time.Duration) {
	r.timer.Reset(d)
	select {
	case <-r.timer.C:
	case <-r.wake:
	}
}

// Wake ends a Wait early, this one or the next. Safe for concurrent use.
func (r *Ring) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *Ring) close() {
	if r.timer != nil {
		b := [8]byte{1}
		_, _ = unix.Write(r.stopEvent, b[:])
		r.watching.Wait()
		r.timer.Stop()
	}
	for _, fd := range []int{r.epoll, r.stopEvent} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	_ = unix.Munmap(r.consumer)
	_ = unix.Munmap(r.producer)
}
