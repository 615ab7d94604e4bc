// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The pure functions of propagation.h, for tests that run them in the kernel
 * (receiver/internal/capture/propagation_test.go).
 */
#include "kernel.h"

#include <bpf/bpf_helpers.h>

#include "propagation.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

struct ids_call {
	__u64 identity;
	__u64 trace_id[2];
	__u64 span_id;
};

SEC("syscall")
int ids(struct ids_call *c)
{
	__u64 id[2];

	trace_id_of(c->identity, id);
	c->trace_id[0] = id[0];
	c->trace_id[1] = id[1];
	c->span_id = span_id_of(c->identity);
	return 0;
}

struct sampled_call {
	__u64 trace_id[2];
	__u32 decided;
	__u32 flags;
};

SEC("syscall")
int sample(struct sampled_call *c)
{
	__u64 id[2] = {c->trace_id[0], c->trace_id[1]};

	return sampled(id, c->decided, c->flags);
}

struct option_call {
	__u64 trace_id[2];
	__u64 span_id;
	__u32 flags;
	__u8 option[28];
};

SEC("syscall")
int encode_option(struct option_call *c)
{
	struct trace_context x = {
		.trace_id = {c->trace_id[0], c->trace_id[1]}, .span_id = c->span_id, .flags = c->flags};
	struct context_option o;

	option_encode(&o, &x);
	__builtin_memcpy(c->option, &o, sizeof(o));
	return 0;
}

SEC("syscall")
int decode_option(struct option_call *c)
{
	struct trace_context x = {};
	struct context_option o;
	bool ok;

	__builtin_memcpy(&o, c->option, sizeof(o));
	ok = option_decode(&o, &x);
	c->trace_id[0] = x.trace_id[0];
	c->trace_id[1] = x.trace_id[1];
	c->span_id = x.span_id;
	c->flags = x.flags;
	return ok;
}

struct header_call {
	__u64 trace_id[2];
	__u64 span_id;
	__u32 flags;
	__u8 text[HEADER_LEN];
};

SEC("syscall")
int encode_header(struct header_call *c)
{
	struct trace_context x = {
		.trace_id = {c->trace_id[0], c->trace_id[1]}, .span_id = c->span_id, .flags = c->flags};
	__u8 text[HEADER_LEN + 2];

	traceparent_encode(text, &x);
	__builtin_memcpy(c->text, text, HEADER_LEN);
	return 0;
}

/* A request's head, at an address of the caller's, that is read so many bytes at a time. */
struct head_call {
	__u64 base;
	__u32 len;
	__u32 piece;
	__u32 flags;
	__u32 first;
	__u32 head;
	__u32 state_len;
	__u64 length;
	__u64 trace_id[2];
	__u64 span_id;
	__u32 context_flags;
	__u32 pad;
	__u8 state[STATE_MAX];
};

#define HEAD_STEPS 400

static __always_inline bool head_step(struct scan *s, __u32 piece)
{
	__u32 room = piece, fill = s->fill & (2 * SCAN_CARRY - 1);

	if (!s->len)
		return false;
	if (room > SCAN_SIZE - SCAN_CARRY)
		room = SCAN_SIZE - SCAN_CARRY;
	if (room > s->len)
		room = s->len;
	asm volatile("" : "+r"(room));
	room &= SCAN_SIZE - 1;
	if (bpf_probe_read_user(&s->data[fill], room, (void *)s->here))
		return false;
	s->fill = fill + room;
	s->len -= room;
	s->here += room;
	scan_piece();
	return !scan_over(s);
}

SEC("syscall")
int scan_head(struct head_call *c)
{
	struct scan *s = scan_get();
	int i;

	if (!s)
		return 1;
	scan_start(s, c->flags);
	s->here = c->base;
	s->len = c->len;
	for (i = 0; i < HEAD_STEPS; i++) {
		if (!head_step(s, c->piece))
			break;
	}
	c->flags = s->flags;
	c->first = s->first;
	c->head = s->head;
	c->length = s->length;
	c->trace_id[0] = s->context.trace_id[0];
	c->trace_id[1] = s->context.trace_id[1];
	c->span_id = s->context.span_id;
	c->context_flags = s->context.flags;
	c->state_len = s->tracestate.len;
	__builtin_memcpy(c->state, s->tracestate.text, STATE_MAX);
	return 0;
}

/* Keep these in BTF, so that Go gets them. */
const enum scan_flags unused_scan_flags = 0;
struct ids_call unused_ids_call;
struct sampled_call unused_sampled_call;
struct option_call unused_option_call;
struct header_call unused_header_call;
struct head_call unused_head_call;
