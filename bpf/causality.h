/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Who causes what: for whom was the request made that leaves here?
 *
 * A request that arrives on a server's connection is *active* until its response
 * begins. While it is, requests that leave the process on behalf of it are its
 * children. On whose behalf a request leaves is asked at the moment it does,
 * of the execution unit that sends it: the goroutine, the thread, or the event
 * loop, which works on what it has read last. And where both ends of a
 * connection are on this node, the request that arrives is the one that left.
 *
 * Wrong parents are worse than none. Evidence that does not suffice becomes a
 * link, or nothing.
 */
#ifndef OTELCOL_EBPF_CAUSALITY_H
#define OTELCOL_EBPF_CAUSALITY_H

#include <bpf/bpf_core_read.h>

#include "maps.h"
#include "propagation.h"
#include "syscall.h"

/* ---- requests ---- */

static __always_inline struct request *request_at(__u32 slot)
{
	slot &= REQUEST_SLOTS - 1;
	return bpf_map_lookup_elem(&requests, &slot);
}

static __always_inline struct request *request_of(const struct context *x)
{
	struct request *r;

	if (!x->seed)
		return NULL;
	r = request_at(x->slot);
	return r && r->seed == x->seed ? r : NULL;
}

static __always_inline bool active(const struct context *x)
{
	struct request *r = request_of(x);

	return r && r->state == REQUEST_ACTIVE;
}

/*
 * Was it not certain for whom a connection sent its request, or was opened? Then neither
 * is what an event loop does with the response.
 */
static __always_inline bool doubtful(const struct context *x)
{
	return x->method == METHOD_AMBIGUOUS;
}

/* ---- execution units ---- */

static __always_inline struct runtime *runtime_of(__u32 tgid)
{
	return bpf_map_lookup_elem(&runtimes, &tgid);
}

static const struct unit no_unit;

static __always_inline struct unit *unit_of(struct task_struct *task, bool create)
{
	__u32 tid = task->pid;
	struct unit *u;

	if (!units_by_tid)
		return bpf_task_storage_get(&units, task, NULL, create ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
	u = bpf_map_lookup_elem(&units_hash, &tid);
	if (u || !create)
		return u;
	bpf_map_update_elem(&units_hash, &tid, &no_unit, BPF_NOEXIST);
	return bpf_map_lookup_elem(&units_hash, &tid);
}

/* The address of the current goroutine's runtime.g, or 0. */
static __always_inline __u64 current_g(struct task_struct *task, struct runtime *rt)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);

#if defined(__TARGET_ARCH_x86)
	__u64 g = 0;

	/* Where C code makes system calls, too, only the thread's own variable is certain. */
	if (rt->tls_g) {
		bpf_probe_read_user(&g, sizeof(g), (void *)(task->thread.fsbase + rt->tls_g));
		return g;
	}
	return BPF_CORE_READ(regs, r14);
#else
	return BPF_CORE_READ(regs, regs[28]);
#endif
}

static __always_inline __u64 unit_key(__u32 tgid, __u64 goid)
{
	return (__u64)tgid << 32 | (__u32)goid;
}

/* The goroutine has `x` to work on now. */
static __always_inline void goroutine_set(__u32 tgid, struct task_struct *task, struct runtime *rt,
					  const struct context *x)
{
	__u64 g = current_g(task, rt), goid = 0, key;
	struct context *old;

	if (!g || bpf_probe_read_user(&goid, sizeof(goid), (void *)(g + rt->g_goid)) || !goid)
		return;
	key = unit_key(tgid, goid);
	old = bpf_map_lookup_elem(&goroutines, &key);
	if (old) {
		old->seed = x->seed;
		old->slot = x->slot;
		old->method = METHOD_NONE;
		return;
	}
	bpf_map_update_elem(&goroutines, &key, x, BPF_ANY);
}

/*
 * For whom does a goroutine work: for the request it has read, or the goroutine
 * that started it has? What its parent worked on when it was first asked about it
 * it keeps, if `keeps`, for its parent goes on to other requests. Leaves the answer in
 * scratch.found. A global function, so that the verifier walks it once.
 */
