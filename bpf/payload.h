/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Copying a call's bytes out of user memory and into the rings. */
#ifndef OTELCOL_EBPF_PAYLOAD_H
#define OTELCOL_EBPF_PAYLOAD_H

#include "maps.h"

/* iovecs walked per call; the rest of the bytes counts as not captured. */
#define IOV_MAX_WALK 1024 /* UIO_MAXIOV: there are no more */
/* Steps of a walk that a function takes, and how often it is called: two for every iovec, and the pieces. */
#define WALK_STEPS 16
#define WALK_ROUNDS 140

static __always_inline long ring_output(struct scratch *s, __u32 ring, void *data, __u64 size)
{
	__u64 flags = BPF_RB_NO_WAKEUP;
	void *rb = bpf_map_lookup_elem(&rings, &ring);

	if (!rb)
		return -1;
	/* Readers poll on a timer; only a ring that fills up wakes one. */
	if ((s->records++ & 31) == 0) {
		__u64 fill = bpf_ringbuf_query(rb, BPF_RB_AVAIL_DATA);

		s->pressure = fill > ring_wake_bytes + ring_wake_bytes / 2;
		if (fill > ring_wake_bytes)
			flags = BPF_RB_FORCE_WAKEUP;
	}
	if (bpf_ringbuf_output(rb, data, size, flags)) {
		count(COUNT_LOST_RING, 1);
		return -1;
	}
	return 0;
}

/* Sends s->record with `captured` bytes of s->data. */
static __always_inline void emit_part(struct scratch *s, __u32 captured)
{
	__u64 size;

	s->record.captured = captured;
	/* The compiler knows it is small; the verifier has to be told. */
	asm volatile("" : "+r"(captured));
	size = captured & (2 * PART_SIZE - 1);
	size += sizeof(s->record);
	ring_output(s, s->ring, &s->record, size);
}

/* Sends what is in s->data as one part of the call, of so many bytes, and goes on behind it. */
static __always_inline void flush_part(struct scratch *s, __u32 part)
{
	s->record.len = part;
	emit_part(s, s->fill);
	s->to_report -= part;
	s->record.offset += part;
	s->record.position += part;
	s->record.identity = 0;
	s->fill = 0;
}

/*
 * The last 8 bytes of a call that ended inside the iovec being walked, joined
 * with the end of the one before where this one is shorter.
 */
static __always_inline void read_tail(struct scratch *s, __u64 end, __u64 here)
{
	__u32 n = here < 8 ? (__u32)here : 8;
	__u32 rest = 0;

	if (n < 8 && s->prev_len >= 8 - n) {
		rest = (8 - n) & 7;
		if (bpf_probe_read_user(s->record.tail, rest, (void *)(s->prev_base + s->prev_len - rest)))
			return;
	}
	n &= 15;
	if (bpf_probe_read_user(s->record.tail + rest, n, (void *)(end - n)))
		return;
	s->record.tail_len = rest + n;
}

/* Goes on to the next iovec; false if there is none. */
static __always_inline bool next_iovec(struct scratch *s)
{
	struct user_iovec v;

	if (s->iov_left == 0)
		return false;
	if (bpf_probe_read_user(&v, sizeof(v), (void *)s->iov)) {
		count(COUNT_UNREADABLE, 1);
		return false;
	}
	s->iov += sizeof(v);
	s->iov_left--;
	s->base = v.base;
	s->base_len = v.len;
	return true;
}

static __always_inline void walk_begin(struct scratch *s, __u64 base, __u32 kind_count, __u32 len)
{
	__u32 count_iov = kind_count >> 8;

	s->fill = 0;
	s->to_pass = len;
	s->to_report = len;
	s->prev_len = 0;
	if ((kind_count & 0xff) == BUFFER_FLAT) {
		s->base = base;
		s->base_len = len;
		s->iov_left = 0;
	} else {
		s->iov = base;
		s->iov_left = count_iov > IOV_MAX_WALK ? IOV_MAX_WALK : count_iov;
		s->base_len = 0;
	}
}

/*
 * One step of the walk: fetch the next iovec, or copy or skip a piece of the
 * current one. Returns false when the call's bytes have been walked.
 */
static __always_inline bool walk_step(struct scratch *s)
{
	__u32 fill, take;

	if (s->to_pass == 0)
		return false;
	if (s->base_len == 0)
		return next_iovec(s);
	if (s->to_copy == 0) {
		/* Nothing more is wanted but the tail: pass over this iovec. */
		if (s->base_len >= s->to_pass) {
			read_tail(s, s->base + s->to_pass, s->to_pass);
			s->to_pass = 0;
			return false;
		}
		s->to_pass -= s->base_len;
		s->prev_base = s->base;
		s->prev_len = s->base_len;
		s->base_len = 0;
		return true;
	}
	fill = s->fill & (PART_SIZE - 1);
	take = PART_SIZE - fill;
	if (take > s->base_len)
		take = s->base_len;
	if (take > s->to_copy)
		take = s->to_copy;
	/* Says no more than the above, but in a way old verifiers follow. */
	asm volatile("" : "+r"(take));
	take &= 2 * PART_SIZE - 1;
	if (bpf_probe_read_user(s->data + fill, take, (void *)s->base)) {
		count(COUNT_UNREADABLE, 1);
		s->to_copy = 0;
		return false;
	}
	s->fill = fill + take;
	s->to_copy -= take;
	s->to_pass -= take;
	s->base += take;
	s->base_len -= take;
	/* What was copied last is what a tail in the next iovec joins on to. */
	s->prev_base = s->base - take;
	s->prev_len = take;
	if (s->fill == PART_SIZE && s->to_report > PART_SIZE)
		flush_part(s, s->fill);
	return true;
}

