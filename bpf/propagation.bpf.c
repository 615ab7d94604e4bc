// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Writes trace contexts into requests that leave for other nodes. Loaded only if
 * the configuration asks for it (context_propagation.inject).
 *
 *   tcp_option   a TCP option on the segment that begins a request, on connections
 *                whose peer said in the handshake that it understands it (sockops).
 *   http_header  a traceparent line in the head of an HTTP/1 request (sk_msg on the
 *                sockets of a sockhash, where sockops puts them).
 *
 * What is written are the ids of the client's span, so it is settled here, before
 * the first byte leaves, what request_left would settle after: struct prepared.
 *
 * A socket in a sockhash is not quite what it was. Kernels from 929e30f93125 on
 * (v6.6.128, v6.12.75, v6.18.14, v6.19) answer ioctl(FIONREAD) with 0, and on all
 * kernels a blocking receive that has to wait fails with EAGAIN where a signal or a
 * reset ends the wait (tcp_msg_wait_data). So sockets stay in there only if they do
 * not block and their program does not ask FIONREAD, or the kernel answers right;
 * the others get the header in their first request only, and are out again before
 * that is sent. The same happens to every socket about which there is any doubt.
 */
#include "kernel.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#include "syscall.h"
#include "core.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

/* ---- the kernel's interface to these programs: include/uapi/linux/bpf.h, include/uapi/linux/tcp.h ---- */

#define MD_PTR(type, name)  \
	union {             \
		type name;  \
		__u64 : 64; \
	} __attribute__((aligned(8)))

struct bpf_sock;

struct sk_msg_md {
	MD_PTR(void *, data);
	MD_PTR(void *, data_end);
	__u32 family;
	__u32 remote_ip4;
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port;
	__u32 local_port;
	__u32 size;
	MD_PTR(struct bpf_sock *, sk);
};

struct bpf_sock_ops {
	__u32 op;
	__u32 args[4];
	__u32 family;
	__u32 remote_ip4; /* network byte order, as all addresses */
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port; /* network byte order */
	__u32 local_port;  /* host byte order */
	__u32 is_fullsock;
	__u32 snd_cwnd;
	__u32 srtt_us;
	__u32 bpf_sock_ops_cb_flags;
	__u32 state;
	__u32 rtt_min;
	__u32 snd_ssthresh;
	__u32 rcv_nxt;
	__u32 snd_nxt;
	__u32 snd_una;
	__u32 mss_cache;
	__u32 ecn_flags;
	__u32 rate_delivered;
	__u32 rate_interval_us;
	__u32 packets_out;
	__u32 retrans_out;
	__u32 total_retrans;
	__u32 segs_in;
	__u32 data_segs_in;
	__u32 segs_out;
	__u32 data_segs_out;
	__u32 lost_out;
	__u32 sacked_out;
	__u32 sk_txhash;
	__u64 bytes_received;
	__u64 bytes_acked;
	MD_PTR(struct bpf_sock *, sk);
	MD_PTR(void *, skb_data);
	MD_PTR(void *, skb_data_end);
	__u32 skb_len;
	__u32 skb_tcp_flags;
};

struct tcphdr {
	__be16 source;
	__be16 dest;
	__be32 seq;
	__be32 ack_seq;
	__u32 rest[2];
};

enum sock_ops_event {
	SOCK_OPS_TCP_CONNECT = 3,
	SOCK_OPS_ACTIVE_ESTABLISHED = 4,
	SOCK_OPS_PASSIVE_ESTABLISHED = 5,
	SOCK_OPS_STATE = 10,
	SOCK_OPS_TCP_LISTEN = 11,
	SOCK_OPS_PARSE_HDR_OPT = 13,
	SOCK_OPS_HDR_OPT_LEN = 14,
	SOCK_OPS_WRITE_HDR_OPT = 15,
};

/* bpf_sock_ops_cb_flags */
enum sock_ops_callback {
	CALLBACK_STATE = 1 << 2,
	CALLBACK_PARSE_UNKNOWN_HDR_OPT = 1 << 5,
	CALLBACK_WRITE_HDR_OPT = 1 << 6,
};

/* args[0] of SOCK_OPS_HDR_OPT_LEN: there is no packet, the segment size is computed. */
#define WRITE_HDR_TCP_CURRENT_MSS 1

#define LOAD_HDR_OPT_TCP_SYN 1

#define SK_DROP 0
#define SK_PASS 1

#define SK_STORAGE_CLONE (1U << 9) /* BPF_F_CLONE */

#define TCPHDR_SYN 0x02

#define TCP_ESTABLISHED 1
#define TCP_CLOSE_WAIT 8

#define SEND_SHUTDOWN 2
#define O_NONBLOCK 04000
#define SOL_TCP 6
#define TCP_BPF_SOCK_OPS_CB_FLAGS 1008

/* include/net/sock.h; only the one that is asked for. */
enum sock_flags {
	SOCK_ZEROCOPY,
};

/* ---- state ---- */

/* Set by Go before load. */
const volatile __u32 may_stay = 0; /* sockets in the sockhash behave, whatever their program asks */

enum wire_flags {
	WIRE_TRY = 1 << 0,      /* the SYN is to have the option */
	WIRE_SYN = 1 << 1,      /* it had it */
	WIRE_REPEATED = 1 << 2, /* it was sent again, without */
	WIRE_PEER = 1 << 3,     /* the peer understands the option */
	WIRE_ARMED = 1 << 4,    /* the option is to be on the segment at `position` */
	WIRE_WRITTEN = 1 << 5,  /* and was */
	WIRE_LISTENER = 1 << 6,
	WIRE_HASHED = 1 << 7,   /* in `sockets` */
	WIRE_LEAVE = 1 << 8,    /* to be taken out of it; nothing is written any more */
	WIRE_FIRST = 1 << 9,    /* nothing was sent yet */
	WIRE_CHUNKED = 1 << 10, /* the next thing at `next` is a chunk, not a request */
	WIRE_OTHER = 1 << 11,   /* it does not begin with a request of HTTP/1 */
};

