/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Trace context between nodes: what is known of contexts that came from
 * elsewhere, and how one is written down. Used by the probes, which read contexts,
 * and by the programs that write them (propagation.bpf.c); without injection none
 * of it is loaded.
 *
 * References:
 *   W3C Trace Context: https://www.w3.org/TR/trace-context/
 *   TCP options for experiments: RFC 6994
 *   HTTP/1.1: RFC 9112
 */
#ifndef OTELCOL_EBPF_PROPAGATION_H
#define OTELCOL_EBPF_PROPAGATION_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#include "maps.h"
#include "payload.h"

/* ---- ids and the sampled flag: as receiver/internal/causality and sampling compute them ---- */

/* Set by Go before load: the key of causality.IDs, and the sampler. */
const volatile __u64 id_key[3] = {};
const volatile __u32 sample_parent_based = 0; /* a decision that came with the trace holds */
const volatile __u32 sample_none = 0;
const volatile __u64 sample_bound = 0; /* in 1/2^63; 0: the trace id does not matter */

/* W3C trace flags. */
#define TRACE_SAMPLED 0x01

struct trace_context {
	__u64 trace_id[2]; /* as in memory, big endian */
	__u64 span_id;
	__u8 flags;
	__u8 pad[7];
};

/* The finalizer of splitmix64. */
static __always_inline __u64 mix64(__u64 z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static __always_inline void trace_id_of(__u64 identity, __u64 id[2])
{
	id[0] = mix64(identity + id_key[0]);
	id[1] = mix64(identity ^ id_key[1]);
}

static __always_inline __u64 span_id_of(__u64 identity)
{
	__u64 id = mix64(identity + id_key[2]);

	return id ? id : 1;
}

/* Are the spans of a trace kept? `decided` and `flags` are what came with it from elsewhere. */
static __always_inline bool sampled(const __u64 id[2], bool decided, __u8 flags)
{
	if (sample_parent_based && decided)
		return flags & TRACE_SAMPLED;
	if (!sample_bound)
		return !sample_none;
	return bpf_be64_to_cpu(id[1]) >> 1 < sample_bound;
}

/* ---- the TCP option ---- */

#define TCPOPT_EXP 254
/*
 * Experiment identifiers (RFC 6994): which one also says whether the trace is
 * sampled, because with timestamps in use there are 28 bytes and no more. In a
 * SYN the first one says that its sender understands them.
 */
#define EXID_UNSAMPLED 0x6f74
#define EXID_SAMPLED 0x6f75

struct short_option {
	__u8 kind;
	__u8 len;
	__be16 exid;
};

struct context_option {
	__u8 kind;
	__u8 len;
	__be16 exid;
	__u32 trace_id[4];
	__u32 span_id[2];
};

static __always_inline void option_encode(struct context_option *o, const struct trace_context *x)
{
	o->kind = TCPOPT_EXP;
	o->len = sizeof(*o);
	o->exid = bpf_htons(x->flags & TRACE_SAMPLED ? EXID_SAMPLED : EXID_UNSAMPLED);
	__builtin_memcpy(o->trace_id, x->trace_id, sizeof(o->trace_id));
	__builtin_memcpy(o->span_id, &x->span_id, sizeof(o->span_id));
}

static __always_inline bool option_decode(const struct context_option *o, struct trace_context *x)
{
	if (o->kind != TCPOPT_EXP || o->len != sizeof(*o))
		return false;
	__builtin_memset(x, 0, sizeof(*x));
	if (o->exid == bpf_htons(EXID_SAMPLED))
		x->flags = TRACE_SAMPLED;
	else if (o->exid != bpf_htons(EXID_UNSAMPLED))
		return false;
	__builtin_memcpy(x->trace_id, o->trace_id, sizeof(o->trace_id));
	__builtin_memcpy(&x->span_id, o->span_id, sizeof(o->span_id));
	return (x->trace_id[0] || x->trace_id[1]) && x->span_id;
}

/* ---- traceparent ---- */

#define ONES 0x0101010101010101ULL
#define HIGH 0x8080808080808080ULL

/* version "-" trace-id "-" parent-id "-" trace-flags */
#define TRACEPARENT_LEN 55
/* "traceparent: ", the value, CR LF */
#define HEADER_LEN (13 + TRACEPARENT_LEN + 2)

/* The eight hexadecimal digits of four bytes, both as in memory. */
static __always_inline __u64 hex8(__u32 bytes)
{
	__u64 v = bytes, letter;

	v = (v | v << 16) & 0x0000ffff0000ffffULL;
	v = (v | v << 8) & 0x00ff00ff00ff00ffULL;
	v = (v >> 4 & 0x000f000f000f000fULL) | (v & 0x000f000f000f000fULL) << 8;
	letter = (v + 6 * ONES) >> 4 & ONES;
	return v + '0' * ONES + letter * ('a' - '0' - 10);
}

/* The reverse; *bad and *any collect bits for what is no lower-case digit, and what is not 0. */
static __always_inline __u32 unhex8(__u64 x, __u64 *bad, __u64 *any)
{
	__u64 v = (x & 0x0f * ONES) + (x >> 6 & ONES) * 9, letter = (v + 6 * ONES) >> 4 & ONES;

	*bad |= x ^ (v + '0' * ONES + letter * ('a' - '0' - 10));
	*bad |= v & 0xf0 * ONES;
	*any |= v;
	v = (v << 4 | v >> 8) & 0x00ff00ff00ff00ffULL;
	v = (v | v >> 8) & 0x0000ffff0000ffffULL;
	return (__u32)(v | v >> 16);
}

/* Both architectures load and store words anywhere; the compiler would do it by bytes. */
static __always_inline void put64(__u8 *p, __u64 v)
{
	*(__u64 *)p = v;
}

static __always_inline __u64 get64(const __u8 *p)
{
	return *(const __u64 *)p;
}

/* Writes HEADER_LEN bytes. */
static __always_inline void traceparent_encode(__u8 *p, const struct trace_context *x)
{
	__u64 flags = hex8(x->flags);

	__builtin_memcpy(p, "traceparent: 00-", 16);
	put64(p + 16, hex8((__u32)x->trace_id[0]));
	put64(p + 24, hex8(x->trace_id[0] >> 32));
	put64(p + 32, hex8((__u32)x->trace_id[1]));
	put64(p + 40, hex8(x->trace_id[1] >> 32));
	p[48] = '-';
	put64(p + 49, hex8((__u32)x->span_id));
	put64(p + 57, hex8(x->span_id >> 32));
	p[65] = '-';
	p[66] = (__u8)flags;
	p[67] = (__u8)(flags >> 8);
	p[68] = '\r';
	p[69] = '\n';
}

/*
 * Parses the `len` bytes at p, of which TRACEPARENT_LEN + 1 can be read in any
 * case. Of versions above 00 the part that is known counts.
 */
static __always_inline bool traceparent_decode(const __u8 *p, __u32 len, struct trace_context *x)
{
	__u64 bad = 0, trace = 0, span = 0, version = 0, flags = 0;
	__u64 ends;

	if (len < TRACEPARENT_LEN || p[2] != '-' || p[35] != '-' || p[52] != '-')
		return false;
	ends = p[0] | (__u64)p[1] << 8 | (__u64)p[53] << 16 | (__u64)p[54] << 24 | 0x3030303000000000ULL;
	ends = unhex8(ends, &bad, &version);
	flags = ends >> 8 & 0xff;
	version = ends & 0xff;
	if (version == 0xff || (len > TRACEPARENT_LEN && (version == 0 || p[TRACEPARENT_LEN] != '-')))
		return false;
	x->trace_id[0] = unhex8(get64(p + 3), &bad, &trace);
	x->trace_id[0] |= (__u64)unhex8(get64(p + 11), &bad, &trace) << 32;
	x->trace_id[1] = unhex8(get64(p + 19), &bad, &trace);
	x->trace_id[1] |= (__u64)unhex8(get64(p + 27), &bad, &trace) << 32;
	x->span_id = unhex8(get64(p + 36), &bad, &span);
	x->span_id |= (__u64)unhex8(get64(p + 44), &bad, &span) << 32;
	x->flags = flags;
	return !bad && trace && span;
}

/* ---- heads of HTTP/1 requests ---- */

/*
 * A head is read in pieces of up to SCAN_SIZE bytes; the beginning of a line that
 * is not complete is kept for the next one, up to SCAN_CARRY bytes. Of longer
 * lines only the name counts. The data area is larger than SCAN_SIZE so that
 * positions need no check but a mask.
 */
#define SCAN_SIZE 8192
#define SCAN_CARRY 1024
#define SCAN_SLACK 2048
#define HEAD_MAX 65535

enum scan_flags {
	SCAN_END = 1 << 0,     /* the head is complete */
	SCAN_NONE = 1 << 1,    /* it is not the head of an HTTP/1 request */
	SCAN_ODD = 1 << 2,     /* folded lines, bare line feeds, blanks before colons, contradictions */
	SCAN_PARENT = 1 << 3,  /* a valid traceparent: context */
	SCAN_PARENTS = 1 << 4, /* a traceparent, valid or not */
	SCAN_MANY_PARENTS = 1 << 5,
	SCAN_STATE = 1 << 6,       /* one tracestate, not too long: state */
	SCAN_MANY_STATES = 1 << 7, /* or more, or too long */
	SCAN_FOREIGN = 1 << 8,     /* a context in another format */
	SCAN_LENGTH = 1 << 9,      /* Content-Length: length */
	SCAN_CHUNKED = 1 << 10,    /* Transfer-Encoding: chunked */
	SCAN_CODING = 1 << 11,     /* another one */
	SCAN_UPGRADE = 1 << 12,    /* the protocol may become another */
	SCAN_CONNECT = 1 << 13,    /* so may that of a tunnel */
	SCAN_LONG = 1 << 14,       /* in a line longer than SCAN_CARRY */
	SCAN_KEPT = 1 << 15,       /* the tracestate is in its map already */
	SCAN_STRICT = 1 << 16,     /* set by the caller: to be written to, so it must be beyond doubt */
};

#define STATE_MAX 512
/* Blanks that are taken off either end of a value. */
#define TRIM_MAX 16
#define METHOD_MAX 33

/* The value of a tracestate header. */
struct tracestate {
	__u32 len;
	__u8 text[STATE_MAX];
};

/* A head that was not read to its end. */
struct unfinished {
	__u32 flags;
	__u32 base;
	__u32 first;
	__u32 fill;
	struct trace_context context;
	__u8 data[SCAN_CARRY];
};

struct scan {
	__u32 busy;
	__u32 flags;
	__u32 fill;  /* bytes in data */
	__u32 line;  /* where in data the line being read begins */
	__u32 at;    /* where in data the search goes on */
	__u32 base;  /* bytes of the head before data */
	__u32 first; /* bytes of the request line, with its end; 0: not seen yet */
	__u32 head;  /* bytes of the head */
	__u64 length;
	__u32 from; /* a value, as scan_trim found it */
	__u32 to;
	/* Walk over the buffers of a receive; kept here so that loop states stay equal. */
	__u64 iov;
	__u64 here;
	__u64 left;
	__u32 len;
	__u32 vectors;
	struct trace_context context;
	struct tracestate tracestate;
	__u8 data[SCAN_SIZE + SCAN_SLACK];
	struct unfinished rest; /* being stored */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scan);
} scans SEC(".maps");

