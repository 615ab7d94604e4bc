// SPDX-License-Identifier: Apache-2.0
/*
 * storm makes many processes of tiny.c. Where copies of that are is what rules go by.
 *
 *   storm herd N PROGRAM
 *       Starts N that serve, each of which prints its port. All end with it, and that
 *       when its input ends.
 *   storm run RATE SECONDS SELECTED OTHER PORT
 *       Starts RATE processes a second, half of either program. A twentieth are of
 *       SELECTED and request /storm/sN, another one are of OTHER and request
 *       /storm/oN; the rest do nothing. Prints how many have ended, how many of them
 *       badly, and how many ms it took.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
	fprintf(stderr, "storm: %s: %s\n", what, strerror(errno));
	exit(1);
}

extern char **environ;

static pid_t spawn(char *const argv[])
{
	pid_t pid;

	errno = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);
	if (errno)
		die(argv[0]);
	return pid;
}

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int herd(int count, char *program)
{
	char *argv[] = {program, "serve", NULL}, c;

	for (int i = 0; i < count; i++)
		spawn(argv);
	while (read(0, &c, 1) > 0)
		;
	return 0;
}

static int run(int rate, int seconds, char *selected, char *other, char *port)
{
	long long begin = now(), failed = 0;
	int total = rate * seconds, status, ended = 0;

	for (int i = 0; i < total; i++) {
		char id[32], *nothing[] = {other, "nothing", NULL}, *request[] = {NULL, "get", port, id, NULL};
		long long due = begin + i * 1000000000LL / rate, t;

		if (i % 20 == 0) {
			snprintf(id, sizeof(id), "s%d", i);
			request[0] = selected;
			spawn(request);
		} else if (i % 20 == 10) {
			snprintf(id, sizeof(id), "o%d", i);
			request[0] = other;
			spawn(request);
		} else {
			nothing[0] = i % 2 ? other : selected;
			spawn(nothing);
		}
		while (waitpid(-1, &status, WNOHANG) > 0) {
			ended++;
			failed += status != 0;
		}
		t = now();
		if (t < due) {
			struct timespec d = {.tv_nsec = due - t};

			nanosleep(&d, NULL);
		}
	}
	while (ended < total && wait(&status) > 0) {
		ended++;
		failed += status != 0;
	}
	printf("%d %lld %lld\n", ended, failed, (now() - begin) / 1000000);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "herd"))
		return herd(atoi(argv[2]), argv[3]);
	if (argc == 7 && !strcmp(argv[1], "run"))
		return run(atoi(argv[2]), atoi(argv[3]), argv[4], argv[5], argv[6]);
	fprintf(stderr, "storm: see its source\n");
	return 2;
}