/* What these programs know about a socket. */
struct wire {
	__u64 cookie;    /* its key in `sockets` */
	__u32 flags;     /* enum wire_flags */
	__u32 callbacks; /* those that were switched on here; others may use them, too */
	__u32 next;      /* sequence number at which a head begins, or a chunk */
	__u32 position;  /* sequence number of the first byte of the request that `option` is about */
	struct context_option option;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | SK_STORAGE_CLONE);
	__type(key, int);
	__type(value, struct wire);
} wires SEC(".maps");

/* Sockets whose sends run message_sent, by cookie. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 65536); /* limits.max_connections, set by Go */
	__type(key, __u64);
	__type(value, __u64);
} sockets SEC(".maps");

/* Cookies of sockets that Go is to take out of `sockets`. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u32);
} leaving SEC(".maps");

/* Processes, by tgid, whose programs do not ask FIONREAD. Written by Go. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u32);
} stayers SEC(".maps");

/* An executable file. */
struct program_key {
	__u64 inode;
	__u64 device;
};

/* Those of such processes: a process just started is like the one before. Written by Go. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct program_key);
	__type(value, __u32);
} programs SEC(".maps");

/* Where connections go to. Port 0: whatever port. */
struct peer_key {
	__u8 address[16];
	__u64 netns;
	__u32 port;
	__u32 pad;
};

struct peer {
	__u64 until; /* nothing is tried before; CLOCK_MONOTONIC, ns */
	__u32 failures;
	__u32 pad;
};

/* Peers that do not understand the option, or did not get it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct peer_key);
	__type(value, struct peer);
} peers SEC(".maps");

/* Peers that are not spoken HTTP/1 to. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct peer_key);
	__type(value, struct peer);
} others SEC(".maps");

/* Where connections are accepted, on whatever address. */
struct listener_key {
	__u64 netns;
	__u32 port;
	__u32 pad;
};

/* The processes, by tgid, that have begun to listen since these programs are there. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct listener_key);
	__type(value, __u32);
} listeners SEC(".maps");

#define SECOND 1000000000ULL

/* How long nothing is tried with a peer: so long after the first failure, then longer, */
#define PAUSE (60 * SECOND)
/* up to so often that. */
#define PAUSE_SHIFT 3
#define PAUSE_OTHER (600 * SECOND)
/* What was prepared so long ago will not be taken any more. */
#define PREPARED_STALE (10 * SECOND)

/* Is this process one whose requests are to be written to? */
static __always_inline bool chosen(__u32 tgid)
{
	__u32 verdict = verdict_of(tgid);

	return verdict == PROCESS_DEFAULT ? default_selected : verdict == PROCESS_SELECTED;
}

/* ---- peers ---- */

static __always_inline void peer_key_of(struct bpf_sock_ops *o, struct peer_key *key, bool port)
{
	__u32 *a = (__u32 *)key->address, last = o->remote_ip4;

	/* The compiler must not choose between places in the context: the verifier forbids that. */
	asm volatile("" : "+r"(last));
	__builtin_memset(key, 0, sizeof(*key));
	if (o->family == AF_INET6) {
		a[0] = o->remote_ip6[0];
		a[1] = o->remote_ip6[1];
		a[2] = o->remote_ip6[2];
		last = o->remote_ip6[3];
		asm volatile("" : "+r"(last));
	} else {
		a[2] = bpf_htonl(0xffff);
	}
	a[3] = last;
	key->netns = bpf_get_netns_cookie(o);
	key->port = port ? o->remote_port : 0;
}

static __always_inline bool paused(void *map, struct peer_key *key)
{
	struct peer *p = bpf_map_lookup_elem(map, key);

	return p && bpf_ktime_get_ns() < p->until;
}

static __always_inline void pause(void *map, struct peer_key *key, __u64 ns)
{
	struct peer *p = bpf_map_lookup_elem(map, key), fresh = {};
	__u64 now = bpf_ktime_get_ns();

	if (p && now < p->until)
		return;
	fresh.failures = p ? p->failures + 1 : 0;
	if (fresh.failures > PAUSE_SHIFT)
		fresh.failures = PAUSE_SHIFT;
	fresh.until = now + (ns << fresh.failures);
	bpf_map_update_elem(map, key, &fresh, BPF_ANY);
}

/* Contexts do not get through to a peer (on one port, or at all). */
static __always_inline void peer_failed(struct bpf_sock_ops *o, bool port)
{
	struct peer_key key;

	peer_key_of(o, &key, port);
	pause(&peers, &key, PAUSE);
}

/* ---- callbacks of a socket ---- */

static __always_inline void callbacks_on(struct bpf_sock_ops *o, struct wire *w, __u32 which)
{
	__u32 flags = o->bpf_sock_ops_cb_flags, more = which & ~flags;

	if (more && bpf_sock_ops_cb_flags_set(o, flags | more) == 0)
		w->callbacks |= more;
}

static __always_inline void callbacks_off(struct bpf_sock_ops *o, struct wire *w, __u32 which)
{
	__u32 less = which & w->callbacks;

	if (less)
		bpf_sock_ops_cb_flags_set(o, o->bpf_sock_ops_cb_flags & ~less);
	w->callbacks &= ~less;
}

/* ---- what is settled before a request leaves ---- */

/* As make_identity; the highest bit but one keeps the two apart. */
static __always_inline __u64 prepared_identity(struct scratch *s)
{
	return (__u64)(bpf_get_smp_processor_id() + 1) << 48 | 1ULL << 62 |
	       (__sync_fetch_and_add(&s->identities, 1) + 1);
}

