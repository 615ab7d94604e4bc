// SPDX-License-Identifier: Apache-2.0
//
// bulk HOST PORT TAG N: what only MariaDB's clients do: arrays of parameters in one
// execution, and preparing and executing in one go. Prints what it did: see truth in the
// test.
#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(1);
}

int main(int argc, char **argv)
{
	MYSQL *m = mysql_init(NULL);
	char text[256];
	long long begin;
	int k;

	if (argc != 5 || !mysql_real_connect(m, argv[1], "app", "secret", "shop", atoi(argv[2]), NULL, 0))
		fail(mysql_error(m));
	/* A process is looked at when it has been there for a little while. */
	for (begin = now(); now() - begin < 300000000;)
		mysql_ping(m);
	mysql_close(m);
	m = mysql_init(NULL);
	if (!mysql_real_connect(m, argv[1], "app", "secret", "shop", atoi(argv[2]), NULL, 0))
		fail(mysql_error(m));
	for (k = 0; k < atoi(argv[4]); k++) {
		MYSQL_STMT *s = mysql_stmt_init(m);
		long long start;

		snprintf(text, sizeof(text), "INSERT INTO notes (id, v) /* id_%s_%d */ VALUES (?, ?)", argv[3], k);
		if (k % 2) {
			unsigned int rows = 2 + k % 50, i;
			int ids[64];
			char *texts[64];
			unsigned long lengths[64];
			MYSQL_BIND b[2];

			memset(b, 0, sizeof(b));
			for (i = 0; i < rows; i++) {
				ids[i] = i;
				texts[i] = "a text";
				lengths[i] = 6;
			}
			b[0].buffer_type = MYSQL_TYPE_LONG;
			b[0].buffer = ids;
			b[1].buffer_type = MYSQL_TYPE_STRING;
			b[1].buffer = texts;
			b[1].length = lengths;
			if (mysql_stmt_prepare(s, text, strlen(text)))
				fail(mysql_stmt_error(s));
			mysql_stmt_attr_set(s, STMT_ATTR_ARRAY_SIZE, &rows);
			mysql_stmt_bind_param(s, b);
			start = now();
			if (mysql_stmt_execute(s))
				fail(mysql_stmt_error(s));
			printf("{\"id\": \"id_%s_%d\", \"summary\": \"INSERT notes\", \"rows\": -1, \"batch\": %u, \"start\": %lld, \"end\": %lld}\n", argv[3], k, rows, start, now());
		} else {
			unsigned int parameters = 2;
			MYSQL_BIND b[2];
			int id = k;

			memset(b, 0, sizeof(b));
			b[0].buffer_type = MYSQL_TYPE_LONG;
			b[0].buffer = &id;
			b[1].buffer_type = MYSQL_TYPE_NULL;
			mysql_stmt_attr_set(s, STMT_ATTR_PREBIND_PARAMS, &parameters);
			mysql_stmt_bind_param(s, b);
			start = now();
			if (mariadb_stmt_execute_direct(s, text, strlen(text)))
				fail(mysql_stmt_error(s));
			printf("{\"id\": \"id_%s_%d\", \"summary\": \"INSERT notes\", \"rows\": -1, \"start\": %lld, \"end\": %lld}\n", argv[3], k, start, now());
		}
		mysql_stmt_close(s);
	}
	mysql_close(m);
	return 0;
}
