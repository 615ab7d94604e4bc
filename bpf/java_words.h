/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which request do the words of a Java thread's stack name?
 *
 * The thread that runs a task has it in the first frames of its stack: Thread.run,
 * ThreadPoolExecutor.runWorker, the task's run and so on. But not every word of these is in
 * use: others are left from what was run before. And not every object that was made while a
 * request was served was made for that one. So words are believed that have been right
 * before, where the stack was as high, and objects of classes that are not shared.
 */
#ifndef OTELCOL_EBPF_JAVA_WORDS_H
#define OTELCOL_EBPF_JAVA_WORDS_H

#include "java_objects.h"

/* From one object to the other, at most. */
#define JAVA_STEPS 8
/* So many words, at least, have to name a request, */
#define JAVA_WITNESSES 3
/* and of these so many objects of classes that are believed. */
#define JAVA_FIRM_WITNESSES 2
/* A word is believed that was right so often. */
#define JAVA_BELIEVED 4
/* So many searches that believed words have decided make them the only ones. */
#define JAVA_SURE 8
/* What java_class says, besides the number of a range. */
#define JAVA_MADE 0x1000
#define JAVA_FIRM 0x2000
/* For java_leads: no word of the stack, but what writes to the connection. */
#define JAVA_WRITES JAVA_WORDS
/* So many objects of a class are seen before it is believed, */
#define JAVA_STRANGE 16
/* and one of 2^6 of them may have been shared. */
#define JAVA_SHARED 6

/* What is known of stacks of so many words, NULL if that cannot be noted. */
static __always_inline struct java_layout *java_layout(const struct scratch *s, __u32 tgid)
{
	struct java_layout_key key = {.tgid = tgid};
	struct java_layout *l;

	if (!s)
		return NULL;
	key.words = s->java.height;
	l = bpf_map_lookup_elem(&java_layouts, &key);
	if (l)
		return l;
	bpf_map_update_elem(&java_layouts, &key, &java_no_layout, BPF_NOEXIST);
	return bpf_map_lookup_elem(&java_layouts, &key);
}

/*
 * How far is an object of a class to be believed that was made for a request: JAVA_MADE, if
 * nothing speaks against it, JAVA_FIRM, if such objects have been seen to be for one
 * thread? What several threads have on their stacks, or one has again after something else,
 * is shared, or is handed on and reused, as connections are, whoever made it. A global function, as java_reads.
 */
__attribute__((noinline)) int java_class(__u32 tgid, __u64 object, __u32 class)
{
	struct scratch *s = scratch_get();
	struct java_object *seen;
	struct java_class *c;

	if (!s)
		return 0;
	s->java.of_class.tgid = tgid;
	s->java.of_class.class = class;
	c = bpf_map_lookup_elem(&java_classes, &s->java.of_class);
	if (!c) {
		bpf_map_update_elem(&java_classes, &s->java.of_class, &java_no_class, BPF_NOEXIST);
		c = bpf_map_lookup_elem(&java_classes, &s->java.of_class);
		if (!c)
			return 0;
	}
	s->java.one.object = object;
	s->java.one.tgid = tgid;
	s->java.one.collections = s->java.collections;
	seen = bpf_map_lookup_elem(&java_objects, &s->java.one);
	if (!seen) {
		s->java.first.thread = s->java.self;
		s->java.first.searched = s->java.searched;
		bpf_map_update_elem(&java_objects, &s->java.one, &s->java.first, BPF_ANY);
		c->objects++;
	} else if (seen->thread) {
		if (seen->thread != s->java.self || s->java.searched - seen->searched > 1) {
			seen->thread = 0;
			c->shared++;
		}
		seen->searched = s->java.searched;
	}
	if (c->shared > c->objects >> JAVA_SHARED)
		return 0;
	return c->objects < JAVA_STRANGE ? JAVA_MADE : JAVA_FIRM;
}

/*
 * What does an object, or one that it leads to, belong to? As java_made, and how far that
 * is to be believed. A global function, as java_reads.
 */
