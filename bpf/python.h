/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * For which request does Python code run?
 *
 * An asyncio task has a context of its own (PEP 567, contextvars.Context), which is
 * the thread's current one whenever the task runs, also after it has waited. So has
 * the callback of a transport that reads. So contexts are the execution units, by
 * their addresses:
 *
 *  - the context that reads a request works on it, until it reads the next one;
 *  - a task works on what the context did that started it (asyncio.Task.__init__);
 *  - a task that waits for bytes is woken up by the callback that reads them
 *    (asyncio.Future.set_result), and works on the request it read.
 *
 * Addresses are used again, also by contexts of callbacks. So what a task's context
 * works on is believed only while the task has it: it lets go of it at its end.
 *
 * Threads of a pool (concurrent.futures.ThreadPoolExecutor) take work items out of a
 * queue.SimpleQueue. Who has put one there is known by SimpleQueue.put; which one a
 * thread is busy with is a variable of its first frames.
 *
 * uvloop reads without the interpreter, and writes after all tasks have had their
 * turn. So what it runs directly after a read belongs to that, and UVStream.write
 * is watched to know for whom is written later.
 */
#ifndef OTELCOL_EBPF_PYTHON_H
#define OTELCOL_EBPF_PYTHON_H

#include "task.h"

/*
 * Where pthread_getspecific(k) finds its value: glibc, x86-64, from the thread
 * pointer (struct pthread.specific_1stblock, whose entries are a sequence number
 * and the value; nptl/descr.h).
 */
#define GLIBC_SPECIFIC 0x310
#define GLIBC_SPECIFIC_KEYS 32

/* uvloop's UVHandle._handle, and libuv's uv_stream_t.io_watcher.fd (version 1, 64 bits). */
#define UVLOOP_HANDLE 24
#define LIBUV_STREAM_FD 184

/* The address of the current thread's PyThreadState, or 0. */
static __always_inline __u64 python_thread(struct task_struct *task, struct runtime *rt)
{
	__u64 state = 0;
#if defined(__TARGET_ARCH_x86)
	__u32 key[2] = {}; /* whether it is initialized, and the key */

	if (bpf_probe_read_user(key, sizeof(key), (void *)rt->python_key) || !key[0] || key[1] >= GLIBC_SPECIFIC_KEYS)
		return 0;
	bpf_probe_read_user(&state, sizeof(state), (void *)(task->thread.fsbase + GLIBC_SPECIFIC + key[1] * 16 + 8));
#endif
	return state;
}

/* The address of its current PyContext, or 0. */
static __always_inline __u64 python_context(struct task_struct *task, struct runtime *rt)
{
	__u64 state = python_thread(task, rt), context = 0;

	if (state)
		bpf_probe_read_user(&context, sizeof(context), (void *)(state + rt->python_context));
	return context;
}

/* What a context works on: one that reads requests, or that of a task which lives. */
static __always_inline struct context *context_work(struct runtime *rt, __u32 tgid, __u64 context)
{
	struct work *known = (struct work *)task_work(tgid, TASK_PYTHON, context);
	__u64 now = 0;

	if (!known || !known->owner)
		return known ? &known->context : NULL;
	bpf_probe_read_user(&now, sizeof(now), (void *)(known->owner + rt->python_task));
	return now == context ? &known->context : NULL;
}

/* A task that the thread has started has its context by now. */
static __always_inline void python_started(struct runtime *rt, __u32 tgid, struct unit *u)
{
	__u64 context = 0;

	if (!u->started)
		return;
	bpf_probe_read_user(&context, sizeof(context), (void *)(u->started + rt->python_task));
	if (context)
		task_set_owned(tgid, TASK_PYTHON, context, &u->started_for, u->started);
	u->started = 0;
}

/*
 * What does the thread's current context work on, or did that which has put a
 * request into uvloop's queue for the file descriptor (plus 1; 0: none)? Leaves the
 * answer in scratch.found. A global function, so that the verifier walks it once.
 */
__attribute__((noinline)) int python_work(__u32 tgid, __u32 written)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct runtime *rt = runtime_of(tgid);
	struct unit *u = unit_of(task, false);
	struct scratch *s = scratch_get();
	struct context *known;
	__u64 context;

	if (!rt || !s)
		return 0;
	s->found.seed = 0;
	if (u)
		python_started(rt, tgid, u);
	context = python_context(task, rt);
	if (context) {
		known = context_work(rt, tgid, context);
		if (known && known->method != TASK_SHARED && request_of(known)) {
			s->found.seed = known->seed;
			s->found.slot = known->slot;
			return 0;
		}
	}
	if (!written)
		return 0;
	known = task_work(tgid, TASK_WRITE, written - 1);
	if (known && request_of(known)) {
		s->found.seed = known->seed;
		s->found.slot = known->slot;
		known->seed = 0;
	}
	return 0;
}

