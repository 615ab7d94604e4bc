// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// nobody is who runs PostgreSQL: it refuses root.
const nobody = 65534

// postgres is a server with pgbench's tables.
type postgres struct {
	bin, dir, pgbench string
	port              int
	cmd               *exec.Cmd
}

func startPostgres(dir string) (*postgres, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return nil, fmt.Errorf("postgresql is not installed: testbed/install.sh (%w)", os.ErrNotExist)
	}
	p := &postgres{bin: filepath.Dir(found[len(found)-1]), pgbench: tool(dir, "pgbench")}
	b, err := os.ReadFile(filepath.Join(p.bin, "pgbench"))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(p.pgbench, b, 0o755); err != nil { // told from others by its path
		return nil, err
	}
	if p.dir, err = os.MkdirTemp("", "pg"); err != nil {
		return nil, err
	}
	if err := os.Chown(p.dir, nobody, nobody); err != nil {
		return nil, err
	}
	if p.port, err = groundtruth.FreePort(); err != nil {
		return nil, err
	}
	as := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(p.bin, name), args...)
		cmd.Dir = p.dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		return cmd
	}
	data := filepath.Join(p.dir, "data")
	if out, err := as("initdb", "-D", data, "-U", "bench", "-A", "trust", "--no-sync").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	p.cmd = as("postgres", "-D", data, "-p", strconv.Itoa(p.port), "-k", p.dir, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "autovacuum=off")
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		out, err := p.run(context.Background(), "-i", "-q")
		if err == nil {
			return p, nil
		}
		if time.Now().After(deadline) {
			p.stop()
			return nil, fmt.Errorf("pgbench -i: %w\n%s", err, out)
		}
	}
}

func (p *postgres) run(ctx context.Context, args ...string) ([]byte, error) {
	return exec.CommandContext(ctx, p.pgbench, append(args, "-h", "127.0.0.1", "-p", strconv.Itoa(p.port), "-U", "bench", "postgres")...).CombinedOutput()
}

func (p *postgres) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	_ = p.cmd.Wait()
	os.RemoveAll(p.dir)
}

var (
	pgbenchTransactions = regexp.MustCompile(`number of transactions actually processed: (\d+)`)
	pgbenchLatency      = regexp.MustCompile(`latency average = ([\d.]+) ms`)
)

// pgbench reads single rows by simple queries. It tells the mean latency only.
func (b *bench) pgbench(ctx context.Context) (load, error) {
	out, err := b.postgres.run(ctx, "-n", "-S", "-M", "simple", "-c", strconv.Itoa(connections), "-j", "1", "-T", strconv.Itoa(max(1, int(b.o.duration.Seconds()))))
	if err != nil {
		return load{}, fmt.Errorf("pgbench: %w\n%s", err, out)
	}
	var l load
	if m := pgbenchTransactions.FindSubmatch(out); m != nil {
		l.requests, _ = strconv.Atoi(string(m[1]))
	}
	if m := pgbenchLatency.FindSubmatch(out); m != nil {
		ms, _ := strconv.ParseFloat(string(m[1]), 64)
		l.p50, l.p99 = ms*1e3, ms*1e3
	}
	return l, nil
}