__attribute__((noinline)) int goroutine_context(__u32 tgid, __u64 g, __u32 keeps)
{
	struct runtime *rt = runtime_of(tgid);
	struct scratch *s = scratch_get();
	struct context *found, *x;
	__u64 goid = 0, key;

	if (!rt || !s)
		return 0;
	x = &s->found;
	x->seed = 0;
	if (bpf_probe_read_user(&goid, sizeof(goid), (void *)(g + rt->g_goid)) || !goid)
		return 0;
	key = unit_key(tgid, goid);
	found = bpf_map_lookup_elem(&goroutines, &key);
	if (found) {
		*x = *found;
		if (!x->method)
			x->method = METHOD_GOROUTINE;
		if (!request_of(x))
			x->seed = 0;
		return 0;
	}
	goid = 0;
	if (!rt->g_parent || bpf_probe_read_user(&goid, sizeof(goid), (void *)(g + rt->g_parent)) || !goid)
		return 0;
	goid = unit_key(tgid, goid);
	found = bpf_map_lookup_elem(&goroutines, &goid);
	if (!found)
		return 0;
	*x = *found;
	x->method = METHOD_PARENT_GOROUTINE;
	if (!active(x))
		x->seed = 0;
	else if (keeps)
		bpf_map_update_elem(&goroutines, &key, x, BPF_ANY);
	return 0;
}

/* Does a word point to a channel for errors, as writers of requests are given? */
static __always_inline bool is_result_channel(__u64 g, __u64 p)
{
	struct scratch *s = scratch_get();
	struct go_chan *c;

	/* In the heap, as every goroutine is? (It is anywhere since Go 1.26.) */
	if ((p > g ? p - g : g - p) >> 36 || p & 15)
		return false;
	if (!s)
		return false;
	c = &s->channel;
	if (bpf_probe_read_user(c, GO_CHAN_SIZE, (void *)p))
		return false;
	return c->capacity == 1 && c->element_size == 16 && c->count <= 1;
}

/* The goroutine that waits at the channel in scratch.channel, or 0. */
static __always_inline __u64 waiting_at(struct scratch *s, struct runtime *rt, __u64 channel)
{
	__u32 at = rt->chan_recvq, own = rt->sudog_c;
	__u64 waiter;

	asm volatile("" : "+r"(at), "+r"(own));
	at &= 0x78;
	own &= 0x78;
	waiter = *(__u64 *)((__u8 *)&s->channel + at);
	if (!waiter || bpf_probe_read_user(s->sudog, own + 8, (void *)waiter))
		return 0;
	/* It has to wait for this very channel. */
	if (*(__u64 *)((__u8 *)s->sudog + own) != channel)
		return 0;
	return s->sudog[0];
}

/*
 * net/http's client connections have a goroutine each that writes requests for
 * others. It is given a channel to say how the write went (chan error, room for
 * one), a local variable of its outermost frame; and who asked waits there. The
 * variable is at the same distance from the stack's end in all programs of a Go
 * version and architecture, give or take a word. Words further up or down may be
 * left from other calls, and their channels be used again by others.
 * Leaves that goroutine, or 0, in scratch.waiter.
 */
__attribute__((noinline)) int waiting_goroutine(__u32 tgid, __u64 g)
{
	struct runtime *rt = runtime_of(tgid);
	struct scratch *s = scratch_get();
	__u64 end = 0;
	int i;

	if (!rt || !s)
		return 0;
	s->waiter = 0;
	if (!rt->chan_recvq || bpf_probe_read_user(&end, sizeof(end), (void *)(g + rt->g_stack_hi)))
		return 0;
	if (bpf_probe_read_user(s->words, sizeof(s->words), (void *)(end - GO_FRAME_END - sizeof(s->words))))
		return 0;
#pragma clang loop unroll(disable)
	for (i = GO_FRAME_WORDS - 1; i >= 0; i--) {
		if (is_result_channel(g, s->words[i])) {
			s->waiter = waiting_at(s, rt, s->words[i]);
			break;
		}
	}
	return 0;
}

