/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * For which request does a Ruby thread run?
 *
 * Servers hand connections from the thread that has read a request to one that serves it
 * (Puma: the reactor, and a pool). The method that serves keeps the connection in a local
 * variable while the application is called: one of the first values of the thread's stack
 * is an IO whose file descriptor is that of the connection. Ruby's stack has no gaps, so
 * what is below the current frame's values belongs to a method that runs.
 *
 * Threads that it starts run blocks it has made (ruby_blocks.h).
 */
#ifndef OTELCOL_EBPF_RUBY_H
#define OTELCOL_EBPF_RUBY_H

#include "task.h"

/* T_FILE, struct RFile.fptr (Ruby 2 and 3). */
#define RUBY_TYPE_MASK 0x1f
#define RUBY_FILE 0x0b
#define RUBY_FILE_IO 16

/* So often is a thread searched that has no connection in its stack, at most. */
#define RUBY_SEARCHES 16

/* The address of the current thread's execution context, or 0: a thread local variable of a library. */
static __always_inline __u64 ruby_thread(struct scratch *s, struct task_struct *task, struct runtime *rt)
{
	__u64 context = 0;
#if defined(__TARGET_ARCH_x86)
	/* tls_index: module and offset; glibc: tcbhead_t.dtv, an array of dtv_t. */
	__u64 *index = s->ruby.index, dtv = 0, block = 0;

	if (bpf_probe_read_user(index, sizeof(s->ruby.index), (void *)rt->ruby_tls) || !index[0] ||
	    bpf_probe_read_user(&dtv, sizeof(dtv), (void *)(task->thread.fsbase + 8)) ||
	    bpf_probe_read_user(&block, sizeof(block), (void *)(dtv + index[0] * 16)))
		return 0;
	bpf_probe_read_user(&context, sizeof(context), (void *)(block + index[1]));
#endif
	return context;
}

/* What is known of the connection that a value is, NULL if it is none with a request to serve. */
static __always_inline struct context *ruby_connection(struct scratch *s, __u32 tgid, __u64 value)
{
	struct context *known;
	__u64 *at = &s->ruby.at;

	/* Small numbers, symbols, nil and so on are no addresses. */
	if (value < 4096 || (value & 7) || bpf_probe_read_user(at, sizeof(*at), (void *)value) ||
	    (*at & RUBY_TYPE_MASK) != RUBY_FILE ||
	    bpf_probe_read_user(at, sizeof(*at), (void *)(value + RUBY_FILE_IO)) ||
	    bpf_probe_read_user(&s->ruby.io, sizeof(s->ruby.io), (void *)*at) || s->ruby.io.self != value ||
	    s->ruby.io.fd < 0)
		return NULL;
	known = task_work(tgid, TASK_SOCKET, s->ruby.io.fd);
	return known && active(known) ? known : NULL;
}

/* Is a value one? A global function, so that the verifier walks it once and not for every word. */
__attribute__((noinline)) int ruby_is_connection(__u32 tgid, __u64 value)
{
	struct scratch *s = scratch_get();

	return s && ruby_connection(s, tgid, value);
}

/* The current thread serves requests. A global function, as ruby_work. */
__attribute__((noinline)) int ruby_serves(__u32 tgid)
{
	struct ruby_servers *all = bpf_map_lookup_elem(&ruby_servers, &tgid);
	struct unit *u = unit_of(bpf_get_current_task_btf(), true);
	struct scratch *s = scratch_get();

	if (!u || !s)
		return 0;
	if (!all) {
		bpf_map_update_elem(&ruby_servers, &tgid, &ruby_nobody, BPF_NOEXIST);
		all = bpf_map_lookup_elem(&ruby_servers, &tgid);
		if (!all)
			return 0;
	}
	if (all->threads[u->maker & (RUBY_SERVERS - 1)] == s->ruby.self)
		return 0;
	u->maker = __sync_fetch_and_add(&all->count, 1);
	all->threads[u->maker & (RUBY_SERVERS - 1)] = s->ruby.self;
	return 0;
}

/*
 * For which request does the current thread run? The place of the connection in its stack is
 * the same in all threads of a server. Leaves the answer in scratch.found. A global function,
 * so that the verifier walks it once.
 */
__attribute__((noinline)) int ruby_work(__u32 tgid)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct runtime *rt = runtime_of(tgid);
	struct scratch *s = scratch_get();
	struct context *known = NULL;
	struct unit *u;
	__u64 at;
	int i;

	if (!rt || !s)
		return 0;
	s->found.seed = s->ruby.self = 0;
	if (!rt->ruby_tls)
		return 0;
	at = s->ruby.self = ruby_thread(s, task, rt);
	if (!at || bpf_probe_read_user(&s->ruby.context, sizeof(s->ruby.context), (void *)at) ||
	    s->ruby.context.frame - s->ruby.context.stack >= s->ruby.context.size * 8 ||
	    bpf_probe_read_user(&s->ruby.frame, sizeof(s->ruby.frame), (void *)s->ruby.context.frame) ||
	    s->ruby.frame.sp - s->ruby.context.stack >= s->ruby.context.size * 8) {
		s->ruby.self = 0;
		return 0;
	}
	at = s->ruby.context.stack + rt->ruby_at * 8;
	if (rt->ruby_at && at < s->ruby.frame.sp &&
	    bpf_probe_read_user(&s->ruby.value, sizeof(s->ruby.value), (void *)at) == 0)
		known = ruby_connection(s, tgid, s->ruby.value);
	u = unit_of(task, true);
	if (!known && u && u->searched < RUBY_SEARCHES) {
		u->searched++;
		if (bpf_probe_read_user(s->frames, sizeof(s->frames), (void *)s->ruby.context.stack))
			return 0;
#pragma clang loop unroll(disable)
		for (i = 0; i < STACK_WORDS; i++) {
			if (s->ruby.context.stack + i * 8 >= s->ruby.frame.sp)
				break;
			if (ruby_is_connection(tgid, s->frames[i])) {
				known = ruby_connection(s, tgid, s->frames[i]);
				rt->ruby_at = i;
				u->searched = 0;
				break;
			}
		}
	}
	if (known) {
		ruby_serves(tgid);
		s->found.seed = known->seed;
		s->found.slot = known->slot;
	}
	return 0;
}

/* A request has been read, or more of it. */
static __always_inline void ruby_read(struct task_struct *task, const struct context *x)
{
	task_set(tgid_of(task), TASK_SOCKET, descriptor(task) - 1, x);
}

/* The current thread starts another one. */
static __always_inline void ruby_starts(struct task_struct *task, struct runtime *rt)
{
	struct scratch *s = scratch_get();

	if (!s)
		return;
	s->ruby.self = ruby_thread(s, task, rt);
	if (s->ruby.self)
		ruby_serves(tgid_of(task));
}

/* A connection is opened: its descriptor may have been that of a server's. */
static __always_inline void ruby_connects(struct task_struct *task)
{
	struct task_key key = {.task = descriptor(task) - 1, .tgid = tgid_of(task), .kind = TASK_SOCKET};

	bpf_map_delete_elem(&tasks, &key);
}

#endif
