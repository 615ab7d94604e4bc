/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * For which request does a thread of a Java pool run?
 *
 * The task that was given to the pool was made by the thread that serves the request
 * (java_objects.h). Where it is of a kind that says which thread runs it, that is certain
 * (java_tasks.h); so it is for java.net.http, which hands on within itself. Of others the words
 * of the stack are asked (java_words.h).
 */
#ifndef OTELCOL_EBPF_JAVA_H
#define OTELCOL_EBPF_JAVA_H

#include "java_tasks.h"

/* How far below the thread pointer a thread's first Java method may be called, words. */
#define JAVA_NATIVE_WORDS 1024
/* So often is the beginning of a thread's Java frames looked for, at most. */
#define JAVA_BEGINNINGS 4

/* The current thread sends a request to a server, or reads a response. */
static __always_inline void java_sends(struct task_struct *task)
{
	struct unit *u = unit_of(task, false);

	if (!u)
		return;
	if (u->sent)
		u->several = 1;
	u->sent = 1;
}

static __always_inline void java_answered(struct task_struct *task)
{
	struct unit *u = unit_of(task, false);

	if (u)
		u->sent = 0;
}

/*
 * Where does the current thread's first Java method return to? The words below that are
 * the first frames of Java. A global function, as java_reads.
 */
__attribute__((noinline)) int java_begins(__u32 tgid)
{
#if defined(__TARGET_ARCH_x86)
	struct task_struct *task = bpf_get_current_task_btf();
	struct jvm *v = bpf_map_lookup_elem(&jvms, &tgid);
	struct unit *u = unit_of(task, true);
	struct scratch *s = scratch_get();
	__u64 at, stub;
	int i, j;

	if (!v || !u || !s || u->searched >= JAVA_BEGINNINGS)
		return 0;
	u->searched++;
	at = task->thread.fsbase & ~7ULL;
	stub = v->call_stub;
	for (i = 0; i < JAVA_NATIVE_WORDS / STACK_WORDS; i++) {
		at -= sizeof(s->frames);
		if (bpf_probe_read_user(s->frames, sizeof(s->frames), (void *)at))
			return 0;
#pragma clang loop unroll(disable)
		for (j = STACK_WORDS - 1; j >= 0; j--) {
			if (s->frames[j] == stub) {
				u->started = at + j * 8;
				return 0;
			}
		}
	}
#endif
	return 0;
}

/*
 * Classes that lead on may have been loaded since the process was looked at. More and more
 * seldom that is asked.
 */
static __always_inline void java_asked(__u32 tgid, const struct jvm *v)
{
	struct java_making *all = bpf_map_lookup_elem(&java_makings, &tgid);

	if (!all || (v->steps[0].offset && v->future_task))
		return;
	all->searches++;
	if (!(all->searches & (all->searches - 1)))
		bpf_map_update_elem(&look_again, &tgid, &tgid, BPF_ANY);
}

/*
 * For which request does the current thread run, which has not read one itself? Leaves the
 * answer in scratch.found. A global function, so that the verifier walks it once.
 */
__attribute__((noinline)) int java_work(__u32 tgid)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	struct jvm *v = bpf_map_lookup_elem(&jvms, &tgid);
	struct unit *u = unit_of(task, true);
	struct scratch *s = scratch_get();
	__u32 collections = 0, words;
	int decided, found;
	__u64 self, at;

	if (!s)
		return 0;
	s->found.seed = 0;
	if (!v || !u)
		return 0;
	self = java_thread(task, v);
	if (!self)
		return 0;
	if (!u->started)
		java_begins(tgid);
	at = u->started;
	if (!at || at <= regs->sp)
		return 0;
	words = (at - regs->sp) / 8;
	java_asked(tgid, v);
	java_makes(tgid, self);
	s->java.searched = ++u->started_for.seed;
	if (!s->java.count)
		return 0;
	s->java.descriptor = descriptor(task);
	found = java_runs(tgid, at, words) | java_writes(tgid, regs->sp, words);
	if (found) {
		decided = java_runs_for(tgid, found);
	} else {
		decided = java_asks(tgid, at, words, 0);
		if (!decided && !s->java.all && java_doubts(tgid, words))
			decided = java_asks(tgid, at, words, 1);
		if (decided)
			java_learns(tgid, words);
	}
	/* Has a collection begun to move objects meanwhile? */
	if (!java_epoch(v, &collections) || collections != s->java.collections) {
		s->found.seed = 0;
		return 0;
	}
	/* What is left on the stack of one that goes back and forth names what it did before. */
	if (!found && u->several)
		decided = 0;
	s->found.method = decided > 1 ? METHOD_TASK : METHOD_AMBIGUOUS;
	return 0;
}

#endif