static __always_inline struct scan *scan_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scans, &zero);
}

static __always_inline void scan_start(struct scan *s, __u32 flags)
{
	s->flags = flags;
	s->fill = s->line = s->at = 0;
	s->base = s->first = s->head = 0;
	s->length = 0;
	s->tracestate.len = 0;
}

/* The byte or the eight bytes at a place in data, or a little behind it. */
#define SCAN_AFTER(s, i, n) ((s)->data[((i) & (SCAN_SIZE - 1)) + (n)])
#define SCAN_BYTE(s, i) SCAN_AFTER(s, i, 0)
#define SCAN_WORD(s, i, n) get64(&SCAN_AFTER(s, i, n))

/*
 * Setting the case bit maps nothing to a letter but that letter, and nothing to a
 * dash, a digit or a colon that is in a name.
 */
#define FOLD 0x2020202020202020ULL

/* Eight characters of a name as they are in memory. */
#define WORD(a, b, c, d, e, f, g, h)                                                                                \
	((__u64)(a) | (__u64)(b) << 8 | (__u64)(c) << 16 | (__u64)(d) << 24 | (__u64)(e) << 32 | (__u64)(f) << 40 | \
	 (__u64)(g) << 48 | (__u64)(h) << 56)

static __always_inline bool blank(__u8 c)
{
	return c == ' ' || c == '\t';
}

