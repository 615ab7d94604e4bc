/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The capture core: what every hook backend does with "this call moved so many
 * bytes on this socket". It knows sockets, directions, offsets and who is
 * asking; it knows no protocol.
 */
#ifndef OTELCOL_EBPF_CORE_H
#define OTELCOL_EBPF_CORE_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#include "maps.h"
#include "payload.h"
#include "causality.h"

/*
 * The seed of the ids of the request that starts here: unique on this host.
 * Trace and span ids are keyed hashes of it (receiver/internal/capture), so
 * they are settled at this moment without being computed or carried.
 */
static __always_inline __u64 make_identity(struct scratch *s)
{
	return (__u64)(bpf_get_smp_processor_id() + 1) << 48 | ++s->identities;
}

/* Is this process one we were asked to look at? */
static __always_inline bool selected(__u32 tgid)
{
	__u32 verdict = verdict_of(tgid);

	return verdict == PROCESS_DEFAULT ? default_selected : verdict != PROCESS_IGNORED;
}

static __always_inline struct tcp_sock *tcp_sock_of(struct sock *sk)
{
	return conn_by_address ? (struct tcp_sock *)sk : bpf_skc_to_tcp_sock(sk);
}

static __always_inline __u64 socket_inode(struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_socket, file, f_inode, i_ino);
}

/* The current process's file, and the socket that a file is. */
static __always_inline struct file *file_of(__u64 fd)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct fdtable *fdt = BPF_CORE_READ(task, files, fdt);
	struct file **files, *file = NULL;

	if ((__u32)fd >= BPF_CORE_READ(fdt, max_fds))
		return NULL;
	files = BPF_CORE_READ(fdt, fd);
	bpf_probe_read_kernel(&file, sizeof(file), &files[(__u32)fd]);
	return file;
}

static __always_inline struct sock *sock_of(struct file *file)
{
	struct socket *socket;

	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, sk);
}

/* The same for a connection that was asked about before. */
static __always_inline bool still_selected(struct conn *c, __u32 tgid)
{
	if (tgid && c->checked_tgid == tgid && c->checked_epoch == verdict_epoch)
		return true;
	if (!selected(tgid))
		return false;
	c->checked_tgid = tgid;
	c->checked_epoch = verdict_epoch;
	return true;
}

static __always_inline bool conn_number(struct conn *c, struct sock *sk)
{
	__u32 zero = 0;
	__u64 *number;

	c->inode = socket_inode(sk);
	number = bpf_map_lookup_elem(&numbers, &zero);
	if (!number)
		return false;
	/* Dense over all CPUs, for ids index the policy slots. */
	c->id = (__sync_fetch_and_add(number, 1) + 1) * cpus + bpf_get_smp_processor_id();
	/* Processes stay on their CPUs more or less: rings nobody else writes to are faster. */
	c->ring = bpf_get_smp_processor_id() & ring_mask;
	return true;
}

/* Fills the parts of a new connection's state that never change. */
static __always_inline bool conn_init(struct conn *c, struct sock *sk)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
	__u32 proto;

	if (family == AF_INET || family == AF_INET6) {
		/* sk_protocol was a bitfield before v5.6 (bf9765145b85). */
		proto = BPF_CORE_READ(sk, sk_protocol);
		if (proto == IPPROTO_UDP && datagrams) {
			c->transport = TRANSPORT_UDP;
			return conn_number(c, sk);
		}
		if (proto != IPPROTO_TCP && proto != (IPPROTO_MPTCP & 0xffff))
			return false;
		c->plain_tcp = proto == IPPROTO_TCP;
		c->transport = TRANSPORT_TCP;
		/*
		 * An accepted socket is a clone of the listener, backlog and
		 * all (sk_clone_lock); one that connected has none.
		 */
		c->role = BPF_CORE_READ(sk, sk_max_ack_backlog) ? ROLE_SERVER : ROLE_CLIENT;
		if (!c->plain_tcp)
			c->role = ROLE_UNKNOWN;
	} else if (family == AF_UNIX) {
		struct unix_sock *u = (struct unix_sock *)sk;
		struct unix_sock *peer;

		if (BPF_CORE_READ(sk, sk_type) != SOCK_STREAM)
			return false;
		c->transport = TRANSPORT_UNIX;
		/* An accepted socket shares the listener's address. */
		peer = (struct unix_sock *)BPF_CORE_READ(u, peer);
		if (BPF_CORE_READ(u, addr))
			c->role = ROLE_SERVER;
		else if (peer && BPF_CORE_READ(peer, addr))
			c->role = ROLE_CLIENT;
	} else {
		return false;
	}
	return conn_number(c, sk);
}

