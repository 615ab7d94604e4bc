/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Who has made an object of a Java program?
 *
 * HotSpot's threads make objects in buffers of their own, from the bottom up
 * (ThreadLocalAllocBuffer). So an object that lies above where its thread was when it
 * read a request was made while that request was served, by the thread that serves
 * it; until the next collection, which moves objects.
 */
#ifndef OTELCOL_EBPF_JAVA_OBJECTS_H
#define OTELCOL_EBPF_JAVA_OBJECTS_H

#include "maps.h"

/* The address of the current thread's JavaThread, or 0. */
static __always_inline __u64 java_thread(struct task_struct *task, const struct jvm *v)
{
	__u64 thread = 0;
#if defined(__TARGET_ARCH_x86)
	__u64 module = 0, dtv = 0, block = 0;

	/* glibc: tcbhead_t.dtv, an array of dtv_t. */
	if (bpf_probe_read_user(&module, sizeof(module), (void *)v->thread_module) || !module ||
	    bpf_probe_read_user(&dtv, sizeof(dtv), (void *)(task->thread.fsbase + 8)) ||
	    bpf_probe_read_user(&block, sizeof(block), (void *)(dtv + module * 16)))
		return 0;
	bpf_probe_read_user(&thread, sizeof(thread), (void *)(block + v->thread_offset));
#endif
	return thread;
}

/* How many collections have there been? False if there is one now, in which objects are moved. */
static __always_inline bool java_epoch(const struct jvm *v, __u32 *collections)
{
	__u8 now = 1;

	return !bpf_probe_read_user(collections, sizeof(*collections), (void *)v->collections) &&
	       !bpf_probe_read_user(&now, sizeof(now), (void *)v->collecting) && !now;
}

/* The object that a reference of 32 bits is to. */
static __always_inline __u64 java_object(const struct jvm *v, __u32 reference)
{
	return reference ? v->oop_base + ((__u64)reference << (v->oop_shift & 7)) : 0;
}

/* An object that another one refers to, 0 if none. */
static __always_inline __u64 java_field(struct scratch *s, const struct jvm *v, __u64 object, __u32 offset)
{
	if (v->wide) {
		if (bpf_probe_read_user(&s->java.field, sizeof(s->java.field), (void *)(object + offset)))
			return 0;
		return s->java.field;
	}
	if (bpf_probe_read_user(&s->java.narrow, sizeof(s->java.narrow), (void *)(object + offset)))
		return 0;
	return java_object(v, s->java.narrow);
}

/* The java.lang.Thread of a JavaThread, 0 if there is none. */
static __always_inline __u64 java_thread_object(const struct jvm *v, __u64 thread)
{
	__u64 object = 0;

	bpf_probe_read_user(&object, sizeof(object), (void *)(thread + v->thread_object));
	if (v->thread_handle && object && bpf_probe_read_user(&object, sizeof(object), (void *)object))
		return 0;
	return object;
}

/*
 * Notes the buffer that a thread makes objects in now, if it is another one than before. Those
 * between two times that it is asked are not known. A global function, as java_reads.
 */
__attribute__((noinline)) int java_buffer(__u32 tgid, __u32 number)
{
	struct java_making *all = bpf_map_lookup_elem(&java_makings, &tgid);
	struct jvm *v = bpf_map_lookup_elem(&jvms, &tgid);
	struct java_maker *m;
	struct java_made *b;
	__u64 start = 0, end;

	if (!all || !v)
		return 0;
	m = &all->makers[number & (JAVA_MAKERS - 1)];
	if (bpf_probe_read_user(&start, sizeof(start), (void *)(m->thread + v->tlab_start)) || !start ||
	    start == m->buffer)
		return 0;
	b = &m->made[m->buffers++ & (JAVA_BUFFERS - 1)];
	b->size = 0;
	barrier();
	b->low = start;
	barrier();
	if (!bpf_probe_read_user(&end, sizeof(end), (void *)(m->thread + v->tlab_end)) && end > start)
		b->size = end - start;
	m->buffer = start;
	return 0;
}

/* The current thread serves a request still. A global function, as java_reads. */
__attribute__((noinline)) int java_serves(__u32 tgid)
{
	struct java_making *all = bpf_map_lookup_elem(&java_makings, &tgid);
	struct jvm *v = bpf_map_lookup_elem(&jvms, &tgid);
	struct task_struct *task = bpf_get_current_task_btf();
	struct unit *u = unit_of(task, false);
	struct java_maker *m;

	if (!all || !v || !u)
		return 0;
	m = &all->makers[u->maker & (JAVA_MAKERS - 1)];
	if (m->seed && m->seed == u->current.seed && m->thread == java_thread(task, v))
		java_buffer(tgid, u->maker);
	return 0;
}

static __always_inline void java_made_from(struct java_made *b, __u64 top)
{
	__u64 before = top - b->low;

	if (before > b->size)
		before = b->size;
	b->low += before;
	b->size -= before;
}

/*
 * The current thread has read a request, or more of it: from here on what it makes is
 * for that. A global function, so that the verifier walks it once.
 */