/* Is c, after what may be a name, the colon? */
static __always_inline bool named(struct scan *s, __u8 c)
{
	if (c == ':')
		return true;
	/* Who accepts blanks there acts on the header. */
	if (blank(c))
		s->flags |= SCAN_ODD;
	return false;
}

/*
 * The functions that look at parts of a line are global, so that the verifier walks
 * each once, whatever calls it in what state.
 */

/* Trims the value between two places in data; where it is then is in from and to. */
__attribute__((noinline)) int scan_trim(__u32 from, __u32 to)
{
	struct scan *s = scan_get();
	int i;

	if (!s)
		return 0;
	s->from = from;
	s->to = to;
	for (i = 0; i < TRIM_MAX && s->from < s->to && blank(SCAN_BYTE(s, s->from)); i++)
		s->from++;
	for (i = 0; i < TRIM_MAX && s->from < s->to; i++) {
		__u8 c = SCAN_BYTE(s, s->to - 1);

		if (!blank(c) && c != '\r')
			break;
		s->to--;
	}
	return 0;
}

static __always_inline void scan_parent(struct scan *s, __u32 from, __u32 to)
{
	if (s->flags & SCAN_PARENTS) {
		s->flags |= SCAN_MANY_PARENTS;
		s->flags &= ~SCAN_PARENT;
		return;
	}
	s->flags |= SCAN_PARENTS;
	scan_trim(from, to);
	if (traceparent_decode(&SCAN_BYTE(s, s->from), s->to - s->from, &s->context))
		s->flags |= SCAN_PARENT;
}