static __always_inline struct conn *conn_get(struct bpf_sock *sk, struct tcp_sock *tp)
{
	struct conn *c;

	if (conn_by_address) {
		__u64 key = (__u64)tp;
		struct scratch *s;

		c = bpf_map_lookup_elem(&conn_hash, &key);
		if (c && c->inode == socket_inode((struct sock *)tp))
			return c;
		s = scratch_get();
		if (!s)
			return NULL;
		__builtin_memset(&s->conn, 0, sizeof(s->conn));
		if (!conn_init(&s->conn, (struct sock *)tp))
			return NULL;
		bpf_map_update_elem(&conn_hash, &key, &s->conn, BPF_ANY);
		return bpf_map_lookup_elem(&conn_hash, &key);
	}
	c = bpf_sk_storage_get(&conn_storage, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (c && !c->id && !conn_init(c, (struct sock *)tp))
		return NULL;
	return c;
}

/*
 * Programs run in the sender's own context here, but may be preempted by another
 * that runs them: working memory belongs to one at a time.
 */
static __always_inline struct scan *memory_take(void)
{
	struct scan *s = scan_get();

	if (!s || __sync_val_compare_and_swap(&s->busy, 0, 1))
		return NULL;
	return s;
}

static __always_inline void memory_give(struct scan *s)
{
	s->busy = 0;
}

/*
 * Settles what is to be known about the request whose first byte will be at
 * write_seq, unless that has been done. Returns false if no request begins there.
 * In the context of the thread that sends it, which has taken the memory.
 */
static __always_inline bool prepare(struct conn *c, struct tcp_sock *tp, struct task_struct *task)
{
	struct prepared *p = &c->prepared;
	__u32 position = tp->write_seq | 1U << 31;
	struct scratch *s = scratch_get();
	__u64 now = bpf_ktime_get_ns();
	struct policy *policy = policy_get(c);
	struct context x = {};
	struct request *r;
	struct join *j;

	if (!s || c->role != ROLE_CLIENT || !c->plain_tcp || c->last_dir == DIR_SENT + 1)
		return false;
	if (policy && (policy->flags & POLICY_IGNORE))
		return false;
	if (p->identity && !p->taken) {
		if (p->position == position && (p->written || p->tid == (__u32)task->pid))
			return true;
		/* That one has not been reported yet. */
		if (p->position != position && now - p->time < PREPARED_STALE)
			return false;
	}
	if (!c->last_dir)
		conn_sequences(c, tp);
	r = made_for(s, c, task, &x);
	p->identity = prepared_identity(s);
	p->current = x;
	p->time = now;
	p->position = position;
	p->added = 0;
	p->tid = task->pid;
	p->taken = 0;
	p->written = 0;
	/* The other end may read it before this call returns. */
	j = join_of(s, c, (struct sock *)tp);
	if (j) {
		j->client_seed = p->identity;
		j->client_trace = r && x.method < METHOD_LINKS ? r->trace : p->identity;
		j->client_for = r && x.method < METHOD_LINKS ? x.seed : 0;
		j->client_slot = x.slot;
		j->client_position = position;
	}
	return true;
}

/*
 * The context that a prepared request goes on with. Returns false if it is not
 * known for certain.
 */
static __always_inline bool outgoing(struct prepared *p, struct trace_context *x, __u64 *stated)
{
	struct request *r = p->current.method < METHOD_LINKS ? request_of(&p->current) : NULL;
	struct remote *m = r ? remote_of(r->seed, p->current.slot) : NULL;
	bool decided = false;

	__builtin_memset(x, 0, sizeof(*x));
	*stated = 0;
	if (m && (m->reading || m->state == REMOTE_UNKNOWN))
		return false;
	if (m && m->state == REMOTE_KNOWN) {
		x->trace_id[0] = m->context.trace_id[0];
		x->trace_id[1] = m->context.trace_id[1];
		x->flags = m->context.flags;
		*stated = m->stated;
		decided = true;
	} else {
		trace_id_of(r ? r->trace : p->identity, x->trace_id);
	}
	if (sampled(x->trace_id, decided, x->flags))
		x->flags |= TRACE_SAMPLED;
	else
		x->flags &= ~TRACE_SAMPLED;
	x->span_id = span_id_of(p->identity);
	return true;
}

/* Is a system call under way that sends, in the application's own thread? */
static __always_inline bool sending(struct task_struct *task, __u32 *nr)
{
	struct pt_regs *regs;

	if (task->flags & (PF_KTHREAD | PF_IO_WORKER))
		return false;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	if (IS_COMPAT(regs))
		return false;
	*nr = SYSCALL_NR(regs);
	switch (*nr) {
	case NR_write:
	case NR_writev:
	case NR_sendto:
	case NR_sendmsg:
	case NR_sendmmsg:
	case NR_sendfile:
	case NR_splice:
		return true;
	}
	return false;
}

/* ---- the TCP option ---- */

static __always_inline bool before(__u32 a, __u32 b)
{
	return (__s32)(a - b) < 0;
}

/* Is the option still to be written? Not once the request's first byte was acknowledged. */
static __always_inline bool armed(struct wire *w, struct tcp_sock *tp)
{
	if (!(w->flags & WIRE_ARMED))
		return false;
	if (!before(w->position, tp->snd_una))
		return true;
	w->flags &= ~WIRE_ARMED;
	return false;
}

/* A send begins, perhaps, or something else that computes the segment size. */
static __always_inline void option_prepare(struct wire *w, struct bpf_sock *sk, struct tcp_sock *tp)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct trace_context x;
	struct scan *memory;
	struct conn *c;
	__u64 stated;
	__u32 nr;

	/* In the sender's context, and nothing waits to be sent from before? */
	if (!BPF_CORE_READ((struct sock *)tp, sk_lock.owned) || tp->write_seq != tp->snd_nxt)
		return;
	if ((w->flags & WIRE_ARMED) && w->position == tp->write_seq)
		return;
	if (!sending(task, &nr) || !chosen(tgid_of(task)))
		return;
	c = conn_get(sk, tp);
	if (!c)
		return;
	memory = memory_take();
	if (!memory) {
		count(COUNT_OPTION_ERROR, 1);
		return;
	}
	if (prepare(c, tp, task)) {
		if (outgoing(&c->prepared, &x, &stated)) {
			option_encode(&w->option, &x);
			w->position = tp->write_seq;
			w->flags = (w->flags & ~WIRE_WRITTEN) | WIRE_ARMED;
		} else {
			count(COUNT_OPTION_CONTEXT, 1);
		}
	}
	memory_give(memory);
}