/* Some steps of the walk; 0 when that was all. */
__attribute__((noinline)) int walk_pieces(void)
{
	struct scratch *s = scratch_get();
	int i;

	if (!s)
		return 0;
	for (i = 0; i < WALK_STEPS; i++) {
		if (!walk_step(s))
			return 0;
	}
	return 1;
}

/*
 * Captures up to `want` of the `len` bytes of a call that do not fit the fast
 * path: more than one part, or scattered over iovecs. A global function, so
 * that the verifier walks it once.
 */
__attribute__((noinline)) int capture_slow(__u64 base, __u32 kind_count, __u32 len, __u32 want)
{
	struct scratch *s = scratch_get();
	int i;

	if (!s)
		return 0;
	walk_begin(s, base, kind_count, len);
	s->to_copy = want;
	for (i = 0; i < WALK_ROUNDS; i++) {
		if (!walk_pieces())
			break;
	}
	/* Walked into the last byte by copying: nothing was left out. */
	flush_part(s, s->to_report);
	return 0;
}

/* ---- frames ---- */

/* Copies the next `take` bytes behind those in s->data; false if they cannot be read. */
static __always_inline bool frame_copy(struct scratch *s, __u32 take)
{
	__u32 fill = s->fill & (PART_SIZE - 1);

	asm volatile("" : "+r"(take));
	take &= 2 * PART_SIZE - 1;
	if (bpf_probe_read_user(s->data + fill, take, (void *)s->base)) {
		count(COUNT_UNREADABLE, 1);
		return false;
	}
	s->fill = fill + take;
	return true;
}

/*
 * One step over frames: fetch the next iovec, or copy a head, or a piece of what is
 * wanted, or pass over the rest. Returns false when the call's bytes have been walked, or
 * these are no frames.
 */
static __always_inline bool frame_step(struct scratch *s)
{
	struct framing *f = &s->framing;
	__u32 take, have, length;

	if (s->to_pass == 0)
		return false;
	if (s->base_len == 0)
		return next_iovec(s);
	take = s->to_pass < s->base_len ? s->to_pass : (__u32)s->base_len;
	if (f->left == 0) {
		if (s->skipped || s->fill > PART_SIZE - 2 * FRAME_HEAD) {
			flush_part(s, s->fill + s->skipped);
			s->skipped = 0;
		}
		have = f->have & 15;
		if (take > FRAME_HEAD - have)
			take = FRAME_HEAD - have;
		asm volatile("" : "+r"(take));
		take &= 15;
		if (bpf_probe_read_user(s->frame_head + have, take, (void *)s->base) || !frame_copy(s, take))
			return false;
		f->have = have + take;
		if (f->have == FRAME_HEAD) {
			length = s->frame_head[0] << 16 | s->frame_head[1] << 8 | s->frame_head[2];
			if (s->frame_head[3] > FRAME_TYPES)
				return false;
			f->have = 0;
			f->left = length;
			f->copied = length;
			if (s->frame_head[3] == FRAME_HEADERS && f->bodies < 255)
				f->bodies++;
			if (s->frame_head[3] == FRAME_DATA) {
				if (length > FRAME_DATA_COPIED)
					f->copied = f->bodies ? FRAME_DATA_COPIED : 0;
				if (f->bodies)
					f->bodies--;
			}
		}
	} else if (f->copied) {
		if (take > f->copied)
			take = f->copied;
		if (take > PART_SIZE - s->fill)
			take = PART_SIZE - s->fill;
		if (!frame_copy(s, take))
			return false;
		f->copied -= take;
		f->left -= take;
		if (s->fill >= PART_SIZE - 2 * FRAME_HEAD) {
			flush_part(s, s->fill);
		}
	} else {
		if (take > f->left)
			take = f->left;
		s->skipped += take;
		f->left -= take;
	}
	s->base += take;
	s->base_len -= take;
	s->to_pass -= take;
	return true;
}

/* Some steps over frames; 0 when that was all. */
__attribute__((noinline)) int walk_frames(void)
{
	struct scratch *s = scratch_get();
	int i;

	if (!s)
		return 0;
	for (i = 0; i < WALK_STEPS; i++) {
		if (!frame_step(s))
			return 0;
	}
	return 1;
}

/*
 * Captures the heads of frames in the `len` bytes of a call, and what is in those that
 * are wanted. s->framing says where they begin, and afterwards where they go on.
 */
