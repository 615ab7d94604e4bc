// SPDX-License-Identifier: Apache-2.0

package sqltext

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
)

// analyze checks that all ways to analyze a text agree.
func analyze(t *testing.T, text string, d Dialect) (string, Query) {
	t.Helper()
	table := intern.New(16)
	out, q := Analyze(nil, []byte(text), d, table)
	require.Equal(t, string(out), string(Sanitize(nil, []byte(text), d)), text)
	require.Equal(t, q, Describe([]byte(text), d, table), text)
	require.Equal(t, q.Summary, Summarize([]byte(text), d, table), text)
	return string(out), q
}

// The behaviour which the test cases of the conventions ask for (docs/non-normative/
// database-test-cases/db-sql-test-cases.json), in our own words. They want "UPDATE" for
// `UPDATE T SET A = (999)`; the text of the conventions wants the table, too.
func TestConventions(t *testing.T) {
	long := strings.Repeat("v", 260)
	for _, tc := range [][3]string{
		{"SELECT 7, -7, +7", "SELECT ?, ?, ?", "SELECT"},
		{"SELECT 1.25, -1.25, +1.25, .5, -.5", "SELECT ?, ?, ?, ?, ?", "SELECT"},
		{"SELECT 1.5e10, -1.5e10, 1.5e-10, +1.5E+10", "SELECT ?, ?, ?, ?", "SELECT"},
		{"SELECT 10+20", "SELECT ??", "SELECT"},
		{"SELECT 0xCAFE, 0Xcafe", "SELECT ?, ?", "SELECT"},
		{"SELECT 'x', 'it''s', 'two\nlines'", "SELECT ?, ?, ?", "SELECT"},
		{"SELECT a1b, r2 FROM t9 WHERE n1h1=42", "SELECT a1b, r2 FROM t9 WHERE n1h1=?", "SELECT t9"},
		{"SELECT a FROM s.T JOIN s.U", "SELECT a FROM s.T JOIN s.U", "SELECT s.T s.U"},
		{"INSERT INTO X VALUES(1, 23, 4.5, 6+7)", "INSERT INTO X VALUES(?, ?, ?, ??)", "INSERT X"},
		{"SELECT { guid '0-1' }", "SELECT { guid ? }", "SELECT"},
		{"SELECT * FROM table WHERE v IN (1, 2, 'c')", "SELECT * FROM table WHERE v IN (?)", "SELECT table"},
		{"SELECT * FROM table WHERE v IN (-1, .4, 'c', 0xAB, 1e10)", "SELECT * FROM table WHERE v IN (?)", "SELECT table"},
		{"SELECT * FROM table WHERE v IN ('c', 0xAB, .4,", "SELECT * FROM table WHERE v IN (?, ?, ?,", "SELECT table"},
		{"SELECT c -- line\nFROM /* block \n comment */ table", "SELECT c \nFROM  table", "SELECT table"},
		{"INSERT INTO d\n(a,\nb)\nSELECT a,\nb\nFROM   o\nWHERE  a = 1", "INSERT INTO d\n(a,\nb)\nSELECT a,\nb\nFROM   o\nWHERE  a = ?", "INSERT d SELECT o"},
		{"SELEcT d\nFROM   (sELECT *\nFROM   o x\nJOIN c\nON x.i = c.i)", "", "SELEcT sELECT o c"},
		{"SELECT * FROM O o CROSS JOIN D d", "", "SELECT O D"},
		{"SELECT * FROM O o, D d", "", "SELECT O D"},
		{"SELECT *\nFROM \"song list\",\n 'x'", "", `SELECT "song list"`},
		{"CREATE  TABLE My (\n    ID NOT NULL IDENTITY(1,1) PRIMARY KEY\n)", "CREATE  TABLE My (\n    ID NOT NULL IDENTITY(?,?) PRIMARY KEY\n)", "CREATE TABLE My"},
		{"CREATE TABLE IF NOT EXISTS U (Id INT, N VARCHAR(100));", "CREATE TABLE IF NOT EXISTS U (Id INT, N VARCHAR(?));", "CREATE TABLE U"},
		{"ALTER  TABLE My 'secret' ADD 123 N varchar(255)", "ALTER  TABLE My ? ADD ? N varchar(?)", "ALTER TABLE My"},
		{"ALTER TABLE O RENAME COLUMN a TO b;", "", "ALTER TABLE O"},
		{"DROP  TABLE My", "", "DROP TABLE My"},
		{"SELECT * FROM SelectedData", "", "SELECT SelectedData"},
		{"SELECT * FROM " + long + " o, D d", "", "SELECT"},
		{"CREATE UNIQUE CLUSTERED INDEX IX ON E (Email);", "", "CREATE INDEX IX"},
		{"CREATE INDEX IX ON O (C) INCLUDE (D, T);", "", "CREATE INDEX IX"},
		{"SELECT DISTINCT o.I FROM O o JOIN C c ON o.C = c.I", "", "SELECT O C"},
		{"CREATE VIEW A AS SELECT * FROM U WHERE I = 1;", "CREATE VIEW A AS SELECT * FROM U WHERE I = ?;", "CREATE VIEW A"},
		{"ALTER VIEW A AS SELECT * FROM U;", "", "ALTER VIEW A"},
		{"CREATE PROCEDURE G @U INT AS SELECT * FROM U WHERE Id = @U;", "", "CREATE PROCEDURE G"},
		{"CREATE TRIGGER tr ON O AFTER UPDATE AS BEGIN UPDATE O SET a = 1 WHERE I IN (SELECT I FROM x); END;", "", "CREATE TRIGGER tr"},
		{"ALTER TRIGGER tr ON E AFTER INSERT AS BEGIN INSERT INTO A (E) SELECT I, 'INSERT' FROM x; END;", "", "ALTER TRIGGER tr"},
		{"DROP TRIGGER IF EXISTS tr;", "", "DROP TRIGGER tr"},
		{"DROP PROCEDURE IF EXISTS p;", "", "DROP PROCEDURE p"},
		{"SELECT o.I, SUM(oi.Q) FROM O o JOIN C c ON o.C = c.I JOIN X oi ON o.I = oi.O GROUP BY o.I, c.N;", "", "SELECT O C X"},
		{"SELECT DISTINCT D, COUNT(*) OVER (PARTITION BY D) AS N FROM E;", "", "SELECT E"},
		{"SELECT I, N FROM C UNION SELECT I, N FROM S ORDER BY N;", "", "SELECT C S"},
		{"CREATE DATABASE T;", "", "CREATE DATABASE T"},
		{"ALTER SCHEMA R TRANSFER dbo.O;", "", "ALTER SCHEMA R"},
		{"DROP SCHEMA IF EXISTS R;", "", "DROP SCHEMA R"},
		{"CREATE SEQUENCE S START WITH 1 INCREMENT BY 1;", "CREATE SEQUENCE S START WITH ? INCREMENT BY ?;", "CREATE SEQUENCE S"},
		{"CREATE FUNCTION dbo.G(@a INT) RETURNS INT AS BEGIN RETURN @a + @b; END;", "CREATE FUNCTION dbo.G(@a INT) RETURNS INT AS BEGIN RETURN @a + @b; END;", "CREATE FUNCTION dbo.G"},
		{"CREATE USER j WITH PASSWORD = 'password';", "CREATE USER j WITH PASSWORD = ?;", "CREATE USER j"},
		{"DROP ROLE IF EXISTS r;", "", "DROP ROLE r"},
		{"ALTER INDEX IX ON E REBUILD;", "", "ALTER INDEX IX"},
		{"EXEC sp_rename 'Old', 'New';", "EXEC sp_rename ?, ?;", "EXEC sp_rename"},
		{"EXEC G @E = 42;", "EXEC G @E = ?;", "EXEC G"},
		{"UPDATE T SET A = (999);", "UPDATE T SET A = (?);", "UPDATE T"},
		{"SELECT ABS((123)) AS C;", "SELECT ABS((?)) AS C;", "SELECT"},
		{"SELECT * FROM T WHERE A BETWEEN (10) AND (20);", "SELECT * FROM T WHERE A BETWEEN (?) AND (?);", "SELECT T"},
		{"CREATE TABLE Table (N VARCHAR(255), C CHAR(10));", "CREATE TABLE Table (N VARCHAR(?), C CHAR(?));", "CREATE TABLE Table"},
		{"SELECT TOP 10 * FROM E", "SELECT TOP ? * FROM E", "SELECT E"},
	} {
		text, q := analyze(t, tc[0], PostgreSQL)
		if tc[1] != "" {
			require.Equal(t, tc[1], text)
		}
		require.Equal(t, tc[2], q.Summary.Summary, tc[0])
	}
}