/* The segment size is computed: before anything is sent, in the sender's context. */
static __always_inline void on_segment_size(struct bpf_sock_ops *o, struct wire *w, struct bpf_sock *sk,
					    struct tcp_sock *tp)
{
	struct peer_key key;

	if (w->flags & WIRE_HASHED) {
		if (w->flags & WIRE_LEAVE) {
			bpf_map_delete_elem(&sockets, &w->cookie);
			w->flags &= ~WIRE_HASHED;
			if (w->flags & WIRE_OTHER) {
				peer_key_of(o, &key, true);
				pause(&others, &key, PAUSE_OTHER);
			}
		}
		/* There is no other use for this callback then. */
		if (!(w->flags & (WIRE_FIRST | WIRE_PEER)))
			callbacks_off(o, w, CALLBACK_WRITE_HDR_OPT);
	}
	if (!(w->flags & WIRE_PEER))
		return;
	option_prepare(w, sk, tp);
	if (armed(w, tp))
		bpf_reserve_hdr_opt(o, sizeof(struct context_option), 0);
}

static __always_inline void listener_key_of(struct bpf_sock_ops *o, struct listener_key *key)
{
	key->netns = bpf_get_netns_cookie(o);
	key->port = o->local_port;
	key->pad = 0;
}

/*
 * Shall the listener that a SYN has come to say that the option is understood? All it
 * takes are four bytes for a peer that asked, and one that is not answered does not
 * ask again for a minute. So listeners do that whose process has not been looked at
 * yet, or is not known.
 */
static __always_inline bool answers(struct bpf_sock_ops *o)
{
	struct listener_key key;
	__u32 *tgid;

	listener_key_of(o, &key);
	tgid = bpf_map_lookup_elem(&listeners, &key);
	return !tgid || verdict_of(*tgid) != PROCESS_IGNORED;
}

static __always_inline bool peer_understands(struct bpf_sock_ops *o, __u64 flags)
{
	struct short_option found = {.kind = TCPOPT_EXP, .len = 4, .exid = bpf_htons(EXID_UNSAMPLED)};

	return bpf_load_hdr_opt(o, &found, sizeof(found), flags) == sizeof(found);
}

/* How long will the options of a packet be? */
static __always_inline void on_option_length(struct bpf_sock_ops *o)
{
	struct bpf_sock *sk;
	struct tcp_sock *tp;
	struct wire *w;

	if (!o->is_fullsock) {
		/* A SYN-ACK. (One that is sent again does not know the SYN any more.) */
		if ((inject & INJECT_TCP_OPTION) && peer_understands(o, LOAD_HDR_OPT_TCP_SYN) && answers(o))
			bpf_reserve_hdr_opt(o, sizeof(struct short_option), 0);
		return;
	}
	sk = o->sk;
	if (!sk)
		return;
	w = bpf_sk_storage_get(&wires, sk, NULL, 0);
	tp = bpf_skc_to_tcp_sock(sk);
	if (!w || !tp)
		return;
	if (o->args[0] == WRITE_HDR_TCP_CURRENT_MSS) {
		on_segment_size(o, w, sk, tp);
		return;
	}
	if (o->skb_tcp_flags & TCPHDR_SYN) {
		if (!(w->flags & WIRE_TRY))
			return;
		if (w->flags & WIRE_SYN) {
			/* Not answered: never twice, and not to this peer for a while. */
			if (!(w->flags & WIRE_REPEATED)) {
				count(COUNT_OPTION_PEER, 1);
				peer_failed(o, false);
			}
			w->flags |= WIRE_REPEATED;
			return;
		}
		if (bpf_reserve_hdr_opt(o, sizeof(struct short_option), 0)) {
			count(COUNT_OPTION_NO_ROOM, 1);
			w->flags &= ~WIRE_TRY;
		}
		return;
	}
	if (!(w->flags & WIRE_PEER) || !o->skb_len || !armed(w, tp))
		return;
	if (tp->snd_nxt != w->position) {
		/*
		 * Sent before. Is it sent again now, or what comes after it? That
		 * shows when the packet is complete; what is reserved in vain is
		 * padded.
		 */
		if (tp->write_seq != tp->snd_nxt && !o->lost_out)
			return;
		if (tp->inet_conn.icsk_retransmits >= 2) {
			w->flags &= ~WIRE_ARMED;
			peer_failed(o, true);
			return;
		}
	}
	if (bpf_reserve_hdr_opt(o, sizeof(struct context_option), 0) && tp->snd_nxt == w->position) {
		count(COUNT_OPTION_NO_ROOM, 1);
		w->flags &= ~WIRE_ARMED;
	}
}

static __always_inline void on_option_write(struct bpf_sock_ops *o)
{
	struct short_option s = {.kind = TCPOPT_EXP, .len = 4, .exid = bpf_htons(EXID_UNSAMPLED)};
	void *data = o->skb_data, *end = o->skb_data_end;
	struct tcphdr *header = data;
	struct bpf_sock *sk;
	struct tcp_sock *tp;
	struct wire *w;

	if (!o->is_fullsock) {
		if ((inject & INJECT_TCP_OPTION) && peer_understands(o, LOAD_HDR_OPT_TCP_SYN))
			bpf_store_hdr_opt(o, &s, sizeof(s), 0);
		return;
	}
	sk = o->sk;
	if (!sk)
		return;
	w = bpf_sk_storage_get(&wires, sk, NULL, 0);
	tp = bpf_skc_to_tcp_sock(sk);
	if (!w || !tp)
		return;
	if (o->skb_tcp_flags & TCPHDR_SYN) {
		if ((w->flags & (WIRE_TRY | WIRE_SYN)) == WIRE_TRY && bpf_store_hdr_opt(o, &s, sizeof(s), 0) == 0)
			w->flags |= WIRE_SYN;
		return;
	}
	if (!(w->flags & WIRE_PEER) || !armed(w, tp) || (void *)(header + 1) > end)
		return;
	if (bpf_ntohl(header->seq) != w->position)
		return;
	if (bpf_store_hdr_opt(o, &w->option, sizeof(w->option), 0)) {
		count(COUNT_OPTION_ERROR, 1);
		w->flags &= ~WIRE_ARMED;
	} else if (!(w->flags & WIRE_WRITTEN)) {
		count(COUNT_OPTION_WRITTEN, 1);
		w->flags |= WIRE_WRITTEN;
	}
}

