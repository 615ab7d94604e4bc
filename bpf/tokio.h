/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * For which request does a tokio task run?
 *
 * The task that reads a request works on it until it reads the next one: servers
 * have a task for each connection, or answer in the one that has read. Clients (hyper)
 * have a task for each connection, too. It gets its requests from others, through
 * channels, and is woken up by who sends there. So a task works on what the task did
 * that woke it up last, unless it has read a request itself. What the runtime wakes up
 * because bytes or time have come goes on with what it was doing.
 *
 * A client's connection that is busy with the end of a response may find the next
 * request without having been woken up for it. So who has sent a request, or read of
 * its response, has to be woken up again to be believed.
 */
#ifndef OTELCOL_EBPF_TOKIO_H
#define OTELCOL_EBPF_TOKIO_H

#include "task.h"

/* struct Header: state, queue_next, vtable; struct Vtable: seven functions, trailer, scheduler, id (tokio 1). */
#define TOKIO_HEADER_VTABLE 16
#define TOKIO_VTABLE_ID 72

/* The number of the task that the current thread runs, or 0. */
static __always_inline __u64 tokio_task(struct task_struct *task, struct runtime *rt)
{
	__u64 id = 0;
#if defined(__TARGET_ARCH_x86)
	bpf_probe_read_user(&id, sizeof(id), (void *)(task->thread.fsbase + rt->tokio_task));
#endif
	return id;
}

/*
 * What does the thread's current task work on, which is about to send a request, or
 * not? Leaves the answer in scratch.found.
 */
__attribute__((noinline)) int tokio_work(__u32 tgid, __u32 sends)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct runtime *rt = runtime_of(tgid);
	struct scratch *s = scratch_get();
	struct context *known;
	__u64 id;

	if (!rt || !s)
		return 0;
	s->found.seed = 0;
	id = tokio_task(task, rt);
	known = id ? task_work(tgid, TASK_TOKIO, id) : NULL;
	if (!known || !request_of(known))
		return 0;
	s->found.seed = known->seed;
	s->found.slot = known->slot;
	s->found.method =
		known->method == TASK_USED || known->method == TASK_CONTESTED ? METHOD_AMBIGUOUS : METHOD_TASK;
	if (sends && known->method != TASK_READS)
		known->method = TASK_USED;
	return 0;
}

/* The current task reads a response, to what it sent for a request. */
static __always_inline void tokio_answered(struct task_struct *task, struct runtime *rt, const struct context *x)
{
	__u64 id = tokio_task(task, rt);
	struct context *known = id ? task_work(tgid_of(task), TASK_TOKIO, id) : NULL;

	if (known && known->seed == x->seed && known->method != TASK_READS && known->method != TASK_CONTESTED)
		known->method = TASK_USED;
}

/* The current task has read a request. */
static __always_inline void tokio_read(struct task_struct *task, struct runtime *rt, const struct context *x)
{
	struct context fresh = {.seed = x->seed, .slot = x->slot, .method = TASK_READS};
	__u64 id = tokio_task(task, rt);

	if (id)
		task_set(tgid_of(task), TASK_TOKIO, id, &fresh);
}

/* The number of the task whose header is at an address. */
static __always_inline __u64 tokio_number(__u64 header)
{
	__u64 vtable = 0, at = 0, id = 0;

	if (bpf_probe_read_user(&vtable, sizeof(vtable), (void *)(header + TOKIO_HEADER_VTABLE)) ||
	    bpf_probe_read_user(&at, sizeof(at), (void *)(vtable + TOKIO_VTABLE_ID)))
		return 0;
	bpf_probe_read_user(&id, sizeof(id), (void *)(header + at));
	return id;
}

/* The current task, if any, starts another one. */
static __always_inline int tokio_starts(struct task_struct *task, struct runtime *rt, __u64 header)
{
	__u64 id = tokio_task(task, rt), started = header ? tokio_number(header) : 0;
	struct context *known, x = {};
	__u32 tgid = tgid_of(task);

	rt->tokio_starts = 1;
	known = id ? task_work(tgid, TASK_TOKIO, id) : NULL;
	if (known && active(known)) {
		x.seed = known->seed;
		x.slot = known->slot;
	}
	if (started)
		task_set(tgid, TASK_TOKIO, started, &x);
	return 0;
}

/* The current task, if any, wakes another one up. */
static __always_inline int tokio_wakes(struct task_struct *task, struct runtime *rt, __u64 header)
{
	__u64 id = tokio_task(task, rt), woken;
	struct context *known, x = {};
	__u32 tgid = tgid_of(task);

	if (!id)
		return 0;
	known = task_work(tgid, TASK_TOKIO, id);
	/* Nobody has started what the runtime's own threads are: tasks that run tasks, and wait for bytes. */
	if (!known && rt->tokio_starts)
		return 0;
	woken = tokio_number(header);
	if (!woken || woken == id)
		return 0;
	if (known && active(known)) {
		x.seed = known->seed;
		x.slot = known->slot;
	}
	known = task_work(tgid, TASK_TOKIO, woken);
	if (known && active(known)) {
		if (known->method == TASK_READS)
			return 0;
		if (known->method == TASK_CONTESTED)
			x.method = TASK_CONTESTED;
		else if (known->seed == x.seed)
			x.method = known->method == TASK_STARTED ? TASK_STARTED : TASK_AGAIN;
		else if (known->method == TASK_STARTED && x.seed)
			x.method = TASK_CONTESTED;
	}
	if (known || x.seed)
		task_set(tgid, TASK_TOKIO, woken, &x);
	return 0;
}

#endif