__attribute__((noinline)) int java_reads(__u32 tgid, struct conn *c)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct jvm *v = bpf_map_lookup_elem(&jvms, &tgid);
	struct unit *u = unit_of(task, false);
	struct java_making *all;
	struct java_maker *m;
	__u64 thread, seed, top = 0;

	if (!c || !v || !u)
		return 0;
	thread = java_thread(task, v);
	if (!thread)
		return 0;
	all = bpf_map_lookup_elem(&java_makings, &tgid);
	if (!all) {
		bpf_map_update_elem(&java_makings, &tgid, &java_nobody, BPF_NOEXIST);
		all = bpf_map_lookup_elem(&java_makings, &tgid);
		if (!all)
			return 0;
	}
	m = &all->makers[u->maker & (JAVA_MAKERS - 1)];
	if (m->thread != thread) {
		u->maker = __sync_fetch_and_add(&all->count, 1);
		m = &all->makers[u->maker & (JAVA_MAKERS - 1)];
	}
	seed = u->loop ? 0 : c->current.seed;
	if (m->thread == thread && m->seed == seed) {
		if (seed)
			java_buffer(tgid, u->maker);
		return 0;
	}
	m->seed = 0;
	barrier();
	m->thread = thread;
	m->slot = c->current.slot;
	m->buffer = m->buffers = 0;
	if (!java_epoch(v, &m->collections))
		m->collections = 0; /* it will have another buffer */
	java_buffer(tgid, u->maker);
	/* What is in the first one already was made for others. */
	if (!bpf_probe_read_user(&top, sizeof(top), (void *)(thread + v->tlab_top)) && m->buffers)
		java_made_from(&m->made[0], top);
	barrier();
	m->seed = seed;
	return 0;
}

/* Notes that an object in a range was made for a request. */
static __always_inline void java_range(struct scratch *s, __u64 low, __u64 end, const struct context *x, __u32 first)
{
	struct java_range *r = &s->java.ranges[s->java.count & (JAVA_RANGES - 1)];

	if (low >= end || s->java.count >= JAVA_RANGES)
		return;
	r->low = low;
	r->size = end - low;
	r->seed = x->seed;
	r->slot = x->slot;
	r->first = first;
	r->votes = 0;
	r->firm = 0;
	s->java.count++;
	if (low < s->java.low)
		s->java.low = low;
	if (end > s->java.end)
		s->java.end = end;
}

/* Notes what a thread has made for the request that it serves. A global function, as java_reads. */
__attribute__((noinline)) int java_maker_made(__u32 tgid, __u32 number)
{
	struct java_making *all = bpf_map_lookup_elem(&java_makings, &tgid);
	struct scratch *s = scratch_get();
	struct java_maker *m;
	struct context x = {};
	__u64 low, size;
	__u32 i, first;

	if (!all || !s)
		return 0;
	m = &all->makers[number & (JAVA_MAKERS - 1)];
	x.seed = m->seed;
	x.slot = m->slot;
	if (!x.seed || m->thread == s->java.self || !active(&x))
		return 0;
	if (m->collections != s->java.collections) {
		/* Nothing is where it was. */
		m->collections = s->java.collections;
		m->buffers = m->buffer = 0;
	}
	java_buffer(tgid, number);
	first = s->java.count;
#pragma clang loop unroll(disable)
	for (i = 0; i < JAVA_BUFFERS; i++) {
		if (i >= m->buffers)
			break;
		low = *(volatile __u64 *)&m->made[i].low;
		size = *(volatile __u64 *)&m->made[i].size;
		if (low == *(volatile __u64 *)&m->made[i].low)
			java_range(s, low, low + size, &x, first);
	}
	return 0;
}

/* Notes what threads that serve requests have made for them; 0: nothing. A global function, as java_reads. */
__attribute__((noinline)) int java_makes(__u32 tgid)
{
	struct java_making *all = bpf_map_lookup_elem(&java_makings, &tgid);
	struct jvm *v = bpf_map_lookup_elem(&jvms, &tgid);
	struct scratch *s = scratch_get();
	__u32 i;

	if (!s)
		return 0;
	s->java.count = s->java.best = s->java.next = 0;
	s->java.low = -1ULL;
	s->java.end = 0;
	if (!all || !v || !java_epoch(v, &s->java.collections))
		return 0;
#pragma clang loop unroll(disable)
	for (i = 0; i < JAVA_MAKERS; i++) {
		if (i >= all->count)
			break;
		if (all->makers[i].seed)
			java_maker_made(tgid, i);
	}
	return s->java.count != 0;
}

/* Which of the makers in scratch.java has made an object for its request? Its number plus 1, or 0. */
__attribute__((noinline)) int java_made(__u64 object)
{
	struct scratch *s = scratch_get();
	__u32 i;

	if (!s || object - s->java.low >= s->java.end - s->java.low)
		return 0;
#pragma clang loop unroll(disable)
	for (i = 0; i < JAVA_RANGES; i++) {
		if (i >= s->java.count)
			break;
		if (object - s->java.ranges[i].low < s->java.ranges[i].size)
			return i + 1;
	}
	return 0;
}

#endif
