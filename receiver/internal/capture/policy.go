// SPDX-License-Identifier: Apache-2.0

//go:build linux

package capture

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const (
	policySlots = 65536 // POLICY_SLOTS
	policySize  = int(unsafe.Sizeof(capturePolicy{}))
)

// Policies tell the kernel what to do with single connections. They are
// written straight into memory shared with it: no system call. A connection's
// slot may be overwritten by another one's, 65536 connections later; it falls
// back to the defaults then.
type Policies struct{ mem []byte }

func newPolicies(m *ebpf.Map) (*Policies, error) {
	mem, err := unix.Mmap(m.FD(), 0, policySlots*policySize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map connection policies: %w", err)
	}
	return &Policies{mem}, nil
}

// Capture sets how many bytes of every turn to copy by direction, and how
// many of each further segment (see protocol.Window).
func (p *Policies) Capture(conn uint64, received, sent uint32, after uint16) {
	p.set(conn, 0, after, received, sent)
}

// Ignore switches a connection off but for one call in sampleOneIn (rounded
// up to a power of two); 0 means never again.
func (p *Policies) Ignore(conn uint64, sampleOneIn uint32) {
	mask := uint32(1)
	for mask < sampleOneIn && mask < 1<<31 {
		mask <<= 1
	}
	p.set(conn, uint16(capturePolicyFlagsPOLICY_IGNORE), 0, 0, mask-1|-boolMask(sampleOneIn == 0))
}

// Announce asks for the connection's open record once more.
func (p *Policies) Announce(conn uint64, received, sent uint32, after uint16) {
	p.set(conn, uint16(capturePolicyFlagsPOLICY_ANNOUNCE), after, received, sent)
}

func boolMask(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

func (p *Policies) set(conn uint64, flags, after uint16, received, sent uint32) {
	base := unsafe.Pointer(&p.mem[int(conn%policySlots)*policySize])
	tag := (*uint32)(base)
	// No tag while the rest changes: the kernel takes the defaults then.
	atomic.StoreUint32(tag, 0)
	// Little-endian on both supported architectures: flags, then after.
	atomic.StoreUint32((*uint32)(unsafe.Add(base, 4)), uint32(flags)|uint32(after)<<16)
	atomic.StoreUint32((*uint32)(unsafe.Add(base, 8)), received)
	atomic.StoreUint32((*uint32)(unsafe.Add(base, 12)), sent)
	atomic.StoreUint32(tag, uint32(conn))
}

func (p *Policies) close() {
	if p != nil {
		_ = unix.Munmap(p.mem)
	}
}
