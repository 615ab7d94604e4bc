/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Who has made the block that a Ruby thread runs?
 *
 * A block that is run by another thread refers to the variables of the method, or block, it was
 * written in. These have been moved to the heap for that, also for the thread that works in the
 * method still. So where a frame of a thread that serves a request has variables which a
 * block that this thread runs refers to, it runs that for the request.
 */
#ifndef OTELCOL_EBPF_RUBY_BLOCKS_H
#define OTELCOL_EBPF_RUBY_BLOCKS_H

#include "ruby.h"

/* rb_control_frame_t.ep (2.5 to 3.4), and how many words a frame may have. */
#define RUBY_FRAME_EP 4
#define RUBY_FRAME_LEAST 6
#define RUBY_FRAME_MOST 8
/* So many of the first frames of a thread that runs a block are searched, and of the last of one that serves a request.
 */
#define RUBY_FRAMES (STACK_WORDS / RUBY_FRAME_MOST)
/* From a block's variables out to its method's, at most. */
#define RUBY_NESTED 6

/* vm_core.h: flags of variables, in ep[0], with the kind of their frame, and in ep[-1] what is around them. */
#define RUBY_FLAGS_MASK 0x7fff0001
#define RUBY_FLAGS_LEAST 0x11110001
#define RUBY_FLAGS_MOST 0x79990001
#define RUBY_LOCAL 2 /* they are a method's: nothing is */

/* The variables of a frame: are they such? */
static __always_inline bool ruby_flags(__u64 ep, __u64 *flags)
{
	__u64 kind;

	if (!ep || (ep & 7) || bpf_probe_read_user(flags, sizeof(*flags), (void *)ep))
		return false;
	kind = *flags & RUBY_FLAGS_MASK;
	return kind >= RUBY_FLAGS_LEAST && kind <= RUBY_FLAGS_MOST;
}

/* Are a thread's frames of so many words? Asked of the last ones. A global function, as ruby_work. */
__attribute__((noinline)) int ruby_frames_have(__u32 words)
{
	struct scratch *s = scratch_get();
	__u64 at, ep, flags, top;
	int i;

	if (!s || !words)
		return 0;
	top = s->ruby.context.stack + s->ruby.context.size * 8;
	at = s->ruby.context.frame;
	if ((top - at) % (words * 8))
		return 0;
	for (i = 0; i < 4; i++) {
		if (at >= top)
			break;
		if (bpf_probe_read_user(&ep, sizeof(ep), (void *)(at + RUBY_FRAME_EP * 8)) || !ruby_flags(ep, &flags))
			return 0;
		at += words * 8;
	}
	return i > 1;
}

/* Notes the variables around a block's, out to those of its method. A global function, as ruby_work. */
__attribute__((noinline)) int ruby_around(__u64 ep)
{
	struct scratch *s = scratch_get();
	__u64 flags;
	int i;

	if (!s)
		return 0;
	for (i = 0; i < RUBY_NESTED; i++) {
		if (!ruby_flags(ep, &flags) || (flags & RUBY_LOCAL) ||
		    bpf_probe_read_user(&ep, sizeof(ep), (void *)(ep - 8)))
			return 0;
		ep &= ~7ULL;
		/* Its own frames are below. */
		if (ep - s->ruby.context.stack < s->ruby.context.size * 8)
			continue;
		if (s->ruby.count >= RUBY_VARIABLES)
			return 0;
		s->ruby.around[s->ruby.count & (RUBY_VARIABLES - 1)] = ep;
		s->ruby.count++;
	}
	return 0;
}

/* Is a frame's ep one of those? */
static __always_inline bool ruby_is_around(struct scratch *s, __u64 ep)
{
	int i;

#pragma clang loop unroll(disable)
	for (i = 0; i < RUBY_VARIABLES; i++) {
		if (i >= s->ruby.count)
			break;
		if (s->ruby.around[i] == ep)
			return true;
	}
	return false;
}

/*
 * Does a thread work with variables that were noted, in one of its last frames? Then its
 * connection is left in scratch.ruby.value. A global function, as ruby_work.
 */
__attribute__((noinline)) int ruby_works_with(__u32 tgid, __u64 thread)
{
	struct runtime *rt = runtime_of(tgid);
	struct scratch *s = scratch_get();
	__u32 words, i;
	__u64 end;

	if (!rt || !s || !thread || thread == s->ruby.self)
		return 0;
	words = rt->ruby_words;
	if (words < RUBY_FRAME_LEAST || words > RUBY_FRAME_MOST ||
	    bpf_probe_read_user(&s->ruby.other, sizeof(s->ruby.other), (void *)thread) ||
	    s->ruby.other.frame - s->ruby.other.stack >= s->ruby.other.size * 8 ||
	    bpf_probe_read_user(s->frames, sizeof(s->frames), (void *)s->ruby.other.frame))
		return 0;
	end = s->ruby.other.stack + s->ruby.other.size * 8;
#pragma clang loop unroll(disable)
	for (i = 0; i < RUBY_FRAMES; i++) {
		if (s->ruby.other.frame + (i + 1) * words * 8 > end)
			break;
		if (ruby_is_around(s, s->frames[(i * words + RUBY_FRAME_EP) & (STACK_WORDS - 1)]))
			return !bpf_probe_read_user(&s->ruby.value, sizeof(s->ruby.value),
						    (void *)(s->ruby.other.stack + rt->ruby_at * 8));
	}
	return 0;
}

/*
 * Whose are the variables around the blocks that the current thread runs, of which ruby_work
 * knows nothing? Leaves the answer in scratch.found. A global function, as ruby_work.
 */
__attribute__((noinline)) int ruby_runs_for(__u32 tgid)
{
	struct ruby_servers *all = bpf_map_lookup_elem(&ruby_servers, &tgid);
	struct runtime *rt = runtime_of(tgid);
	struct scratch *s = scratch_get();
	struct context *known;
	__u32 words, i;
	__u64 top;

	if (!all || !rt || !s || !rt->ruby_at || !s->ruby.self)
		return 0;
	if (!rt->ruby_words) {
		for (i = RUBY_FRAME_LEAST; i <= RUBY_FRAME_MOST; i++) {
			if (ruby_frames_have(i))
				rt->ruby_words = i;
		}
	}
	words = rt->ruby_words;
	if (words < RUBY_FRAME_LEAST || words > RUBY_FRAME_MOST)
		return 0;
	top = s->ruby.context.stack + s->ruby.context.size * 8;
	if (bpf_probe_read_user(s->frames, sizeof(s->frames), (void *)(top - sizeof(s->frames))))
		return 0;
	s->ruby.count = 0;
#pragma clang loop unroll(disable)
	for (i = 1; i <= RUBY_FRAMES; i++) {
		if (top - i * words * 8 < s->ruby.context.frame)
			break;
		ruby_around(s->frames[(STACK_WORDS - i * words + RUBY_FRAME_EP) & (STACK_WORDS - 1)]);
	}
	if (!s->ruby.count)
		return 0;
#pragma clang loop unroll(disable)
	for (i = 0; i < RUBY_SERVERS; i++) {
		if (i >= all->count)
			break;
		if (!ruby_works_with(tgid, all->threads[i]))
			continue;
		known = ruby_connection(s, tgid, s->ruby.value);
		if (known) {
			s->found.seed = known->seed;
			s->found.slot = known->slot;
		}
		break;
	}
	return 0;
}

#endif