__attribute__((noinline)) int java_leads(__u32 tgid, __u64 object, __u32 word)
{
	struct jvm *v = bpf_map_lookup_elem(&jvms, &tgid);
	struct scratch *s = scratch_get();
	__u32 class, offset;
	int made, i, j;

	if (!v || !s)
		return 0;
	for (i = 0; i < JAVA_STEPS; i++) {
		if (object - v->heap_start >= v->heap_size || (object & 7))
			return 0;
		made = java_made(object);
		if (bpf_probe_read_user(&s->java.narrow, sizeof(s->java.narrow), (void *)(object + 8)))
			return 0;
		class = s->java.narrow;
		offset = JVM_UNKNOWN;
#pragma clang loop unroll(disable)
		for (j = 0; j < JVM_STEPS; j++) {
			if (v->steps[j].class == class)
				offset = v->steps[j].offset;
		}
		/* A writer's word may be left from another connection. */
		if (!i && class == v->writer && word != JAVA_WRITES)
			return 0;
		if (offset == JVM_END)
			return made ? made | JAVA_FIRM : 0;
		if (offset == JVM_UNKNOWN) {
			if (!made || i)
				return 0;
			s->java.classes[word & (JAVA_WORDS - 1)] = class;
			offset = java_class(tgid, object, class);
			return offset ? made | offset : 0;
		}
		/* What outlives requests was made for whoever needed it first. */
		if (!offset)
			return 0;
		object = java_field(s, v, object, offset);
	}
	return 0;
}

/*
 * A word names the request of a range. Of several requests that are named, that counts which
 * most words name. A global function, as java_reads.
 */
__attribute__((noinline)) int java_named(__u32 word, __u32 made)
{
	struct scratch *s = scratch_get();
	struct java_range *r;
	__u32 first;

	if (!s)
		return 0;
	first = s->java.ranges[(made - 1) & (JAVA_RANGES - 1)].first & (JAVA_RANGES - 1);
	s->java.named[word & (JAVA_WORDS - 1)] = first + 1;
	r = &s->java.ranges[first];
	r->votes++;
	r->firm += (made & JAVA_FIRM) != 0;
	if (r->seed == s->found.seed) {
		s->java.best = r->votes;
	} else if (r->votes > s->java.best) {
		s->java.next = s->java.best;
		s->java.best = r->votes;
		s->java.winner = first + 1;
		s->found.seed = r->seed;
		s->found.slot = r->slot;
	} else if (r->votes > s->java.next) {
		s->java.next = r->votes;
	}
	return 0;
}

/* An object of a class said what is not so. A global function, as java_reads. */
__attribute__((noinline)) int java_erred(__u32 tgid, __u32 word)
{
	struct scratch *s = scratch_get();
	struct java_class_key key = {.tgid = tgid};
	struct java_class *c;

	if (!s)
		return 0;
	key.class = s->java.classes[word & (JAVA_WORDS - 1)];
	if (!key.class)
		return 0;
	c = bpf_map_lookup_elem(&java_classes, &key);
	if (c)
		c->shared++;
	return 0;
}

/* A search was decided: which words are right? A global function, as java_reads. */
__attribute__((noinline)) int java_learns(__u32 tgid)
{
	struct scratch *s = scratch_get();
	struct java_layout *l = java_layout(s, tgid);
	int i;

	if (!s || !l)
		return 0;
	if (s->java.all)
		l->named = (l->named + s->java.best + 1) / 2;
	else if (l->sure < 16 * JAVA_SURE)
		l->sure++;
#pragma clang loop unroll(disable)
	for (i = 0; i < JAVA_WORDS; i++) {
		__u8 was = l->right[i], now = was;
		__u16 named = s->java.named[i];

		if (!*(volatile __u32 *)&s->java.all && was < JAVA_BELIEVED)
			continue;
		if (named == *(volatile __u32 *)&s->java.winner) {
			now += was < 2 * JAVA_BELIEVED;
		} else if (named) {
			now >>= 1;
			if (was >= JAVA_BELIEVED)
				java_erred(tgid, i);
		} else {
			now -= was > 0;
		}
		l->right[i] = now;
		if (was < JAVA_BELIEVED && now >= JAVA_BELIEVED)
			l->places++;
		else if (was >= JAVA_BELIEVED && now < JAVA_BELIEVED)
			l->places--;
	}
	return 0;
}