static __always_inline void scan_state(struct scan *s, __u32 from, __u32 to)
{
	__u32 len;

	scan_trim(from, to);
	len = s->to - s->from;
	if (!len)
		return;
	if ((s->flags & SCAN_STATE) || len > STATE_MAX) {
		s->flags |= SCAN_MANY_STATES;
		return;
	}
	s->flags |= SCAN_STATE;
	s->tracestate.len = len;
	asm volatile("" : "+r"(len));
	len &= 2 * STATE_MAX - 1;
	bpf_probe_read_kernel(s->tracestate.text, len, &SCAN_BYTE(s, s->from));
}

static __always_inline void scan_length(struct scan *s, __u32 from, __u32 to)
{
	int i;

	if (s->flags & SCAN_LENGTH)
		s->flags |= SCAN_ODD;
	s->flags |= SCAN_LENGTH;
	s->length = 0;
	scan_trim(from, to);
	if (s->from >= s->to || s->to - s->from > 18)
		s->flags |= SCAN_ODD;
	for (i = 0; i < 18 && s->from < s->to; i++) {
		__u8 c = SCAN_BYTE(s, s->from) - '0';

		if (c > 9) {
			s->flags |= SCAN_ODD;
			break;
		}
		s->length = s->length * 10 + c;
		s->from++;
	}
}

static __always_inline void scan_coding(struct scan *s, __u32 from, __u32 to)
{
	if (s->flags & (SCAN_CHUNKED | SCAN_CODING))
		s->flags |= SCAN_ODD;
	scan_trim(from, to);
	if (s->to - s->from == 7 &&
	    (SCAN_WORD(s, s->from, 0) | FOLD) << 8 == WORD(0, 'c', 'h', 'u', 'n', 'k', 'e', 'd'))
		s->flags |= SCAN_CHUNKED;
	else
		s->flags |= SCAN_CODING;
}