/* Where both streams of a connection began, and where they are. */
static __always_inline void conn_sequences(struct conn *c, struct tcp_sock *tp)
{
	c->seq[DIR_RECEIVED] = BPF_CORE_READ(tp, copied_seq);
	c->seq[DIR_SENT] = BPF_CORE_READ(tp, write_seq);
	c->isn[DIR_RECEIVED] = BPF_CORE_READ(tp, rcv_nxt) - (__u32)BPF_CORE_READ(tp, bytes_received);
	c->isn[DIR_SENT] = BPF_CORE_READ(tp, snd_una) - (__u32)BPF_CORE_READ(tp, bytes_acked);
	/* Who connects has had its SYN acknowledged. */
	if (c->role == ROLE_CLIENT)
		c->isn[DIR_SENT]++;
}

static __always_inline void conn_start(struct conn *c, struct sock *sk, int dir, __u32 len, bool *midstream)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	__u32 consumed;
	__u32 sent;

	*midstream = false;
	if (!c->plain_tcp)
		return;
	conn_sequences(c, tp);
	/* SYN and FIN count one each in sequence space; hence the slack. */
	consumed = c->seq[DIR_RECEIVED] - c->isn[DIR_RECEIVED];
	sent = c->seq[DIR_SENT] - c->isn[DIR_SENT];
	if (c->role == ROLE_CLIENT)
		sent++;
	if (dir == DIR_RECEIVED)
		*midstream = consumed > len + 1 || (sent > 1 && sent < (1U << 31));
	else
		*midstream = (consumed > 1 && consumed < (1U << 31)) || sent > len + 1;
	c->seq[dir & 1] -= len;
}

/* Tells user space whose connection this is. */
static __always_inline void announce(struct scratch *s, struct conn *c, struct sock *sk, __u64 now, __u32 tgid,
				     bool midstream)
{
	struct open_record *o = &s->open;

	__builtin_memset(o, 0, sizeof(*o));
	o->kind = RECORD_OPEN;
	o->role = c->role;
	o->transport = c->transport;
	o->flags = midstream ? FLAG_MIDSTREAM : 0;
	o->conn = c->id;
	o->time = now;
	o->tgid = tgid;
	bpf_get_current_comm(o->comm, sizeof(o->comm));
	if (join_same_node)
		o->wire = wire_of(c, sk);
	o->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	if (c->transport == TRANSPORT_UNIX) {
		struct unix_sock *u = (struct unix_sock *)sk;
		struct unix_address *addr = BPF_CORE_READ(u, addr);
		struct unix_sock *peer;
		int len;

		if (!addr) {
			peer = (struct unix_sock *)BPF_CORE_READ(u, peer);
			addr = BPF_CORE_READ(peer, addr);
		}
		if (addr) {
			/* The length includes the family. */
			len = BPF_CORE_READ(addr, len) - 2;
			if (len > 0 && len <= (int)sizeof(o->path)) {
				o->path_len = len;
				bpf_probe_read_kernel(o->path, sizeof(o->path), &addr->name[0].sun_path);
			}
		}
	} else {
		o->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
		o->peer_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
		if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET6) {
			BPF_CORE_READ_INTO(&o->local, sk, __sk_common.skc_v6_rcv_saddr);
			BPF_CORE_READ_INTO(&o->peer, sk, __sk_common.skc_v6_daddr);
		} else {
			__u32 a;

			o->local[10] = o->local[11] = o->peer[10] = o->peer[11] = 0xff;
			a = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
			__builtin_memcpy(o->local + 12, &a, 4);
			a = BPF_CORE_READ(sk, __sk_common.skc_daddr);
			__builtin_memcpy(o->peer + 12, &a, 4);
		}
	}
	if (ring_output(s, c->ring, o, sizeof(*o)) == 0)
		c->announced = 1;
}

static __always_inline struct policy *policy_get(struct conn *c)
{
	__u32 slot = c->id & (POLICY_SLOTS - 1);
	struct policy *p = bpf_map_lookup_elem(&policies, &slot);

	if (p && p->tag == (__u32)c->id)
		return p;
	return NULL;
}

/*
 * A record without payload: the end of a direction, or of the connection.
 * Programs that may interrupt another one on their CPU must not use the
 * scratch record for it.
 */
