// SPDX-License-Identifier: Apache-2.0

// Package mysql compares what is reported of MySQL's protocol with what clients did:
// MariaDB's server; go-sql-driver, PyMySQL, mysqlclient, mysql2, MariaDB's CLI and C
// library.
package mysql

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols"
	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/protocols/databases"
)

// setup is one statement per line, as --init-file wants it.
const setup = `CREATE DATABASE shop;
CREATE DATABASE lab;
CREATE USER 'app'@'%' IDENTIFIED BY 'secret';
GRANT ALL ON *.* TO 'app'@'%';
CREATE TABLE shop.items (id INT, v VARCHAR(64));
INSERT INTO shop.items SELECT seq, CONCAT('value ', seq) FROM mysql.seq_0_to_39;
CREATE TABLE shop.notes (id INT, v TEXT, w LONGTEXT);
CREATE TABLE lab.things (v INT);
INSERT INTO lab.things VALUES (1), (2);
`

// server is a running mariadbd.
type server struct {
	*groundtruth.Process
	socket string
	port   string
}

func startServer(t *testing.T) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "otelcol-ebpf-mysql-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	nobody, err := user.Lookup("nobody")
	require.NoError(t, err)
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Chown(dir, uid, gid))
	data := filepath.Join(dir, "data")
	out, err := exec.Command("mariadb-install-db", "--no-defaults", "--user=nobody", "--datadir="+data, "--skip-test-db",
		"--auth-root-authentication-method=normal").CombinedOutput()
	require.NoError(t, err, "%s", out)
	script := filepath.Join(dir, "setup.sql")
	require.NoError(t, os.WriteFile(script, []byte(setup), 0o644))
	port, err := groundtruth.FreePort()
	require.NoError(t, err)
	s := &server{socket: filepath.Join(dir, "s"), port: fmt.Sprint(port)}
	s.Process, err = groundtruth.Start(dir, "/usr/sbin/mariadbd", "--no-defaults", "--user=nobody", "--datadir="+data, "--socket="+s.socket,
		"--port="+s.port, "--bind-address=127.0.0.1", "--pid-file="+filepath.Join(dir, "pid"), "--init-file="+script, "--local-infile=1",
		"--max-allowed-packet=64M", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M", "--skip-name-resolve")
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Stop(0) })
	require.Eventually(t, func() bool {
		return exec.Command("mariadb", "--no-defaults", "-h127.0.0.1", "-P"+s.port, "-uapp", "-psecret", "lab", "-e", "SELECT 1 FROM things").Run() == nil
	}, 20*time.Second, 50*time.Millisecond)
	return s
}

func (s *server) dsn(options string) string {
	return "app:secret@tcp(127.0.0.1:" + s.port + ")/shop?maxAllowedPacket=0&" + options
}

// build makes the clients; it is done before the lock is taken.
func build(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("./build.sh").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return filepath.Join(groundtruth.Root(), "testbed", "_build", "protocols-mysql")
}

// drivers do this of themselves.
func drivers(s *groundtruth.Span) bool {
	for _, name := range []string{"SET", "PING", "INIT_DB", "SELECT", "START", "ROLLBACK", "COMMIT", "STATISTICS", "SHOW", "RESET"} {
		if strings.HasPrefix(s.Name, name) {
			return true
		}
	}
	return false
}

// id of an operation; preparing one has the same as executing it, and another name.
func id(s *groundtruth.Span) string { return databases.IDInText(s) }

func TestGroundTruth(t *testing.T) {
	for i, hooks := range protocols.Backends {
		t.Run(hooks, func(t *testing.T) { groundTruth(t, hooks, i > 0) })
	}
}

