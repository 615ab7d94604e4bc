// SPDX-License-Identifier: Apache-2.0

/*
 * bystander: a program without sockets. It writes single bytes to /dev/null for
 * the given number of milliseconds and prints the median ns per write over
 * batches of 10,000.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	enum { BATCH = 10000, MAX = 100000 };
	static double batches[MAX];
	double until = now() + (argc > 1 ? atof(argv[1]) : 1000) * 1e6;
	int fd = open("/dev/null", O_WRONLY), n = 0;
	while (n < MAX && (n == 0 || now() < until)) {
		double start = now();
		for (int i = 0; i < BATCH; i++)
			if (write(fd, "x", 1) != 1)
				return 1;
		batches[n++] = (now() - start) / BATCH;
	}
	qsort(batches, n, sizeof(batches[0]), ascending);
	printf("%.2f\n", batches[n / 2]);
	return 0;
}