static __always_inline void emit_event(struct segment_record *r, struct conn *c, __u8 kind, __u8 dir, __u32 err,
				       __u64 id)
{
	struct scratch *s = scratch_get();

	if (!s || !c->announced)
		return;
	__builtin_memset(r, 0, sizeof(*r));
	r->kind = kind;
	r->dir = dir;
	r->len = err;
	r->conn = c->id;
	r->offset = c->offset[dir & 1];
	r->time = bpf_ktime_get_ns();
	r->tgid = id >> 32;
	r->tid = (__u32)id;
	ring_output(s, c->ring, r, sizeof(*r));
}

/* Copies `want` of a call's `len` bytes behind s->record and sends both. */
static __always_inline void capture(struct scratch *s, struct buffer *b, __u32 len, __u32 want)
{
	struct user_iovec v;
	__u32 n;

	/* Nearly always the first iovec holds all there is. */
	if (b->kind == BUFFER_IOV && want == len && bpf_probe_read_user(&v, sizeof(v), (void *)b->base) == 0 &&
	    v.len >= want) {
		b->base = v.base;
		b->kind = BUFFER_FLAT;
	}
	if (b->kind == BUFFER_NONE || b->kind == BUFFER_FILE) {
		if (b->kind == BUFFER_NONE)
			count(COUNT_UNREADABLE, 1);
		emit_part(s, 0);
		return;
	}
	if (b->kind == BUFFER_IOV || want > PART_SIZE) {
		capture_slow(b->base, b->kind | b->count << 8, len, want);
		return;
	}
	n = want;
	asm volatile("" : "+r"(n));
	n &= 2 * PART_SIZE - 1;
	if (bpf_probe_read_user(s->data, n, (void *)b->base)) {
		count(COUNT_UNREADABLE, 1);
		n = 0;
	}
	if (want < len && len >= 8 && bpf_probe_read_user(s->record.tail, 8, (void *)(b->base + len - 8)) == 0)
		s->record.tail_len = 8;
	emit_part(s, n);
}

/* Keeps the segment until io_uring says where its bytes are. */
static __always_inline void postpone(struct scratch *s, struct sock *sk, int dir, __u32 want)
{
	struct pending_key key = {.sk = (__u64)sk, .dir = dir};
	struct pending *fresh = &s->pending, *old;

	old = bpf_map_lookup_elem(&uring_pending, &key);
	if (old) {
		/*
		 * The one before did not complete by itself: multishot, or a
		 * transfer resumed. Its length is known, its bytes are not.
		 */
		fresh->record = s->record;
		s->record = old->record;
		count(COUNT_UNREADABLE, 1);
		emit_part(s, 0);
		s->record = fresh->record;
	}
	fresh->record = s->record;
	fresh->want = want;
	fresh->ring = s->ring;
	if (bpf_map_update_elem(&uring_pending, &key, fresh, BPF_ANY)) {
		count(COUNT_UNREADABLE, 1);
		emit_part(s, 0);
	}
}

/*
 * When the first byte of a request left. The call returns after its bytes have
 * left, on loopback even after the peer has read them; the kernel notes when it
 * transmits with nothing else in flight (tcp_rate_skb_sent). In microseconds,
 * cut off: the end of that microsecond is taken, so that a request never seems
 * to begin before the response that was read just before it.
 */
static __always_inline __u64 first_sent(struct conn *c, struct tcp_sock *tp, __u32 len, __u64 now, bool midstream)
{
	__u64 first = TCP_READ(tp, first_tx_mstamp) * 1000 + 999;

	/* That of an earlier call's packet, which is still in flight? */
	if (first < c->sent_time || (midstream && !c->sent_time))
		return now;
	/* Nothing of this call has left yet (MSG_MORE, a closed window)? */
	if (TCP_READ(tp, write_seq) - TCP_READ(tp, snd_nxt) >= len)
		return now;
	return first < now ? first : now;
}

/*
 * Does a connection begin like one that wants everything copied until it is known? Then
 * 1, and if it has frames 2 and how many bytes come before them. A global function, so
 * that the verifier walks it once.
 */