/*
 * Does an event loop still work on what it has read last? One that has slept since is
 * in another turn, working on something else. (Not so Node, which waits for its garbage
 * collector's threads in the middle of a turn; but it tells when it turns to other things.)
 */
static __always_inline bool same_turn(struct unit *u, struct task_struct *task)
{
	return u->turns ? !u->deferred : u->switches == task->nvcsw;
}

/*
 * Is a model of who works on what right about this process? It is asked with every
 * response: that one must be the answer to what the thread, the event loop or the task
 * was thought to work on.
 */
static __always_inline bool trusted(__u32 right, __u32 wrong)
{
	return (wrong << 8) <= right + 256;
}

static __always_inline void check(__u32 *right, __u32 *wrong, bool answers)
{
	if (answers)
		++*right;
	else
		++*wrong;
	/* What it did lately counts. */
	if (*right > 512 || *wrong > 512) {
		*right >>= 1;
		*wrong >>= 1;
	}
}

/* The file descriptor of the system call that the task makes, plus 1. */
static __always_inline __u32 descriptor(struct task_struct *task)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);

	return (__u32)ARG0(regs) + 1;
}

#include "haproxy.h"
#include "java.h"
#include "python.h"
#include "ruby_blocks.h"
#include "tokio.h"

static __always_inline void thread_set(struct task_struct *task, struct runtime *rt, const struct context *x,
				       bool borrowed)
{
	struct unit *u = unit_of(task, true);

	if (!u)
		return;
	if (!borrowed && u->current.slot != x->slot && active(&u->current) && !u->borrowed)
		u->loop = 1;
	u->current = *x;
	u->borrowed = borrowed;
	u->deferred = 0;
	u->told = 0;
	u->switches = task->nvcsw;
}

/* ---- work handed to other threads ---- */

/* What a thread was woken up, or started, for. */
static __always_inline bool handed_over(struct runtime *rt, __u32 pid, struct context *x)
{
	struct handoff *h = bpf_map_lookup_elem(&handoffs, &pid);

	if (rt->active > 0)
		handoff_wanted = 1;
	if (!h)
		return false;
	x->seed = h->seed;
	x->slot = h->slot;
	/* With several requests about, who is woken up may take up another one's work. */
	x->method = rt->active <= 1 ? METHOD_WAKEUP : METHOD_AMBIGUOUS;
	if (!active(x)) {
		x->seed = 0;
		return false;
	}
	/*
	 * Busy workers take the next piece of work without being woken up for it,
	 * so that a worker is believed to work for its waker only once.
	 */
	if (h->once)
		h->seed = 0;
	return true;
}

/*
 * One thread wakes another one up, which waits at `place`. The place tells waits
 * apart: a thread that has been given work may wait for a lock, too, which anybody
 * may release.
 */
static __always_inline void thread_handed(struct task_struct *task, struct runtime *rt, __u32 pid, __u64 place)
{
	struct unit *u = unit_of(task, false);
	struct handoff *old = bpf_map_lookup_elem(&handoffs, &pid), fresh = {};
	__u32 waker = task->pid;
	struct context x = {};

	if (place - rt->static_start < rt->static_size)
		return;
	if (u && active(&u->current)) {
		if (!(rt->event_loop || u->loop || u->borrowed) || same_turn(u, task))
			x = u->current;
	} else {
		/* Perhaps it passes on what it was handed itself. */
		struct handoff *own = bpf_map_lookup_elem(&handoffs, &waker);

		if (own) {
			x.seed = own->seed;
			x.slot = own->slot;
			if (!active(&x))
				x.seed = 0;
		}
	}
	if (old) {
		struct context before = {.seed = old->seed, .slot = old->slot};

		if (old->place != place && active(&before))
			return;
	} else if (!x.seed) {
		return;
	}
	fresh.seed = x.seed;
	fresh.slot = x.slot;
	fresh.place = place;
	fresh.once = u && !(rt->event_loop || u->loop);
	if (old)
		*old = fresh;
	else
		bpf_map_update_elem(&handoffs, &pid, &fresh, BPF_ANY);
}

