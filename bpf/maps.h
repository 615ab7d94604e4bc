/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef OTELCOL_EBPF_MAPS_H
#define OTELCOL_EBPF_MAPS_H

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "record.h"

/* Most bytes copied per record; longer captures become several records. */
#define PART_SIZE 4096
/* Most bytes captured of one call, whatever the window says. */
#define CAPTURE_MAX (256 * 1024)
/* Until there is a policy, so much of either stream is copied of a connection that is eager. */
#define EAGER_MAX (1024 * 1024)

/* Set by Go before load. */
const volatile __u32 ring_mask = 0;             /* number of rings - 1 (a power of two) */
const volatile __u32 ring_wake_bytes = 1 << 20; /* fill at which the reader is woken early */
const volatile __u32 default_selected = 1;      /* verdict for processes not in `processes` */
const volatile __u32 default_window = 32768;    /* capture window before a policy is set */
const volatile __u32 default_after = 64;        /* as policy.after */
const volatile __u32 capture_max = CAPTURE_MAX; /* bytes of one call; limits.max_payload */
const volatile __u64 tick_ns = 4000000;         /* length of a jiffy */
const volatile __u32 cpus = 1;                  /* possible CPUs */
const volatile __u32 conn_by_address = 0;       /* state lives in conn_hash (sys_exit backend) */
const volatile __u32 join_same_node = 1;        /* 0 in tests of what works between nodes only */
const volatile struct beginning beginnings[BEGINNINGS] = {};
const volatile __u32 datagrams = 0;     /* UDP sockets are watched, too */
const volatile __u32 pid_namespace = 0; /* inode of the Collector's pid namespace, if it is not the initial one */
const volatile __u32 listen_wanted = 0; /* rules ask for listening ports */
const volatile __u32 units_by_tid = 0;  /* units live in units_hash (injection on older kernels) */
const volatile __u32 inject = 0;        /* enum injection: what propagation.bpf.c writes */

enum injection {
	INJECT_TCP_OPTION = 1 << 0,
	INJECT_HTTP_HEADER = 1 << 1,
};

/* A request being served, by its identity and the slot in `requests` that has the rest. */
struct context {
	__u64 seed;
	__u32 slot;
	__u32 method; /* enum parent_method */
};

/*
 * What was settled about a request before its first byte left, because its ids
 * are in what leaves. Written by propagation.bpf.c, and taken over by request_left.
 */
struct prepared {
	__u64 identity; /* 0: nothing is */
	struct context current;
	__u64 time;
	__u32 position; /* sequence number of the first byte, with the highest bit set */
	__u32 added;    /* bytes put into the stream that the application did not send */
	__u32 tid;
	__u8 taken;   /* by request_left */
	__u8 written; /* the ids are in the stream already */
	__u8 pad[2];
};

/* State of one socket endpoint. Written by the data hooks only. */
/* The head of a frame of HTTP/2: a length of three bytes, a type, flags and a stream of four. */
#define FRAME_HEAD 9
#define FRAME_DATA 0
/* Types that there are, and some that may yet come. */
#define FRAME_TYPES 0x20
#define FRAME_HEADERS 1
/* Larger DATA frames are passed over, but for so much of the first behind a header section: where bodies begin. */
#define FRAME_DATA_COPIED PART_SIZE

enum framing_state {
	FRAMING_NONE = 0,    /* what the policy says is copied */
	FRAMING_BEGINS = 1,  /* nothing has passed yet */
	FRAMING_FOLLOWS = 2, /* where frames begin is known */
	FRAMING_RESP = 3,    /* the last call ended within a value of RESP, or a line of it */
};

/* Where in the frames a direction of a connection is. */
struct framing {
	__u32 left;   /* bytes up to the next frame, */
	__u32 copied; /* and as many of the next ones are wanted */
	__u8 state;   /* enum framing_state */
	__u8 have;    /* bytes of a head that is not complete */
	__u8 bodies;  /* header sections whose bodies may begin with the next DATA frames */
	__u8 head[FRAME_HEAD + 1];
	/* RESP: the line that is not complete; its type (0: none), the number in it so far, or none. */
	__u8 line;
	__u8 null;
	__u32 number;
};

/* RESP: longer strings are passed over, but for their first bytes: those of texts. */
#define RESP_WHOLE 320
#define RESP_COPIED 256
#define RESP_MAX (1 << 30)
/* Bytes of a line looked at in a step. */
#define RESP_STEP 16