__attribute__((noinline)) int begins_eagerly(__u64 base, __u32 kind, __u32 len)
{
	__u64 first[2] = {}, n = len;
	struct user_iovec v;
	int i;

	if (kind == BUFFER_IOV) {
		if (bpf_probe_read_user(&v, sizeof(v), (void *)base))
			return 0;
		base = v.base;
		n = v.len < n ? v.len : n;
	} else if (kind != BUFFER_FLAT) {
		return 0;
	}
	if (n < 8 || bpf_probe_read_user(&first[0], 8, (void *)base))
		return 0;
	if (n >= 16 && bpf_probe_read_user(&first[1], 8, (void *)(base + 8)))
		return 0;
	for (i = 0; i < BEGINNINGS; i++) {
		if (beginnings[i].mask[0] && (first[0] & beginnings[i].mask[0]) == beginnings[i].value[0] &&
		    (first[1] & beginnings[i].mask[1]) == beginnings[i].value[1])
			return beginnings[i].framed ? 1 + beginnings[i].framed : 1;
	}
	return 0;
}

/*
 * What of this call is captured is said by its frames, if it is known where they begin.
 * Bytes that no hook saw end that.
 */
static __always_inline bool framed(struct conn *c, int dir, struct buffer *b, __u32 len, __u64 start)
{
	struct framing *f = &c->framing[dir & 1];
	int begins;

	if (f->state == FRAMING_NONE || f->state == FRAMING_RESP)
		return false;
	if (b->kind != BUFFER_FLAT && b->kind != BUFFER_IOV)
		goto lost;
	if (f->state == FRAMING_FOLLOWS) {
		if (start != c->offset[dir & 1])
			goto lost;
		return true;
	}
	begins = start ? 0 : begins_eagerly(b->base, b->kind, len);
	if (begins < 2)
		goto lost;
	f->left = begins - 2;
	f->copied = f->left;
	f->state = FRAMING_FOLLOWS;
	return true;
lost:
	f->state = FRAMING_NONE;
	return false;
}

/*
 * Is a call of RESP walked over? Those that are copied whole are not, unless the one
 * before ended within a value.
 */
static __always_inline bool walked(const struct scratch *s, struct conn *c, int dir, const struct buffer *b, bool whole)
{
	struct framing *f = &c->framing[dir & 1];

	if (s->resp && (b->kind == BUFFER_FLAT || b->kind == BUFFER_IOV)) {
		if (f->state == FRAMING_RESP && s->follows)
			return true;
		if (!whole) {
			f->left = 0;
			f->copied = 0;
			f->line = 0;
			return true;
		}
	}
	f->state = FRAMING_NONE;
	return false;
}

/* In conn.stale: what a client sent was answered before its call returned. */
#define OVERTAKEN (1 << 2)

/*
 * A call moved `len` > 0 bytes. `by_sequence`: TCP sequence numbers tell where
 * in the stream they are (so that bytes no hook saw leave a gap of the right
 * size); else calls are simply counted up.
 */