func TestPostgreSQL(t *testing.T) {
	for _, tc := range [][3]string{
		{"select $1::int, $2 from t where a = E'x\\'y' and b='c'", "select $1::int, $2 from t where a = ? and b=?", "select t"},
		{`select U&'d\0061t', U&"d\0061t", B'10', x'ff', n'x'`, `select ?, U&"d\0061t", ?, ?, ?`, "select"},
		{"select $$it's$$, $a$ $$ ' $b$ $a$, $1", "select ?, ?, $1", "select"},
		{"select $x$ unfinished", "select ?", "select"},
		{"select 'a\\', b", "select ?, b", "select"},
		{"select /* a /* b */ 'c' */ 1", "select  ?", "select"},
		{"select a->'k', b ?| c, n-1, (n)-1, $1-1 from t", "select a->?, b ?| c, n-?, (n)-?, $1-? from t", "select t"},
		{"select true, FALSE, null, truex", "select ?, ?, null, truex", "select"},
		{"select * from t where a in ($1, $2) and b in ($1, 5) and c not in (1,2)", "select * from t where a in ($1, $2) and b in ($1, ?) and c not in (?)", "select t"},
		{"select extract(year from d), trim(both 'x' from y), a is distinct from b from t", "", "select t"},
		{"with a as (select * from t), b(x) as materialized (select 1 from u) select * from a join b using (x) join v on true", "", "with-less: select t select u select v"},
		{"with recursive r as (select 1 union all select n+1 from r) select * from r", "", "select select"},
		{"with gone as (delete from t where a < 1 returning *) insert into u select * from gone", "", "delete t insert u select"},
		{"insert into t (a, b) values ($1, 'x') on conflict (a) do update set b = excluded.b returning id", "insert into t (a, b) values ($1, ?) on conflict (a) do update set b = excluded.b returning id", "insert t"},
		{"update only t set a = u.a from u, v where t.i = u.i", "", "update t u v"},
		{"delete from t using u where t.i = u.i", "", "delete t u"},
		{"merge into t using s on t.i = s.i when matched then update set a = 1 when not matched then insert values (1)", "", "merge t s"},
		{"select * from t where exists (select 1 from u where u.i in (select i from v)) for update", "", "select t select u select v"},
		{"(select a from t) union all (select a from u) order by 1", "", "select t u"},
		{"select * from (values (1, 'a')) v(a, b), lateral (select 2) x, f(3)", "", "select select f"},
		{"select * from (a join b on true), (c)", "", "select a b c"},
		{"table t", "", "table t"},
		{"copy t (a, b) from stdin with (format csv)", "", "copy t"},
		{"copy (select * from t) to stdout", "", "copy select t"},
		{"explain (analyze, buffers) select * from t", "", "explain select t"},
		{"explain analyze verbose delete from t", "", "explain delete t"},
		{"vacuum analyze pgbench_branches", "", "vacuum pgbench_branches"},
		{"truncate table a, b cascade", "", "truncate table a b"},
		{"truncate a", "", "truncate a"},
		{"drop table if exists a, s.b cascade", "", "drop table a s.b"},
		{"create index on t (a)", "", "create index"},
		{"create index concurrently if not exists i on t (a)", "", "create index i"},
		{"create or replace function f(a int) returns int language sql as $$ select 'x' $$; select 1 from t", "create or replace function f(a int) returns int language sql as ?; select ? from t", "create function f select t"},
		{"create materialized view v as select * from t", "", "create view v"},
		{"refresh materialized view concurrently v", "", "refresh v"},
		{"begin", "begin", "begin"},
		{"BEGIN ISOLATION LEVEL SERIALIZABLE; UPDATE a SET b=1; COMMIT", "BEGIN ISOLATION LEVEL SERIALIZABLE; UPDATE a SET b=?; COMMIT", "BEGIN UPDATE a COMMIT"},
		{"start transaction read only", "", "start transaction"},
		{"rollback to savepoint a", "", "rollback"},
		{"set search_path to 'x', y", "set search_path to ?, y", "set"},
		{"show server_version", "", "show server_version"},
		{"call p(1, 'x')", "call p(?, ?)", "call p"},
		{"prepare q as select * from t where a = $1", "", "prepare select t"},
		{"prepare q(int) as insert into t values ($1)", "", "prepare insert t"},
		{"execute q(1)", "execute q(?)", "execute q"},
		{"declare c cursor for select * from t", "", "declare select t"},
		{"fetch 10 from c", "fetch ? from c", "fetch"},
		{"listen channel_1", "", "listen"},
		{"grant select, update on t to u", "", "grant"},
		{"lock table t in share mode", "", "lock t"},
		{"alter system set work_mem = '1GB'", "alter system set work_mem = ?", "alter system"},
		{"values (1), (2)", "values (?), (?)", "values"},
		{"select * from s.", "", "select"},
		{`select * from "a"."b`, `select * from "a".?`, "select"},
		{`select * from "a b"."c""d".e x`, "", `select "a b"."c""d".e`},
		{"-- only a comment", "", ""},
		{"", "", ""},
		{";;", ";;", ""},
		{"8f3a bogus", "? bogus", "bogus"},
	} {
		text, q := analyze(t, tc[0], PostgreSQL)
		if tc[1] != "" {
			require.Equal(t, tc[1], text)
		}
		require.Equal(t, strings.TrimPrefix(tc[2], "with-less: "), q.Summary.Summary, tc[0])
	}
	text, _ := analyze(t, `select 'it\'s', b`, PostgreSQLEscapes)
	require.Equal(t, "select ?, b", text)
}

