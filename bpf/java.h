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
 * Is there anything that the current thread, which has not read a request, may run for? Leaves
 * in scratch.java what is to be searched. A global function, so that the verifier walks it
 * once, and that not all have their stacks at the same time, as the next ones.
 */
__attribute__((noinline)) int java_prepares(__u32 tgid)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	struct jvm *v = bpf_map_lookup_elem(&jvms, &tgid);
	struct unit *u = unit_of(task, true);
	struct scratch *s = scratch_get();

	if (!s)
		return 0;
	s->found.seed = 0;
	if (!v || !u)
		return 0;
	s->java.self = java_thread(task, v);
	if (!s->java.self)
		return 0;
	if (!u->started)
		java_begins(tgid);
	s->java.at = u->started;
	s->java.sp = regs->sp;
	if (!s->java.at || s->java.at <= s->java.sp)
		return 0;
	s->java.height = (s->java.at - s->java.sp) / 8;
	s->java.searched = ++u->started_for.seed;
	s->java.several = u->several;
	s->java.descriptor = descriptor(task);
	java_asked(tgid, v);
	return 1;
}

/* Is it certain? Then what java_runs and java_writes say. */
static __always_inline int java_certain(struct scratch *s, __u32 tgid)
{
	int found;

	found = java_runs(tgid) | java_writes(tgid);
	s->java.decided = found ? java_runs_for(tgid, found) : 0;
	return found;
}

/* What do the words of the stack say? */
static __always_inline void java_guesses(struct scratch *s, __u32 tgid)
{
	s->java.decided = java_asks(tgid, 0);
	if (!s->java.decided && !s->java.all && java_doubts(tgid))
		s->java.decided = java_asks(tgid, 1);
	if (s->java.decided)
		java_learns(tgid);
	/* What is left on the stack of one that goes back and forth names what it did before. */
	if (s->java.several)
		s->java.decided = 0;
}

/* Has no collection begun to move objects meanwhile? A global function, as java_prepares. */
__attribute__((noinline)) int java_confirms(__u32 tgid)
{
	struct jvm *v = bpf_map_lookup_elem(&jvms, &tgid);
	struct scratch *s = scratch_get();
	__u32 collections = 0;

	if (!v || !s)
		return 0;
	if (!java_epoch(v, &collections) || collections != s->java.collections)
		s->found.seed = 0;
	s->found.method = s->java.decided > 1 ? METHOD_TASK : METHOD_AMBIGUOUS;
	return 0;
}

/*
 * For which request does the current thread run, which has not read one itself? Leaves the
 * answer in scratch.found.
 */
static __always_inline void java_work(struct scratch *s, __u32 tgid)
{
	if (java_prepares(tgid) && java_makes(tgid)) {
		if (!java_certain(s, tgid))
			java_guesses(s, tgid);
		java_confirms(tgid);
	}
}

#endif