/* A thread starts another one. */
static __always_inline void thread_started(struct task_struct *task, struct runtime *rt, __u32 pid)
{
	struct unit *u = unit_of(task, false);
	struct handoff fresh = {};

	if (!u || !active(&u->current) || ((rt->event_loop || u->loop || u->borrowed) && !same_turn(u, task)))
		return;
	fresh.seed = u->current.seed;
	fresh.slot = u->current.slot;
	bpf_map_update_elem(&handoffs, &pid, &fresh, BPF_ANY);
}

/* Was a task found that works for a request? */
static __always_inline bool found_task(const struct scratch *s, const struct runtime *rt, struct context *x)
{
	if (!s->found.seed)
		return false;
	x->seed = s->found.seed;
	x->slot = s->found.slot;
	x->method = rt->active <= 1 || trusted(rt->task_right, rt->task_wrong) ? METHOD_TASK : METHOD_AMBIGUOUS;
	return true;
}

/*
 * For whom does the current task, thread or goroutine work? `sends`: a request is about
 * to leave, or has left, by the system call being made. Leaves the answer in scratch.now.
 * A global function, so that the verifier walks it once.
 */
__attribute__((noinline)) int context_now(struct conn *c, __u32 sends)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 tgid = tgid_of(task);
	struct runtime *rt = runtime_of(tgid);
	struct scratch *s = scratch_get();
	struct context *x;
	struct unit *u;

	if (!c || !s)
		return 0;
	x = &s->now;
	x->seed = 0;
	x->method = METHOD_NONE;
	s->wanted = false;
	if (!rt)
		return 0;
	if (rt->g_goid) {
		__u64 g = current_g(task, rt);

		s->waiter = 0;
		if (!g)
			return 0;
		if (c->waited)
			waiting_goroutine(tgid, g);
		if (!s->waiter) {
			goroutine_context(tgid, g, sends);
			if (sends && !s->found.seed && !c->waited)
				waiting_goroutine(tgid, g);
		}
		if (s->waiter) {
			c->waited = 1;
			goroutine_context(tgid, s->waiter, true);
			s->found.method = METHOD_WAITING_GOROUTINE;
		}
		if (s->found.seed)
			*x = s->found;
		return 0;
	}
	if (rt->python_context) {
		python_work(tgid, sends ? descriptor(task) : 0);
		if (!s->found.seed)
			python_item(tgid);
		if (found_task(s, rt, x))
			return 0;
	}
	if (rt->tokio_task) {
		tokio_work(tgid, sends);
		if (s->found.seed) {
			x->seed = s->found.seed;
			x->slot = s->found.slot;
			x->method = rt->active <= 1 ? METHOD_TASK : s->found.method;
			return 0;
		}
	}
	if (rt->streams) {
		haproxy_work(task, rt, x);
		return 0;
	}
	if (rt->ruby_tls) {
		ruby_work(tgid);
		if (found_task(s, rt, x))
			return 0;
		s->wanted = true; /* not here, where stacks are higher */
	}
	u = unit_of(task, false);
	if (rt->java) {
		if (u && active(&u->current))
			java_serves(tgid);
		else
			s->wanted = true;
	}
	if (!u || !request_of(&u->current)) {
		handed_over(rt, task->pid, x);
		return 0;
	}
	if (rt->event_loop || u->loop || u->borrowed) {
		if (!same_turn(u, task) && !(u->turns && rt->active <= 1 && active(&u->current)))
			return 0;
		*x = u->current;
		/* With one request about there is no order to be wrong about. */
		if (rt->active > 1 && (doubtful(x) || !trusted(rt->right, rt->wrong)))
			x->method = METHOD_AMBIGUOUS;
		else
			x->method = METHOD_EVENT_LOOP;
		return 0;
	}
	/* One that has answered may have been given other work. */
	if (!active(&u->current) && handed_over(rt, task->pid, x))
		return 0;
	*x = u->current;
	/* In pools it may have read it for another one to serve. */
	x->method = rt->active <= 1 || trusted(rt->thread_right, rt->thread_wrong) ? METHOD_THREAD : METHOD_AMBIGUOUS;
	return 0;
}

