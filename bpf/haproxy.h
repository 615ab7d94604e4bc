/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which request does HAProxy work on?
 *
 * Its threads read from all connections that are ready, and then run a task for each
 * request, in HAProxy's words a stream. A stream is made directly after its request has
 * been read (frontend_accept), and whatever is done for it is done by its task
 * (process_stream) or on a connection that this has opened.
 */
#ifndef OTELCOL_EBPF_HAPROXY_H
#define OTELCOL_EBPF_HAPROXY_H

#include "task.h"

/* A request has been read, or more of it. */
static __always_inline void haproxy_read(struct task_struct *task)
{
	struct unit *u = unit_of(task, false);

	if (u)
		u->fresh = 1;
}

/* Something else was read. */
static __always_inline void haproxy_moved(struct task_struct *task)
{
	struct unit *u = unit_of(task, false);

	if (u)
		u->fresh = 0;
}

/* frontend_accept(stream) begins: it is for what the thread has just read. */
static __always_inline int haproxy_accepts(struct task_struct *task, struct runtime *rt, __u64 stream)
{
	struct unit *u = unit_of(task, false);
	struct context x = {};
	struct request *r;
	__u32 tgid = tgid_of(task);

	rt->streams = 1;
	r = u && u->fresh ? request_of(&u->current) : NULL;
	/* Another one of a connection that had been read before has a stream, but not this request. */
	if (r && r->state == REQUEST_ACTIVE && !r->taken) {
		r->taken = 1;
		x.seed = u->current.seed;
		x.slot = u->current.slot;
	}
	if (u)
		u->fresh = 0;
	if (x.seed || task_work(tgid, TASK_STREAM, stream))
		task_set(tgid, TASK_STREAM, stream, &x);
	return 0;
}

/* process_stream(task, stream, ...) begins. */
static __always_inline int haproxy_processes(struct task_struct *task, struct runtime *rt, __u64 stream)
{
	struct context *known;
	struct unit *u;

	if (!rt->streams)
		return 0;
	u = unit_of(task, false);
	if (!u)
		return 0;
	known = task_work(tgid_of(task), TASK_STREAM, stream);
	if (known) {
		u->current.seed = known->seed;
		u->current.slot = known->slot;
	} else {
		u->current.seed = 0;
	}
	u->borrowed = 1;
	u->fresh = 0;
	u->told = 1;
	u->switches = task->nvcsw;
	return 0;
}

/* For which request does the thread run a stream? */
static __always_inline void haproxy_work(struct task_struct *task, struct runtime *rt, struct context *x)
{
	struct unit *u = unit_of(task, false);

	if (!u || !u->told || !same_turn(u, task) || !request_of(&u->current))
		return;
	x->seed = u->current.seed;
	x->slot = u->current.slot;
	x->method = rt->active <= 1 || trusted(rt->task_right, rt->task_wrong) ? METHOD_TASK : METHOD_AMBIGUOUS;
}

#endif