static __always_inline void on_segment(struct conn *c, struct sock *sk, int dir, __u32 len, struct buffer *b, __u64 id,
				       bool by_sequence)
{
	struct scratch *s;
	struct policy *p;
	struct task_struct *task = bpf_get_current_task_btf();
	bool midstream = false, turn, request;
	struct tcp_sock *tp = NULL;
	__u32 want, window, after, added = 0;
	__u64 now, start, first;

	dir &= 1;
	p = policy_get(c);
	if (p && (p->flags & POLICY_IGNORE) && (++c->ignored & p->sent)) {
		c->stale = 1 << DIR_RECEIVED | 1 << DIR_SENT;
		c->framing[0].state = FRAMING_NONE;
		c->framing[1].state = FRAMING_NONE;
		return;
	}
	s = scratch_get();
	if (!s)
		return;
	now = bpf_ktime_get_ns();
	if (inject && dir == DIR_SENT) {
		added = c->prepared.added;
		c->prepared.added = 0;
	}
	if (!c->last_dir) {
		conn_start(c, sk, dir, len + added, &midstream);
		if (!midstream)
			c->eager = begins_eagerly(b->base, b->kind, len);
		if (c->eager >= 2 && c->eager != EAGER_RESP) {
			c->framing[0].state = FRAMING_BEGINS;
			c->framing[1].state = FRAMING_BEGINS;
		}
	}
	turn = c->last_dir != dir + 1;
	if (c->transport == TRANSPORT_UDP) {
		/* Every datagram is a message; whoever sends first is a client. */
		turn = true;
		if (!c->role)
			c->role = dir == DIR_SENT ? ROLE_CLIENT : ROLE_SERVER;
	}
	if (!c->announced || (p && (p->flags & POLICY_ANNOUNCE)))
		announce(s, c, sk, now, id >> 32, midstream || c->last_dir);

	request = turn && c->role != (dir == DIR_SENT ? ROLE_SERVER : ROLE_CLIENT);
	start = c->offset[dir];
	first = now;
	if (c->plain_tcp) {
		__u32 expected = c->seq[dir] + len + added, reached = expected;

		tp = tcp_sock_of(sk);
		if (!tp)
			return;
		if (dir == DIR_SENT && request)
			first = first_sent(c, tp, len, now, midstream);
		if (by_sequence)
			reached = dir == DIR_SENT ? TCP_READ(tp, write_seq) : TCP_READ(tp, copied_seq);
		/* A FIN takes a number, too, once it is received. */
		if (reached - expected == 1 && dir == DIR_RECEIVED && (BPF_CORE_READ(sk, sk_shutdown) & RCV_SHUTDOWN))
			reached = expected;
		/*
		 * More than expected went by: bytes no hook saw. (Less: another
		 * thread's call was reported first, and counted these.)
		 */
		if (reached - expected < (1U << 31)) {
			start += reached - expected;
			if (reached != expected && dir == DIR_RECEIVED && !(c->stale & 1 << dir))
				splice_seen = 1;
		}
		c->stale &= ~(1 << dir);
		c->seq[dir] = reached;
	}
	if (dir == DIR_SENT)
		c->sent_time = now;
	s->framed = framed(c, dir, b, len, start);
	s->follows = start == c->offset[dir];
	c->offset[dir] = start + len;

	if (turn) {
		c->turn_captured = 0;
		c->last_dir = dir + 1;
	}
	/*
	 * What a client sent may be answered, and the answer read, before its call
	 * returns. Then a response begins here, and the next send begins a request, too.
	 */
	if (c->role == ROLE_CLIENT && tp && by_sequence) {
		if (dir == DIR_RECEIVED) {
			if (!(c->stale & OVERTAKEN) && TCP_READ(tp, write_seq) != c->seq[DIR_SENT]) {
				c->stale |= OVERTAKEN;
				c->turn_captured = 0;
			}
		} else {
			if (c->stale & OVERTAKEN)
				c->last_dir = DIR_RECEIVED + 1;
			c->stale &= ~OVERTAKEN;
		}
	}
	window = default_window;
	after = c->eager && start < EAGER_MAX ? CAPTURE_MAX : default_after;
	s->resp = c->eager == EAGER_RESP;
	if (p && !(p->flags & POLICY_IGNORE)) {
		window = dir == DIR_SENT ? p->sent : p->received;
		after = p->after >= AFTER_RESP ? CAPTURE_MAX : p->after;
		s->resp = p->after == AFTER_RESP;
	}
	want = window > c->turn_captured ? window - c->turn_captured : 0;
	s->tight = s->pressure && after > PART_SIZE && len > PART_SIZE;
	if (s->tight && !s->resp) {
		/* Better the middle of something large is missing than all of something else. */
		if (want < after && want < len)
			count(COUNT_PRESSURE, 1);
		after = PART_SIZE;
	}
	if (want < after)
		want = after;
	if (want > capture_max)
		want = capture_max;
	if (want > CAPTURE_MAX)
		want = CAPTURE_MAX;
	if (want > len)
		want = len;
	c->turn_captured += want;

	s->record.kind = RECORD_SEGMENT;
	s->record.dir = dir;
	s->record.method = METHOD_NONE;
	s->record.tail_len = 0;
	s->record.len = len;
	s->record.conn = c->id;
	s->record.offset = start;
	s->record.position = c->plain_tcp ? c->seq[dir] - len - added : (__u32)start;
	s->record.time = now;
	s->record.first_delta = now - first < 0xffffffffULL ? (__u32)(now - first) : 0;
	s->record.tgid = id >> 32;
	s->record.tid = (__u32)id;
	s->record.identity = request ? make_identity(s) : 0;
	s->record.parent = 0;
	s->record.trace = s->record.identity;
	s->record.peer = 0;
	s->record.queue_time = NOT_MEASURED;
	s->record.rtt = 0;
	s->record.retransmits = 0;
	s->record.thread_cpu = NOT_MEASURED;
	s->record.runqueue = NOT_MEASURED;
	s->ring = c->ring;
	if (c->transport == TRANSPORT_UDP && c->role == ROLE_SERVER) {
		/* Most of what servers are sent by datagrams is never answered. */
	} else if (dir == DIR_RECEIVED) {
		if (c->role == ROLE_SERVER) {
			if (request)
				request_arrived(s, c, sk, tp, task, start, len, now);
			else
				request_continued(c, task, c->turn_captured - want);
			if (inject) {
				s->head = *b;
				s->head_len = len;
				s->head_slot = c->current.slot + 1;
			}
		} else if (c->role == ROLE_CLIENT) {
			response_arrived(c, task);
			measure(s, c, tp, task, now);
		}
	} else {
		if (c->role == ROLE_SERVER) {
			if (turn)
				response_left(c);
			measure(s, c, tp, task, now);
		} else if (c->role == ROLE_CLIENT && request) {
			request_left(s, c, sk, tp, task, start, len + added);
		}
	}

	if (s->framed) {
		s->framing = c->framing[dir];
		capture_frames(b->base, b->kind | b->count << 8, len);
		c->framing[dir] = s->framing;
	} else if (walked(s, c, dir, b, want == len && !s->tight)) {
		s->framing = c->framing[dir];
		capture_resp(b->base, b->kind | b->count << 8, len, want);
		c->framing[dir] = s->framing;
	} else if (b->kind == BUFFER_LATER) {
		postpone(s, sk, dir, want);
	} else {
		capture(s, b, len, want);
	}
}