/* Looks at the header line that begins at `line` and ends before `end`. */
__attribute__((noinline)) int scan_header(__u32 line, __u32 end)
{
	struct scan *s = scan_get();
	__u64 w;
	__u8 c;

	if (!s)
		return 0;
	c = SCAN_BYTE(s, line);
	if (blank(c)) {
		s->flags |= SCAN_ODD;
		return 0;
	}
	w = SCAN_WORD(s, line, 0) | FOLD;
	switch (c | 0x20) {
	case 't':
		if (w == WORD('t', 'r', 'a', 'c', 'e', 'p', 'a', 'r') &&
		    (SCAN_WORD(s, line, 3) | FOLD) == WORD('c', 'e', 'p', 'a', 'r', 'e', 'n', 't')) {
			if (named(s, SCAN_AFTER(s, line, 11)))
				scan_parent(s, line + 12, end);
		} else if (w == WORD('t', 'r', 'a', 'c', 'e', 's', 't', 'a') &&
			   (SCAN_WORD(s, line, 2) | FOLD) == WORD('a', 'c', 'e', 's', 't', 'a', 't', 'e')) {
			if (named(s, SCAN_AFTER(s, line, 10)))
				scan_state(s, line + 11, end);
		} else if (w == WORD('t', 'r', 'a', 'n', 's', 'f', 'e', 'r') &&
			   (SCAN_WORD(s, line, 9) | FOLD) == WORD('e', 'n', 'c', 'o', 'd', 'i', 'n', 'g')) {
			if (named(s, SCAN_AFTER(s, line, 17)))
				scan_coding(s, line + 18, end);
		}
		break;
	case 'c':
		if (w == WORD('c', 'o', 'n', 't', 'e', 'n', 't', '-') &&
		    (SCAN_WORD(s, line, 6) | FOLD) == WORD('t', '-', 'l', 'e', 'n', 'g', 't', 'h') &&
		    named(s, SCAN_AFTER(s, line, 14)))
			scan_length(s, line + 15, end);
		break;
	case 'u':
		/* The colon is not changed by FOLD. */
		if (w == WORD('u', 'p', 'g', 'r', 'a', 'd', 'e', ':'))
			s->flags |= SCAN_UPGRADE;
		else if (w == WORD('u', 'b', 'e', 'r', '-', 't', 'r', 'a') &&
			 (SCAN_WORD(s, line, 5) | FOLD) == WORD('t', 'r', 'a', 'c', 'e', '-', 'i', 'd'))
			s->flags |= SCAN_FOREIGN;
		break;
	case 'b':
		if ((w & 0xffffff) == WORD('b', '3', ':', 0, 0, 0, 0, 0))
			s->flags |= SCAN_FOREIGN;
		break;
	case 'x':
		if (w == WORD('x', '-', 'b', '3', '-', 't', 'r', 'a') ||
		    w == WORD('x', '-', 'a', 'm', 'z', 'n', '-', 't'))
			s->flags |= SCAN_FOREIGN;
		break;
	}
	return 0;
}

/* Is any byte of the word a control character, a blank or DEL? */
static __always_inline bool invisible(__u64 x)
{
	__u64 del = x ^ 0x7f * ONES;

	return (((x - (' ' + 1) * ONES) & ~x) | ((del - ONES) & ~del)) & HIGH;
}

struct scan_target {
	struct scan *s;
	__u32 at, end;
};

static long scan_visible(__u32 i, struct scan_target *t)
{
	__u64 x;

	if (t->at >= t->end)
		return 1;
	x = SCAN_WORD(t->s, t->at, 0);
	if (t->end - t->at < 8) {
		/* What is behind the target does not count. */
		__u64 within = (1ULL << ((t->end - t->at) & 7) * 8) - 1;

		x = (x & within) | ('x' * ONES & ~within);
	}
	if (invisible(x)) {
		t->s->flags |= SCAN_NONE;
		return 1;
	}
	t->at += 8;
	return 0;
}

/* RFC 9110 section 5.6.2 allows more in a method, which nobody uses. */
static __always_inline bool in_method(__u8 c)
{
	return (__u8)((c | 0x20) - 'a') < 26 || c == '-' || c == '_';
}

/* May what is in data be the beginning of a request? Returns 0 if not. */
__attribute__((noinline)) int scan_begins(void)
{
	struct scan *s = scan_get();
	int i;

	if (!s)
		return 0;
	for (i = 0; i < METHOD_MAX; i++) {
		__u8 c = s->data[i];

		if (i >= s->fill)
			return 1;
		if (c == ' ')
			return i > 0;
		if (!in_method(c))
			/* Empty lines may stand before it. */
			return i == 0 && (c == '\r' || c == '\n');
	}
	return 0;
}

