// SPDX-License-Identifier: Apache-2.0

/*
 * peer: one HTTP/1.x client or server made of raw system calls, which writes
 * down what it really did.
 *
 *   peer server [options]            prints "listening PORT", serves until SIGTERM
 *   peer client [options]            makes --count requests and exits
 *   peer pair   [options]            both ends of a socketpair, server in a child
 *
 * What a server answers is in the query of each request (see struct request),
 * so that both sides know the truth. Every process writes its truth records,
 * one JSON object per line, to --truth DIR/PID.jsonl when it is done. Times are
 * CLOCK_REALTIME in ns, taken right before and right after the system calls.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX (96 << 10)
#define BUFFER (256 << 10)

enum mode {
	RW,	   /* write / read */
	VEC8,	   /* writev / readv over 8 iovecs */
	VEC1000,   /* over 1000 iovecs */
	SENDRECV,  /* send / recv */
	SENDTO,	   /* sendto / recvfrom */
	MSG,	   /* sendmsg / recvmsg over 3 iovecs */
	MMSG,	   /* sendmmsg / recvmmsg, 2 messages */
	BYTE,	   /* one byte per call */
	URING,	   /* io_uring send / recv */
	URING_RW,  /* io_uring write / read */
	URING_MSG, /* io_uring sendmsg / recvmsg */
	PEEK,	   /* recv(MSG_PEEK) before every read */
	SENDFILE,  /* bodies by sendfile */
	SPLICE,	   /* bodies by splice through a pipe */
	MORE,	   /* send(MSG_MORE) of the head, then the body */
	SMALLREAD, /* reads of 100 bytes */
	NONBLOCK,  /* poll, then a non-blocking call until EAGAIN */
	MODES,
};
static const char *mode_names[MODES] = {"rw",	 "vec8",     "vec1000",	  "send",   "sendto", "msg",	"mmsg",	    "byte",    "uring",
					"uringrw", "uringmsg", "peek", "sendfile", "splice", "more",	"smallread", "nonblock"};

static enum mode parse_mode(const char *s)
{
	for (int i = 0; i < MODES; i++)
		if (!strcmp(s, mode_names[i]))
			return i;
	fprintf(stderr, "peer: unknown mode %s\n", s);
	exit(2);
}

/* Options of both roles. */
static struct {
	const char *truth, *unix_path, *ip, *cas, *prefix, *method, *query, *version, *form, *end, *handoff, *traceparent;
	enum mode rmode, wmode;
	int port, count, per_conn, pipeline, head, split, interval_us, wait_us;
	long body;
	bool chunked, separate, batch, lf, expect, reuse_fd;
} opt = {
	.ip = "127.0.0.1", .cas = "none", .prefix = "r", .method = "GET", .query = "size=10", .version = "1.1", .form = "origin",
	.end = "close", .handoff = "none", .count = 1, .pipeline = 1, .split = 1,
};

static volatile sig_atomic_t stopping;
static bool is_client; /* clients finish what they have begun */
static void on_term(int sig)
{
	(void)sig;
	stopping = 1;
}

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "peer[%d]: %s: %s\n", getpid(), what, strerror(errno));
	exit(1);
}

static void sleep_us(long us)
{
	struct timespec t = {us / 1000000, us % 1000000 * 1000};
	while (us > 0 && nanosleep(&t, &t) && errno == EINTR && !stopping)
		;
}

/* ---- truth ---- */

struct record {
	char cas[64], id[64], method[32], version[8], agent[96], traceparent[64];
	char *path, *query;
	const char *role;
	int status, server_port, peer_port;
	bool error, status_optional, anonymous;
	long request_body, response_body;
	uint64_t start_min, start_max, end_min, end_max;
};

static struct record *records;
static size_t record_count, record_cap;
static pthread_mutex_t record_lock = PTHREAD_MUTEX_INITIALIZER;

static void keep(const struct record *r)
{
	pthread_mutex_lock(&record_lock);
	if (record_count == record_cap) {
		record_cap = record_cap ? record_cap * 2 : 256;
		records = realloc(records, record_cap * sizeof(*records));
		if (!records)
			die("realloc");
	}
	records[record_count++] = *r;
	pthread_mutex_unlock(&record_lock);
}

static void write_truth(void)
{
	char name[512];
	if (!opt.truth)
		return;
	snprintf(name, sizeof(name), "%s/%d.jsonl", opt.truth, getpid());
	FILE *f = fopen(name, "w");
	if (!f)
		die(name);
	for (size_t i = 0; i < record_count; i++) {
		struct record *r = &records[i];
		fprintf(f,
			"{\"case\":\"%s\",\"id\":\"%s\",\"role\":\"%s\",\"pid\":%d,\"method\":\"%s\",\"path\":\"%s\",\"query\":\"%s\","
			"\"status\":%d,\"error\":%s,\"status_optional\":%s,\"anonymous\":%s,\"version\":\"%s\",\"request_body\":%ld,"
			"\"response_body\":%ld,\"start_min\":%llu,\"start_max\":%llu,\"end_min\":%llu,\"end_max\":%llu,"
			"\"user_agent\":\"%s\",\"server_port\":%d,\"peer_port\":%d,\"traceparent\":\"%s\"}\n",
			r->cas, r->id, r->role, getpid(), r->method, r->path, r->query, r->status, r->error ? "true" : "false",
			r->status_optional ? "true" : "false", r->anonymous ? "true" : "false", r->version, r->request_body,
			r->response_body, (unsigned long long)r->start_min, (unsigned long long)r->start_max,
			(unsigned long long)r->end_min, (unsigned long long)r->end_max, r->agent, r->server_port, r->peer_port,
			r->traceparent);
	}
	fclose(f);
}

/* ---- bytes in and out ---- */

struct conn {
	int rfd, wfd;
	bool is_unix;
	int server_port, peer_port;
	char *buf;
	size_t len;
	uint64_t rb, ra; /* before and after the last call that received bytes */
	uint64_t first_rb, first_ra; /* of the first byte of the current message */
	bool eof;
	int error;
	uint64_t wb_first, wa_first, wb_last, wa_last; /* around the first and last call of put */
	struct io_uring ring;
	bool ring_ok;
	int pipe[2];
};