/* A packet has options that the kernel does not know. */
static __always_inline void on_option_read(struct bpf_sock_ops *o)
{
	struct context_option found = {.kind = TCPOPT_EXP, .len = 4, .exid = bpf_htons(EXID_SAMPLED)};
	void *data = o->skb_data, *end = o->skb_data_end;
	struct tcphdr *header = data;
	struct bpf_sock *sk = o->sk;
	struct arrival fresh = {}, *a;
	struct tcp_sock *tp;
	__u64 key;

	if (!sk || (void *)(header + 1) > end)
		return;
	fresh.seq = bpf_ntohl(header->seq);
	if (bpf_load_hdr_opt(o, &found, sizeof(found), 0) != sizeof(found)) {
		found.kind = TCPOPT_EXP;
		found.len = 4;
		found.exid = bpf_htons(EXID_UNSAMPLED);
		if (bpf_load_hdr_opt(o, &found, sizeof(found), 0) != sizeof(found))
			return;
	}
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp || !option_decode(&found, &fresh.context))
		return;
	key = (__u64)tp;
	a = bpf_map_lookup_elem(&arrivals, &key);
	if (a && a->context.span_id == fresh.context.span_id && a->context.trace_id[1] == fresh.context.trace_id[1]) {
		/* All segments that a network card makes of one have it: the first one counts. */
		if (before(fresh.seq, a->seq))
			a->seq = fresh.seq;
		return;
	}
	bpf_map_update_elem(&arrivals, &key, &fresh, BPF_ANY);
}

/* ---- connections come and go ---- */

/* A process connects. */
static __always_inline void on_connecting(struct bpf_sock_ops *o)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct bpf_sock *sk = o->sk;
	struct peer_key key;
	struct tcp_sock *tp;
	struct wire *w;

	if (!sk || (task->flags & PF_KTHREAD) || !chosen(tgid_of(task)))
		return;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp || (bpf_core_field_exists(tp->is_mptcp) && tp->is_mptcp))
		return;
	w = bpf_sk_storage_get(&wires, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!w)
		return;
	w->flags = 0;
	if (!(inject & INJECT_TCP_OPTION))
		return;
	peer_key_of(o, &key, false);
	if (!paused(&peers, &key)) {
		key.port = o->remote_port;
		if (!paused(&peers, &key)) {
			w->flags |= WIRE_TRY;
			callbacks_on(o, w, CALLBACK_WRITE_HDR_OPT | CALLBACK_STATE);
			return;
		}
	}
	count(COUNT_OPTION_PEER, 1);
}

static __always_inline bool zerocopy(struct tcp_sock *tp)
{
	return BPF_CORE_READ((struct sock *)tp, __sk_common.skc_flags) &
	       1UL << bpf_core_enum_value(enum sock_flags, SOCK_ZEROCOPY);
}

/* It is connected. */
static __always_inline void on_connected(struct bpf_sock_ops *o)
{
	struct bpf_sock *sk = o->sk;
	struct peer_key key;
	struct tcp_sock *tp;
	struct wire *w;

	if (!sk)
		return;
	w = bpf_sk_storage_get(&wires, sk, NULL, 0);
	tp = bpf_skc_to_tcp_sock(sk);
	if (!w || !tp)
		return;
	if (w->flags & WIRE_SYN) {
		if (peer_understands(o, 0)) {
			w->flags |= WIRE_PEER;
			peer_key_of(o, &key, false);
			bpf_map_delete_elem(&peers, &key);
			key.port = o->remote_port;
			bpf_map_delete_elem(&peers, &key);
		} else {
			if (!(w->flags & WIRE_REPEATED))
				count(COUNT_OPTION_PEER, 1);
			peer_failed(o, false);
		}
	}
	if (!(w->flags & WIRE_PEER))
		callbacks_off(o, w, CALLBACK_WRITE_HDR_OPT | CALLBACK_STATE);
	if (!(inject & INJECT_HTTP_HEADER) || tp->inet_conn.icsk_ulp_ops || zerocopy(tp) ||
	    tp->write_seq != tp->snd_una)
		return;
	peer_key_of(o, &key, true);
	if (paused(&others, &key))
		return;
	w->cookie = bpf_get_socket_cookie(o);
	if (bpf_sock_hash_update(o, &sockets, &w->cookie, BPF_NOEXIST)) {
		count(COUNT_HEADER_ERROR, 1);
		return;
	}
	w->flags |= WIRE_HASHED | WIRE_FIRST;
	w->next = tp->write_seq;
	callbacks_on(o, w, CALLBACK_WRITE_HDR_OPT);
}

static __always_inline void on_listening(struct bpf_sock_ops *o)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct bpf_sock *sk = o->sk;
	struct listener_key key;
	__u32 tgid = tgid_of(task);
	struct wire *w;

	/* Most listen before user space has looked at them: see answers. */
	if (!(inject & INJECT_TCP_OPTION) || !sk || !selected(tgid))
		return;
	w = bpf_sk_storage_get(&wires, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!w)
		return;
	listener_key_of(o, &key);
	bpf_map_update_elem(&listeners, &key, &tgid, BPF_ANY);
	w->flags = WIRE_LISTENER;
	callbacks_on(o, w, CALLBACK_WRITE_HDR_OPT);
}

