// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Hooks that see socket bytes move. Two interchangeable backends feed the same
 * core (core.h):
 *
 *   sock      tp_btf sock_send_length / sock_recv_length, v6.3+. They fire once
 *             per socket operation, after the copy; nothing is added to other
 *             system calls. State lives in socket storage.
 *   sys_exit  raw tracepoint on every system call's exit, v5.14+. State is keyed
 *             by socket address.
 *
 * User space loads one of them (receiver/internal/capture), plus the hooks both
 * need: socket state changes and io_uring completions.
 */
#include "kernel.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "syscall.h"
#include "core.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

/* Keep these in BTF, so that Go gets them. */
const enum record_kind unused_record_kind = 0;
const enum direction unused_direction = 0;
const enum record_flags unused_record_flags = 0;
const enum parent_method unused_parent_method = 0;
const enum policy_flags unused_policy_flags = 0;
const enum process_verdict unused_process_verdict = 0;
const enum counter unused_counter = 0;
const enum injection unused_injection = 0;
const enum task_kind unused_task_kind = 0;
const enum role unused_role = 0;
struct segment_record unused_segment_record;
struct open_record unused_open_record;
struct process_record unused_process_record;
struct context_record unused_context_record;

/* ---- connection state ---- */

static __always_inline struct conn *conn_by_storage(struct sock *sk, bool create)
{
	struct conn *c = bpf_sk_storage_get(&conn_storage, sk, NULL, 0);

	if (c || !create)
		return c;
	c = bpf_sk_storage_get(&conn_storage, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!c) {
		count(COUNT_LOST_STATE, 1);
		return NULL;
	}
	if (!conn_init(c, sk)) {
		/* Not a stream socket: remembered as such by an id of 0. */
		return NULL;
	}
	return c;
}

static __always_inline struct conn *conn_by_hash(struct sock *sk, bool create)
{
	__u64 key = (__u64)sk;
	struct conn *c = bpf_map_lookup_elem(&conn_hash, &key);
	struct scratch *s;

	/* The address may belong to another socket by now. */
	if (c && (!create || c->inode == socket_inode(sk)))
		return c;
	s = scratch_get();
	if (!create || !s)
		return NULL;
	__builtin_memset(&s->conn, 0, sizeof(s->conn));
	if (!conn_init(&s->conn, sk))
		return NULL;
	if (bpf_map_update_elem(&conn_hash, &key, &s->conn, BPF_ANY)) {
		count(COUNT_LOST_STATE, 1);
		return NULL;
	}
	return bpf_map_lookup_elem(&conn_hash, &key);
}

/* ---- backend: sock ---- */

/*
 * Which element of a sendmmsg or recvmmsg vector is this? The hook fires once
 * per message and the kernel writes each message's length into the vector
 * before it goes on to the next.
 */
static __always_inline __u64 mmsg_entry(struct conn *c, __u64 vec, __u32 vlen, __u32 tid, __u32 ret)
{
	__u32 index = 0, done = 0;

	if (c->mmsg_vec == vec && c->mmsg_tid == tid && c->mmsg_index < vlen) {
		bpf_probe_read_user(&done, sizeof(done),
				    (void *)(vec + (__u64)(c->mmsg_index - 1) * USER_MMSGHDR_SIZE + USER_MMSGHDR_LEN));
		if (done == c->mmsg_len)
			index = c->mmsg_index;
	}
	c->mmsg_vec = vec;
	c->mmsg_tid = tid;
	c->mmsg_index = index + 1;
	c->mmsg_len = ret;
	return vec + (__u64)index * USER_MMSGHDR_SIZE;
}