func TestMySQL(t *testing.T) {
	for _, tc := range [][3]string{
		{"SELECT \"a\\\"b\", 'c\\'d', `e` FROM `db`.`t` WHERE x = ?", "SELECT ?, ?, `e` FROM `db`.`t` WHERE x = ?", "SELECT `db`.`t`"},
		{"SELECT 1 # c 'x\nFROM t -- d\n, u", "SELECT ? \nFROM t \n, u", "SELECT t u"},
		{"SELECT 5--3 FROM t", "SELECT ?-? FROM t", "SELECT t"},
		{"/*!40101 SET NAMES utf8 */", " SET NAMES utf8 ", "SET"},
		{"/* gone 'x' */SELECT _utf8'x', N'y', x'0f', b'1', 0xff, @a, @@b.c", "SELECT _utf8?, ?, ?, ?, ?, @a, @@b.c", "SELECT"},
		{"INSERT IGNORE t VALUES (1,2),(3,4) ON DUPLICATE KEY UPDATE a = 5", "INSERT IGNORE t VALUES (?,?),(?,?) ON DUPLICATE KEY UPDATE a = ?", "INSERT t"},
		{"REPLACE INTO t SET a = 1", "", "REPLACE t"},
		{"UPDATE LOW_PRIORITY a JOIN b ON a.i = b.i SET a.x = 1", "", "UPDATE a b"},
		{"DELETE a FROM a LEFT JOIN b ON a.i = b.i", "", "DELETE a b"},
		{"LOAD DATA LOCAL INFILE '/tmp/x' INTO TABLE t FIELDS TERMINATED BY ','", "LOAD DATA LOCAL INFILE ? INTO TABLE t FIELDS TERMINATED BY ?", "LOAD DATA t"},
		{"SELECT * FROM t WHERE a IN (?, ?, ?) LIMIT 10", "SELECT * FROM t WHERE a IN (?) LIMIT ?", "SELECT t"},
		{"SELECT * FROM \"t\"", "SELECT * FROM ?", "SELECT"},
		{"USE shop", "", "USE shop"},
		{"SHOW FULL TABLES", "", "SHOW TABLES"},
		{"CREATE DEFINER=`root`@`localhost` PROCEDURE p() BEGIN SELECT 1; SELECT 2; END", "", "CREATE PROCEDURE p"},
		{"CREATE USER 'bob'@'%' IDENTIFIED BY 'x'", "CREATE USER ?@? IDENTIFIED BY ?", "CREATE USER"},
		{"SELECT a FROM t STRAIGHT_JOIN u FORCE INDEX (i, j) WHERE 1", "", "SELECT t u"},
		{"SELECT 'a' 'b', 'c", "SELECT ? ?, ?", "SELECT"},
	} {
		text, q := analyze(t, tc[0], MySQL)
		if tc[1] != "" {
			require.Equal(t, tc[1], text)
		}
		require.Equal(t, tc[2], q.Summary.Summary, tc[0])
	}
}