static void conn_init(struct conn *c, int fd)
{
	memset(c, 0, sizeof(*c));
	c->rfd = c->wfd = fd;
	c->buf = malloc(BUFFER);
	c->pipe[0] = c->pipe[1] = -1;
	struct sockaddr_storage a = {0};
	socklen_t n = sizeof(a);
	if (!getpeername(fd, (struct sockaddr *)&a, &n)) {
		if (a.ss_family == AF_UNIX)
			c->is_unix = true;
		else
			c->peer_port = ntohs(a.ss_family == AF_INET ? ((struct sockaddr_in *)&a)->sin_port
								    : ((struct sockaddr_in6 *)&a)->sin6_port);
	}
	if (opt.rmode == URING || opt.rmode == URING_RW || opt.rmode == URING_MSG || opt.wmode == URING || opt.wmode == URING_RW ||
	    opt.wmode == URING_MSG) {
		int rc = io_uring_queue_init(8, &c->ring, 0);
		if (rc) {
			errno = -rc;
			die("io_uring_queue_init");
		}
		c->ring_ok = true;
	}
	if (opt.rmode == SPLICE || opt.wmode == SPLICE)
		if (pipe(c->pipe))
			die("pipe");
	if (opt.rmode == NONBLOCK || opt.wmode == NONBLOCK)
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static void conn_free(struct conn *c)
{
	if (c->ring_ok)
		io_uring_queue_exit(&c->ring);
	if (c->pipe[0] >= 0) {
		close(c->pipe[0]);
		close(c->pipe[1]);
	}
	free(c->buf);
}

static int slices(struct iovec *v, int n, char *p, size_t len)
{
	int k = 0;
	for (int i = 0; i < n; i++) {
		size_t from = len * i / n, to = len * (i + 1) / n;
		if (to > from)
			v[k++] = (struct iovec){p + from, to - from};
	}
	return k;
}

static ssize_t uring_op(struct conn *c, enum mode m, bool out, char *p, size_t n)
{
	struct io_uring_sqe *s = io_uring_get_sqe(&c->ring);
	struct io_uring_cqe *q;
	struct iovec v[3];
	struct msghdr h = {.msg_iov = v};
	if (m == URING)
		out ? io_uring_prep_send(s, c->wfd, p, n, MSG_NOSIGNAL) : io_uring_prep_recv(s, c->rfd, p, n, 0);
	else if (m == URING_RW)
		out ? io_uring_prep_write(s, c->wfd, p, n, 0) : io_uring_prep_read(s, c->rfd, p, n, 0);
	else {
		h.msg_iovlen = slices(v, 3, p, n);
		out ? io_uring_prep_sendmsg(s, c->wfd, &h, MSG_NOSIGNAL) : io_uring_prep_recvmsg(s, c->rfd, &h, 0);
	}
	int rc;
	do
		rc = io_uring_submit_and_wait(&c->ring, 1);
	while (rc == -EINTR && (is_client || !stopping));
	if (io_uring_peek_cqe(&c->ring, &q)) {
		errno = EINTR;
		return -1;
	}
	ssize_t res = q->res;
	io_uring_cqe_seen(&c->ring, q);
	if (res < 0) {
		errno = -res;
		return -1;
	}
	return res;
}

static ssize_t put_once(struct conn *c, enum mode m, char *p, size_t n)
{
	struct iovec v[1024];
	struct msghdr h = {.msg_iov = v};
	switch (m) {
	case VEC8:
		return writev(c->wfd, v, slices(v, 8, p, n));
	case VEC1000:
		return writev(c->wfd, v, slices(v, 1000, p, n));
	case SENDRECV:
	case PEEK:
		return send(c->wfd, p, n, MSG_NOSIGNAL);
	case MORE:
		return send(c->wfd, p, n, MSG_NOSIGNAL);
	case SENDTO:
		return sendto(c->wfd, p, n, MSG_NOSIGNAL, NULL, 0);
	case MSG:
		h.msg_iovlen = slices(v, 3, p, n);
		return sendmsg(c->wfd, &h, MSG_NOSIGNAL);
	case MMSG: {
		struct mmsghdr mm[2] = {0};
		int k = slices(v, 2, p, n);
		for (int i = 0; i < k; i++) {
			mm[i].msg_hdr.msg_iov = &v[i];
			mm[i].msg_hdr.msg_iovlen = 1;
		}
		int sent = sendmmsg(c->wfd, mm, k, MSG_NOSIGNAL);
		if (sent <= 0)
			return sent;
		ssize_t total = 0;
		for (int i = 0; i < sent; i++) {
			total += mm[i].msg_len;
			if (mm[i].msg_len < v[i].iov_len && i + 1 < sent) {
				fprintf(stderr, "peer: short message inside sendmmsg\n");
				exit(1);
			}
		}
		return total;
	}
	case BYTE:
		return write(c->wfd, p, 1);
	case URING:
	case URING_RW:
	case URING_MSG:
		return uring_op(c, m, true, p, n);
	case NONBLOCK: {
		ssize_t w = write(c->wfd, p, n);
		while (w < 0 && errno == EAGAIN) {
			struct pollfd f = {c->wfd, POLLOUT, 0};
			poll(&f, 1, 1000);
			w = write(c->wfd, p, n);
		}
		return w;
	}
	default:
		return write(c->wfd, p, n);
	}
}

/* put sends everything; it stamps the first and the last call. */
static int put(struct conn *c, enum mode m, const char *data, size_t n, bool first)
{
	char *p = (char *)data;
	while (n > 0) {
		uint64_t b = now();
		ssize_t w = put_once(c, m, p, n);
		uint64_t a = now();
		if (w < 0) {
			if (errno == EINTR && (is_client || !stopping))
				continue;
			c->error = errno;
			return -1;
		}
		if (first) {
			c->wb_first = b;
			c->wa_first = a;
			first = false;
		}
		c->wb_last = b;
		c->wa_last = a;
		p += w;
		n -= w;
	}
	return 0;
}

/* put_file sends n bytes of 'b' from a file with sendfile or splice. */
static int put_file(struct conn *c, enum mode m, size_t n)
{
	int file = memfd_create("body", 0);
	char block[4096];
	memset(block, 'b', sizeof(block));
	for (size_t done = 0; done < n; done += sizeof(block))
		if (write(file, block, n - done < sizeof(block) ? n - done : sizeof(block)) < 0)
			die("memfd write");
	off_t at = 0;
	int rc = 0;
	while ((size_t)at < n) {
		ssize_t w;
		uint64_t b = now();
		if (m == SENDFILE) {
			w = sendfile(c->wfd, file, &at, n - at);
		} else {
			loff_t from = at;
			ssize_t in = splice(file, &from, c->pipe[1], NULL, n - at < 65536 ? n - at : 65536, 0);
			if (in <= 0)
				die("splice from file");
			ssize_t left = in;
			w = in;
			while (left > 0) {
				b = now();
				ssize_t out = splice(c->pipe[0], NULL, c->wfd, NULL, left, 0);
				if (out <= 0) {
					w = -1;
					break;
				}
				left -= out;
			}
			if (w > 0)
				at += w;
		}
		uint64_t a = now();
		if (w < 0) {
			c->error = errno;
			rc = -1;
			break;
		}
		c->wb_last = b;
		c->wa_last = a;
	}
	close(file);
	return rc;
}

static ssize_t get_once(struct conn *c, char *p, size_t n)
{
	struct iovec v[1024];
	struct msghdr h = {.msg_iov = v};
	switch (opt.rmode) {
	case VEC8: /* small vectors first, so that a head really is spread */
	case VEC1000: {
		int k = opt.rmode == VEC8 ? 8 : 1000;
		size_t each = 20;
		for (int i = 0; i < k - 1; i++)
			v[i] = (struct iovec){p + i * each, each};
		v[k - 1] = (struct iovec){p + (k - 1) * each, n - (k - 1) * each};
		return readv(c->rfd, v, k);
	}
	case SENDRECV:
	case MORE:
		return recv(c->rfd, p, n, 0);
	case SENDTO:
		return recvfrom(c->rfd, p, n, 0, NULL, NULL);
	case MSG:
		h.msg_iovlen = slices(v, 3, p, n < 300 ? n : 300);
		if (n > 300)
			v[h.msg_iovlen - 1].iov_len += n - 300;
		return recvmsg(c->rfd, &h, 0);
	case MMSG: {
		struct mmsghdr mm[2] = {0};
		v[0] = (struct iovec){p, n < 60 ? n : 60};
		v[1] = (struct iovec){p + v[0].iov_len, n - v[0].iov_len};
		for (int i = 0; i < 2; i++) {
			mm[i].msg_hdr.msg_iov = &v[i];
			mm[i].msg_hdr.msg_iovlen = 1;
		}
		int got = recvmmsg(c->rfd, mm, v[1].iov_len ? 2 : 1, MSG_WAITFORONE, NULL);
		if (got <= 0)
			return got;
		size_t total = mm[0].msg_len;
		if (got > 1 && mm[1].msg_len) {
			memmove(p + total, v[1].iov_base, mm[1].msg_len);
			total += mm[1].msg_len;
		}
		return total;
	}
	case BYTE:
		return read(c->rfd, p, 1);
	case SMALLREAD:
		return read(c->rfd, p, n < 100 ? n : 100);
	case URING:
	case URING_RW:
	case URING_MSG:
		return uring_op(c, opt.rmode, false, p, n);
	case PEEK: {
		ssize_t seen = recv(c->rfd, p, n, MSG_PEEK);
		if (seen <= 0)
			return seen;
		recv(c->rfd, p, n < 3 ? n : 3, MSG_PEEK);
		return read(c->rfd, p, n);
	}
	case SPLICE: { /* the head exactly, so that the body is left to splice */
		for (;;) {
			ssize_t seen = recv(c->rfd, p, n, MSG_PEEK);
			if (seen <= 0)
				return seen;
			char *e = memmem(p, seen, "\r\n\r\n", 4);
			if (e)
				return read(c->rfd, p, e + 4 - p);
			sleep_us(200);
		}
	}
	case NONBLOCK: {
		ssize_t r = read(c->rfd, p, n);
		while (r < 0 && errno == EAGAIN && (is_client || !stopping)) {
			struct pollfd f = {c->rfd, POLLIN, 0};
			poll(&f, 1, 1000);
			r = read(c->rfd, p, n);
		}
		return r;
	}
	default:
		return read(c->rfd, p, n);
	}
}

static int fill(struct conn *c)
{
	if (c->len >= BUFFER - 8192) {
		fprintf(stderr, "peer: buffer full\n");
		exit(1);
	}
	for (;;) {
		uint64_t b = now();
		ssize_t r = get_once(c, c->buf + c->len, BUFFER - c->len);
		uint64_t a = now();
		if (r < 0 && errno == EINTR && (is_client || !stopping))
			continue;
		c->rb = b;
		c->ra = a;
		if (r <= 0) {
			c->eof = true;
			c->error = r < 0 ? errno : 0;
			return -1;
		}
		if (!c->len) {
			c->first_rb = b;
			c->first_ra = a;
		}
		c->len += r;
		return 0;
	}
}

static void consume(struct conn *c, size_t n)
{
	memmove(c->buf, c->buf + n, c->len - n);
	c->len -= n;
	if (c->len) { /* what is left came with the last call, for we parse eagerly */
		c->first_rb = c->rb;
		c->first_ra = c->ra;
	}
}

static char *head_end(struct conn *c)
{
	char *e = memmem(c->buf, c->len, "\r\n\r\n", 4);
	char *l = memmem(c->buf, c->len, "\n\n", 2);
	if (e && (!l || e < l))
		return e + 4;
	return l ? l + 2 : NULL;
}

/* read_head waits for a whole head in c->buf and returns its length. */
static ssize_t read_head(struct conn *c)
{
	char *e;
	while (!(e = head_end(c)))
		if (fill(c))
			return -1;
	return e - c->buf;
}

/* drop_body consumes n bytes of a body. */
static int drop_body(struct conn *c, size_t n)
{
	while (n > 0) {
		if (!c->len && opt.rmode == SPLICE) {
			uint64_t b = now();
			ssize_t r = splice(c->rfd, NULL, c->pipe[1], NULL, n < 65536 ? n : 65536, 0);
			uint64_t a = now();
			if (r <= 0) {
				c->eof = true;
				return -1;
			}
			c->rb = b;
			c->ra = a;
			static __thread char sinkhole[65536];
			for (ssize_t left = r; left > 0;) {
				ssize_t k = read(c->pipe[0], sinkhole, left);
				if (k <= 0)
					die("read pipe");
				left -= k;
			}
			n -= r;
			continue;
		}
		if (!c->len && fill(c))
			return -1;
		size_t k = c->len < n ? c->len : n;
		consume(c, k);
		n -= k;
	}
	return 0;
}

/* read_line consumes one line (with its end) into out. */
static int read_line(struct conn *c, char *out, size_t n)
{
	char *e;
	while (!(e = memchr(c->buf, '\n', c->len)))
		if (fill(c))
			return -1;
	size_t k = e + 1 - c->buf;
	snprintf(out, n < k ? n : k, "%s", c->buf);
	consume(c, k);
	return 0;
}

static long drop_chunked(struct conn *c)
{
	char line[256];
	long total = 0;
	for (;;) {
		if (read_line(c, line, sizeof(line)))
			return -1;
		long n = strtol(line, NULL, 16);
		total += n;
		if (drop_body(c, n))
			return -1;
		if (read_line(c, line, sizeof(line)))
			return -1;
		if (!n)
			return total;
	}
}

/* header copies the value of a header; head is NUL-terminated. */
static bool header(const char *head, const char *name, char *out, size_t n)
{
	size_t k = strlen(name);
	for (const char *p = strchr(head, '\n'); p; p = strchr(p, '\n')) {
		p++;
		if (!strncasecmp(p, name, k) && p[k] == ':') {
			p += k + 1;
			while (*p == ' ')
				p++;
			size_t len = strcspn(p, "\r\n");
			snprintf(out, len + 1 < n ? len + 1 : n, "%s", p);
			return true;
		}
	}
	*out = 0;
	return false;
}

static long query_long(const char *query, const char *name, long otherwise)
{
	size_t k = strlen(name);
	for (const char *p = query; p && *p; p = strchr(p, '&') ? strchr(p, '&') + 1 : NULL)
		if (!strncmp(p, name, k) && p[k] == '=')
			return strtol(p + k + 1, NULL, 10);
	return otherwise;
}

static void query_text(const char *query, const char *name, char *out, size_t n)
{
	size_t k = strlen(name);
	*out = 0;
	for (const char *p = query; p && *p; p = strchr(p, '&') ? strchr(p, '&') + 1 : NULL)
		if (!strncmp(p, name, k) && p[k] == '=') {
			size_t len = strcspn(p + k + 1, "&");
			snprintf(out, len + 1 < n ? len + 1 : n, "%s", p + k + 1);
			return;
		}
}

/*
 * A request and what its query asks for:
 *   status=N size=BYTES delay=US chunks=N eof=1 (body delimited by close)
 *   act=close|rst|partial|upgrade|waiteof|early|hints|overlong204
 */
struct request {
	struct record r;
	char act[16];
	long size, delay, chunks;
	bool until_eof, keep_alive, lf, has_body;
};

static void set_target(struct record *r, const char *target)
{
	const char *p = target;
	if (!strncmp(p, "http://", 7)) {
		p = strchr(p + 7, '/');
		if (!p)
			p = "/";
	}
	const char *q = strchr(p, '?');
	r->path = q ? strndup(p, q - p) : strdup(p);
	r->query = strdup(q ? q + 1 : "");
	if (strncmp(r->path, "/case/", 6) || sscanf(r->path + 6, "%63[^/]/%63s", r->cas, r->id) != 2) {
		snprintf(r->cas, sizeof(r->cas), "%s", opt.cas);
		r->id[0] = 0;
		r->anonymous = true;
	}
}

static void plan(struct request *q)
{
	const char *s = q->r.query;
	q->r.status = query_long(s, "status", 200);
	q->size = query_long(s, "size", 10);
	q->delay = query_long(s, "delay", 0);
	q->chunks = query_long(s, "chunks", 0);
	q->until_eof = query_long(s, "eof", 0);
	query_text(s, "act", q->act, sizeof(q->act));
	if (!strcmp(q->r.method, "CONNECT"))
		strcpy(q->act, "tunnel");
	if (!strcmp(q->act, "upgrade"))
		q->r.status = 101;
	q->has_body = strcmp(q->r.method, "HEAD") && q->r.status != 204 && q->r.status != 304 && q->r.status != 101 &&
		      strcmp(q->act, "tunnel");
	q->r.response_body = q->has_body ? q->size : 0;
	if (!strcmp(q->act, "close") || !strcmp(q->act, "rst") || !strcmp(q->act, "waiteof")) {
		q->r.status = 0;
		q->r.error = true;
		q->r.response_body = -1;
	}
	if (!strcmp(q->act, "partial")) {
		q->r.error = true;
		q->r.status_optional = true;
		q->r.response_body = -1;
	}
}

/* ---- server ---- */

/* serve_read reads one request; -1 when the connection is done. */
static int serve_read(struct conn *c, struct request *q)
{
	memset(q, 0, sizeof(*q));
	ssize_t n = read_head(c);
	if (n < 0)
		return -1;
	char *head = strndup(c->buf, n), value[256];
	static __thread char target[HEAD_MAX];
	char version[16] = "";
	struct record *r = &q->r;
	r->role = "server";
	r->start_min = c->first_rb;
	r->start_max = c->first_ra;
	r->server_port = c->server_port;
	r->peer_port = c->peer_port;
	q->lf = !strstr(head, "\r\n");
	if (sscanf(head, "%31s %98303s HTTP/%7[0-9.]", r->method, target, version) != 3) {
		free(head);
		return -1; /* not HTTP: hang up */
	}
	snprintf(r->version, sizeof(r->version), "%s", version);
	set_target(r, target);
	plan(q);
	header(head, "User-Agent", r->agent, sizeof(r->agent));
	header(head, "traceparent", r->traceparent, sizeof(r->traceparent));
	header(head, "Connection", value, sizeof(value));
	q->keep_alive = !strcmp(version, "1.1") ? strcasecmp(value, "close") : !strcasecmp(value, "keep-alive");
	bool expect = header(head, "Expect", value, sizeof(value));
	bool chunked = header(head, "Transfer-Encoding", value, sizeof(value));
	long length = header(head, "Content-Length", value, sizeof(value)) ? atol(value) : 0;
	r->request_body = length;
	consume(c, n);
	free(head);
	if (expect && strcmp(q->act, "early")) {
		const char *go = "HTTP/1.1 100 Continue\r\n\r\n";
		put(c, opt.wmode, go, strlen(go), true);
	}
	if (!strcmp(q->act, "early"))
		return 0;
	if (chunked)
		r->request_body = drop_chunked(c);
	else if (length)
		drop_body(c, length);
	return 0;
}

static struct {
	char *out;
	size_t len;
	struct request held[512];
	int count;
} batch;

static void batch_flush(struct conn *c)
{
	if (!batch.count)
		return;
	put(c, opt.wmode, batch.out, batch.len, true);
	for (int i = 0; i < batch.count; i++) {
		batch.held[i].r.end_min = c->wb_first;
		batch.held[i].r.end_max = c->wa_last;
		keep(&batch.held[i].r);
	}
	batch.len = batch.count = 0;
}

static void hard_close(struct conn *c)
{
	struct linger l = {1, 0};
	setsockopt(c->wfd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	close(c->wfd);
	c->wfd = c->rfd = -1;
}

/* serve_write answers; false when the connection is done. */
static bool serve_write(struct conn *c, struct request *q)
{
	struct record *r = &q->r;
	const char *eol = q->lf ? "\n" : "\r\n";
	static __thread char out[HEAD_MAX + 65536];
	sleep_us(q->delay && strcmp(q->act, "waiteof") ? q->delay : 0);
	if (!strcmp(q->act, "waiteof")) { /* work until the client has gone, then give up */
		struct pollfd f = {c->rfd, POLLIN | POLLRDHUP, 0};
		poll(&f, 1, q->delay / 1000);
		char b[16];
		r->end_min = now();
		ssize_t n = read(c->rfd, b, sizeof(b));
		(void)n;
		close(c->rfd);
		r->end_max = now();
		c->rfd = c->wfd = -1;
		keep(r);
		return false;
	}
	if (!strcmp(q->act, "close") || !strcmp(q->act, "rst")) {
		r->end_min = now();
		if (!strcmp(q->act, "rst")) {
			hard_close(c);
		} else {
			close(c->wfd);
			c->wfd = c->rfd = -1;
		}
		r->end_max = now();
		keep(r);
		return false;
	}
	if (!strcmp(q->act, "hints")) {
		const char *hints = "HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\n\r\n";
		put(c, opt.wmode, hints, strlen(hints), true);
		sleep_us(2000);
	}
	bool keep_alive = q->keep_alive && !q->until_eof && strcmp(q->act, "early");
	size_t n = snprintf(out, sizeof(out), "HTTP/%s %d Said So%s", r->version, r->status, eol);
	if (r->status == 101)
		n += snprintf(out + n, sizeof(out) - n, "Connection: Upgrade%sUpgrade: binary%s", eol, eol);
	else if (q->chunks && q->has_body)
		n += snprintf(out + n, sizeof(out) - n, "Transfer-Encoding: chunked%s", eol);
	else if (!q->until_eof && r->status != 204 && strcmp(q->act, "tunnel"))
		n += snprintf(out + n, sizeof(out) - n, "Content-Length: %ld%s", q->size, eol);
	if (r->status != 101 && strcmp(q->act, "tunnel"))
		n += snprintf(out + n, sizeof(out) - n, "Connection: %s%s", keep_alive ? "keep-alive" : "close", eol);
	if (opt.head && n < (size_t)opt.head) {
		n += snprintf(out + n, sizeof(out) - n, "X-Pad: ");
		while (n < (size_t)opt.head)
			out[n++] = 'p';
		n += snprintf(out + n, sizeof(out) - n, "%s", eol);
	}
	n += snprintf(out + n, sizeof(out) - n, "%s", eol);

	bool file = opt.wmode == SENDFILE || opt.wmode == SPLICE;
	if (!strcmp(q->act, "partial")) {
		memset(out + n, 'b', q->size / 2);
		put(c, RW, out, n + q->size / 2, true);
		r->end_min = now();
		close(c->wfd);
		r->end_max = now();
		c->wfd = c->rfd = -1;
		keep(r);
		return false;
	}
	if (q->has_body && q->chunks) {
		put(c, opt.wmode, out, n, true);
		uint64_t first = c->wb_first;
		for (int i = 0; i < q->chunks; i++) {
			long k = q->size * (i + 1) / q->chunks - q->size * i / q->chunks;
			if (!k)
				continue;
			n = snprintf(out, sizeof(out), "%lx\r\n", k);
			memset(out + n, 'b', k);
			n += k;
			n += snprintf(out + n, sizeof(out) - n, "\r\n");
			put(c, opt.wmode, out, n, false);
		}
		put(c, opt.wmode, "0\r\n\r\n", 5, false);
		c->wb_first = first;
	} else if (q->has_body && file && q->size) {
		put(c, RW, out, n, true);
		put_file(c, opt.wmode, q->size);
	} else if (q->has_body && (q->size > 32768 || opt.separate || opt.wmode == MORE)) {
		if (opt.wmode == MORE) {
			c->wb_first = now();
			if (send(c->wfd, out, n, MSG_MORE | MSG_NOSIGNAL) < 0)
				die("send");
			c->wa_first = now();
		} else {
			put(c, opt.wmode, out, n, true);
		}
		char *body = malloc(q->size);
		memset(body, 'b', q->size);
		put(c, opt.wmode, body, q->size, false);
		free(body);
	} else {
		if (q->has_body) {
			memset(out + n, 'b', q->size);
			n += q->size;
		}
		if (opt.batch) {
			if (!batch.out)
				batch.out = malloc(1 << 20);
			memcpy(batch.out + batch.len, out, n);
			batch.len += n;
			batch.held[batch.count++] = *q;
			if (!head_end(c) || batch.count == 512 || batch.len > 800000)
				batch_flush(c);
			return keep_alive;
		}
		size_t part = (n + opt.split - 1) / opt.split;
		for (size_t at = 0; at < n; at += part) {
			put(c, opt.wmode, out + at, n - at < part ? n - at : part, !at);
			if (at + part < n)
				sleep_us(300);
		}
	}
	r->end_min = c->wb_last;
	r->end_max = c->wa_last;
	if (c->error) { /* a send failed: the client had gone */
		r->error = r->status_optional = true;
		r->response_body = -1;
	}
	if (!strcmp(q->act, "early")) { /* answered before the body was read */
		keep(r);
		drop_body(c, r->request_body);
		return false;
	}
	if (q->until_eof) { /* the close is the end of the body */
		r->end_min = now();
		close(c->wfd);
		r->end_max = now();
		c->wfd = c->rfd = -1;
	}
	keep(r);
	if (r->status == 101 || !strcmp(q->act, "tunnel")) { /* echo whatever comes */
		for (;;) {
			if (!c->len && fill(c))
				return false;
			size_t k = c->len;
			put(c, opt.wmode, c->buf, k, true);
			consume(c, k);
		}
	}
	return keep_alive;
}

/* Threads that take turns: one reads a request, the next one answers it. */
struct relay {
	struct conn *c;
	struct request q;
	int turn, threads;
	bool done;
	pthread_mutex_t lock;
	pthread_cond_t cond;
};
struct runner {
	struct relay *relay;
	int index;
};

static void *relay_run(void *arg)
{
	struct runner *me = arg;
	struct relay *l = me->relay;
	pthread_mutex_lock(&l->lock);
	while (!l->done) {
		if (l->turn % l->threads != me->index) {
			pthread_cond_wait(&l->cond, &l->lock);
			continue;
		}
		if (l->turn % 2 == 0)
			l->done = serve_read(l->c, &l->q) < 0;
		else
			l->done = !serve_write(l->c, &l->q);
		l->turn++;
		pthread_cond_broadcast(&l->cond);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

static void serve(int fd, int server_port)
{
	struct conn c;
	conn_init(&c, fd);
	c.server_port = server_port;
	if (!strcmp(opt.handoff, "dup")) { /* read and write through other numbers */
		c.rfd = dup(fd);
		c.wfd = dup(fd);
		close(fd);
	}
	if (!strcmp(opt.handoff, "threads")) {
		struct relay l = {.c = &c, .threads = 3};
		pthread_mutex_init(&l.lock, NULL);
		pthread_cond_init(&l.cond, NULL);
		pthread_t t[3];
		struct runner run[3];
		for (int i = 0; i < 3; i++) {
			run[i] = (struct runner){&l, i};
			pthread_create(&t[i], NULL, relay_run, &run[i]);
		}
		for (int i = 0; i < 3; i++)
			pthread_join(t[i], NULL);
	} else {
		struct request q;
		while (!serve_read(&c, &q) && serve_write(&c, &q))
			;
	}
	if (opt.batch)
		batch_flush(&c);
	if (c.wfd >= 0 && c.wfd != c.rfd)
		close(c.wfd);
	if (c.rfd >= 0)
		close(c.rfd);
	conn_free(&c);
}

static void send_fd(int channel, int fd)
{
	char b = 'x', space[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec v = {&b, 1};
	struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
	struct cmsghdr *m = CMSG_FIRSTHDR(&h);
	m->cmsg_level = SOL_SOCKET;
	m->cmsg_type = SCM_RIGHTS;
	m->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(m), &fd, sizeof(int));
	if (sendmsg(channel, &h, 0) < 0)
		die("send fd");
}

static int receive_fd(int channel)
{
	char b, space[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec v = {&b, 1};
	struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
	if (recvmsg(channel, &h, 0) <= 0)
		return -1;
	int fd;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof(fd));
	return fd;
}

static void server(void)
{
	struct sigaction sa = {.sa_handler = on_term};
	sigaction(SIGTERM, &sa, NULL);
	int fd, port = 0, one = 1;
	if (opt.unix_path) {
		struct sockaddr_un a = {.sun_family = AF_UNIX};
		snprintf(a.sun_path, sizeof(a.sun_path), "%s", opt.unix_path);
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		if (bind(fd, (struct sockaddr *)&a, sizeof(a)))
			die("bind");
	} else {
		bool six = strchr(opt.ip, ':');
		struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(opt.port)};
		struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons(opt.port)};
		inet_pton(six ? AF_INET6 : AF_INET, opt.ip, six ? (void *)&a6.sin6_addr : (void *)&a4.sin_addr);
		fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(fd, six ? (void *)&a6 : (void *)&a4, six ? sizeof(a6) : sizeof(a4)))
			die("bind");
		socklen_t n = sizeof(a6);
		if (six)
			getsockname(fd, (struct sockaddr *)&a6, &n), port = ntohs(a6.sin6_port);
		else
			n = sizeof(a4), getsockname(fd, (struct sockaddr *)&a4, &n), port = ntohs(a4.sin_port);
	}
	if (listen(fd, 128))
		die("listen");
	int channel[2] = {-1, -1};
	pid_t helper = 0;
	if (!strcmp(opt.handoff, "scm")) {
		socketpair(AF_UNIX, SOCK_STREAM, 0, channel);
		helper = fork();
		if (!helper) { /* the process that serves what the other accepted */
			close(fd);
			close(channel[0]);
			for (int c; (c = receive_fd(channel[1])) >= 0;)
				serve(c, port);
			write_truth();
			exit(0);
		}
		close(channel[1]);
	}
	printf("listening %d\n", port);
	fflush(stdout);
	while (!stopping) {
		int c = accept(fd, NULL, NULL);
		if (c < 0)
			continue;
		if (!opt.unix_path)
			setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (!strcmp(opt.handoff, "fork")) {
			pid_t child = fork();
			if (!child) {
				close(fd);
				serve(c, port);
				write_truth();
				_exit(0);
			}
			close(c);
		} else if (helper) {
			send_fd(channel[0], c);
			close(c);
		} else {
			serve(c, port);
		}
	}
	if (helper)
		close(channel[0]);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	write_truth();
}

/* ---- client ---- */

static int dial(void)
{
	int one = 1, fd;
	if (opt.unix_path) {
		struct sockaddr_un a = {.sun_family = AF_UNIX};
		snprintf(a.sun_path, sizeof(a.sun_path), "%s", opt.unix_path);
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		if (connect(fd, (struct sockaddr *)&a, sizeof(a)))
			die("connect");
		return fd;
	}
	bool six = strchr(opt.ip, ':');
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(opt.port)};
	struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons(opt.port)};
	inet_pton(six ? AF_INET6 : AF_INET, opt.ip, six ? (void *)&a6.sin6_addr : (void *)&a4.sin_addr);
	fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
	if (connect(fd, six ? (void *)&a6 : (void *)&a4, six ? sizeof(a6) : sizeof(a4)))
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static int text(char **p, const char *format, ...)
{
	va_list a;
	va_start(a, format);
	int n = vsprintf(*p, format, a);
	va_end(a);
	*p += n;
	return n;
}