/*
 * Leaves, of the words that have been read, of which the first are not in use, those to be
 * believed, if it is known which are and not all are wanted, and says how many these are. A
 * global function, as java_reads.
 */
__attribute__((noinline)) int java_chooses(__u32 tgid, __u32 all)
{
	struct scratch *s = scratch_get();
	struct java_layout *l = java_layout(s, tgid);
	__u32 i;

	if (!s)
		return 0;
	/* Where the believed ones are few, there are several layouts of as many words. */
	if (!l || l->places < JAVA_WITNESSES || 5 * l->places < 3 * l->named)
		all = 1;
	/* (The verifier follows what is read from here every time, but not every number that it may be.) */
	s->java.all = all;
	s->java.best = s->java.next = s->java.anchor = 0;
	s->found.seed = 0;
#pragma clang loop unroll(disable)
	for (i = 0; i < JAVA_RANGES; i++)
		s->java.ranges[i].votes = s->java.ranges[i].firm = 0;
#pragma clang loop unroll(disable)
	for (i = 0; i < JAVA_WORDS; i++) {
		s->java.named[i] = 0;
		s->java.classes[i] = 0;
		if (i + *(volatile __u32 *)&s->java.height < JAVA_WORDS)
			s->java.words[i] = 0;
		if (!l || *(volatile __u32 *)&s->java.all)
			continue;
		if (l->right[i] < JAVA_BELIEVED)
			s->java.words[i] = 0;
		else
			s->java.anchor = i + 1;
	}
	return s->java.all || !l ? 0 : l->places;
}

/*
 * The words that are believed did not decide. Is that as it may be where there are several
 * layouts of as many words? Where they usually do, the others are not to be believed.
 */
static __always_inline bool java_doubts(__u32 tgid)
{
	struct java_layout *l = java_layout(scratch_get(), tgid);

	if (!l)
		return true;
	l->sure >>= 1;
	return l->sure < JAVA_SURE;
}

/* What does a word of the stack name? A global function, as java_reads. */
__attribute__((noinline)) int java_looks(__u32 tgid, __u32 i)
{
	struct jvm *v = bpf_map_lookup_elem(&jvms, &tgid);
	struct scratch *s = scratch_get();
	int made = 0;
	__u64 word;

	if (!v || !s)
		return 0;
	word = s->java.words[i & (JAVA_WORDS - 1)];
	if (word - v->heap_start < v->heap_size) {
		made = java_leads(tgid, word, i);
	} else if (!v->wide) {
		made = java_leads(tgid, java_object(v, word), i);
		if (!made)
			made = java_leads(tgid, java_object(v, word >> 32), i);
	}
	if (made)
		java_named(i, made);
	return made;
}

/*
 * Asks the words below the address that the first Java method returns to. 2: they have decided;
 * 1: well enough to learn from which words are right. A global function, as java_reads.
 */
__attribute__((noinline)) int java_asks(__u32 tgid, __u32 all)
{
	struct scratch *s = scratch_get();
	__u32 places, firm;
	int i;

	if (!s ||
	    bpf_probe_read_user(s->java.words, sizeof(s->java.words), (void *)(s->java.at - sizeof(s->java.words))))
		return 0;
	places = java_chooses(tgid, all);
#pragma clang loop unroll(disable)
	for (i = JAVA_WORDS - 1; i >= 0; i--) {
		if (s->java.words[i])
			java_looks(tgid, i);
	}
	if (s->java.best < JAVA_WITNESSES || s->java.best <= 2 * s->java.next || 4 * s->java.best <= places)
		return 0;
	/*
	 * Words that are left from other tasks agree, too, where this one's task is not known. So those
	 * that are to be believed have to be known, and the first of them, which it was given to run.
	 */
	firm = s->java.ranges[(s->java.winner - 1) & (JAVA_RANGES - 1)].firm;
	if (s->java.all || firm < JAVA_FIRM_WITNESSES || !s->java.anchor ||
	    s->java.named[(s->java.anchor - 1) & (JAVA_WORDS - 1)] != s->java.winner)
		return 1;
	return 2;
}

#endif