func TestCQL(t *testing.T) {
	for _, tc := range [][3]string{
		{"SELECT * FROM ks.t WHERE id = a1b2c3d4-0000-4000-8000-abcdefabcdef AND n = ?", "SELECT * FROM ks.t WHERE id = ? AND n = ?", "SELECT ks.t"},
		{"SELECT * FROM ks.t WHERE id = a1b2c3d4-0000-4000-80", "SELECT * FROM ks.t WHERE id = ?", "SELECT ks.t"},
		{"INSERT INTO t (a, b) VALUES (:a, 12h30m) IF NOT EXISTS USING TTL 3", "INSERT INTO t (a, b) VALUES (:a, ?) IF NOT EXISTS USING TTL ?", "INSERT t"},
		{"UPDATE t USING TTL 5 SET a = {'k': 'v'}, d = P1Y2M WHERE b = 0xCAFE // c", "UPDATE t USING TTL ? SET a = {?: ?}, d = ? WHERE b = ? ", "UPDATE t"},
		{"DELETE a FROM t USING TIMESTAMP 1 WHERE b = $$x'y$$", "DELETE a FROM t USING TIMESTAMP ? WHERE b = ?", "DELETE t"},
		{"BEGIN UNLOGGED BATCH INSERT INTO t (a) VALUES (1) UPDATE u SET a = 2 DELETE FROM v WHERE a = 3 APPLY BATCH", "", "BEGIN BATCH INSERT t UPDATE u DELETE v"},
		{"BEGIN BATCH INSERT INTO t (a) VALUES (1); UPDATE u SET a = 2; APPLY BATCH;", "", "BEGIN BATCH INSERT t UPDATE u"},
		{"CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy'}", "CREATE KEYSPACE k WITH replication = {?: ?}", "CREATE KEYSPACE k"},
		{"SELECT * FROM system.local", "", "SELECT system.local"},
	} {
		text, q := analyze(t, tc[0], CQL)
		if tc[1] != "" {
			require.Equal(t, tc[1], text)
		}
		require.Equal(t, tc[2], q.Summary.Summary, tc[0])
	}
}