static void build(struct request *q, int seq, char **p, size_t *head_len)
{
	const char *eol = opt.lf ? "\n" : "\r\n";
	char target[HEAD_MAX + 160], host[128], *start = *p;
	memset(q, 0, sizeof(*q));
	struct record *r = &q->r;
	if (opt.unix_path || !opt.port)
		snprintf(host, sizeof(host), "localhost");
	else if (strchr(opt.ip, ':'))
		snprintf(host, sizeof(host), "[%s]:%d", opt.ip, opt.port);
	else
		snprintf(host, sizeof(host), "%s:%d", opt.ip, opt.port);
	char path[HEAD_MAX];
	snprintf(path, sizeof(path), "/case/%s/%s%06d%s%s", opt.cas, opt.prefix, seq, *opt.query ? "?" : "", opt.query);
	if (!strcmp(opt.form, "absolute"))
		snprintf(target, sizeof(target), "http://%s%s", host, path);
	else if (!strcmp(opt.form, "asterisk"))
		snprintf(target, sizeof(target), "*");
	else if (!strcmp(opt.form, "authority"))
		snprintf(target, sizeof(target), "case.test:443");
	else
		snprintf(target, sizeof(target), "%s", path);
	r->role = "client";
	snprintf(r->method, sizeof(r->method), "%s", opt.method);
	snprintf(r->version, sizeof(r->version), "%s", opt.version);
	snprintf(r->agent, sizeof(r->agent), "peer/%s", opt.cas);
	set_target(r, target);
	plan(q);
	r->server_port = r->peer_port = opt.unix_path ? 0 : opt.port;
	r->request_body = opt.body;
	text(p, "%s %s HTTP/%s%s", opt.method, target, opt.version, eol);
	text(p, "Host: %s%s", host, eol);
	text(p, "User-Agent: %s%s", r->agent, eol);
	if (opt.traceparent) { /* a span id of its own for every request */
		snprintf(r->traceparent, sizeof(r->traceparent), "00-%08x%08x4bf92f3577b34da6-%08x00f067aa-01", getpid(), seq + 1, seq + 1);
		text(p, "traceparent: %s%s", r->traceparent, eol);
	}
	if (opt.chunked)
		text(p, "Transfer-Encoding: chunked%s", eol);
	else if (opt.body)
		text(p, "Content-Length: %ld%s", opt.body, eol);
	if (opt.expect)
		text(p, "Expect: 100-continue%s", eol);
	if (!strcmp(q->act, "upgrade"))
		text(p, "Connection: Upgrade%sUpgrade: binary%s", eol, eol);
	else if (opt.per_conn && (seq + 1) % opt.per_conn == 0)
		text(p, "Connection: close%s", eol);
	else if (!strcmp(opt.version, "1.0") && opt.per_conn != 1)
		text(p, "Connection: keep-alive%s", eol);
	if (opt.head && *p - start < opt.head) {
		text(p, "X-Pad: ");
		while (*p - start < opt.head)
			*(*p)++ = 'p';
		text(p, "%s", eol);
	}
	text(p, "%s", eol);
	*head_len = *p - start;
	if (opt.chunked) {
		long left = opt.body;
		while (left > 0) {
			long k = left < 1000 ? left : 1000;
			text(p, "%lx\r\n", k);
			memset(*p, 'b', k);
			*p += k;
			text(p, "\r\n");
			left -= k;
		}
		text(p, "0\r\n\r\n");
	} else if (opt.wmode != SENDFILE && opt.wmode != SPLICE) {
		memset(*p, 'b', opt.body);
		*p += opt.body;
	}
}

