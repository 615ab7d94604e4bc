// SPDX-License-Identifier: Apache-2.0

// Command client runs queries against PostgreSQL with pgx and prints what it did: a line
// per operation with its marker, the rows that came and the SQLSTATE, "-" for success.
// Cases are the arguments, KIND:DEPTH:OPERATIONS; with -wait it connects first, prints
// "ready" and waits for a line of standard input.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var (
	output = bufio.NewWriter(os.Stdout)
	mu     sync.Mutex
	label  = flag.String("label", "go", "begins all markers")
)

func done(marker string, rows int, err error) {
	code := "-"
	if err != nil {
		var pg *pgconn.PgError
		if !errors.As(err, &pg) {
			fmt.Fprintln(os.Stderr, marker, err)
			os.Exit(1)
		}
		code = pg.Code
	}
	mu.Lock()
	defer mu.Unlock()
	fmt.Fprintln(output, marker, rows, code)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// query is the i-th text of a case: every eighth fails.
func query(marker string, i int) (text string, args []any) {
	switch i % 8 {
	case 5:
		return "SELECT 1/(g-1) AS " + marker + " FROM generate_series(1,3) g", nil
	case 6:
		return "SELECT g AS " + marker + " FROM generate_series(1, $1::int) g", []any{i % 5}
	case 7:
		return "INSERT INTO items (v) VALUES ($1) RETURNING id AS " + marker, []any{"secret"}
	}
	return fmt.Sprintf("SELECT g, 'secret' AS %s FROM generate_series(1, %d) g", marker, i%7), nil
}

// read is the number of rows of a result.
func read(rows pgx.Rows, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n := 0
	for rows.Next() {
		n++
	}
	rows.Close()
	return n, rows.Err()
}

func main() {
	url := flag.String("url", "", "of the database")
	wait := flag.Bool("wait", false, "for a line of input, when connected")
	flag.Parse()
	ctx := context.Background()
	var ready [][]func() // by case
	for _, arg := range flag.Args() {
		part := strings.Split(arg, ":")
		depth, err := strconv.Atoi(part[1])
		check(err)
		operations, err := strconv.Atoi(part[2])
		check(err)
		config, err := pgx.ParseConfig(*url)
		check(err)
		name := fmt.Sprintf("op_%s_%s_%d", *label, part[0], depth)
		switch part[0] {
		case "simple":
			config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
		case "exec":
			config.DefaultQueryExecMode = pgx.QueryExecModeExec
		}
		connections := 1
		if part[0] != "batch" && part[0] != "pipeline" {
			connections = depth // at once, that is
		}
		ready = append(ready, nil)
		for c := range connections {
			conn, err := pgx.ConnectConfig(ctx, config)
			check(err)
			defer conn.Close(ctx)
			old := fmt.Sprintf("%s_old%d", name, c)
			if *wait {
				_, err := conn.Prepare(ctx, old, "SELECT g AS "+old+" FROM generate_series(1, $1::int) g")
				check(err)
			}
			last := &ready[len(ready)-1]
			*last = append(*last, func() {
				if *wait {
					for range 20 {
						n, err := read(conn.Query(ctx, old, 3))
						done("unprepared", n, err)
					}
				}
				run(ctx, conn, part[0], fmt.Sprintf("%s_%d", name, c), depth, operations/connections)
			})
		}
	}
	if *wait {
		fmt.Println("ready")
		bufio.NewReader(os.Stdin).ReadString('\n')
	}
	var group sync.WaitGroup
	for _, connections := range ready {
		for _, f := range connections {
			group.Go(f)
		}
		group.Wait()
	}
	check(output.Flush())
	// The server's process has to live until the collector has looked at it.
	time.Sleep(300 * time.Millisecond)
}

func run(ctx context.Context, conn *pgx.Conn, kind, name string, depth, operations int) {
	switch kind {
	case "simple", "exec", "prepare":
		for i := range operations {
			marker := fmt.Sprint(name, "_", i)
			text, args := query(marker, i)
			n, err := read(conn.Query(ctx, text, args...))
			done(marker, n, err)
		}
	case "batch":
		// All in one group: an error would abort those behind it.
		for at := 0; at < operations; at += depth {
			batch := &pgx.Batch{}
			for i := at; i < at+depth; i++ {
				batch.Queue(fmt.Sprintf("SELECT g AS %s_%d FROM generate_series(1, $1::int) g", name, i), i%5)
			}
			results := conn.SendBatch(ctx, batch)
			for i := at; i < at+depth; i++ {
				n, err := read(results.Query())
				done(fmt.Sprint(name, "_", i), n, err)
			}
			check(results.Close())
		}
	case "pipeline":
		pipeline(ctx, conn.PgConn(), name, depth, operations)
	case "big":
		value := strings.Repeat("v", 1<<20)
		for i := range operations {
			marker := fmt.Sprint(name, "_", i)
			var err error
			n := 1
			switch i % 4 {
			case 0: // up
				_, err = conn.Exec(ctx, "INSERT INTO items (v) SELECT $1 AS "+marker, value)
				n = -1
			case 1: // down
				n, err = read(conn.Query(ctx, "SELECT repeat('v', 1048576) AS "+marker))
			case 2: // both, and small rows behind
				n, err = read(conn.Query(ctx, "SELECT $1::text AS "+marker+" UNION ALL SELECT 'x' FROM generate_series(1, 3)", value))
			case 3: // a long text
				_, err = conn.Exec(ctx, "SELECT 1 AS "+marker+" WHERE 'x' <> '"+strings.Repeat("secret ", 20000)+"'", pgx.QueryExecModeSimpleProtocol)
			}
			done(marker, n, err)
		}
	case "copy":
		for i := range operations {
			marker := fmt.Sprint(name, "_", i)
			_, err := conn.PgConn().CopyFrom(ctx, strings.NewReader(strings.Repeat("0123456789\n", 30000)), "COPY items (v) FROM STDIN WHERE '"+marker+"' <> v")
			check(err)
			done("copyin", -1, nil)
			_, err = conn.PgConn().CopyTo(ctx, discard{}, fmt.Sprintf("COPY (SELECT g AS %s FROM generate_series(1, 20000) g) TO STDOUT", marker))
			done(marker, -1, err)
		}
	case "cancel":
		for i := range operations {
			marker := fmt.Sprint(name, "_", i)
			go func() { check(conn.PgConn().CancelRequest(ctx)) }()
			n, err := read(conn.Query(ctx, "SELECT pg_sleep(5) AS "+marker))
			done(marker, n, err)
		}
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// pipeline keeps depth groups in flight: it sends one more for every result.
func pipeline(ctx context.Context, conn *pgconn.PgConn, name string, depth, operations int) {
	p := conn.StartPipeline(ctx)
	send := func(i int) {
		text, args := query(fmt.Sprint(name, "_", i), i)
		var values [][]byte
		for _, a := range args {
			values = append(values, []byte(fmt.Sprint(a)))
		}
		p.SendQueryParams(text, values, nil, nil, nil)
		check(p.Sync())
	}
	receive := func(i int) {
		marker := fmt.Sprint(name, "_", i)
		rows, failure := 0, error(nil)
		for {
			results, err := p.GetResults()
			if err != nil {
				failure = err
				continue
			}
			switch r := results.(type) {
			case *pgconn.ResultReader:
				for r.NextRow() {
					rows++
				}
				if _, err := r.Close(); err != nil {
					failure = err
				}
			case *pgconn.PipelineSync:
				done(marker, rows, failure)
				return
			}
		}
	}
	for i := range depth {
		send(i)
	}
	for i := range operations {
		receive(i)
		if i+depth < operations {
			send(i + depth)
		}
	}
	check(p.Close())
}