/* A listener's child is connected; it has inherited what is known of that one. */
static __always_inline void on_accepted(struct bpf_sock_ops *o)
{
	struct bpf_sock *sk = o->sk;
	struct wire *w;

	if (!(inject & INJECT_TCP_OPTION) || !sk)
		return;
	w = bpf_sk_storage_get(&wires, sk, NULL, 0);
	if (!w || !(w->flags & WIRE_LISTENER))
		return;
	callbacks_on(o, w, CALLBACK_PARSE_UNKNOWN_HDR_OPT);
	callbacks_off(o, w, CALLBACK_WRITE_HDR_OPT);
	/* The packet that completes the handshake may begin a request. */
	on_option_read(o);
	bpf_sk_storage_delete(&wires, sk);
}

static __always_inline void on_closed(struct bpf_sock_ops *o, __u32 old)
{
	struct bpf_sock *sk = o->sk;
	struct tcp_sock *tp;
	struct wire *w;

	if (!sk)
		return;
	w = bpf_sk_storage_get(&wires, sk, NULL, 0);
	tp = bpf_skc_to_tcp_sock(sk);
	if (!w || !tp)
		return;
	if (old == TCP_SYN_SENT && (w->flags & WIRE_SYN))
		peer_failed(o, true);
	else if (old == TCP_ESTABLISHED && (w->flags & WIRE_WRITTEN) && armed(w, tp))
		peer_failed(o, true);
}

SEC("sockops")
int socket_event(struct bpf_sock_ops *o)
{
	if (!enabled)
		return 1;
	switch (o->op) {
	case SOCK_OPS_TCP_CONNECT:
		on_connecting(o);
		break;
	case SOCK_OPS_ACTIVE_ESTABLISHED:
		on_connected(o);
		break;
	case SOCK_OPS_TCP_LISTEN:
		on_listening(o);
		break;
	case SOCK_OPS_PASSIVE_ESTABLISHED:
		on_accepted(o);
		break;
	case SOCK_OPS_STATE:
		if (o->args[1] == TCP_CLOSE)
			on_closed(o, o->args[0]);
		break;
	case SOCK_OPS_HDR_OPT_LEN:
		on_option_length(o);
		break;
	case SOCK_OPS_WRITE_HDR_OPT:
		on_option_write(o);
		break;
	case SOCK_OPS_PARSE_HDR_OPT:
		if (inject & INJECT_TCP_OPTION)
			on_option_read(o);
		break;
	}
	return 1;
}

/* ---- the header ---- */

static __always_inline void leave(struct wire *w, __u32 cause)
{
	__u32 one = 1;

	if (w->flags & WIRE_LEAVE)
		return;
	w->flags |= WIRE_LEAVE;
	count(cause, 1);
	/* In case that the kernel does not ask for the segment size any more. */
	if (!(w->callbacks & CALLBACK_WRITE_HDR_OPT))
		bpf_map_update_elem(&leaving, &w->cookie, &one, BPF_ANY);
}

/* Does the message come in a way in which it is better left alone? */
static __always_inline bool unsupported(struct task_struct *task, struct tcp_sock *tp)
{
	struct sock *sk = (struct sock *)tp;
	__u32 nr;

	if (!sending(task, &nr) || nr == NR_sendfile || nr == NR_splice)
		return true;
	if (tp->inet_conn.icsk_ulp_ops || zerocopy(tp))
		return true;
	/* With io_uring the registers may be another call's. */
	if (task->io_uring) {
		struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);

		return sock_of(file_of(ARG0(regs))) != sk;
	}
	return false;
}

/*
 * Will the beginning of the message be taken whole or not at all? (Of a message that
 * was taken in part, the kernel tells the application how much by what is left.)
 */
static __always_inline bool room(struct tcp_sock *tp, __u32 need)
{
	struct sock *sk = (struct sock *)tp;
	unsigned long *pressure = BPF_CORE_READ(sk, __sk_common.skc_prot, memory_pressure), pressed = 0;
	__u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);
	__u32 queued = BPF_CORE_READ(sk, sk_wmem_queued), most = BPF_CORE_READ(sk, sk_sndbuf);

	if (state != TCP_ESTABLISHED && state != TCP_CLOSE_WAIT)
		return false;
	if ((BPF_CORE_READ(sk, sk_shutdown) & SEND_SHUTDOWN) || BPF_CORE_READ(sk, sk_err))
		return false;
	if (pressure)
		bpf_probe_read_kernel(&pressed, sizeof(pressed), pressure);
	if (pressed)
		return false;
	/* Memory is accounted for with what surrounds the bytes. */
	return !queued || queued + 2 * need < most / 2;
}

/* May the socket stay in the sockhash? */
static __always_inline bool stays(struct task_struct *task, struct tcp_sock *tp)
{
	__u32 tgid = tgid_of(task);
	struct program_key key = {};
	struct file *exe;

	if (!(BPF_CORE_READ((struct sock *)tp, sk_socket, file, f_flags) & O_NONBLOCK))
		return false;
	if (may_stay || bpf_map_lookup_elem(&stayers, &tgid))
		return true;
	exe = BPF_CORE_READ(task, mm, exe_file);
	key.inode = BPF_CORE_READ(exe, f_inode, i_ino);
	key.device = BPF_CORE_READ(exe, f_inode, i_sb, s_dev);
	if (bpf_map_lookup_elem(&programs, &key))
		return true;
	/* A worker process is what it was forked from, until it executes something. */
	if (exe != BPF_CORE_READ(task, real_parent, mm, exe_file))
		return false;
	tgid = BPF_CORE_READ(task, real_parent, tgid);
	return bpf_map_lookup_elem(&stayers, &tgid);
}

/* How much of a message is made one piece at its beginning: what small requests are. */
#define MESSAGE_FRONT 8192

/*
 * Reads the head at the beginning of a message into the memory that was taken.
 * Returns false if it cannot be read. A global function, so that the verifier walks
 * it once.
 */
