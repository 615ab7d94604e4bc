/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What is kept of Java programs (java.h). */
#ifndef OTELCOL_EBPF_JAVA_MAPS_H
#define OTELCOL_EBPF_JAVA_MAPS_H

/*
 * From an object of a class, as in its header, to what it refers to at an offset. Offset 0: one
 * that outlives requests; JVM_END: one that is made for one request; class 0: none.
 */
struct jvm_step {
	__u32 class;
	__u32 offset;
};

#define JVM_STEPS 24
#define JVM_END 1 /* no offsets of references */
#define JVM_UNKNOWN 2

/* Where things are in a process with a HotSpot (java.h), by tgid. Written by Go. */
struct jvm {
	__u64 thread_module; /* address of the number of libjvm's module of thread local variables */
	__u64 collections;   /* address of the count of collections, 32 bits, */
	__u64 collecting;    /* and of whether there is one now, 8 bits */
	__u64 call_stub;     /* where threads' first Java methods return to */
	__u64 heap_start;
	__u64 heap_size;
	__u64 oop_base; /* of references of 32 bits, */
	__u32 oop_shift;
	__u32 wide;          /* or they have 64 */
	__u32 thread_offset; /* of the current JavaThread, in libjvm's thread local variables */
	__u16 tlab_start;    /* of its allocation buffer, in the JavaThread */
	__u16 tlab_top;
	__u16 tlab_end;
	__u16 thread_object; /* of its java.lang.Thread, in the JavaThread */
	__u8 thread_handle;  /* or where that is */
	__u8 class_shift;    /* of classes, as in objects' headers, */
	__u16 supers;        /* and what its class inherits from Object, in a class */
	__u64 class_base;
	__u64 future_task; /* address of the class of that name; 0: not loaded */
	__u16 runner;      /* of the java.lang.Thread that runs it, in a FutureTask */
	__u16 waiters;     /* and of who waits for it; */
	__u16 waiter;      /* in that, of the java.lang.Thread */
	/* The class that writes to connections for java.net.http; from it to their descriptor. */
	__u16 writer_tube;
	__u16 tube_channel;
	__u16 channel_descriptor;
	__u16 pad;
	__u32 writer;
	struct jvm_step steps[JVM_STEPS];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct jvm);
} jvms SEC(".maps");

/* Processes that should be looked at again, by tgid. Set by the probes, deleted by Go. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u32);
} look_again SEC(".maps");

/* Of how many buffers of a thread it is known that it has made objects in them for its request. */
#define JAVA_BUFFERS 4

/* Addresses of objects. */
struct java_made {
	__u64 low;
	__u64 size;
};

/* A thread that has read a request, and where it makes objects since. */
struct java_maker {
	__u64 thread; /* address of its JavaThread */
	__u64 seed;   /* of the request; 0: none */
	__u32 slot;
	__u32 collections; /* until which addresses are right */
	__u64 buffer;      /* address of the one last seen */
	__u64 buffers;     /* how many have been seen */
	struct java_made made[JAVA_BUFFERS];
};

#define JAVA_MAKERS 256

/* The threads of a process that read requests; of more than so many, the last. */
struct java_making {
	__u32 count;
	__u32 searches; /* before there were steps */
	struct java_maker makers[JAVA_MAKERS];
};

static const struct java_making java_nobody;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct java_making);
} java_makings SEC(".maps");

#define JAVA_RANGES 256
/* So many words of a thread's first Java frames are searched. */
#define JAVA_WORDS 256

/* Addresses of objects that were made for a request. */
struct java_range {
	__u64 low;
	__u64 size;
	__u64 seed;
	__u32 slot;
	__u16 first; /* range for the request */
	__u16 votes; /* in the first: words that name it, */
	__u16 firm;  /* and those by an object of a class that is believed */
	__u16 pad[3];
};

/*
 * Which words of a thread's first frames name what it works on, where there are as many
 * words up to the system call: so often, of late. Others are left from what it did before.
 */
struct java_layout {
	__u8 right[JAVA_WORDS];
	__u32 places;  /* words that are believed */
	__u32 named;   /* most words that named what it was, when all were asked */
	__u32 sure;    /* searches lately that those decided */
	__u16 task;    /* the word that was the FutureTask it runs, plus 1, */
	__u16 writer;  /* and, from the top of the stack, what writes to the connection */
	__u32 no_task; /* searches since there was one */
	__u32 no_writer;
};

struct java_layout_key {
	__u32 tgid;
	__u32 words;
};

static const struct java_layout java_no_layout;

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2048);
	__type(key, struct java_layout_key);
	__type(value, struct java_layout);
} java_layouts SEC(".maps");

/* Objects of a class that were made for a request and on the stack of a thread that served none. */
struct java_class {
	__u32 objects;
	__u32 shared; /* of those, on the stacks of several threads, or gone and come back */
};

struct java_class_key {
	__u32 tgid;
	__u32 class; /* as in its objects' headers */
};

static const struct java_class java_no_class;

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct java_class_key);
	__type(value, struct java_class);
} java_classes SEC(".maps");

struct java_object_key {
	__u64 object;
	__u32 tgid;
	__u32 collections; /* up to which it has this address */
};

/* When an object was seen. */
struct java_object {
	__u64 thread;   /* on whose stack it was; 0: several, or it was gone and came back */
	__u64 searched; /* the search of that stack */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct java_object_key);
	__type(value, struct java_object);
} java_objects SEC(".maps");

struct java_search {
	__u64 field;  /* what has been read last of an object, */
	__u32 narrow; /* and 32 bits */
	__u32 pad;
	__u64 at;                /* where its first Java method returns to */
	__u64 sp;                /* the top of its stack */
	__u64 searched;          /* how often the stack has been */
	__u64 self;              /* the thread, */
	__u64 object;            /* and its java.lang.Thread */
	__u64 task;              /* the FutureTask that it runs */
	__u64 writer;            /* what writes to the connection */
	__u64 low;               /* addresses of all ranges are from here */
	__u64 end;               /* to here */
	__u32 count;             /* ranges that there are */
	__u32 best;              /* most votes for one, */
	__u32 next;              /* and for another */
	__u32 height;            /* words from the first Java method to the top of the stack */
	__u32 decided;           /* 2: it is certain for whom, 1: not quite */
	__u32 several;           /* it is an event loop */
	__u32 all;               /* it is not known which of them are to be believed */
	__u32 anchor;            /* the first of the words that are believed, plus 1 */
	__u32 descriptor;        /* of the connection */
	__u32 winner;            /* the first range of that one, plus 1, */
	__u16 named[JAVA_WORDS]; /* and those, plus 1, that words name */
	__u32 collections;
	struct java_range ranges[JAVA_RANGES];
	__u64 words[JAVA_WORDS];
	__u32 classes[JAVA_WORDS];
	/* Of java_class, whose stack is deep. */
	struct java_class_key of_class;
	struct java_object_key one;
	struct java_object first;
};

#endif