struct conn {
	__u64 id;
	__u64 inode;         /* of the socket; tells a reused address from the same socket */
	__u64 offset[2];     /* stream bytes so far, by direction */
	__u64 sent_time;     /* when the last send returned */
	__u32 seq[2];        /* TCP sequence number reached, by direction */
	__u32 turn_captured; /* bytes of this turn already copied */
	__u32 ignored;       /* operations skipped by POLICY_IGNORE */
	__u32 checked_tgid;  /* the process last found to be selected, */
	__u32 checked_epoch; /* and the epoch that was in */
	__u8 last_dir;       /* direction of the last segment + 1; 0: none yet */
	__u8 role;
	__u8 transport;
	__u8 announced; /* the open record is in the ring */
	__u8 plain_tcp; /* the socket is a tcp_sock (not MPTCP) */
	__u8 ring;
	__u8 stale;  /* directions (bits) whose seq was not kept while ignored; OVERTAKEN */
	__u8 waited; /* client, Go: who waited for the write was asked for */
	/* Progress through a sendmmsg/recvmmsg vector, sock backend only. */
	__u64 mmsg_vec;
	__u32 mmsg_tid;
	__u32 mmsg_index;
	__u32 mmsg_len;
	__u16 requests; /* client: one was sent */
	__u8 opened;    /* client: it was seen to connect, for `current` or for nobody known */
	__u8 eager;     /* it began like one of `beginnings` */
	/* Server: the request being served. Client: for which one the last was sent, or it was opened. */
	struct context current;
	__u32 isn[2]; /* initial sequence numbers, by direction */
	/* As of the request's beginning: */
	__u32 start_retransmits;
	__u32 start_tid; /* 0 if no single thread serves it */
	__u32 counted;   /* server: the process in whose runtime.active the request is, or 0 */
	__u32 start_cpu;
	__u64 start_booked; /* of CPU time to the thread, */
	__u64 start_since;  /* and how long ago, by a clock with another zero */
	__u64 start_runqueue;
	struct prepared prepared;
	struct framing framing[2]; /* by direction */
};

enum request_state {
	REQUEST_ACTIVE = 1,
	REQUEST_ANSWERED = 2, /* the response has begun */
};

/* The request a server's connection is serving, in the slot connection id % REQUEST_SLOTS. */
struct request {
	__u64 seed;   /* its identity */
	__u64 trace;  /* identity of the first request of the trace */
	__u64 parent; /* identity of the client's request it is the other end of, or 0 */
	__u32 state;  /* enum request_state */
	__u32 taken;  /* HAProxy: a stream was made for it */
};

#define REQUEST_SLOTS 65536

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REQUEST_SLOTS);
	__type(key, __u32);
	__type(value, struct request);
} requests SEC(".maps");

/*
 * What is known about how a process works, by tgid. Written by Go; without an
 * entry the process's threads are nobody's. Go's structs are at offsets that
 * depend on its version (receiver/internal/runtimes).
 */
struct runtime {
	__u16 g_goid; /* not 0: a Go program */
	__u16 g_parent;
	__u16 g_stack_hi;
	__u8 event_loop;  /* its threads serve several requests at once; also found out here */
	__u8 streams;     /* set here: HAProxy, whose streams are watched */
	__u16 chan_recvq; /* first of runtime.hchan.recvq, from the channel */
	__u16 sudog_c;    /* runtime.sudog.c; its g comes first */
	__s32 tls_g;      /* of the g, from the thread pointer; 0: it is in a register */
	/* Static data whose futexes are no hand-offs: Python's interpreter lock. */
	__u64 static_start;
	__u64 static_size;
	/* Event loops: responses that were, and were not, the answer to what was read last. */
	__u32 right;
	__u32 wrong;
	__s32 active;         /* requests being served */
	__u16 python_context; /* of PyThreadState.context; not 0: a CPython whose structs are known */
	__u16 python_task;    /* of TaskObj.task_context */
	__u16 python_waiter;  /* of FutureObj.fut_callback0 */
	__u8 uvloop;          /* set here: it has been seen to write */
	__u8 pools;           /* set here: it puts work into queues for threads */
	/* The same for what tasks, and threads, were thought to work on. */
	__u32 task_right;
	__u32 task_wrong;
	__u32 thread_right;
	__u32 thread_wrong;
	__u16 python_frames; /* of PyThreadState.datastack_chunk; 0: not known */
	__u16 python_self;   /* of the task in the callback of one that waits */
	__u16 item_seen;     /* set here: where a thread of a pool was found to have its work item, */
	__u16 item_at;       /* and where two were: from the beginning of its frames */
	__u64 python_key;    /* address of the Py_tss_t of thread states */
	__s32 tokio_task;    /* of the current task's number, from the thread pointer; 0: no tokio */
	__u32 tokio_starts;  /* set here: it has been seen to start tasks */
	__u64 ruby_tls;      /* address of the tls_index of ruby_current_ec; 0: not known */
	__u32 ruby_at;       /* set here: where in its threads' stacks the connection is, words */
	__u16 ruby_words;    /* set here: of a frame */
	__u16 java;          /* not 0: a HotSpot, which is in `jvms` */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct runtime);
} runtimes SEC(".maps");