/* A receive returned 0 or a connection error, or a send did. */
static __always_inline void on_end(struct conn *c, int dir, long ret, __u64 id)
{
	struct policy *p = policy_get(c);
	struct scratch *s = scratch_get();

	if (!s || (p && (p->flags & POLICY_IGNORE)) || c->transport == TRANSPORT_UDP)
		return;
	emit_event(&s->record, c, RECORD_END, dir & 1, ret < 0 ? -ret : 0, id);
}

/* Results that end a direction; all other errors move nothing. */
static __always_inline bool is_end(int dir, long ret)
{
	if (ret == 0)
		return dir == DIR_RECEIVED;
	return ret == -ECONNRESET || ret == -EPIPE || ret == -ETIMEDOUT;
}

/*
 * Takes apart the arguments of a system call that moves socket bytes. Returns
 * false if it is none. `flags` gets the MSG_ flags of receives.
 */
static __always_inline bool buffer_of_call(struct pt_regs *regs, struct buffer *b, int *dir, __u32 *fd, __u64 *flags)
{
	struct user_msghdr m;

	*fd = (__u32)ARG0(regs);
	*flags = 0;
	b->kind = BUFFER_FLAT;
	b->base = ARG1(regs);
	b->count = 0;
	switch (SYSCALL_NR(regs)) {
	case NR_read:
		*dir = DIR_RECEIVED;
		return true;
	case NR_write:
	case NR_sendto:
		*dir = DIR_SENT;
		return true;
	case NR_recvfrom:
		*dir = DIR_RECEIVED;
		*flags = ARG3(regs);
		return true;
	case NR_readv:
	case NR_preadv2:
		*dir = DIR_RECEIVED;
		b->kind = BUFFER_IOV;
		b->count = (__u32)ARG2(regs);
		return true;
	case NR_writev:
	case NR_pwritev2:
		*dir = DIR_SENT;
		b->kind = BUFFER_IOV;
		b->count = (__u32)ARG2(regs);
		return true;
	case NR_sendmsg:
	case NR_recvmsg:
		*dir = SYSCALL_NR(regs) == NR_sendmsg ? DIR_SENT : DIR_RECEIVED;
		if (*dir == DIR_RECEIVED)
			*flags = ARG2(regs);
		b->kind = BUFFER_NONE;
		if (bpf_probe_read_user(&m, sizeof(m), (void *)b->base) == 0) {
			b->kind = BUFFER_IOV;
			b->base = m.iov;
			b->count = (__u32)m.iovlen;
		}
		return true;
	case NR_sendfile:
		*dir = DIR_SENT;
		b->kind = BUFFER_FILE;
		return true;
	case NR_splice:
		*dir = DIR_SENT;
		*fd = (__u32)ARG2(regs);
		b->kind = BUFFER_FILE;
		return true;
	}
	return false;
}

/* The msghdr inside one element of a sendmmsg/recvmmsg vector. */
static __always_inline void buffer_of_mmsg(__u64 entry, struct buffer *b)
{
	struct user_msghdr m;

	b->kind = BUFFER_NONE;
	if (bpf_probe_read_user(&m, sizeof(m), (void *)entry) == 0) {
		b->kind = BUFFER_IOV;
		b->base = m.iov;
		b->count = (__u32)m.iovlen;
	}
}

#endif