__attribute__((noinline)) int read_head(struct sk_msg_md *msg)
{
	struct scan *s = scan_get();
	__u32 size = msg->size, part, done = 0;
	__u64 data;
	int i;

	if (!s)
		return 0;
	scan_start(s, SCAN_STRICT);
	for (i = 0; i < HEAD_MAX / (SCAN_SIZE - SCAN_CARRY) + 1; i++) {
		part = size - done;
		if (part == 0)
			return 1;
		if (part > SCAN_SIZE - SCAN_CARRY)
			part = SCAN_SIZE - SCAN_CARRY;
		if (bpf_msg_pull_data(msg, done, done + part, 0))
			return 0;
		data = (__u64)msg->data;
		if (data + part > (__u64)msg->data_end)
			return 0;
		asm volatile("" : "+r"(part));
		part &= SCAN_SIZE - 1;
		if (bpf_probe_read_kernel(&s->data[s->fill & (2 * SCAN_CARRY - 1)], part, (void *)data))
			return 0;
		s->fill = (s->fill & (2 * SCAN_CARRY - 1)) + part;
		done += part;
		scan_piece();
		if (scan_over(s))
			return 1;
	}
	return 1;
}

struct copying {
	struct sk_msg_md *msg;
	struct scan *s;
	__u32 len;
};

static long copy_byte(__u32 i, struct copying *c)
{
	__u8 *data = c->msg->data, *end = c->msg->data_end;

	if (i >= c->len || i >= SCAN_SIZE || data + i + 1 > end)
		return 1;
	data[i] = c->s->data[i & (SCAN_SIZE - 1)];
	return 0;
}

enum written {
	WRITTEN_NOTHING = 0,
	WRITTEN_WELL = 1,
	WRITTEN_BADLY = 2, /* the message must not be sent */
};

/*
 * Puts `len` bytes of the memory's data behind the first line of the message.
 */
__attribute__((noinline)) int write_header(struct sk_msg_md *msg, __u32 len)
{
	struct scan *s = scan_get();
	struct copying c = {.msg = msg, .s = s, .len = len};
	__u32 at, front;
	__u8 *data, *end;

	if (!s || len < HEADER_LEN || len > SCAN_SIZE)
		return WRITTEN_NOTHING;
	at = s->first;
	if (bpf_msg_push_data(msg, at, len, 0))
		return WRITTEN_NOTHING;
	/* What was pushed is one piece already: nothing is allocated here. */
	if (bpf_msg_pull_data(msg, at, at + len, 0))
		return bpf_msg_pop_data(msg, at, len, 0) ? WRITTEN_BADLY : WRITTEN_NOTHING;
	data = msg->data;
	end = msg->data_end;
	if (data + HEADER_LEN > end || (__u64)data + len > (__u64)end)
		return bpf_msg_pop_data(msg, at, len, 0) ? WRITTEN_BADLY : WRITTEN_NOTHING;
	if (len == HEADER_LEN)
		__builtin_memcpy(data, s->data, HEADER_LEN);
	else
		bpf_loop(len, copy_byte, &c, 0);
	/* Pieces are sent one by one: small requests should be one packet still. */
	front = msg->size < MESSAGE_FRONT ? msg->size : MESSAGE_FRONT;
	if (front >= at + len)
		bpf_msg_pull_data(msg, 0, front, 0);
	return WRITTEN_WELL;
}

#define CHUNKS_MAX 32
/* 16 digits, CR LF, and of the last one another CR LF. */
#define CHUNK_HEAD 20

/*
 * Follows the chunks of a body through a message that begins at `from`. Leaves in
 * w->next where the next one begins, or the next request. Returns 0 where it loses
 * its way.
 */
__attribute__((noinline)) int follow_chunks(struct sk_msg_md *msg, __u32 from)
{
	struct bpf_sock *sk = msg->sk;
	struct wire *w;
	int i, k;

	if (!sk)
		return 0;
	w = bpf_sk_storage_get(&wires, sk, NULL, 0);
	if (!w)
		return 0;
	for (i = 0; i < CHUNKS_MAX; i++) {
		__u32 at = w->next - from, rest, digits = 0;
		__u8 *data, *end, *line;
		__u64 size = 0;

		if (at >= msg->size)
			return (__s32)at >= 0;
		rest = msg->size - at;
		if (rest > CHUNK_HEAD)
			rest = CHUNK_HEAD;
		if (bpf_msg_pull_data(msg, at, at + rest, 0))
			return 0;
		data = msg->data;
		end = msg->data_end;
		for (k = 0; k < 8; k++) {
			__u8 c;

			if (data + k + 1 > end)
				return 0;
			c = data[k];
			if ((__u8)(c - '0') < 10)
				c -= '0';
			else if ((__u8)((c | 0x20) - 'a') < 6)
				c = (c | 0x20) - 'a' + 10;
			else
				break;
			size = size << 4 | c;
			digits++;
		}
		line = data + digits;
		if (!digits || digits > 7 || line + 2 > end || line[0] != '\r' || line[1] != '\n')
			return 0;
		if (size == 0) {
			if (line + 4 > end || line[2] != '\r' || line[3] != '\n')
				return 0;
			w->next += digits + 4;
			w->flags &= ~WIRE_CHUNKED;
			return w->next - from == msg->size;
		}
		w->next += digits + 2 + (__u32)size + 2;
	}
	return 0;
}

/* Writes the context, if one can be. The memory has what is known of the head. */
static __always_inline int put_context(struct sk_msg_md *msg, struct wire *w, struct bpf_sock *sk, struct tcp_sock *tp,
				       struct task_struct *task, struct scan *s, __u32 *added)
{
	struct conn *c = conn_get(sk, tp);
	struct tracestate *t = NULL;
	struct trace_context x;
	__u32 len = HEADER_LEN, n;
	__u64 stated;
	int written;