/* What a thread works on. */
struct unit {
	struct context current;
	__u64 switches; /* its voluntary context switches by then */
	__u8 borrowed;  /* it only read a response for it */
	__u8 loop;      /* it was seen serving several requests at once */
	__u8 fresh;     /* uvloop, HAProxy: reading for `current` is the last thing it did on a socket */
	__u8 deferred;  /* Node: it has turned to other things since it read for `current` */
	__u8 searched;  /* Python, Ruby: so often for a pool's work item, or a connection, in its frames */
	__u8 turns;     /* Node: it says when it turns to other things */
	__u8 told;      /* HAProxy: `current` is what the stream is for that it runs */
	__u8 maker;     /* Java, Ruby: its number in java_makings, ruby_servers */
	__u8 sent;      /* Java: it has sent a request, and read nothing of a response since */
	__u8 several;   /* Java: it sent another one then: what it does is not for one request after the other */
	__u8 pad[6];
	/*
	 * Python: a task it has started, which had no context then, and for what. Java: where
	 * in its stack its first Java method returns to, and how often (seed) that was searched.
	 */
	__u64 started;
	struct context started_for;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct unit);
} units SEC(".maps");

/* The same by thread, where programs that write contexts cannot use task storage (before v6.16). */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536); /* 1, set by Go, if it is not used */
	__type(key, __u32);
	__type(value, struct unit);
} units_hash SEC(".maps");

/* For whom a thread was woken up or started. */
struct handoff {
	__u64 seed;
	__u64 place; /* where it waited: a futex's address, a file descriptor */
	__u32 slot;
	__u32 once;
};

/* By thread. Preallocated: it is written to where memory must not be asked for. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct handoff);
} handoffs SEC(".maps");

/* What a goroutine works on, by tgid << 32 | goid. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct context);
} goroutines SEC(".maps");

#include "java_maps.h"

/* What a task works on (task.h), by its number or address in the process. */
struct task_key {
	__u64 task;
	__u32 tgid;
	__u32 kind; /* enum task_kind */
};

struct work {
	struct context context;
	__u64 owner; /* address of the task that had the key's address when this was set, or 0 */
};

enum task_kind {
	TASK_PYTHON = 0, /* address of a PyContext, which every asyncio task has one of */
	TASK_TOKIO = 2,  /* number of a tokio task */
	TASK_ITEM = 3,   /* address of a Python object put into a queue for threads */
	TASK_POOL = 4,   /* address of what libuv has given to its pool of threads */
	TASK_STREAM = 5, /* address of a stream of HAProxy's */
	TASK_SOCKET = 6, /* Ruby: file descriptor of a server's connection, whose request that is */
	TASK_WRITE = 1,  /* file descriptor: for whom uvloop will write there when it comes to it */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, struct task_key);
	__type(value, struct work);
} tasks SEC(".maps");

/* What both ends of a connection say of the request that began last. */
struct join {
	__u64 client_seed;
	__u64 client_trace;
	__u64 server_seed;
	__u64 barrier;
	__u32 client_position;
	__u32 server_position;
	__u32 server_slot;
	__u32 client_slot; /* of the request that the client's was made for; with injection only */
	__u64 client_for;  /* and that request */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536); /* limits.max_connections, set by Go */
	__type(key, __u64);
	__type(value, struct join);
} joins SEC(".maps");

struct pending_key {
	__u64 sk;
	__u64 dir;
};

struct pending {
	struct segment_record record;
	__u32 want; /* bytes to capture */
	__u32 ring;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct conn);
} conn_storage SEC(".maps");

/* The same keyed by socket address, where programs have no trusted socket. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536); /* limits.max_connections, set by Go */
	__type(key, __u64);
	__type(value, struct conn);
} conn_hash SEC(".maps");