static void client_end(struct conn *c, struct request *q, const char *how)
{
	q->r.end_min = now();
	if (!strcmp(how, "rst")) {
		hard_close(c);
	} else {
		close(c->rfd);
		c->rfd = c->wfd = -1;
	}
	q->r.end_max = now();
	q->r.status = 0;
	q->r.error = true;
	q->r.status_optional = false;
	q->r.response_body = -1;
	keep(&q->r);
}

/* client_read reads one response; false when the connection is done. */
static bool client_read(struct conn *c, struct request *q)
{
	struct record *r = &q->r;
	for (;;) {
		ssize_t n = read_head(c);
		if (n < 0) {
			r->end_min = c->rb;
			r->end_max = c->ra;
			if (!r->error)
				fprintf(stderr, "peer: %s/%s: no response: %s\n", r->cas, r->id, strerror(c->error)), exit(1);
			keep(r);
			return false;
		}
		char *head = strndup(c->buf, n), value[128];
		int status = 0;
		sscanf(head, "HTTP/%*s %d", &status);
		bool closing = header(head, "Connection", value, sizeof(value)) && !strcasecmp(value, "close");
		bool chunked = header(head, "Transfer-Encoding", value, sizeof(value));
		bool known = header(head, "Content-Length", value, sizeof(value));
		long length = atol(value);
		free(head);
		consume(c, n);
		if (status >= 100 && status < 200 && status != 101)
			continue;
		if (status != r->status) {
			fprintf(stderr, "peer: %s/%s: status %d, expected %d\n", r->cas, r->id, status, r->status);
			exit(1);
		}
		if (q->has_body) {
			if (chunked) {
				if (drop_chunked(c) != q->size)
					die("chunked body");
			} else if (known) {
				if (drop_body(c, length) && !r->error)
					die("body");
			} else {
				while (!c->eof) {
					consume(c, c->len);
					fill(c);
				}
			}
		}
		r->end_min = c->rb;
		r->end_max = c->ra;
		keep(r);
		return !closing && !c->eof;
	}
}