func TestSingles(t *testing.T) {
	for _, tc := range [][4]string{
		{"SELECT a FROM t", "SELECT", "t", ""},
		{"SELECT a FROM t, u", "SELECT", "", ""},
		{"INSERT INTO t SELECT * FROM u", "", "", ""},
		{"CREATE TABLE t (a int)", "CREATE", "t", ""},
		{"CREATE INDEX i ON t (a)", "CREATE", "", ""},
		{"CALL p(1)", "CALL", "", "p"},
		{"CALL p(1); CALL p(2)", "", "", ""},
		{"COMMIT", "COMMIT", "", ""},
		{"USE x", "USE", "", ""},
	} {
		_, q := analyze(t, tc[0], PostgreSQL)
		require.Equal(t, tc[1:], []string{q.Operation, q.Collection, q.Procedure}, tc[0])
	}
	for text, want := range map[string]bool{"select 1": false, "select $1": true, "select '$1'": false, "select $a$ $1 $a$": false} {
		_, q := analyze(t, text, PostgreSQL)
		require.Equal(t, want, q.Parameterized, text)
	}
}

func TestTrim(t *testing.T) {
	for in, want := range map[string]string{"select * from s.tab": "select * from ", "select 12.3": "select ", "select 'ab c": "select 'ab ", "": "", "x": ""} {
		require.Equal(t, want, string(Trim([]byte(in))))
	}
}

func TestDepth(t *testing.T) {
	text := strings.Repeat("(", 1000) + "select a from b" + strings.Repeat(")", 1000) + "; select c from d"
	_, q := analyze(t, text, PostgreSQL)
	require.Equal(t, "select d", q.Summary.Summary)
	_, q = analyze(t, "select 1 from "+strings.Repeat("(select 1 from ", 10)+"t"+strings.Repeat(") x", 10)+" join u on true", PostgreSQL)
	require.Equal(t, strings.Repeat("select ", 11)+"t u", q.Summary.Summary)
}