/*
 * Segments whose buffer only io_uring's completion will name, by socket address
 * and direction (sock backend: the data hook has the socket but not the
 * request, the completion the request but no trusted socket).
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct pending_key);
	__type(value, struct pending);
} uring_pending SEC(".maps");

struct ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096); /* resized by Go */
};

/* A connection always uses the same ring, so its records stay ordered. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1); /* resized by Go */
	__type(key, __u32);
	__array(values, struct ring);
} rings SEC(".maps");

/* Written by Go through mmap. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, POLICY_SLOTS);
	__type(key, __u32);
	__type(value, struct policy);
} policies SEC(".maps");

/*
 * tgid -> enum process_verdict in the lowest byte, and above it how often the process has
 * executed something, so that a verdict on the program before is not taken for one on
 * this. Written by Go and, for children, by fork.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u32);
} processes SEC(".maps");

#define VERDICT_MASK 0xff
#define VERDICT_EXECUTED 0x100

static __always_inline __u32 verdict_of(__u32 tgid)
{
	__u32 *verdict;

	if (pid_namespace && !tgid)
		return PROCESS_IGNORED;
	verdict = bpf_map_lookup_elem(&processes, &tgid);
	return verdict ? *verdict & VERDICT_MASK : PROCESS_DEFAULT;
}

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/* Where a call's bytes are in user memory. */
enum buffer_kind {
	BUFFER_NONE = 0,  /* should be in user memory, but where is not known */
	BUFFER_FLAT = 1,  /* base */
	BUFFER_IOV = 2,   /* base: struct iovec[count] */
	BUFFER_LATER = 3, /* io_uring: known when the request completes */
	BUFFER_FILE = 4,  /* file or pipe pages (sendfile, splice): bodies, not needed */
};

struct buffer {
	__u32 kind;
	__u32 count;
	__u64 base;
};

/* The beginning of runtime.hchan is the same in all versions. */
struct go_chan {
	__u64 count;
	__u64 capacity;
	__u64 buffer;
	__u16 element_size;
	__u16 pad;
	__u32 closed;
	__u64 rest[12];
};

#define GO_CHAN_SIZE 80 /* of it is read */

/* Where net/http keeps a channel, from a stack's end: in so many words below so many bytes. */
#define GO_FRAME_END 88
#define GO_FRAME_WORDS 7

/* Words of a thread's first frames that are searched (Python: four of them are enough). */
#define STACK_WORDS 128

#define RUBY_VARIABLES 32

/* The beginning of rb_io (Ruby 3.0 to 3.4), of rb_execution_context_t and rb_control_frame_t (2.5 to 3.4). */
struct ruby_values {
	__u64 index[2]; /* tls_index: module and offset */
	struct {
		__u64 self;
		__u64 stdio_file;
		__s32 fd;
		__u32 mode;
	} io;
	struct {
		__u64 stack;
		__u64 size; /* words */
		__u64 frame;
	} context;
	struct {
		__u64 pc;
		__u64 sp;
	} frame;
	__u64 self; /* address of the context, */
	struct {
		__u64 stack;
		__u64 size; /* words */
		__u64 frame;
	} other; /* and another thread's */
	__u64 value;
	__u64 at;
	__u32 count; /* of variables around blocks */
	__u32 pad;
	__u64 around[RUBY_VARIABLES];
};

#define RUBY_SERVERS 64

/* Threads of a process that serve requests, by the addresses of their contexts; of more than so many, the last. */
struct ruby_servers {
	__u32 count;
	__u32 pad;
	__u64 threads[RUBY_SERVERS];
};

static const struct ruby_servers ruby_nobody;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct ruby_servers);
} ruby_servers SEC(".maps");

/*
 * Per-CPU working memory. Tracepoint programs run with preemption disabled, so
 * it belongs to one call at a time. The data area is larger than PART_SIZE
 * because the verifier bounds position and length separately, and by masks.
 */
