/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the probes tell user space. Go gets these types from BTF (bpf2go), so
 * they are written down only here. All times are CLOCK_MONOTONIC, ns.
 */
#ifndef OTELCOL_EBPF_RECORD_H
#define OTELCOL_EBPF_RECORD_H

#include "kernel.h"

/* Directions as the observed process sees them; indexes per-direction state. */
enum direction {
	DIR_RECEIVED = 0,
	DIR_SENT = 1,
};

enum role {
	ROLE_UNKNOWN = 0,
	ROLE_SERVER = 1,
	ROLE_CLIENT = 2,
};

enum transport {
	TRANSPORT_TCP = 0,
	TRANSPORT_UNIX = 1,
	TRANSPORT_UDP = 2,
};

enum record_kind {
	RECORD_OPEN = 1,    /* struct open_record: a connection was first seen */
	RECORD_SEGMENT = 2, /* struct segment_record and its bytes */
	RECORD_END = 3,     /* struct segment_record: a direction ended, len = errno */
	RECORD_CLOSE = 4,   /* struct segment_record: the socket is gone, len = errno */
	RECORD_EXEC = 5,    /* struct process_record */
	RECORD_EXIT = 6,    /* struct process_record */
	RECORD_FORK = 8,    /* struct process_record: a child of a process that is watched by name */
	RECORD_LISTEN = 9,  /* struct process_record: a process listens on a port */
	RECORD_CONTEXT = 7, /* struct context_record: of the request that the next segment starts */
};

enum record_flags {
	FLAG_MIDSTREAM = 1 << 0, /* open: bytes had moved before we looked */
};

/*
 * How the request that a request was made for was found. From METHOD_LINKS on
 * the evidence is not enough for a parent.
 */
enum parent_method {
	METHOD_NONE = 0,
	METHOD_CONNECTION = 1,        /* both ends of the connection are on this node */
	METHOD_TCP_OPTION = 2,        /* the caller's node said so in a TCP option */
	METHOD_THREAD = 3,            /* the thread is serving it */
	METHOD_GOROUTINE = 4,         /* the goroutine is */
	METHOD_PARENT_GOROUTINE = 5,  /* the goroutine that started this one is */
	METHOD_WAITING_GOROUTINE = 6, /* the goroutine that waits for the connection's write loop is */
	METHOD_EVENT_LOOP = 7,        /* the event loop is working on what it read last */
	METHOD_CONNECT = 8,           /* the connection was opened for it */
	METHOD_WAKEUP = 9,            /* the thread serving it woke this one up */
	METHOD_TASK = 10,             /* the runtime's task is, or the task that started it, or woke it up for it */
	METHOD_LINKS = 11,
	METHOD_AFTER_RESPONSE = 11, /* its response had begun before this request was made */
	METHOD_AMBIGUOUS = 12,      /* the event loop serves several, in an order that is not known */
};

/* thread_cpu and runqueue of a segment for which they make no sense. */
#define NOT_MEASURED 0xffffffff

struct segment_record {
	__u8 kind;
	__u8 dir;
	__u8 method;   /* enum parent_method */
	__u8 tail_len; /* valid bytes in tail[] */
	__u32 len;     /* bytes the call moved (this part of them) */
	__u64 conn;
	__u64 offset;      /* of the first byte, in this direction's stream */
	__u64 time;        /* when the call finished */
	__u32 first_delta; /* time minus the moment the first byte moved, ns */
	__u32 captured;    /* bytes that follow this header */
	__u32 tgid;
	__u32 tid;
	__u8 tail[8];   /* the last bytes of the call, if not all were captured */
	__u64 identity; /* what the request's ids are made of; 0 if none starts here */
	/* Where a request starts: */
	__u64 parent;     /* identity of the request it was made for, by `method`, or 0 */
	__u64 trace;      /* identity of the first request of that trace; of the linked one for links */
	__u64 peer;       /* client: identity the server's end gave this request, if it was faster; or 0 */
	__u32 queue_time; /* server, us: how long the bytes had waited to be read; NOT_MEASURED */
	/* Where a response moves, as of now: */
	__u32 rtt;         /* smoothed, us; 0 if there is none */
	__u32 retransmits; /* packets sent again since the request */
	__u32 thread_cpu;  /* server, us: CPU time of the thread since the request; NOT_MEASURED */
	__u32 runqueue;    /* server, us: time the thread waited for a CPU since the request; NOT_MEASURED */
	__u32 position;    /* of the first byte, as both ends of the connection count */
};

