/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Tasks are what runtimes run many of on one thread. What each of them works on is
 * kept by its number or address.
 */
#ifndef OTELCOL_EBPF_TASK_H
#define OTELCOL_EBPF_TASK_H

#include "maps.h"

/* What is kept of a task is a context with one of these for its method. */
enum task_state {
	TASK_STARTED = 0, /* or woken up, to work on it */
	TASK_READS = 1,   /* it has read the request itself */
	TASK_SHARED = 2,  /* it has read requests while it served others, so it tells nothing */
	/* Tasks that send requests for others: */
	TASK_USED = 3,      /* it has sent one */
	TASK_AGAIN = 4,     /* and was woken up for the same since */
	TASK_CONTESTED = 5, /* it was woken up for several, and nobody knows which comes first */
};

static __always_inline struct context *task_work(__u32 tgid, __u32 kind, __u64 id)
{
	struct task_key key = {.task = id, .tgid = tgid, .kind = kind};

	return bpf_map_lookup_elem(&tasks, &key);
}

static __always_inline void task_set_owned(__u32 tgid, __u32 kind, __u64 id, const struct context *x, __u64 owner)
{
	struct task_key key = {.task = id, .tgid = tgid, .kind = kind};
	struct work *old = bpf_map_lookup_elem(&tasks, &key), fresh = {.context = *x, .owner = owner};

	if (old)
		*old = fresh;
	else
		bpf_map_update_elem(&tasks, &key, &fresh, BPF_ANY);
}

static __always_inline void task_set(__u32 tgid, __u32 kind, __u64 id, const struct context *x)
{
	task_set_owned(tgid, kind, id, x, 0);
}

#endif