static void client(int fd)
{
	static struct request q[1024];
	size_t room = (size_t)opt.pipeline * (opt.body * 2 + opt.head + HEAD_MAX / 8 + strlen(opt.query)) + (1 << 20);
	char *out = malloc(room);
	struct conn c;
	bool open = false;
	int on_conn = 0;
	for (int seq = 0; seq < opt.count && !stopping;) {
		if (!open) {
			conn_init(&c, fd >= 0 ? fd : dial());
			if (!opt.unix_path) {
				struct sockaddr_storage a;
				socklen_t n = sizeof(a);
				getsockname(c.rfd, (struct sockaddr *)&a, &n);
			}
			open = true;
			on_conn = 0;
		}
		int depth = opt.pipeline < opt.count - seq ? opt.pipeline : opt.count - seq;
		char *p = out;
		size_t head = 0;
		for (int i = 0; i < depth; i++)
			build(&q[i], seq + i, &p, &head);
		size_t n = p - out;
		bool file = (opt.wmode == SENDFILE || opt.wmode == SPLICE) && opt.body && !opt.chunked;
		if (file) {
			put(&c, RW, out, n, true);
			put_file(&c, opt.wmode, opt.body);
		} else if (opt.expect) {
			put(&c, opt.wmode, out, head, true);
			uint64_t b = c.wb_first, a = c.wa_first;
			ssize_t k = read_head(&c);
			if (k < 0)
				die("100 continue");
			consume(&c, k);
			put(&c, opt.wmode, out + head, n - head, false);
			c.wb_first = b;
			c.wa_first = a;
		} else if (opt.separate) {
			put(&c, opt.wmode, out, head, true);
			sleep_us(2000);
			put(&c, opt.wmode, out + head, n - head, false);
		} else if (opt.wmode == MORE && opt.body) {
			c.wb_first = now();
			if (send(c.wfd, out, head, MSG_MORE) < 0)
				die("send");
			c.wa_first = now();
			put(&c, opt.wmode, out + head, n - head, false);
		} else {
			size_t part = (n + opt.split - 1) / opt.split;
			for (size_t at = 0; at < n; at += part) {
				if (put(&c, opt.wmode, out + at, n - at < part ? n - at : part, !at))
					die("put");
				if (at + part < n)
					sleep_us(300);
			}
		}
		for (int i = 0; i < depth; i++) {
			q[i].r.start_min = c.wb_first;
			q[i].r.start_max = i ? c.wa_last : c.wa_first;
		}
		if (!strcmp(opt.end, "half"))
			shutdown(c.wfd, SHUT_WR);
		if (!strcmp(opt.end, "giveup") || !strcmp(opt.end, "rst")) {
			sleep_us(opt.wait_us);
			client_end(&c, &q[0], opt.end);
			open = false;
		} else {
			bool more = true;
			for (int i = 0; i < depth; i++)
				more = client_read(&c, &q[i]);
			if (q[0].r.status == 101 || !strcmp(q[0].act, "tunnel")) {
				for (int round = 0; round < 20; round++) {
					char junk[2000];
					for (size_t i = 0; i < sizeof(junk); i++)
						junk[i] = (char)(i * 7 + round * 13 + (i >> 3));
					put(&c, opt.wmode, junk, sizeof(junk), true);
					drop_body(&c, sizeof(junk));
				}
				more = false;
			}
			on_conn += depth;
			if (!more || !strcmp(opt.end, "half") || (opt.per_conn && on_conn >= opt.per_conn)) {
				if (c.rfd >= 0)
					close(c.rfd);
				open = false;
			}
		}
		if (!open)
			conn_free(&c);
		seq += depth;
		sleep_us(opt.interval_us);
	}
	if (open) {
		close(c.rfd);
		conn_free(&c);
	}
	free(out);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"truth", 1, 0, 't'},	 {"unix", 1, 0, 'u'},	   {"ip", 1, 0, 'i'},	     {"port", 1, 0, 'p'},     {"case", 1, 0, 'c'},
		{"prefix", 1, 0, 'x'},	 {"method", 1, 0, 'm'},	   {"query", 1, 0, 'q'},     {"version", 1, 0, 'v'},  {"form", 1, 0, 'f'},
		{"end", 1, 0, 'e'},	 {"handoff", 1, 0, 'H'},   {"read", 1, 0, 'R'},	     {"write", 1, 0, 'W'},    {"count", 1, 0, 'n'},
		{"per-conn", 1, 0, 'k'}, {"pipeline", 1, 0, 'P'},  {"head", 1, 0, 'h'},	     {"split", 1, 0, 's'},    {"interval", 1, 0, 'I'},
		{"wait", 1, 0, 'w'},	 {"body", 1, 0, 'b'},	   {"chunked", 0, 0, 'C'},   {"separate", 0, 0, 'S'}, {"batch", 0, 0, 'B'},
		{"lf", 0, 0, 'L'},	 {"expect", 0, 0, 'E'},	   {"traceparent", 0, 0, 'T'}, {"io", 1, 0, 'O'},	      {0, 0, 0, 0},
	};
	signal(SIGPIPE, SIG_IGN);
	if (argc < 2)
		return 2;
	for (int o; (o = getopt_long(argc - 1, argv + 1, "", longs, NULL)) >= 0;) {
		switch (o) {
		case 't': opt.truth = optarg; break;
		case 'u': opt.unix_path = optarg; break;
		case 'i': opt.ip = optarg; break;
		case 'p': opt.port = atoi(optarg); break;
		case 'c': opt.cas = optarg; break;
		case 'x': opt.prefix = optarg; break;
		case 'm': opt.method = optarg; break;
		case 'q': opt.query = optarg; break;
		case 'v': opt.version = optarg; break;
		case 'f': opt.form = optarg; break;
		case 'e': opt.end = optarg; break;
		case 'H': opt.handoff = optarg; break;
		case 'R': opt.rmode = parse_mode(optarg); break;
		case 'W': opt.wmode = parse_mode(optarg); break;
		case 'O': opt.rmode = opt.wmode = parse_mode(optarg); break;
		case 'n': opt.count = atoi(optarg); break;
		case 'k': opt.per_conn = atoi(optarg); break;
		case 'P': opt.pipeline = atoi(optarg); break;
		case 'h': opt.head = atoi(optarg); break;
		case 's': opt.split = atoi(optarg); break;
		case 'I': opt.interval_us = atoi(optarg); break;
		case 'w': opt.wait_us = atoi(optarg); break;
		case 'b': opt.body = atol(optarg); break;
		case 'C': opt.chunked = true; break;
		case 'S': opt.separate = true; break;
		case 'B': opt.batch = true; break;
		case 'L': opt.lf = true; break;
		case 'E': opt.expect = true; break;
		case 'T': opt.traceparent = "y"; break;
		default: return 2;
		}
	}
	if (!strcmp(argv[1], "server")) {
		server();
	} else if (!strcmp(argv[1], "client")) {
		struct sigaction sa = {.sa_handler = on_term};
		sigaction(SIGTERM, &sa, NULL);
		is_client = true;
		client(-1);
		write_truth();
	} else if (!strcmp(argv[1], "pair")) {
		int s[2];
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, s))
			die("socketpair");
		pid_t child = fork();
		if (!child) {
			close(s[0]);
			serve(s[1], 0);
			write_truth();
			_exit(0);
		}
		close(s[1]);
		opt.per_conn = 0;
		client(s[0]);
		write_truth();
		wait(NULL);
	} else {
		return 2;
	}
	return 0;
}