/* _PyStackChunk.data, and that its first word is not used in a thread's first one (Python 3.11). */
#define PYTHON_CHUNK_FRAMES 32
/* Chunks that deep calls may have added. */
#define PYTHON_CHUNKS 4
/* So often is a thread searched that has no item in its frames, at most. */
#define PYTHON_SEARCHES 16

/*
 * What is known of an object, if it is a work item that nobody but the current thread has
 * taken out of its queue.
 */
static __always_inline struct context *python_taken(struct task_struct *task, __u32 tgid, __u64 object)
{
	struct context *known;

	if (object < 4096 || (object & 7))
		return NULL;
	known = task_work(tgid, TASK_ITEM, object);
	if (!known || (known->method && known->method != (__u32)task->pid))
		return NULL;
	/* One of a request that is over, which nobody has taken: what once was one. */
	if (!known->method && !active(known))
		return NULL;
	return known;
}

/* Is it one? A global function, so that the verifier walks it once and not for every word. */
__attribute__((noinline)) int python_item_of(__u32 tgid, __u64 object)
{
	return python_taken(bpf_get_current_task_btf(), tgid, object) != NULL;
}

/*
 * For which request was the work item put into its queue that the thread is busy with?
 * It is a variable of one of the thread's first frames, at the same place in all threads of
 * pools, and the argument of a later frame. Other words of the frames may be left from
 * earlier calls, and be the addresses of what other threads are busy with by now. So the
 * place is one where two searches have found an item that is in the frames twice.
 * Leaves the answer in scratch.found.
 */
__attribute__((noinline)) int python_item(__u32 tgid)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct runtime *rt = runtime_of(tgid);
	struct scratch *s = scratch_get();
	struct context *known = NULL;
	__u64 state, chunk = 0, item = 0;
	struct unit *u;
	int i;

	if (!rt || !s)
		return 0;
	s->found.seed = 0;
	if (!rt->python_frames || !rt->pools)
		return 0;
	u = unit_of(task, true);
	/* Threads that read requests are none of these; what is left in their frames may look like it. */
	if (!u || u->current.seed || (!rt->item_at && u->searched >= PYTHON_SEARCHES))
		return 0;
	state = python_thread(task, rt);
	if (!state || bpf_probe_read_user(&chunk, sizeof(chunk), (void *)(state + rt->python_frames)) || !chunk)
		return 0;
	for (i = 0; i < PYTHON_CHUNKS; i++) {
		if (bpf_probe_read_user(&item, sizeof(item), (void *)chunk) || !item)
			break;
		chunk = item;
	}
	if (rt->item_at) {
		item = 0;
		bpf_probe_read_user(&item, sizeof(item), (void *)(chunk + rt->item_at));
		known = python_taken(task, tgid, item);
	} else if (bpf_probe_read_user(s->frames, sizeof(s->frames), (void *)(chunk + PYTHON_CHUNK_FRAMES)) == 0) {
		u->searched++;
		s->once = 0;
#pragma clang loop unroll(disable)
		for (i = 0; i < STACK_WORDS; i++) {
			item = s->frames[i];
			if (!python_item_of(tgid, item))
				continue;
			if (item == s->once) {
				known = python_taken(task, tgid, item);
				break;
			}
			if (!s->once) {
				s->once = item;
				s->once_at = PYTHON_CHUNK_FRAMES + i * 8;
			}
		}
		if (known && rt->item_seen == s->once_at)
			rt->item_at = s->once_at;
		else if (known)
			rt->item_seen = s->once_at;
	}
	if (known && request_of(known)) {
		known->method = task->pid;
		s->found.seed = known->seed;
		s->found.slot = known->slot;
	}
	return 0;
}

/* A request has been read, or more of it. */
static __always_inline void python_read(struct task_struct *task, struct runtime *rt, const struct context *x)
{
	__u64 context = python_context(task, rt);
	struct unit *u = unit_of(task, false);
	struct context *old, fresh = {.seed = x->seed, .slot = x->slot, .method = TASK_READS};
	__u32 tgid = tgid_of(task);

	if (rt->uvloop) {
		if (u)
			u->fresh = 1;
		return;
	}
	if (!context)
		return;
	old = context_work(rt, tgid, context);
	if (old && (old->method == TASK_SHARED || (old->method == TASK_READS && old->slot != x->slot && active(old))))
		fresh.method = TASK_SHARED;
	task_set_owned(tgid, TASK_PYTHON, context, &fresh, old ? ((struct work *)old)->owner : 0);
}