/* The same, and what of threads of pools in Ruby and Java programs can only be searched for. */
static __always_inline void context_of(struct scratch *s, struct conn *c, __u32 tgid, bool sends)
{
	struct runtime *rt;

	context_now(c, sends);
	if (!s->wanted)
		return;
	rt = runtime_of(tgid);
	if (!rt)
		return;
	if (rt->ruby_tls) {
		ruby_runs_for(tgid);
		found_task(s, rt, &s->now);
		return;
	}
	java_work(s, tgid);
	/* Who has woken this thread up may know better than a doubtful word. */
	if (!s->found.seed || (s->found.method != METHOD_TASK && s->now.seed && s->now.method == METHOD_WAKEUP))
		return;
	s->now.seed = s->found.seed;
	s->now.slot = s->found.slot;
	s->now.method = rt->active <= 1 ? METHOD_TASK : s->found.method;
}

/* ---- both ends of a connection on this node ---- */

/*
 * What the two ends of a connection have in common, whatever addresses are
 * translated on the way: both initial sequence numbers; for unix sockets, the
 * server's socket. 0 if it is not known.
 */
static __always_inline __u64 wire_of(struct conn *c, struct sock *sk)
{
	if (c->transport == TRANSPORT_UNIX) {
		struct unix_sock *u = (struct unix_sock *)sk;

		return c->role == ROLE_SERVER ? (__u64)sk : (__u64)BPF_CORE_READ(u, peer);
	}
	if (!c->plain_tcp)
		return 0;
	return c->role == ROLE_SERVER ? (__u64)c->isn[DIR_RECEIVED] << 32 | c->isn[DIR_SENT]
				      : (__u64)c->isn[DIR_SENT] << 32 | c->isn[DIR_RECEIVED];
}

static __always_inline struct join *join_of(struct scratch *s, struct conn *c, struct sock *sk)
{
	struct join *j;
	__u64 key;

	if (!join_same_node)
		return NULL;
	key = wire_of(c, sk);
	if (!key)
		return NULL;
	j = bpf_map_lookup_elem(&joins, &key);
	if (j)
		return j;
	/* The other end may do the same now. */
	bpf_map_update_elem(&joins, &key, &s->no_join, BPF_NOEXIST);
	return bpf_map_lookup_elem(&joins, &key);
}

/* Where in the stream the request begins; both ends count alike. */
static __always_inline __u32 join_position(struct conn *c, int dir, __u64 start, __u32 len)
{
	/* 0 is what an unused entry has. */
	return (c->plain_tcp ? c->seq[dir] - len : (__u32)start) | 1U << 31;
}

/*
 * Both ends say what they know and then look what the other has said, with a
 * barrier between: at least the second one sees the first.
 */
static __always_inline void barrier_full(struct join *j)
{
	__sync_fetch_and_add(&j->barrier, 1);
}

static __always_inline bool in_loop(struct task_struct *task)
{
	struct unit *u = unit_of(task, false);

	return u && u->loop;
}

/* ---- the four moments of an exchange ---- */

static __always_inline __u32 microseconds(__u64 ns)
{
	__u64 us = ns / 1000;

	return us < NOT_MEASURED ? (__u32)us : NOT_MEASURED - 1;
}

/*
 * CPU time of the current task since the request, ns. The scheduler adds to its
 * account at every tick and switch; what came after is counted by a clock that every
 * CPU has of its own, so it is left out where the task has moved.
 */
static __always_inline __u64 cpu_time(struct conn *c, struct task_struct *task, __u64 now)
{
	__u64 booked = task->se.sum_exec_runtime - c->start_booked;
	__u64 since = now - task->se.exec_start - c->start_since;

	if (c->start_cpu != bpf_get_smp_processor_id() || since + 2 * tick_ns > 4 * tick_ns)
		return booked;
	/* Before the request the account may have been behind further than now. */
	return booked + since < (1ULL << 62) ? booked + since : 0;
}

