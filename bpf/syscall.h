/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * System calls that move bytes on a socket: their numbers and where their
 * arguments are, per architecture.
 */
#ifndef OTELCOL_EBPF_SYSCALL_H
#define OTELCOL_EBPF_SYSCALL_H

#include "kernel.h"

#if defined(__TARGET_ARCH_x86)
/* arch/x86/entry/syscalls/syscall_64.tbl */
#define NR_read 0
#define NR_write 1
#define NR_readv 19
#define NR_writev 20
#define NR_sendfile 40
#define NR_sendto 44
#define NR_recvfrom 45
#define NR_sendmsg 46
#define NR_recvmsg 47
#define NR_futex 202
#define NR_epoll_wait 232
#define NR_epoll_pwait 281
#define NR_splice 275
#define NR_preadv2 327
#define NR_pwritev2 328
#define NR_recvmmsg 299
#define NR_sendmmsg 307
/* Set in orig_ax for x32 processes. */
#define NR_MASK 0x3fffffff

#define SYSCALL_NR(r) ((__u32)(r)->orig_ax & NR_MASK)
#define ARG0(r) ((r)->di)
#define ARG1(r) ((r)->si)
#define ARG2(r) ((r)->dx)
#define ARG3(r) ((r)->r10)
/* Of a C function that begins. */
#define FIRST_ARGUMENT(r) ((r)->di)
#define SECOND_ARGUMENT(r) ((r)->si)
/* __USER32_CS: a 32-bit process, whose numbers and layouts are others. */
#define IS_COMPAT(r) (((r)->cs & 0xffff) == 0x23)

#elif defined(__TARGET_ARCH_arm64)
/* include/uapi/asm-generic/unistd.h */
#define NR_read 63
#define NR_write 64
#define NR_readv 65
#define NR_writev 66
#define NR_sendfile 71
#define NR_splice 76
#define NR_futex 98
#define NR_epoll_wait 22 /* epoll_pwait: there is no other */
#define NR_epoll_pwait 22
#define NR_sendto 206
#define NR_recvfrom 207
#define NR_sendmsg 211
#define NR_recvmsg 212
#define NR_recvmmsg 243
#define NR_sendmmsg 269
#define NR_preadv2 286
#define NR_pwritev2 287

#define SYSCALL_NR(r) ((__u32)(r)->syscallno)
/* regs[0] holds the result on the way out. */
#define ARG0(r) ((r)->orig_x0)
#define ARG1(r) ((r)->regs[1])
#define ARG2(r) ((r)->regs[2])
#define ARG3(r) ((r)->regs[3])
#define FIRST_ARGUMENT(r) ((r)->regs[0])
#define SECOND_ARGUMENT(r) ((r)->regs[1])
/* PSR_MODE32_BIT */
#define IS_COMPAT(r) ((r)->pstate & 0x10)
#else
#error "unsupported architecture"
#endif

#endif
