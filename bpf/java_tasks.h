/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Objects on a Java thread's stack that say themselves for whom it runs: a FutureTask names the
 * thread that runs it and those that wait for it, and what writes to a connection for
 * java.net.http leads to the request that is sent there now.
 */
#ifndef OTELCOL_EBPF_JAVA_TASKS_H
#define OTELCOL_EBPF_JAVA_TASKS_H

#include "java_words.h"

/* So often is searched for one without finding any, and then more and more seldom. */
#define JAVA_SEARCHES 8
/* What java_is says of an object. */
#define JAVA_TASK 1
#define JAVA_WRITER 2

/*
 * Is an object a FutureTask that the current thread runs, or what writes to the connection for
 * java.net.http? A global function, as java_reads.
 */
__attribute__((noinline)) int java_is(__u32 tgid, __u64 object)
{
	struct jvm *v = bpf_map_lookup_elem(&jvms, &tgid);
	struct scratch *s = scratch_get();
	__u64 class, super = 0, field;
	__u32 narrow = 0, fd = 0;

	if (!v || !s || object - v->heap_start >= v->heap_size || (object & 7) ||
	    bpf_probe_read_user(&narrow, sizeof(narrow), (void *)(object + 8)))
		return 0;
	if (narrow == v->writer && v->writer) {
		field = java_field(s, v, object, v->writer_tube);
		if (!field)
			return 0;
		field = java_field(s, v, field, v->tube_channel);
		if (!field || bpf_probe_read_user(&fd, sizeof(fd), (void *)(field + v->channel_descriptor)) ||
		    fd + 1 != s->java.descriptor)
			return 0;
		s->java.writer = object;
		return JAVA_WRITER;
	}
	class = v->class_base + ((__u64)narrow << (v->class_shift & 7));
	if (bpf_probe_read_user(&super, sizeof(super), (void *)(class + v->supers)) || !super ||
	    super != v->future_task)
		return 0;
	if (!s->java.object || java_field(s, v, object, v->runner) != s->java.object)
		return 0;
	s->java.task = object;
	return JAVA_TASK;
}

/* As java_is, of what a word of the stack refers to. A global function, as java_reads. */
__attribute__((noinline)) int java_word_is(__u32 tgid, __u32 i)
{
	struct jvm *v = bpf_map_lookup_elem(&jvms, &tgid);
	struct scratch *s = scratch_get();
	__u64 word;

	if (!v || !s)
		return 0;
	word = s->java.words[i & (JAVA_WORDS - 1)];
	if (word - v->heap_start < v->heap_size)
		return java_is(tgid, word);
	if (v->wide)
		return 0;
	return java_is(tgid, java_object(v, word)) | java_is(tgid, java_object(v, word >> 32));
}

/* Is it time to search for what has not been found so often? More and more seldom. */
static __always_inline bool java_due(__u32 *none)
{
	__u32 n = ++*none;

	return n <= JAVA_SEARCHES || !(n & (n - 1));
}

/*
 * Does the current thread run a FutureTask, as executors make of what is submitted to them? It
 * is left in scratch.java. A global function, as java_reads.
 */
__attribute__((noinline)) int java_runs(__u32 tgid)
{
	struct jvm *v = bpf_map_lookup_elem(&jvms, &tgid);
	struct scratch *s = scratch_get();
	struct java_layout *l = java_layout(s, tgid);
	__u32 i;

	if (!v || !s || !l || !v->future_task)
		return 0;
	s->java.object = java_thread_object(v, s->java.self);
	if (bpf_probe_read_user(s->java.words, sizeof(s->java.words), (void *)(s->java.at - sizeof(s->java.words))))
		return 0;
	if (l->task && java_word_is(tgid, l->task - 1) & JAVA_TASK)
		return JAVA_TASK;
	if (!java_due(&l->no_task))
		return 0;
#pragma clang loop unroll(disable)
	for (i = 0; i < JAVA_WORDS; i++) {
		if (i + *(volatile __u32 *)&s->java.height >= JAVA_WORDS && java_word_is(tgid, i) & JAVA_TASK) {
			l->task = i + 1;
			l->no_task = 0;
			return JAVA_TASK;
		}
	}
	return 0;
}

/*
 * Does the current thread write to a connection for java.net.http? What does is left in
 * scratch.java. It is among the latest words of the stack. A global function, as java_reads.
 */
__attribute__((noinline)) int java_writes(__u32 tgid)
{
	struct jvm *v = bpf_map_lookup_elem(&jvms, &tgid);
	struct scratch *s = scratch_get();
	struct java_layout *l = java_layout(s, tgid);
	__u32 i;

	if (!v || !s || !l || !v->writer)
		return 0;
	if (bpf_probe_read_user(s->java.words, sizeof(s->java.words), (void *)s->java.sp))
		return 0;
	if (l->writer && java_word_is(tgid, l->writer - 1) & JAVA_WRITER)
		return JAVA_WRITER;
	if (!java_due(&l->no_writer))
		return 0;
#pragma clang loop unroll(disable)
	for (i = 0; i < JAVA_WORDS; i++) {
		if (java_word_is(tgid, i) & JAVA_WRITER) {
			l->writer = i + 1;
			l->no_writer = 0;
			return JAVA_WRITER;
		}
	}
	return 0;
}

/*
 * A thread that serves a request waits for a task: it is for that, wherever collections have
 * moved it. A global function, as java_reads.
 */
__attribute__((noinline)) int java_awaited(__u32 tgid)
{
	struct java_making *all = bpf_map_lookup_elem(&java_makings, &tgid);
	struct jvm *v = bpf_map_lookup_elem(&jvms, &tgid);
	struct scratch *s = scratch_get();
	__u64 waits;
	__u32 i;

	if (!all || !v || !s || !v->waiters)
		return 0;
	waits = java_field(s, v, s->java.task, v->waiters);
	if (waits)
		waits = java_field(s, v, waits, v->waiter);
	if (!waits)
		return 0;
#pragma clang loop unroll(disable)
	for (i = 0; i < JAVA_MAKERS; i++) {
		struct java_maker *m = &all->makers[i];
		struct context x = {.seed = m->seed, .slot = m->slot};

		if (i >= all->count)
			break;
		if (x.seed && java_thread_object(v, m->thread) == waits && active(&x) && m->seed == x.seed) {
			s->found.seed = x.seed;
			s->found.slot = x.slot;
			return 2;
		}
	}
	return 0;
}

/* Whose is what java_runs has found? 2: that is certain. A global function, as java_reads. */
__attribute__((noinline)) int java_runs_for(__u32 tgid, __u32 found)
{
	struct scratch *s = scratch_get();
	struct java_range *r;
	int made = 0;

	if (!s)
		return 0;
	if (found & JAVA_TASK)
		made = java_made(s->java.task);
	if (!made && (found & JAVA_TASK) && java_awaited(tgid))
		return 2;
	if (!made && (found & JAVA_WRITER))
		made = java_leads(tgid, s->java.writer, JAVA_WRITES) & (JAVA_MADE - 1);
	if (!made)
		return 0;
	r = &s->java.ranges[(made - 1) & (JAVA_RANGES - 1)];
	s->found.seed = r->seed;
	s->found.slot = r->slot;
	return 2;
}

#endif