func groundTruth(t *testing.T, hooks string, brief bool) {
	tools := build(t)
	groundtruth.Requirements(t, "/usr/sbin/mariadbd", "mariadb", "mariadb-install-db", "node")
	key, value := protocols.Mark(t)
	t.Setenv(key, value)
	s := startServer(t)
	golang := filepath.Join(tools, "go")
	// These are connected, and have prepared statements, before anybody looks.
	old := databases.Start(t, "go, older than we", golang, "-dsn", s.dsn(""), "-case", "old", "-n", "50", "-c", "4", "-tag", "old", "-executed", "EXECUTE 127.0.0.1:"+s.port)
	old.Ready()

	w := protocols.Observe(t, hooks, fmt.Sprintf(`[{environment: {%s: "%s"}}]`, key, value), "")
	start := func(name string, argv ...string) *databases.Client { return databases.Start(t, name, argv...) }
	n := "500"
	if brief {
		n = "100"
	}
	var runs []*databases.Run
	old.Go()
	oldRun := old.Wait()
	runs = append(runs,
		start("go, text, 1", golang, "-dsn", s.dsn(""), "-case", "text", "-n", n, "-tag", "t1").Wait(),
		start("go, text, 16", golang, "-dsn", s.dsn(""), "-case", "text", "-n", n, "-c", "16", "-tag", "t16").Wait(),
		start("go, text, unix socket", golang, "-dsn", "app:secret@unix("+s.socket+")/shop", "-case", "text", "-n", n, "-c", "4", "-tag", "tu").Wait(),
		start("go, prepared, 16", golang, "-dsn", s.dsn(""), "-case", "prepared", "-n", "100", "-c", "16", "-tag", "p16").Wait(),
		start("go, multi-statements", golang, "-dsn", s.dsn("multiStatements=true"), "-case", "multi", "-n", "50", "-c", "4", "-tag", "m").Wait(),
		start("go, large", golang, "-dsn", s.dsn(""), "-case", "large", "-n", "12", "-c", "2", "-tag", "l").Wait(),
		start("go, compressed", golang, "-dsn", s.dsn("compress=true"), "-case", "text", "-n", "100", "-c", "4", "-tag", "tc").Wait(),
		start("go, load data", golang, "-dsn", s.dsn("allowAllFiles=true"), "-case", "infile", "-n", "4", "-c", "1", "-tag", "i").Wait(),
		start("c, bulk and pipelined", filepath.Join(tools, "bulk"), "127.0.0.1", s.port, "b", "100").Wait(),
		start("pymysql", "/usr/bin/python3", "client/client.py", "pymysql", "127.0.0.1", s.port, "", "py", "48", "0").Wait(),
		start("mysqlclient, compressed", "/usr/bin/python3", "client/client.py", "mysqlclient", "127.0.0.1", s.port, "", "pc", "48", "1").Wait(),
		start("mysqlclient, unix socket", "/usr/bin/python3", "client/client.py", "mysqlclient", "", "0", s.socket, "pu", "48", "0").Wait(),
		start("mysql2, 16", "node", filepath.Join(tools, "client.js"), "127.0.0.1", s.port, "n", "40", "16").Wait(),
	)
	cli := exec.Command("mariadb", "--no-defaults", "-h127.0.0.1", "-P"+s.port, "-uapp", "-psecret", "shop", "-e",
		"SELECT v AS id_cli_1 FROM items; USE lab; SELECT v AS id_cli_2 FROM things; SELECT 1 AS id_cli_3 FROM shop.items WHERE id IN (1, 2)")
	out, err := cli.CombinedOutput()
	require.NoError(t, err, "%s", out)

	want := 0
	for _, r := range append(runs, oldRun) {
		want += 2 * len(r.Operations)
	}
	spans := w.Settled(want)
	e := &databases.Expectation{
		Servers: []int{s.PID()}, Systems: []string{"mariadb"}, ID: id, Other: drivers, Tolerance: 2 * time.Millisecond,
		RowsOptional: func(o *databases.Operation) bool { return o.Rows >= 50000 },
	}
	for _, r := range runs {
		databases.Check(t, r, spans, e)
	}
	e.Systems = []string{"mysql"}
	databases.Check(t, oldRun, spans, e)
	namespaces := map[string]string{}
	for _, sp := range spans {
		if sp.PID() == s.PID() && strings.HasPrefix(id(sp), "id_cli") {
			namespaces[id(sp)] = sp.Text("db.namespace") + " " + sp.Text("db.response.returned_rows")
		}
	}
	require.Equal(t, map[string]string{"id_cli_1": "shop 40", "id_cli_2": "lab 2", "id_cli_3": "lab 2"}, namespaces)
}