/*
 * How long ago the newest bytes came, us. The socket notes that in ticks, so this is
 * the middle of what it can be. (It has a finer note of the last packet, which
 * acknowledgements overwrite, and reading itself.)
 */
static __always_inline __u32 waited(struct tcp_sock *tp)
{
	__u32 ticks = (__u32)bpf_jiffies64() - TCP_READ(tp, inet_conn.icsk_ack.lrcvtime);

	if (ticks == 0 || ticks >= 1U << 31)
		return 0;
	return microseconds(ticks * tick_ns - tick_ns / 2);
}

/* The process has one request less to serve. */
static __always_inline void request_over(struct conn *c)
{
	struct runtime *rt;

	if (!c->counted)
		return;
	rt = runtime_of(c->counted);
	c->counted = 0;
	if (rt)
		__sync_fetch_and_add(&rt->active, -1);
}

/*
 * The current goroutine, or thread and task, has read the connection's request, or more
 * of it. A global function, as context_now.
 */
__attribute__((noinline)) int request_read(struct conn *c)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 tgid = tgid_of(task);
	struct runtime *rt = runtime_of(tgid);
	struct scratch *s = scratch_get();
	struct context *x;

	if (!c || !s || !rt)
		return 0;
	x = &s->read;
	*x = c->current;
	if (rt->g_goid) {
		goroutine_set(tgid, task, rt, x);
		return 0;
	}
	thread_set(task, rt, x, false);
	if (rt->streams)
		haproxy_read(task);
	if (rt->ruby_tls)
		ruby_read(task, x);
	if (rt->python_context)
		python_read(task, rt, x);
	if (rt->tokio_task)
		tokio_read(task, rt, x);
	return 0;
}

/* The same, and what is noted of Java's threads, whose functions need more stack. */
static __always_inline void request_taken(struct conn *c, struct runtime *rt, __u32 tgid)
{
	request_read(c);
	if (rt->java)
		java_reads(tgid, c);
}

/* A server reads the first bytes of a request. */
static __always_inline void request_arrived(struct scratch *s, struct conn *c, struct sock *sk, struct tcp_sock *tp,
					    struct task_struct *task, __u64 start, __u32 len, __u64 now)
{
	__u32 tgid = tgid_of(task), position = join_position(c, DIR_RECEIVED, start, len);
	struct runtime *rt = runtime_of(tgid);
	struct context x = {.slot = (__u32)c->id};
	struct request *r = request_at(x.slot);
	struct join *j;

	if (!r)
		return;
	x.seed = s->record.identity;
	r->state = REQUEST_ACTIVE;
	r->taken = 0;
	r->trace = x.seed;
	r->parent = 0;
	r->seed = x.seed;
	c->current = x;
	j = join_of(s, c, sk);
	if (j) {
		j->server_seed = x.seed;
		j->server_slot = x.slot;
		j->server_position = position;
		barrier_full(j);
		if (j->client_position == position) {
			r->parent = j->client_seed;
			r->trace = j->client_trace;
			s->record.method = METHOD_CONNECTION;
		}
	}
	if (inject)
		remote_arrived(s, c, sk, r, r->parent ? j : NULL, position);
	s->record.parent = r->parent;
	s->record.trace = r->trace;
	if (tp) {
		s->record.queue_time = waited(tp);
		c->start_retransmits = TCP_READ(tp, total_retrans);
	}
	c->start_tid = 0;
	if (!rt)
		return;
	request_over(c);
	__sync_fetch_and_add(&rt->active, 1);
	c->counted = tgid;
	request_taken(c, rt, tgid);
	if (!rt->g_goid && !rt->event_loop && !in_loop(task)) {
		c->start_tid = task->pid;
		c->start_cpu = bpf_get_smp_processor_id();
		c->start_booked = task->se.sum_exec_runtime;
		c->start_since = now - task->se.exec_start;
		c->start_runqueue = task->sched_info.run_delay;
	}
}