	if (!c || !chosen(tgid_of(task)))
		return SK_PASS;
	if (!prepare(c, tp, task)) {
		count(COUNT_HEADER_BOUNDARY, 1);
		return SK_PASS;
	}
	if (!outgoing(&c->prepared, &x, &stated)) {
		count(COUNT_HEADER_CONTEXT, 1);
		return SK_PASS;
	}
	if (!room(tp, MESSAGE_FRONT)) {
		count(COUNT_HEADER_NO_ROOM, 1);
		return SK_PASS;
	}
	traceparent_encode(s->data, &x);
	if (stated)
		t = bpf_map_lookup_elem(&tracestates, &stated);
	if (t) {
		n = t->len <= STATE_MAX ? t->len : 0;
		/* Says no more, but in a way old verifiers follow. */
		asm volatile("" : "+r"(n));
		n &= 2 * STATE_MAX - 1;
		if (n && bpf_probe_read_kernel(s->data + HEADER_LEN + 12, n, t->text) == 0) {
			__builtin_memcpy(s->data + HEADER_LEN, "tracestate: ", 12);
			s->data[HEADER_LEN + 12 + n] = '\r';
			s->data[HEADER_LEN + 12 + n + 1] = '\n';
			len += 12 + n + 2;
		}
	}
	written = write_header(msg, len);
	if (written == WRITTEN_WELL) {
		c->prepared.added = len;
		c->prepared.written = 1;
		*added = len;
		count(COUNT_HEADER_WRITTEN, 1);
		return SK_PASS;
	}
	leave(w, COUNT_HEADER_ERROR);
	return written == WRITTEN_BADLY ? SK_DROP : SK_PASS;
}

/* A message begins where a request may. */
static __always_inline int on_head(struct sk_msg_md *msg, struct wire *w, struct bpf_sock *sk, struct tcp_sock *tp,
				   struct task_struct *task, struct scan *s, bool first)
{
	__u32 from = w->next, size = msg->size, added = 0, flags, length;
	int verdict = SK_PASS;

	if (!read_head(msg)) {
		leave(w, COUNT_HEADER_ERROR);
		return SK_PASS;
	}
	flags = s->flags;
	length = flags & SCAN_LENGTH ? (__u32)s->length : 0;
	if ((flags & (SCAN_END | SCAN_NONE | SCAN_ODD)) != SCAN_END ||
	    ((flags & SCAN_LENGTH) && (flags & (SCAN_CHUNKED | SCAN_CODING))) || s->length >= 1U << 30 ||
	    s->head > HEAD_MAX) {
		if (first && (flags & SCAN_NONE))
			w->flags |= WIRE_OTHER;
		leave(w, COUNT_HEADER_NOT_HEAD);
		return SK_PASS;
	}
	if (flags & SCAN_CONNECT) {
		leave(w, COUNT_HEADER_BOUNDARY);
		return SK_PASS;
	}
	if (flags & SCAN_PARENTS)
		count(COUNT_HEADER_PRESENT, 1);
	else
		verdict = put_context(msg, w, sk, tp, task, s, &added);
	w->next = from + s->head + added + length;
	if (flags & SCAN_CHUNKED) {
		w->flags |= WIRE_CHUNKED;
		if (!follow_chunks(msg, from))
			leave(w, COUNT_HEADER_BOUNDARY);
	} else if ((flags & (SCAN_UPGRADE | SCAN_CODING)) || size > s->head + length) {
		leave(w, COUNT_HEADER_BOUNDARY);
	}
	return verdict;
}

SEC("sk_msg")
int message_sent(struct sk_msg_md *msg)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct bpf_sock *sk = msg->sk;
	struct tcp_sock *tp;
	struct scan *s;
	struct wire *w;
	bool first;
	int verdict = SK_PASS;

	if (!sk || !enabled)
		return SK_PASS;
	w = bpf_sk_storage_get(&wires, sk, NULL, 0);
	if (!w || (w->flags & (WIRE_HASHED | WIRE_LEAVE)) != WIRE_HASHED || !msg->size)
		return SK_PASS;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return SK_PASS;
	first = w->flags & WIRE_FIRST;
	w->flags &= ~WIRE_FIRST;
	if (unsupported(task, tp)) {
		leave(w, COUNT_HEADER_UNSUPPORTED);
	} else if (w->flags & WIRE_CHUNKED) {
		if (!follow_chunks(msg, tp->write_seq))
			leave(w, COUNT_HEADER_BOUNDARY);
	} else if (tp->write_seq == w->next) {
		s = memory_take();
		if (s) {
			verdict = on_head(msg, w, sk, tp, task, s, first);
			memory_give(s);
		} else {
			leave(w, COUNT_HEADER_ERROR);
		}
	} else if (w->next - tp->write_seq < msg->size || before(w->next, tp->write_seq)) {
		leave(w, COUNT_HEADER_BOUNDARY);
	}
	if (first && !stays(task, tp))
		leave(w, COUNT_HEADER_LEFT);
	return verdict;
}

/* ---- listeners that are older than these programs ---- */

struct bpf_iter_meta;

struct bpf_iter__tcp {
	MD_PTR(struct bpf_iter_meta *, meta);
	MD_PTR(struct sock_common *, sk_common);
	__u32 uid;
};

/* Needs v6.12 (bpf_setsockopt of the callbacks). In the reader's network namespace. */
SEC("iter/tcp")
int existing_listeners(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct tcp_sock *tp;
	struct wire *w;
	int flags = 0;

	if (!common || common->skc_state != TCP_LISTEN)
		return 0;
	tp = bpf_skc_to_tcp_sock(common);
	if (!tp || bpf_getsockopt(tp, SOL_TCP, TCP_BPF_SOCK_OPS_CB_FLAGS, &flags, sizeof(flags)))
		return 0;
	w = bpf_sk_storage_get(&wires, tp, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!w)
		return 0;
	w->flags = WIRE_LISTENER;
	w->callbacks = CALLBACK_WRITE_HDR_OPT;
	flags |= CALLBACK_WRITE_HDR_OPT;
	bpf_setsockopt(tp, SOL_TCP, TCP_BPF_SOCK_OPS_CB_FLAGS, &flags, sizeof(flags));
	return 0;
}