/* token SP target SP HTTP/1.x; `end` is where the line feed is. Returns 0 if it is none. */
__attribute__((noinline)) int scan_request_line(__u32 line, __u32 end)
{
	struct scan *s = scan_get();
	__u32 method = 0, last;
	struct scan_target t;
	int i;

	if (!s)
		return 0;
	if (end > line && SCAN_BYTE(s, end - 1) == '\r')
		end--;
	else if (s->flags & SCAN_STRICT)
		return 0;
	/* A SP / SP HTTP/1.1 */
	if (end - line < 12 || end - line > SCAN_SIZE)
		return 0;
	last = end - 9;
	if (SCAN_BYTE(s, last) != ' ' || (SCAN_WORD(s, last, 1) << 8) != WORD(0, 'H', 'T', 'T', 'P', '/', '1', '.'))
		return 0;
	if ((SCAN_BYTE(s, end - 1) & ~1) != '0')
		return 0;
	for (i = 0; i < METHOD_MAX; i++) {
		__u8 c = SCAN_AFTER(s, line, i);

		if (c == ' ') {
			method = i;
			break;
		}
		if (!in_method(c))
			return 0;
	}
	if (!method || line + method + 1 >= last)
		return 0;
	if (method == 7 && SCAN_WORD(s, line, 0) == WORD('C', 'O', 'N', 'N', 'E', 'C', 'T', ' '))
		s->flags |= SCAN_CONNECT;
	if (!(s->flags & SCAN_STRICT))
		return 1;
	t.s = s;
	t.at = line + method + 1;
	t.end = last;
	bpf_loop(SCAN_SIZE / 8, scan_visible, &t, 0);
	return !(s->flags & SCAN_NONE);
}

struct scan_search {
	struct scan *s;
};

/* One step of the search for line ends: eight bytes, or up to the next line. */
static long scan_step(__u32 i, struct scan_search *x)
{
	struct scan *s = x->s;
	__u32 at = s->at, line = s->line, end;
	__u64 w, feeds;

	if (at >= s->fill)
		return 1;
	w = SCAN_WORD(s, at, 0) ^ '\n' * ONES;
	feeds = (w - ONES) & ~w & HIGH;
	if (!feeds) {
		s->at = at + 8;
		return 0;
	}
	/* The index of the lowest bit that is set, in bytes. */
	feeds = (feeds & -feeds) - 1;
	end = at + (__u32)(((feeds & ONES) * ONES >> 56) - 1);
	if (end >= s->fill) {
		s->at = s->fill;
		return 1;
	}
	s->at = s->line = end + 1;
	if (s->flags & SCAN_LONG) {
		s->flags &= ~SCAN_LONG;
		if (!s->first)
			s->first = s->base + end + 1;
		return 0;
	}
	if (end == line || (end == line + 1 && SCAN_BYTE(s, line) == '\r')) {
		if (end == line && (s->flags & SCAN_STRICT))
			s->flags |= SCAN_ODD;
		/* Empty lines may stand before the first one (RFC 9112 section 2.2). */
		if (!s->first) {
			if (s->flags & SCAN_STRICT) {
				s->flags |= SCAN_NONE;
				return 1;
			}
			return 0;
		}
		s->flags |= SCAN_END;
		s->head = s->base + end + 1;
		return 1;
	}
	if (!s->first) {
		if (!scan_request_line(line, end)) {
			s->flags |= SCAN_NONE;
			return 1;
		}
		s->first = s->base + end + 1;
		return 0;
	}
	if (SCAN_BYTE(s, end - 1) != '\r' && (s->flags & SCAN_STRICT))
		s->flags |= SCAN_ODD;
	scan_header(line, end);
	return 0;
}

static __always_inline bool scan_over(struct scan *s)
{
	return s->flags & (SCAN_END | SCAN_NONE);
}

/* Reads on in what is in data, and makes room for the next piece behind what is kept. */
__attribute__((noinline)) int scan_piece(void)
{
	struct scan *s = scan_get();
	struct scan_search x = {.s = s};
	__u32 line, keep;

	if (!s)
		return 0;
	if (!s->first && !s->base && !s->line && !scan_begins()) {
		s->flags |= SCAN_NONE;
		return 0;
	}
	bpf_loop(2 * SCAN_SIZE, scan_step, &x, 0);
	if (scan_over(s))
		return 0;
	line = s->line;
	keep = s->fill - line;
	if (keep > SCAN_CARRY || (s->flags & SCAN_LONG)) {
		if (!(s->flags & SCAN_LONG)) {
			/* Its name counts, its value is too long for all that is wanted. */
			if (s->first)
				scan_header(line, s->fill);
			else if (s->flags & SCAN_STRICT)
				s->flags |= SCAN_NONE;
			s->flags |= SCAN_LONG;
		}
		s->base += s->fill;
		s->fill = s->line = s->at = 0;
		return 0;
	}
	s->base += line;
	/* Says no more than the above, but in a way old verifiers follow. */
	asm volatile("" : "+r"(keep));
	keep &= 2 * SCAN_CARRY - 1;
	bpf_probe_read_kernel(s->data, keep, &SCAN_BYTE(s, line));
	s->fill = s->at = keep;
	s->line = 0;
	return 0;
}