struct open_record {
	__u8 kind;
	__u8 role;
	__u8 flags;
	__u8 transport;
	__u32 netns;
	__u64 conn;
	__u64 time;
	__u8 local[16]; /* IPv6, or IPv4-mapped */
	__u8 peer[16];
	__u16 local_port; /* host byte order */
	__u16 peer_port;
	__u32 tgid;
	__u64 wire; /* the same for both ends of a connection on this node; 0 if not known */
	char comm[16];
	__u32 path_len;
	char path[108]; /* unix: name of the server's end */
};

struct process_record {
	__u8 kind;
	__u8 pad[3];
	__u32 tgid;
	__u64 time;
	char comm[16];
	__u32 path_len;
	__u32 parent;   /* fork: who made it */
	char path[128]; /* exec: the file executed, as it was named */
};

/* A trace context that came with a request, not in its bytes. */
struct context_record {
	__u8 kind;
	__u8 flags; /* of W3C Trace Context */
	__u8 pad[6];
	__u64 identity; /* of the request */
	__u8 trace_id[16];
	__u8 span_id[8];
};

/*
 * Written by user space per connection, in the slot conn % POLICY_SLOTS of an
 * mmap'ed array; tag is the low half of the connection's id. A slot with
 * another tag means the defaults.
 */
struct policy {
	__u32 tag;
	__u16 flags;
	__u16 after;    /* bytes to copy of each segment once the turn's window is used up, or AFTER_ALL */
	__u32 received; /* window: bytes to copy per turn */
	__u32 sent;     /* window; with POLICY_IGNORE: sample one call in sent+1 (a power of two) */
};

/* How a connection begins of which everything is copied until there is a policy. */
struct beginning {
	__u64 value[2]; /* the first 16 bytes, as far as the mask says */
	__u64 mask[2];  /* 0 in an entry that is not used */
	/* 0, or in both directions frames like those of HTTP/2 follow on so many bytes, less one. */
	__u64 framed;
};

#define BEGINNINGS 12

#define AFTER_ALL 0xffff
/* The same, and of calls that are larger than what is copied the heads of RESP's values. */
#define AFTER_RESP 0xfffe

/* beginning.framed: RESP follows from the first byte, in both directions. */
#define FRAMED_RESP 0xfe
#define EAGER_RESP (FRAMED_RESP + 1)

enum policy_flags {
	POLICY_IGNORE = 1 << 0,   /* nobody wants this connection */
	POLICY_ANNOUNCE = 1 << 1, /* send the open record again */
};

#define POLICY_SLOTS 65536

enum process_verdict {
	PROCESS_DEFAULT = 0,
	PROCESS_SELECTED = 1,
	PROCESS_IGNORED = 2,
	PROCESS_PENDING = 3, /* watched until user space has looked at it, but not written to */
};

/*
 * Counters, per CPU: whatever is lost here has one. What arrives is counted in
 * user space.
 */
enum counter {
	COUNT_LOST_RING = 0,   /* records that found their ring full */
	COUNT_LOST_STATE = 1,  /* operations whose connection state could not be kept */
	COUNT_UNREADABLE = 2,  /* segments whose payload could not be found or read */
	COUNT_UNSUPPORTED = 3, /* operations by 32-bit processes */
	/* Contexts written into requests, and requests that were left without one, by cause. */
	COUNT_HEADER_WRITTEN = 4,
	COUNT_HEADER_NO_ROOM = 5,     /* the socket's send buffer might not take all of it at once */
	COUNT_HEADER_NOT_HEAD = 6,    /* the bytes are not one whole head of an HTTP/1 request */
	COUNT_HEADER_PRESENT = 7,     /* the request has a traceparent already */
	COUNT_HEADER_BOUNDARY = 8,    /* where a request begins is not certain any more */
	COUNT_HEADER_UNSUPPORTED = 9, /* sendfile, splice, MSG_ZEROCOPY, kernel TLS, io_uring */
	COUNT_HEADER_CONTEXT = 10,    /* the context to go on with is not known for certain */
	COUNT_HEADER_LEFT = 11,       /* connections that get no more than their first request's (propagation.bpf.c) */
	COUNT_HEADER_ERROR = 12,      /* the kernel refused */
	COUNT_OPTION_WRITTEN = 13,
	COUNT_OPTION_NO_ROOM = 14, /* other TCP options took the space */
	COUNT_OPTION_PEER = 15,    /* connections whose peer does not understand the option, or is not asked */
	COUNT_OPTION_CONTEXT = 16, /* as COUNT_HEADER_CONTEXT */
	COUNT_OPTION_ERROR = 17,
	COUNT_PRESSURE = 18, /* segments of which less was copied because their ring was three quarters full */
	COUNTERS = 19,
};

#endif