__attribute__((noinline)) int capture_frames(__u64 base, __u32 kind_count, __u32 len)
{
	struct scratch *s = scratch_get();
	int i;

	if (!s)
		return 0;
	walk_begin(s, base, kind_count, len);
	s->skipped = 0;
	__builtin_memcpy(s->frame_head, s->framing.head, FRAME_HEAD);
	for (i = 0; i < WALK_ROUNDS; i++) {
		if (!walk_frames())
			break;
	}
	__builtin_memcpy(s->framing.head, s->frame_head, FRAME_HEAD);
	if (s->to_pass)
		s->framing.state = FRAMING_NONE;
	flush_part(s, s->to_report);
	return 0;
}

/* ---- RESP ---- */

/*
 * Takes some bytes of a line, up to its end, of `have` that are in s->line; returns how
 * many. 0 if this is no line of RESP, or of a kind that is not walked over.
 */
__attribute__((noinline)) int resp_line(__u32 have)
{
	struct scratch *s = scratch_get();
	struct framing *f;
	__u32 i;
	__u8 c;

	if (!s)
		return 0;
	f = &s->framing;
	for (i = 0; i < RESP_STEP; i++) {
		if (i >= have)
			return i;
		c = s->line[i];
		if (!f->line) {
			if (c != '*' && c != '$' && c != '+' && c != '-' && c != ':' && c != '_' && c != '%' &&
			    c != '~' && c != '>' && c != '#' && c != ',' && c != '(' && c != '=' && c != '!')
				return 0;
			f->line = c;
			f->number = 0;
			f->null = 0;
			continue;
		}
		if (c == '\n') {
			if ((f->line == '$' || f->line == '=' || f->line == '!') && !f->null) {
				f->left = f->number + 2;
				f->copied = f->number > RESP_WHOLE ? RESP_COPIED : f->left;
			}
			f->line = 0;
			return i + 1;
		}
		if (f->line != '$' && f->line != '=' && f->line != '!')
			continue;
		if (c == '-') {
			f->null = 1;
		} else if (c != '\r') {
			if (c < '0' || c > '9' || f->number >= RESP_MAX / 10)
				return 0;
			f->number = f->number * 10 + (c - '0');
		}
	}
	return RESP_STEP;
}

/* One step over RESP; as frame_step. No more is copied than s->to_copy. */
static __always_inline bool resp_step(struct scratch *s)
{
	struct framing *f = &s->framing;
	__u32 take;

	if (s->to_pass == 0)
		return false;
	if (s->base_len == 0)
		return next_iovec(s);
	take = s->to_pass < s->base_len ? s->to_pass : (__u32)s->base_len;
	if (f->left && !f->copied) {
		if (take > f->left)
			take = f->left;
		s->skipped += take;
		f->left -= take;
	} else {
		if (s->skipped || s->fill > PART_SIZE - 2 * RESP_WHOLE) {
			flush_part(s, s->fill + s->skipped);
			s->skipped = 0;
		}
		if (take > s->to_copy)
			take = s->to_copy;
		if (take == 0)
			return false;
		if (f->left) {
			if (take > f->copied)
				take = f->copied;
			if (!frame_copy(s, take))
				return false;
			f->copied -= take;
			f->left -= take;
		} else {
			if (take > RESP_STEP)
				take = RESP_STEP;
			asm volatile("" : "+r"(take));
			take &= 2 * RESP_STEP - 1;
			if (bpf_probe_read_user(s->line, take, (void *)s->base))
				return false;
			take = resp_line(take);
			if (take == 0 || take > RESP_STEP || !frame_copy(s, take))
				return false;
		}
		s->to_copy -= take;
	}
	s->base += take;
	s->base_len -= take;
	s->to_pass -= take;
	return true;
}

/* Some steps over RESP; 0 when that was all. */
__attribute__((noinline)) int walk_resp(void)
{
	struct scratch *s = scratch_get();
	int i;

	if (!s)
		return 0;
	for (i = 0; i < WALK_STEPS; i++) {
		if (!resp_step(s))
			return 0;
	}
	return 1;
}

/*
 * Captures the lines of RESP in the `len` bytes of a call, and the beginnings of long
 * strings, `want` bytes at most. From where it is no RESP, what is left of those is
 * copied as it comes. s->framing as in capture_frames.
 */
__attribute__((noinline)) int capture_resp(__u64 base, __u32 kind_count, __u32 len, __u32 want)
{
	struct scratch *s = scratch_get();
	int i;

	if (!s)
		return 0;
	walk_begin(s, base, kind_count, len);
	s->to_copy = want;
	s->skipped = 0;
	for (i = 0; i < WALK_ROUNDS; i++) {
		if (!walk_resp())
			break;
	}
	s->framing.state = FRAMING_RESP;
	if (s->to_pass) {
		s->framing.state = FRAMING_NONE;
		if (s->skipped) {
			flush_part(s, s->fill + s->skipped);
			s->skipped = 0;
		}
		for (i = 0; i < WALK_ROUNDS; i++) {
			if (!walk_pieces())
				break;
		}
	} else if (!s->framing.left && !s->framing.line) {
		s->framing.state = FRAMING_NONE; /* the next call is looked at anew */
	}
	flush_part(s, s->to_report);
	return 0;
}

#endif