/* ---- contexts that came from elsewhere ---- */

enum remote_state {
	REMOTE_NONE = 0,
	REMOTE_KNOWN = 1,
	REMOTE_UNKNOWN = 2, /* there may be one that is not understood here: nothing goes on with it */
};

/* What came with the request in the same slot of `requests`. */
struct remote {
	__u64 request; /* identity of the request this is about */
	__u64 stated;  /* identity of the request under which the tracestate is kept; 0: there is none */
	struct trace_context context;
	__u8 state;   /* enum remote_state */
	__u8 reading; /* its head has not been read completely */
	__u8 pad[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REQUEST_SLOTS); /* 1 without injection, set by Go */
	__type(key, __u32);
	__type(value, struct remote);
} remotes SEC(".maps");

/* By the identity of the request. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096); /* 1 without injection, set by Go */
	__type(key, __u64);
	__type(value, struct tracestate);
} tracestates SEC(".maps");

/* By the identity of the request. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024); /* 1 without injection, set by Go */
	__type(key, __u64);
	__type(value, struct unfinished);
} unfinished SEC(".maps");

/* A context that came in a TCP option, by the address of the socket that has not read the request yet. */
struct arrival {
	__u32 seq; /* of the segment it came with */
	__u32 pad;
	struct trace_context context;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536); /* limits.max_connections; 1 without injection; set by Go */
	__type(key, __u64);
	__type(value, struct arrival);
} arrivals SEC(".maps");

static __always_inline struct remote *remote_at(__u32 slot)
{
	slot &= REQUEST_SLOTS - 1;
	return bpf_map_lookup_elem(&remotes, &slot);
}

/* What is known of the request with this identity; NULL if that is nothing at all. */
static __always_inline struct remote *remote_of(__u64 identity, __u32 slot)
{
	struct remote *m = remote_at(slot);

	return m && m->request == identity ? m : NULL;
}

/*
 * A server reads the first bytes of a request. `j`: it is the other end of one
 * that left on this node, and what that one went on with holds for it, too.
 */
static __always_inline void remote_arrived(struct scratch *s, struct conn *c, struct sock *sk, struct request *r,
					   struct join *j, __u32 position)
{
	struct context_record *record = &s->context;
	struct remote *m = remote_at((__u32)c->id), *from;
	__u64 key = (__u64)sk;
	struct arrival *a;

	if (!m)
		return;
	m->request = r->seed;
	m->stated = 0;
	m->state = REMOTE_NONE;
	m->reading = 1;
	if (j) {
		from = j->client_for ? remote_of(j->client_for, j->client_slot) : NULL;
		if (!from || from == m)
			return;
		m->context = from->context;
		m->state = from->reading ? REMOTE_UNKNOWN : from->state;
		m->stated = from->stated;
		return;
	}
	a = inject & INJECT_TCP_OPTION ? bpf_map_lookup_elem(&arrivals, &key) : NULL;
	if (!a || (a->seq | 1U << 31) != position)
		return;
	m->context = a->context;
	m->state = REMOTE_KNOWN;
	s->record.method = METHOD_TCP_OPTION;
	__builtin_memset(record, 0, sizeof(*record));
	record->kind = RECORD_CONTEXT;
	record->flags = m->context.flags;
	record->identity = r->seed;
	__builtin_memcpy(record->trace_id, m->context.trace_id, sizeof(record->trace_id));
	__builtin_memcpy(record->span_id, &m->context.span_id, sizeof(record->span_id));
	ring_output(s, c->ring, record, sizeof(*record));
}

static __always_inline void tracestate_keep(struct scan *s, struct remote *m)
{
	if ((s->flags & (SCAN_STATE | SCAN_MANY_STATES | SCAN_KEPT)) == SCAN_STATE &&
	    bpf_map_update_elem(&tracestates, &m->request, &s->tracestate, BPF_ANY) == 0)
		s->flags |= SCAN_KEPT;
}

