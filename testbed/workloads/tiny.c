// SPDX-License-Identifier: Apache-2.0
/*
 * tiny is a process that costs next to nothing to start: no C library, which in a
 * virtual machine takes half a millisecond to ask what CPU it has.
 *
 *   tiny nothing       ends
 *   tiny get PORT ID   makes one request of /storm/ID
 *   tiny serve         serves HTTP on a free port, whose number it prints; dies with its parent
 *
 * gcc -O2 -static -nostdlib -ffreestanding -fno-stack-protector
 */
#include <asm/unistd.h>
#include <linux/in.h>
#include <linux/prctl.h>

#if defined(__x86_64__)
static long call(long nr, long a, long b, long c)
{
	long r;

	__asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return r;
}
__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall begin\n");
#elif defined(__aarch64__)
static long call(long nr, long a, long b, long c)
{
	register long x8 __asm__("x8") = nr, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
	return x0;
}
__asm__(".globl _start\n_start:\n\tmov x0, sp\n\tbl begin\n");
#endif

#define AF_INET 2
#define SOCK_STREAM 1
#define SIGKILL 9

static char buffer[2048];

static char *put(char *to, const char *from)
{
	while (*from)
		*to++ = *from++;
	return to;
}

static void quit(int status)
{
	call(__NR_exit_group, status, 0, 0);
	__builtin_unreachable();
}

static void get(const char *port, const char *id)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = __builtin_bswap32(INADDR_LOOPBACK)};
	int fd = call(__NR_socket, AF_INET, SOCK_STREAM, 0), n = 0;
	char *end = buffer;
	long got;

	while (*port)
		n = n * 10 + *port++ - '0';
	a.sin_port = __builtin_bswap16(n);
	if (fd < 0 || call(__NR_connect, fd, (long)&a, sizeof(a)) < 0)
		quit(1);
	end = put(put(put(end, "GET /storm/"), id), " HTTP/1.1\r\nHost: tiny\r\nConnection: close\r\n\r\n");
	if (call(__NR_write, fd, (long)buffer, end - buffer) != end - buffer)
		quit(1);
	while ((got = call(__NR_read, fd, (long)buffer, sizeof(buffer))) > 0)
		;
	quit(got < 0);
}

static void serve(void)
{
	static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = __builtin_bswap32(INADDR_LOOPBACK)};
	unsigned int length = sizeof(a), port;
	int l = call(__NR_socket, AF_INET, SOCK_STREAM, 0), fd;
	char *p = buffer + 8;

	call(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL, 0);
	if (l < 0 || call(__NR_bind, l, (long)&a, length) < 0 || call(__NR_listen, l, 16, 0) < 0 ||
	    call(__NR_getsockname, l, (long)&a, (long)&length) < 0)
		quit(1);
	port = __builtin_bswap16(a.sin_port);
	for (*--p = '\n'; port; port /= 10)
		*--p = '0' + port % 10;
	call(__NR_write, 1, (long)p, buffer + 8 - p);
	for (;;) {
		fd = call(__NR_accept, l, 0, 0);
		if (fd < 0)
			continue;
		if (call(__NR_read, fd, (long)buffer, sizeof(buffer)) > 0)
			call(__NR_write, fd, (long)response, sizeof(response) - 1);
		call(__NR_close, fd, 0, 0);
	}
}

__attribute__((used)) static void begin(long *stack)
{
	long argc = stack[0];
	char **argv = (char **)(stack + 1);

	if (argc == 4)
		get(argv[2], argv[3]);
	if (argc == 2 && argv[1][0] == 's')
		serve();
	quit(argc == 2 ? 0 : 2);
}