/*
 * More of it comes, perhaps read by another thread. (Goroutines that read bodies
 * may work for others at the same time, as the writers of net/http's client
 * connections do; but its server reads one byte ahead in a goroutine of its own.)
 */
static __always_inline void request_continued(struct conn *c, struct task_struct *task, __u32 before)
{
	__u32 tgid = tgid_of(task);
	struct runtime *rt = runtime_of(tgid);

	if (rt && active(&c->current) && (!rt->g_goid || before == 1))
		request_taken(c, rt, tgid);
}

/* A server sends the first bytes of a response. A global function, as context_now. */
__attribute__((noinline)) int response_left(struct conn *c)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 tgid = tgid_of(task);
	struct runtime *rt = runtime_of(tgid);
	struct scratch *s = scratch_get();
	struct request *r;
	struct unit *u;

	if (!c || !s)
		return 0;
	r = request_of(&c->current);
	if (r && rt && rt->ruby_tls) {
		ruby_work(tgid);
		if (s->found.seed)
			check(&rt->task_right, &rt->task_wrong, s->found.seed == c->current.seed);
	}
	if (r) {
		r->state = REQUEST_ANSWERED;
		/* By now the client's end is known, too, if it is here. */
		s->record.peer = r->seed;
		s->record.parent = r->parent;
		s->record.trace = r->trace;
		if (r->parent)
			s->record.method = METHOD_CONNECTION;
	}
	request_over(c);
	if (!r || !rt || rt->g_goid)
		return 0;
	if (rt->python_context) {
		python_moved(task);
		python_work(tgid, descriptor(task));
		if (s->found.seed == c->current.seed || active(&s->found))
			check(&rt->task_right, &rt->task_wrong, s->found.seed == c->current.seed);
	}
	u = unit_of(task, false);
	if (!u)
		return 0;
	if (u->told) {
		if (same_turn(u, task) && (u->current.seed == c->current.seed || active(&u->current)))
			check(&rt->task_right, &rt->task_wrong, u->current.seed == c->current.seed);
	} else if ((rt->event_loop || u->loop) && same_turn(u, task)) {
		if (u->current.seed == c->current.seed)
			check(&rt->right, &rt->wrong, true);
		else if (active(&u->current) && !(doubtful(&u->current) && trusted(rt->right, rt->wrong)))
			check(&rt->right, &rt->wrong, false);
	} else if (!rt->event_loop && !u->loop && !u->borrowed) {
		check(&rt->thread_right, &rt->thread_wrong, u->current.seed == c->current.seed);
	}
	return 0;
}

/* For which request does a client's connection send one now? */
static __always_inline struct request *made_for(struct scratch *s, struct conn *c, struct task_struct *task,
						struct context *x)
{
	struct runtime *rt = runtime_of(tgid_of(task));
	struct request *r;
	bool distrusted, told;

	context_of(s, c, tgid_of(task), true);
	*x = s->now;
	if (rt && rt->python_context)
		python_moved(task);
	if (rt && rt->java)
		java_sends(task);
	/* HAProxy sends outside of streams only on connections that these have opened. */
	if (rt && rt->streams && c->opened && !c->requests)
		x->seed = 0;
	/*
	 * tokio's tasks that open one start the task that writes there. Go's writers may be
	 * faster than the goroutine that is to wait for them; if it waits, that one is it.
	 */
	told = rt && (rt->tokio_task || (rt->g_goid && s->waiter));
	if (!told && (!x->seed || x->method == METHOD_EVENT_LOOP || x->method == METHOD_AMBIGUOUS) &&
	    c->role == ROLE_CLIENT && !c->requests && c->current.seed) {
		/* Opened for this; or for another one, in whose stead this is sent. */
		distrusted = rt && ((x->method == METHOD_EVENT_LOOP && !trusted(rt->right, rt->wrong)) ||
				    (rt->java && rt->active > 1)); /* its pools let others have it first */
		*x = c->current;
		x->method = distrusted || (doubtful(x) && rt && rt->active > 1) ? METHOD_AMBIGUOUS : METHOD_CONNECT;
	}
	/* What waited for the connection is not what was read last, if both come in a turn. */
	if (x->method == METHOD_EVENT_LOOP && c->opened && !c->requests && rt && rt->active > 1)
		x->method = METHOD_AMBIGUOUS;
	r = request_of(x);
	if (r && r->state != REQUEST_ACTIVE)
		x->method = METHOD_AFTER_RESPONSE;
	return r;
}