/* Takes what the head of a request says into what is known of it. */
static __always_inline void remote_read(struct scan *s, struct remote *m)
{
	m->reading = 0;
	if (s->flags & SCAN_NONE)
		return;
	if (s->flags & SCAN_PARENT) {
		m->context = s->context;
		m->state = REMOTE_KNOWN;
		tracestate_keep(s, m);
		m->stated = (s->flags & (SCAN_MANY_STATES | SCAN_KEPT)) == SCAN_KEPT ? m->request : 0;
	} else if (s->flags & SCAN_FOREIGN) {
		m->state = REMOTE_UNKNOWN;
	}
	if (s->flags & SCAN_ODD)
		m->state = REMOTE_UNKNOWN;
}

/* Steps of a walk over the buffers of a receive: pieces and iovecs. */
#define CONTEXT_STEPS 24

/* One step: fetch the next iovec, or read a piece of the current one. Returns false at the end. */
static __always_inline bool context_step(struct scan *s)
{
	struct user_iovec v;
	__u32 room, fill;

	if (s->len == 0)
		return false;
	if (s->left == 0) {
		if (s->vectors == 0 || bpf_probe_read_user(&v, sizeof(v), (void *)s->iov))
			return false;
		s->iov += sizeof(v);
		s->vectors--;
		s->here = v.base;
		s->left = v.len;
		return true;
	}
	fill = s->fill & (2 * SCAN_CARRY - 1);
	room = SCAN_SIZE - SCAN_CARRY;
	if (room > s->left)
		room = s->left;
	if (room > s->len)
		room = s->len;
	asm volatile("" : "+r"(room));
	room &= SCAN_SIZE - 1;
	if (bpf_probe_read_user(&s->data[fill], room, (void *)s->here))
		return false;
	s->fill = fill + room;
	s->len -= room;
	s->left -= room;
	s->here += room;
	scan_piece();
	return !scan_over(s);
}

/*
 * Looks for the context in what a server has read just now of a request, at the
 * beginning of which is what was not read of the head yet. A global function, called
 * where little of the stack is in use.
 */
__attribute__((noinline)) int read_context(void)
{
	struct scratch *call = scratch_get();
	struct unfinished *u;
	struct remote *m;
	struct scan *s;
	__u32 kind;
	int i;

	if (!inject || !call || !call->head_slot)
		return 0;
	m = remote_at(call->head_slot - 1);
	call->head_slot = 0;
	s = scan_get();
	if (!m || !s || !m->reading)
		return 0;
	kind = call->head.kind;
	if (kind != BUFFER_FLAT && kind != BUFFER_IOV) {
		m->reading = 0;
		m->state = REMOTE_UNKNOWN;
		return 0;
	}
	scan_start(s, 0);
	u = bpf_map_lookup_elem(&unfinished, &m->request);
	if (u) {
		s->flags = u->flags;
		s->base = u->base;
		s->first = u->first;
		s->context = u->context;
		s->fill = s->at = u->fill & (2 * SCAN_CARRY - 1);
		__builtin_memcpy(s->data, u->data, sizeof(u->data));
	}
	s->len = call->head_len;
	s->here = s->iov = call->head.base;
	s->left = kind == BUFFER_FLAT ? s->len : 0;
	s->vectors = kind == BUFFER_FLAT ? 0 : call->head.count;
	for (i = 0; i < CONTEXT_STEPS; i++) {
		if (!context_step(s))
			break;
	}
	if (scan_over(s)) {
		remote_read(s, m);
		if (u)
			bpf_map_delete_elem(&unfinished, &m->request);
		return 0;
	}
	if (s->len > 0 || s->base + s->fill > HEAD_MAX) {
		m->reading = 0;
		m->state = REMOTE_UNKNOWN;
		return 0;
	}
	/* It goes on with the next receive. */
	tracestate_keep(s, m);
	u = &s->rest;
	u->flags = s->flags;
	u->base = s->base;
	u->first = s->first;
	u->fill = s->fill;
	u->context = s->context;
	__builtin_memcpy(u->data, s->data, sizeof(u->data));
	bpf_map_update_elem(&unfinished, &m->request, u, BPF_ANY);
	return 0;
}

#endif