/* Something else moved on a socket. */
static __always_inline void python_moved(struct task_struct *task)
{
	struct unit *u = unit_of(task, false);

	if (u)
		u->fresh = 0;
}

/* ---- what the interpreter and uvloop tell ---- */

/* asyncio.Task.__init__(self, ...) begins. */
static __always_inline int python_starts(struct task_struct *task, struct runtime *rt, __u64 self)
{
	struct unit *u = unit_of(task, true);
	struct scratch *s = scratch_get();

	if (!u || !s)
		return 0;
	python_work(tgid_of(task), 0);
	if (!s->found.seed && u->fresh && same_turn(u, task) && active(&u->current)) {
		s->found.seed = u->current.seed;
		s->found.slot = u->current.slot;
	}
	u->started = self;
	u->started_for.seed = s->found.seed;
	u->started_for.slot = s->found.slot;
	return 0;
}

/*
 * asyncio.Future.set_result(self, ...) begins: who waits for it goes on. Only where it is
 * called by what has read a request: others wake up whoever comes first, too.
 */
static __always_inline int python_wakes(struct task_struct *task, struct runtime *rt, __u64 self)
{
	struct unit *u = unit_of(task, false);
	struct context *known, x = {};
	__u64 waiter = 0, context;
	__u32 tgid = tgid_of(task);

	if (!u)
		return 0;
	context = python_context(task, rt);
	known = context ? context_work(rt, tgid, context) : NULL;
	if (known && known->method == TASK_READS) {
		x.seed = known->seed;
		x.slot = known->slot;
	} else if ((!known || !known->seed || known->method == TASK_SHARED) && u->fresh && same_turn(u, task)) {
		x.seed = u->current.seed;
		x.slot = u->current.slot;
	}
	if (!active(&x))
		return 0;
	/* A method of the task that waits. */
	if (bpf_probe_read_user(&waiter, sizeof(waiter), (void *)(self + rt->python_waiter)) || !waiter ||
	    bpf_probe_read_user(&waiter, sizeof(waiter), (void *)(waiter + rt->python_self)) || !waiter)
		return 0;
	python_started(rt, tgid, u);
	context = 0;
	bpf_probe_read_user(&context, sizeof(context), (void *)(waiter + rt->python_task));
	if (!context)
		return 0;
	known = context_work(rt, tgid, context);
	if (known && known->slot != x.slot && active(known))
		return 0;
	task_set_owned(tgid, TASK_PYTHON, context, &x, waiter);
	return 0;
}

/* uvloop's UVStream.write(self, ...) begins, or writelines. */
static __always_inline int python_writes(struct task_struct *task, struct runtime *rt, __u64 self)
{
	struct scratch *s = scratch_get();
	__u32 tgid = tgid_of(task), fd = 0;
	struct context x = {};
	__u64 handle = 0;

	rt->uvloop = 1;
	if (!s || bpf_probe_read_user(&handle, sizeof(handle), (void *)(self + UVLOOP_HANDLE)) || !handle ||
	    bpf_probe_read_user(&fd, sizeof(fd), (void *)(handle + LIBUV_STREAM_FD)))
		return 0;
	python_work(tgid, 0);
	x.seed = s->found.seed;
	x.slot = s->found.slot;
	if (x.seed || task_work(tgid, TASK_WRITE, fd))
		task_set(tgid, TASK_WRITE, fd, &x);
	return 0;
}

/* queue.SimpleQueue.put(self, item, ...) begins, whose arguments behind self are at an address. */
static __always_inline int python_puts(struct task_struct *task, struct runtime *rt, __u64 arguments)
{
	struct scratch *s = scratch_get();
	__u32 tgid = tgid_of(task);
	struct context x = {};
	__u64 item = 0;
	struct unit *u;

	rt->pools = 1;
	if (!s || bpf_probe_read_user(&item, sizeof(item), (void *)arguments) || !item)
		return 0;
	python_work(tgid, 0);
	if (!s->found.seed)
		python_item(tgid);
	if (s->found.seed) {
		x.seed = s->found.seed;
		x.slot = s->found.slot;
	} else {
		u = unit_of(task, false);
		if (u && active(&u->current) && !u->loop && !u->borrowed &&
		    (rt->active <= 1 || trusted(rt->thread_right, rt->thread_wrong))) {
			x.seed = u->current.seed;
			x.slot = u->current.slot;
		}
	}
	if (x.seed || task_work(tgid, TASK_ITEM, item))
		task_set(tgid, TASK_ITEM, item, &x);
	return 0;
}

#endif