static __always_inline int on_sock(struct sock *sk, int ret, int flags, int dir)
{
	__u64 id = current_ids(), call_flags;
	struct task_struct *task;
	struct pt_regs *regs;
	struct buffer b = {};
	struct conn *c;
	int call_dir = dir;
	__u32 fd, nr;

	if ((ret <= 0 && !is_end(dir, ret)) || !enabled)
		return 0;
	c = conn_by_storage(sk, false);
	if (c ? !still_selected(c, id >> 32) : !selected(id >> 32))
		return 0;
	if (dir == DIR_RECEIVED && (flags & (MSG_PEEK | MSG_ERRQUEUE)))
		return 0;
	if (!c)
		c = conn_by_storage(sk, ret > 0);
	if (!c || !c->id)
		return 0;
	if (ret <= 0) {
		on_end(c, dir, ret, id);
		return 0;
	}
	task = bpf_get_current_task_btf();
	if (task->flags & PF_KTHREAD)
		return 0;
	if (task->flags & PF_IO_WORKER) {
		b.kind = BUFFER_LATER;
		on_segment(c, sk, dir, ret, &b, id, true);
		return 0;
	}
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	if (IS_COMPAT(regs)) {
		count(COUNT_UNSUPPORTED, 1);
		on_segment(c, sk, dir, ret, &b, id, true);
		return 0;
	}
	nr = SYSCALL_NR(regs);
	if (nr == NR_sendmmsg || nr == NR_recvmmsg) {
		call_dir = nr == NR_sendmmsg ? DIR_SENT : DIR_RECEIVED;
		fd = (__u32)ARG0(regs);
		buffer_of_mmsg(mmsg_entry(c, ARG1(regs), (__u32)ARG2(regs), (__u32)id, ret), &b);
	} else if (!buffer_of_call(regs, &b, &call_dir, &fd, &call_flags)) {
		fd = -1;
	}
	if (nr == NR_splice)
		splice_seen = 1;
	/*
	 * With io_uring the registers may belong to another call than the one
	 * that moved these bytes.
	 */
	if (task->io_uring && (fd == (__u32)-1 || sock_of(file_of(fd)) != sk))
		b.kind = BUFFER_LATER;
	else if (call_dir != dir || fd == (__u32)-1 || (dir == DIR_RECEIVED && (flags & MSG_TRUNC)))
		b.kind = BUFFER_NONE;
	on_segment(c, sk, dir, ret, &b, id, true);
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(sock_send, struct sock *sk, int ret, int flags)
{
	return on_sock(sk, ret, flags, DIR_SENT);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(sock_recv, struct sock *sk, int ret, int flags)
{
	on_sock(sk, ret, flags, DIR_RECEIVED);
	if (inject)
		read_context();
	return 0;
}

/*
 * Receives by splice() pass the tracepoints above by. This one is hit by every
 * receive, so it is attached only once splice_seen says that somebody does.
 */
SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(recv_splice, struct sock *sk)
{
	__u64 id = current_ids();
	struct buffer b = {.kind = BUFFER_FILE};
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs;
	struct conn *c;
	__u32 len;
	bool end;

	if (!enabled || (task->flags & (PF_KTHREAD | PF_IO_WORKER)))
		return 0;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	if (SYSCALL_NR(regs) != NR_splice)
		return 0;
	c = conn_by_storage(sk, false);
	if (!c || !c->id || !c->plain_tcp || !c->last_dir || !still_selected(c, id >> 32))
		return 0;
	len = BPF_CORE_READ((struct tcp_sock *)sk, copied_seq) - c->seq[DIR_RECEIVED];
	/* The FIN is counted as soon as it is passed. */
	end = len > 0 && len < (1U << 31) && (BPF_CORE_READ(sk, sk_shutdown) & RCV_SHUTDOWN) &&
	      BPF_CORE_READ((struct tcp_sock *)sk, copied_seq) == BPF_CORE_READ((struct tcp_sock *)sk, rcv_nxt);
	len -= end;
	if (len > 0 && len < (1U << 31))
		on_segment(c, sk, DIR_RECEIVED, len, &b, id, false);
	if (end)
		on_end(c, DIR_RECEIVED, 0, id);
	return 0;
}

/* ---- backend: sys_exit ---- */

/*
 * A call that is over moved bytes on a socket of which only the address is known;
 * where they are is in the scratch memory. A global function, so that the verifier
 * walks it once and kernel stacks stay small.
 */
__attribute__((noinline)) int segment_by_address(__u64 sk_addr, __u32 dir, __u32 len, __u32 by_sequence)
{
	struct sock *sk = (struct sock *)sk_addr;
	struct scratch *s = scratch_get();
	struct conn *c;

	if (!s || len == 0 || len >= (1U << 31))
		return 0;
	c = conn_by_hash(sk, true);
	if (!c)
		return 0;
	on_segment(c, sk, dir, len, &s->call, current_ids(), by_sequence);
	return 0;
}

#define MMSG_MAX 64

static __always_inline int on_mmsg(struct pt_regs *regs, long ret, int dir, __u64 id)
{
	struct scratch *s = scratch_get();
	__u64 vec = ARG1(regs);
	struct sock *sk;
	__u32 len;
	int i;

	if (ret <= 0 || !s || !selected(id >> 32))
		return 0;
	sk = sock_of(file_of(ARG0(regs)));
	if (!sk)
		return 0;
	for (i = 0; i < MMSG_MAX && i < ret; i++) {
		len = 0;
		bpf_probe_read_user(&len, sizeof(len), (void *)(vec + USER_MMSGHDR_LEN));
		buffer_of_mmsg(vec, &s->call);
		/* The sequence numbers already count the later messages. */
		segment_by_address((__u64)sk, dir, len, false);
		if (inject)
			read_context();
		vec += USER_MMSGHDR_SIZE;
	}
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(sys_exit, struct pt_regs *regs, long ret)
{
	struct scratch *s;
	struct sock *sk;
	struct conn *c;
	__u64 id, flags;
	__u32 fd, nr;
	int dir;

	nr = SYSCALL_NR(regs);
	if ((ret <= 0 && !is_end(DIR_RECEIVED, ret)) || !enabled)
		return 0;
	if (nr == NR_sendmmsg || nr == NR_recvmmsg)
		return IS_COMPAT(regs) ? 0
				       : on_mmsg(regs, ret, nr == NR_sendmmsg ? DIR_SENT : DIR_RECEIVED, current_ids());
	switch (nr) {
	case NR_read:
	case NR_write:
	case NR_sendto:
	case NR_recvfrom:
	case NR_readv:
	case NR_preadv2:
	case NR_writev:
	case NR_pwritev2:
	case NR_sendmsg:
	case NR_recvmsg:
	case NR_sendfile:
	case NR_splice:
		break;
	default:
		return 0;
	}
	id = current_ids();
	if (!selected(id >> 32))
		return 0;
	if (IS_COMPAT(regs))
		return 0;
	s = scratch_get();
	if (!s || !buffer_of_call(regs, &s->call, &dir, &fd, &flags))
		return 0;
	sk = sock_of(file_of(fd));
	if (!sk) {
		/* Splicing out of a socket: the bytes were received. */
		if (nr != NR_splice)
			return 0;
		sk = sock_of(file_of(ARG0(regs)));
		if (!sk)
			return 0;
		dir = DIR_RECEIVED;
	}
	if (flags & (MSG_PEEK | MSG_ERRQUEUE))
		return 0;
	if (ret <= 0) {
		c = conn_by_hash(sk, false);
		if (c && (ret < 0 || dir == DIR_RECEIVED))
			on_end(c, dir, ret, id);
		return 0;
	}
	if (flags & MSG_TRUNC)
		s->call.kind = BUFFER_NONE;
	segment_by_address((__u64)sk, dir, ret, true);
	if (inject)
		read_context();
	return 0;
}

/* ---- both backends ---- */

/* include/uapi/linux/io_uring.h, enum io_uring_op */
#define IORING_OP_READV 1
#define IORING_OP_WRITEV 2
#define IORING_OP_READ_FIXED 4
#define IORING_OP_WRITE_FIXED 5
#define IORING_OP_SENDMSG 9
#define IORING_OP_RECVMSG 10
#define IORING_OP_READ 22
#define IORING_OP_WRITE 23
#define IORING_OP_SEND 26
#define IORING_OP_RECV 27
#define IORING_OP_SEND_ZC 47
#define IORING_OP_SENDMSG_ZC 48

static __always_inline bool buffer_of_uring(struct io_kiocb *req, struct buffer *b, int *dir)
{
	struct io_sr_msg *sr = (struct io_sr_msg *)req;
	struct io_rw *rw = (struct io_rw *)req;
	__u8 opcode = BPF_CORE_READ(req, opcode);
	struct user_msghdr m;

	b->kind = BUFFER_FLAT;
	switch (opcode) {
	case IORING_OP_READ:
	case IORING_OP_READ_FIXED:
	case IORING_OP_WRITE:
	case IORING_OP_WRITE_FIXED:
		*dir = opcode == IORING_OP_READ || opcode == IORING_OP_READ_FIXED ? DIR_RECEIVED : DIR_SENT;
		b->base = BPF_CORE_READ(rw, addr);
		return true;
	case IORING_OP_READV:
	case IORING_OP_WRITEV:
		*dir = opcode == IORING_OP_READV ? DIR_RECEIVED : DIR_SENT;
		b->kind = BUFFER_IOV;
		b->base = BPF_CORE_READ(rw, addr);
		b->count = IOV_MAX_WALK;
		return true;
	case IORING_OP_SEND:
	case IORING_OP_SEND_ZC:
	case IORING_OP_RECV:
		*dir = opcode == IORING_OP_RECV ? DIR_RECEIVED : DIR_SENT;
		b->base = (__u64)BPF_CORE_READ(sr, buf);
		/* The pointer moves with every part of a resumed transfer. */
		if (bpf_core_field_exists(sr->done_io))
			b->base -= BPF_CORE_READ(sr, done_io);
		return true;
	case IORING_OP_SENDMSG:
	case IORING_OP_SENDMSG_ZC:
	case IORING_OP_RECVMSG:
		*dir = opcode == IORING_OP_RECVMSG ? DIR_RECEIVED : DIR_SENT;
		b->kind = BUFFER_NONE;
		if (bpf_probe_read_user(&m, sizeof(m), BPF_CORE_READ(sr, buf)) == 0) {
			b->kind = BUFFER_IOV;
			b->base = m.iov;
			b->count = (__u32)m.iovlen;
		}
		return true;
	}
	return false;
}

/* Sends the segment that waits for this completion. */
static __always_inline void on_pending(struct sock *sk, int dir, struct buffer *b, int res)
{
	struct pending_key key = {.sk = (__u64)sk, .dir = dir};
	struct pending *waiting = bpf_map_lookup_elem(&uring_pending, &key);
	struct scratch *s = scratch_get();
	__u32 want;

	if (!waiting || !s)
		return;
	s->record = waiting->record;
	s->ring = waiting->ring;
	want = waiting->want;
	bpf_map_delete_elem(&uring_pending, &key);
	if ((__u32)res != s->record.len)
		b->kind = BUFFER_NONE;
	capture(s, b, s->record.len, want);
}

static __always_inline void on_uring(struct io_kiocb *req, int res)
{
	__u64 id = current_ids();
	struct buffer b = {};
	struct scratch *s;
	struct sock *sk;
	struct conn *c;
	int dir = 0;

	if (!enabled || (res <= 0 && !is_end(DIR_RECEIVED, res)))
		return;
	if (!selected(id >> 32))
		return;
	if (!buffer_of_uring(req, &b, &dir))
		return;
	sk = sock_of(BPF_CORE_READ(req, file));
	if (!sk)
		return;
	if (!conn_by_address) {
		if (res > 0)
			on_pending(sk, dir, &b, res);
		return;
	}
	if (res <= 0) {
		c = conn_by_hash(sk, false);
		if (c && (res < 0 || dir == DIR_RECEIVED))
			on_end(c, dir, res, id);
		return;
	}
	s = scratch_get();
	if (!s)
		return;
	s->call = b;
	/* Completions come in batches; sequence numbers count all of them. */
	segment_by_address((__u64)sk, dir, res, false);
	if (inject)
		read_context();
}

/* Newer kernels pass the completion entry, */
SEC("tp_btf/io_uring_complete")
int BPF_PROG(uring_complete_cqe, struct io_ring_ctx *ring, struct io_kiocb *req, struct io_uring_cqe *cqe)
{
	if (!req || !cqe)
		return 0;
	on_uring(req, BPF_CORE_READ(cqe, res));
	return 0;
}

/* older ones its fields. Go loads the one that fits (by the argument count). */
SEC("tp_btf/io_uring_complete")
int BPF_PROG(uring_complete_res, struct io_ring_ctx *ring, struct io_kiocb *req, __u64 user_data, int res)
{
	if (!req)
		return 0;
	on_uring(req, res);
	return 0;
}

/* A process connects; the only change of state that happens in its own context for certain. */
static __always_inline void on_connect(struct sock *sk)
{
	__u64 id = current_ids();
	struct conn *c;

	if (!selected(id >> 32) || !runtime_of(id >> 32))
		return;
	c = conn_by_address ? conn_by_hash(sk, true) : conn_by_storage(sk, true);
	if (c && c->id)
		connection_made(c, bpf_get_current_task_btf());
}

static __always_inline void emit_process(__u8 kind, __u32 tgid, __u32 parent, const char *path)
{
	struct process_record r = {};
	struct scratch *s = scratch_get();
	long n;

	if (!s || !tgid)
		return;
	r.kind = kind;
	r.tgid = tgid;
	r.parent = parent;
	r.time = bpf_ktime_get_ns();
	bpf_get_current_comm(r.comm, sizeof(r.comm));
	if (path) {
		n = bpf_probe_read_kernel_str(r.path, sizeof(r.path), path);
		if (n > 1)
			r.path_len = n - 1;
	}
	ring_output(s, 0, &r, sizeof(r));
}

/*
 * This side shuts its direction down, by shutdown or close. Runs in any
 * context, so nothing here may ask who is current.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(sock_state, struct sock *sk, int oldstate, int newstate)
{
	struct segment_record r;
	struct conn *c;

	if (!enabled)
		return 0;
	if (newstate == TCP_SYN_SENT) {
		on_connect(sk);
		return 0;
	}
	if (newstate == TCP_LISTEN) {
		if (listen_wanted)
			emit_process(RECORD_LISTEN, current_ids() >> 32, 0, NULL);
		return 0;
	}
	if (newstate != TCP_CLOSE && newstate != TCP_FIN_WAIT1 && newstate != TCP_LAST_ACK)
		return 0;
	c = conn_by_address ? conn_by_hash(sk, false) : conn_by_storage(sk, false);
	if (!c || !c->id)
		return 0;
	if (newstate != TCP_CLOSE)
		emit_event(&r, c, RECORD_END, DIR_SENT, 0, 0);
	else if (!c->plain_tcp)
		emit_event(&r, c, RECORD_CLOSE, DIR_RECEIVED, BPF_CORE_READ(sk, sk_err), 0);
	return 0;
}

/*
 * The process has closed the socket and TCP is done with it. The state TCP_CLOSE
 * alone does not mean that: received bytes may still be read, and a call that
 * was answered with a reset has not returned yet.
 */
SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(sock_destroy, struct sock *sk)
{
	struct segment_record r;
	struct conn *c = conn_by_address ? conn_by_hash(sk, false) : conn_by_storage(sk, false);
	__u64 key = (__u64)sk;
	__u32 missed;

	if (!enabled || !c || !c->id || !c->plain_tcp)
		return 0;
	/* Received bytes that no hook saw: the stream's end is further on. */
	missed = BPF_CORE_READ((struct tcp_sock *)sk, copied_seq) - c->seq[DIR_RECEIVED];
	if (BPF_CORE_READ(sk, sk_shutdown) & RCV_SHUTDOWN)
		missed--;
	if (c->last_dir && !(c->stale & 1 << DIR_RECEIVED) && missed > 0 && missed < (1U << 31)) {
		c->offset[DIR_RECEIVED] += missed;
		splice_seen = 1;
	}
	emit_event(&r, c, RECORD_CLOSE, DIR_RECEIVED, BPF_CORE_READ(sk, sk_err), 0);
	request_over(c);
	if (conn_by_address)
		bpf_map_delete_elem(&conn_hash, &key);
	else
		c->announced = 0;
	return 0;
}

/* ---- threads ---- */

/*
 * A thread wakes up another one of its process that waits at a futex, or for
 * bytes of a pipe or eventfd: it may hand over work. (Interrupts wake threads up,
 * too, on behalf of whoever is running: the system calls tell.) This one is hit by
 * every wakeup, so it is attached only once handoff_wanted says that it may help.
 */
SEC("tp_btf/sched_waking")
int BPF_PROG(thread_woken, struct task_struct *woken)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs;
	struct runtime *rt;
	__u64 place;
	__u32 nr;

	if (!enabled || task->tgid != woken->tgid || task->pid == woken->pid)
		return 0;
	rt = runtime_of(tgid_of(task));
	if (!rt || rt->g_goid)
		return 0;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	nr = SYSCALL_NR(regs);
	if (nr != NR_futex && nr != NR_write)
		return 0;
	regs = (struct pt_regs *)bpf_task_pt_regs(woken);
	place = ARG0(regs);
	if (nr == NR_futex ? SYSCALL_NR(regs) != NR_futex
			   : SYSCALL_NR(regs) != NR_read && SYSCALL_NR(regs) != NR_epoll_wait &&
				     SYSCALL_NR(regs) != NR_epoll_pwait)
		return 0;
	thread_handed(task, rt, woken->pid, place);
	return 0;
}

/* ---- runtimes ---- */

/*
 * Attached to CPython's and uvloop's functions (receiver/internal/runtimes), on an
 * instruction that leaves the first argument where the caller put it.
 */
static __always_inline struct runtime *python_runtime(struct task_struct *task)
{
	struct runtime *rt = enabled ? runtime_of(tgid_of(task)) : NULL;

	return rt && rt->python_context ? rt : NULL;
}

SEC("uprobe")
int python_task_init(struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct runtime *rt = python_runtime(task);

	return rt ? python_starts(task, rt, FIRST_ARGUMENT(regs)) : 0;
}

SEC("uprobe")
int python_set_result(struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct runtime *rt = python_runtime(task);

	return rt ? python_wakes(task, rt, FIRST_ARGUMENT(regs)) : 0;
}

SEC("uprobe")
int uvloop_write(struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct runtime *rt = python_runtime(task);

	return rt ? python_writes(task, rt, FIRST_ARGUMENT(regs)) : 0;
}

SEC("uprobe")
int python_put(struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct runtime *rt = python_runtime(task);

	return rt ? python_puts(task, rt, SECOND_ARGUMENT(regs)) : 0;
}

SEC("uprobe")
int tokio_wake(struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct runtime *rt = enabled ? runtime_of(tgid_of(task)) : NULL;

	return rt && rt->tokio_task ? tokio_wakes(task, rt, FIRST_ARGUMENT(regs)) : 0;
}

SEC("uprobe")
int tokio_spawn(struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct runtime *rt = enabled ? runtime_of(tgid_of(task)) : NULL;

	return rt && rt->tokio_task ? tokio_starts(task, rt, SECOND_ARGUMENT(regs)) : 0;
}

static __always_inline struct runtime *haproxy_runtime(struct task_struct *task)
{
	struct runtime *rt = enabled ? runtime_of(tgid_of(task)) : NULL;

	return rt && rt->event_loop ? rt : NULL;
}

SEC("uprobe")
int haproxy_accept(struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct runtime *rt = haproxy_runtime(task);

	return rt ? haproxy_accepts(task, rt, FIRST_ARGUMENT(regs)) : 0;
}

SEC("uprobe")
int haproxy_process(struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct runtime *rt = haproxy_runtime(task);

	return rt ? haproxy_processes(task, rt, SECOND_ARGUMENT(regs)) : 0;
}

/*
 * Node calls what timers, setImmediate, V8 itself or threads of its pool put off: until
 * its next read nobody knows for whom, but see node_done. It looks for setImmediate's in
 * every turn, when it is done with what it has read.
 */
SEC("uprobe")
int node_deferred(struct pt_regs *regs)
{
	struct unit *u = enabled ? unit_of(bpf_get_current_task_btf(), false) : NULL;

	if (u) {
		u->deferred = 1;
		u->turns = 1;
	}
	return 0;
}

/* Node gives work to libuv's pool of threads: names to look up, files, compression. */
SEC("uprobe")
int node_submit(struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct unit *u = enabled ? unit_of(task, false) : NULL;
	struct task_key key = {.task = SECOND_ARGUMENT(regs), .tgid = tgid_of(task), .kind = TASK_POOL};

	if (u && same_turn(u, task) && active(&u->current))
		task_set(key.tgid, key.kind, key.task, &u->current);
	else if (u)
		bpf_map_delete_elem(&tasks, &key); /* of other work that was cancelled */
	return 0;
}

/* It is done, and what waited for it goes on. */
SEC("uprobe")
int node_done(struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct unit *u = enabled ? unit_of(task, false) : NULL;
	struct task_key key = {.task = FIRST_ARGUMENT(regs), .tgid = tgid_of(task), .kind = TASK_POOL};
	struct context *known;

	if (!u)
		return 0;
	known = bpf_map_lookup_elem(&tasks, &key);
	u->deferred = !known;
	if (known) {
		u->current = *known;
		u->borrowed = 1;
		bpf_map_delete_elem(&tasks, &key);
	}
	return 0;
}

/* ---- processes ---- */

/* The process does not run what it did. */
static __always_inline void runtime_over(__u32 tgid)
{
	struct runtime *rt = runtime_of(tgid);

	if (rt && rt->java) {
		bpf_map_delete_elem(&jvms, &tgid);
		bpf_map_delete_elem(&java_makings, &tgid);
	}
	if (rt && rt->ruby_tls)
		bpf_map_delete_elem(&ruby_servers, &tgid);
	bpf_map_delete_elem(&runtimes, &tgid);
}

/* Children are as selected as their parent, from their first instruction on. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 from = tgid_of(parent), to = tgid_of(child), *verdict, v;
	struct runtime *rt, copy;

	if (from == to) {
		rt = runtime_of(from);
		if (!enabled || !rt || rt->g_goid)
			return 0;
		thread_started(bpf_get_current_task_btf(), rt, child->pid);
		if (rt->ruby_tls)
			ruby_starts(bpf_get_current_task_btf(), rt);
		return 0;
	}
	verdict = bpf_map_lookup_elem(&processes, &from);
	if (verdict) {
		v = *verdict;
		bpf_map_update_elem(&processes, &to, &v, BPF_ANY);
		/* It may be gone before anybody can look whose child it was. */
		if (!default_selected && (v & VERDICT_MASK) != PROCESS_IGNORED)
			emit_process(RECORD_FORK, to, from, NULL);
	}
	rt = runtime_of(from);
	if (rt) {
		copy = *rt;
		bpf_map_update_elem(&runtimes, &to, &copy, BPF_ANY);
	}
	return 0;
}

/*
 * User space looks at the process and decides. Until then it is watched, so that
 * nothing of a process that turns out to be wanted is missed.
 */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	__u32 tgid = tgid_of(task), v = PROCESS_PENDING, *verdict;

	runtime_over(tgid);
	verdict = bpf_map_lookup_elem(&processes, &tgid);
	if (verdict) {
		/* Where all are selected but some, what was selected stays so until it is judged. */
		if (default_selected && (*verdict & VERDICT_MASK) == PROCESS_SELECTED)
			v = PROCESS_SELECTED;
		v |= (*verdict & ~VERDICT_MASK) + VERDICT_EXECUTED;
	}
	if (verdict || !default_selected)
		bpf_map_update_elem(&processes, &tgid, &v, BPF_ANY);
	emit_process(RECORD_EXEC, tgid, 0, bprm->filename);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	__u32 tgid = tgid_of(task), tid = task->pid;

	if (units_by_tid)
		bpf_map_delete_elem(&units_hash, &tid);
	/* Only the last thread's end is the process's. */
	if (task->signal->live.counter != 0)
		return 0;
	bpf_map_delete_elem(&processes, &tgid);
	runtime_over(tgid);
	emit_process(RECORD_EXIT, tgid, 0, NULL);
	return 0;
}