/* A client sends the first bytes of a request. */
static __always_inline void request_left(struct scratch *s, struct conn *c, struct sock *sk, struct tcp_sock *tp,
					 struct task_struct *task, __u64 start, __u32 len)
{
	__u32 position = join_position(c, DIR_SENT, start, len);
	struct context *x = &s->now;
	struct request *r;
	struct join *j;
	__u64 trace;

	if (inject && c->prepared.identity && c->prepared.position == position) {
		c->prepared.taken = 1;
		s->record.identity = c->prepared.identity;
		*x = c->prepared.current;
		r = request_of(x);
	} else {
		r = made_for(s, c, task, x);
	}
	c->requests = 1;
	trace = s->record.identity;
	if (r) {
		s->record.method = x->method;
		s->record.parent = x->seed;
		s->record.trace = r->trace;
		if (x->method < METHOD_LINKS)
			trace = r->trace;
	} else {
		s->record.trace = trace;
	}
	/* Even if it is not to be believed yet: that is checked with its response. */
	c->current = *x;
	if (tp)
		c->start_retransmits = TCP_READ(tp, total_retrans);

	j = join_of(s, c, sk);
	if (!j)
		return;
	j->client_seed = s->record.identity;
	j->client_trace = trace;
	if (inject) {
		j->client_for = r && x->method < METHOD_LINKS ? x->seed : 0;
		j->client_slot = x->slot;
	}
	j->client_position = position;
	barrier_full(j);
	if (j->server_position == position) {
		/* The server was faster than this call's return. */
		s->record.peer = j->server_seed;
		r = request_at(j->server_slot);
		if (r && r->seed == j->server_seed) {
			r->parent = s->record.identity;
			r->trace = trace;
		}
	}
}

/* A client reads from a response: an event loop goes on with what waited for it. */
static __always_inline void response_arrived(struct conn *c, struct task_struct *task)
{
	struct runtime *rt = runtime_of(tgid_of(task));

	if (rt && rt->python_context)
		python_moved(task);
	if (rt && rt->tokio_task)
		tokio_answered(task, rt, &c->current);
	if (rt && rt->java)
		java_answered(task);
	if (rt && !rt->g_goid && (rt->event_loop || in_loop(task))) {
		thread_set(task, rt, &c->current, true);
		if (rt->streams)
			haproxy_moved(task);
	}
}

/* What the kernel knows about the exchange so far. */
static __always_inline void measure(struct scratch *s, struct conn *c, struct tcp_sock *tp, struct task_struct *task,
				    __u64 now)
{
	__u64 runqueue;

	if (tp) {
		s->record.rtt = TCP_READ(tp, srtt_us) >> 3;
		s->record.retransmits = TCP_READ(tp, total_retrans) - c->start_retransmits;
	}
	if (c->role != ROLE_SERVER || c->start_tid != (__u32)task->pid)
		return;
	runqueue = task->sched_info.run_delay - c->start_runqueue;
	s->record.thread_cpu = microseconds(cpu_time(c, task, now));
	s->record.runqueue = microseconds(runqueue);
}

/* A client begins to connect, in the calling thread: for whom? */
static __always_inline void connection_made(struct conn *c, struct task_struct *task)
{
	struct runtime *rt = runtime_of(tgid_of(task));
	struct scratch *s = scratch_get();

	if (!rt || !s)
		return;
	c->opened = 1;
	if (rt->ruby_tls)
		ruby_connects(task);
	context_of(s, c, tgid_of(task), false);
	if (s->now.method && (s->now.method < METHOD_LINKS || doubtful(&s->now)) && active(&s->now))
		c->current = s->now;
}

#endif