struct scratch {
	struct segment_record record;
	__u8 data[3 * PART_SIZE];
	struct open_record open;
	struct context_record context;
	/* What a server has read just now, for read_context: */
	struct buffer head;
	__u32 head_len;
	__u32 head_slot;  /* plus 1; 0: nothing */
	__u64 identities; /* made on this CPU so far */
	__u32 records;
	__u32 pressure;          /* the ring was three quarters full when it was last looked at */
	struct conn conn;        /* a connection being made (kernel stacks are small) */
	struct pending pending;  /* a segment being put off */
	struct buffer call;      /* of segment_by_address */
	struct go_chan channel;  /* of is_result_channel */
	__u64 sudog[16];         /* who waits at it */
	struct context found;    /* by goroutine_context */
	struct context now;      /* by context_now */
	struct context read;     /* by request_read */
	__u32 wanted;            /* it has more to be searched for (context_of) */
	struct ruby_values ruby; /* of a Ruby thread */
	struct java_search java;
	__u64 waiter;                /* by waiting_goroutine */
	__u64 words[GO_FRAME_WORDS]; /* of a goroutine's outermost frame */
	struct join no_join;         /* zeros */
	__u64 frames[STACK_WORDS];   /* the first words of a Python or Ruby thread's frames */
	__u64 once;                  /* a work item that is among them, */
	__u32 once_at;               /* and where from */
	/* Walk over an iovec array; kept here so that loop states stay equal. */
	__u64 iov;
	__u64 base, prev_base;
	__u64 base_len, prev_len;
	__u32 iov_left;
	__u32 fill;      /* bytes in data */
	__u32 to_copy;   /* bytes still to be captured */
	__u32 to_pass;   /* bytes of the call not yet walked over */
	__u32 to_report; /* bytes of the call not yet reported in a record */
	__u32 skipped;   /* bytes behind those in data that are not wanted */
	__u32 ring;
	struct framing framing;
	__u8 frame_head[4 * (FRAME_HEAD + 1)]; /* as much as the verifier thinks there may be */
	__u8 line[2 * RESP_STEP];              /* of RESP */
	__u8 framed;                           /* what the call moves is frames, */
	__u8 resp;                             /* or RESP, */
	__u8 follows;                          /* and it follows on the call before */
	__u8 tight;                            /* and is large, and there is little room in the ring */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* Connections first seen on this CPU so far. Shared by all programs, unlike scratch memory. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} numbers SEC(".maps");

/*
 * Set by Go once every hook is attached, and cleared before they are detached:
 * a connection of which only one direction is seen makes no sense.
 */
__u32 enabled = 0;

/* Set by the probes when splice() is seen to move socket bytes: Go attaches recv_splice then. */
__u32 splice_seen = 0;

/* Set by the probes when a thread works for nobody known: Go attaches thread_woken then. */
__u32 handoff_wanted = 0;

/* Counted up by Go whenever it changes a verdict. */
__u32 verdict_epoch = 1;

/*
 * Reads a field of a tcp_sock: directly where the socket is a trusted pointer
 * (a load), else through the helper (some 6 ns). The constant decides at load
 * time; the verifier removes the other branch.
 */
#define TCP_READ(tp, field) (conn_by_address ? BPF_CORE_READ(tp, field) : (tp)->field)

static __always_inline void count(__u32 which, __u64 n)
{
	__u64 *c = bpf_map_lookup_elem(&counters, &which);

	if (c)
		*c += n;
}

static __always_inline struct scratch *scratch_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratches, &zero);
}

/* ---- ids of processes, as the Collector knows them ---- */

#define PID_NAMESPACE_DEPTH 8

/*
 * The id that a struct pid has in the Collector's pid namespace; 0 if it has none there.
 * A global function, so that the verifier walks it once.
 */
__attribute__((noinline)) int id_inside(__u64 at)
{
	struct pid *pid = (struct pid *)at;
	__u32 level = BPF_CORE_READ(pid, level);
	struct upid up;
	int i;

	for (i = 0; i < PID_NAMESPACE_DEPTH; i++) {
		if (bpf_probe_read_kernel(&up, sizeof(up), &pid->numbers[level]))
			return 0;
		if (BPF_CORE_READ(up.ns, ns.inum) == pid_namespace)
			return up.nr;
		if (!level--)
			return 0;
	}
	return 0;
}

static __always_inline __u32 tgid_of(struct task_struct *task)
{
	if (!pid_namespace)
		return task->tgid;
	return id_inside((__u64)BPF_CORE_READ(task, signal, pids[PIDTYPE_TGID]));
}

/* The current process's id << 32 | the thread's, which is that of the initial namespace. */
static __always_inline __u64 current_ids(void)
{
	__u64 ids = bpf_get_current_pid_tgid();

	if (!pid_namespace)
		return ids;
	return (__u64)tgid_of(bpf_get_current_task_btf()) << 32 | (__u32)ids;
}

#endif
