// SPDX-License-Identifier: Apache-2.0

// Command client does what it is told with go-sql-driver and prints what it did, as
// lines of JSON: see truth in the test.
package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
)

type record struct {
	ID      string `json:"id"`
	Summary string `json:"summary"`
	Rows    int64  `json:"rows"`
	Status  string `json:"status"`
	Batch   int64  `json:"batch"`
	Start   int64  `json:"start"`
	End     int64  `json:"end"`
}

var (
	mu  sync.Mutex
	out = json.NewEncoder(os.Stdout)
)

func put(r record) {
	mu.Lock()
	defer mu.Unlock()
	if err := out.Encode(r); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// do runs a text, reads all rows, and notes what came.
func do(conn *sql.Conn, r record, text string, args ...any) {
	r.Start = time.Now().UnixNano()
	rows, err := conn.QueryContext(context.Background(), text, args...)
	var failure *mysql.MySQLError
	if errors.As(err, &failure) {
		r.Status, r.Rows = strconv.Itoa(int(failure.Number)), -1
	} else if err != nil {
		fail(err)
	} else {
		columns, err := rows.Columns()
		if err != nil {
			fail(err)
		}
		r.Rows = -1
		for {
			if len(columns) > 0 {
				r.Rows = max(r.Rows, 0)
			}
			for rows.Next() {
				r.Rows++
			}
			if !rows.NextResultSet() {
				break
			}
			if columns, err = rows.Columns(); err != nil {
				fail(err)
			}
		}
		if err := rows.Err(); err != nil {
			fail(err)
		}
		rows.Close()
	}
	r.End = time.Now().UnixNano()
	put(r)
}

// warm lets this process be looked at, which takes a little while after its start.
func warm(dsn string) {
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		fail(err)
	}
	defer db.Close()
	for begin := time.Now(); time.Since(begin) < 300*time.Millisecond; time.Sleep(time.Millisecond) {
		if err := db.Ping(); err != nil {
			fail(err)
		}
	}
}

func main() {
	dsn := flag.String("dsn", "", "where")
	what := flag.String("case", "", "what to do")
	n := flag.Int("n", 100, "operations per connection")
	c := flag.Int("c", 1, "connections")
	executed := flag.String("executed", "", "name of the span of executing what was prepared before")
	tag := flag.String("tag", "", "begins all ids")
	flag.Parse()
	db, err := sql.Open("mysql", *dsn)
	if err != nil {
		fail(err)
	}
	if *what != "old" {
		warm(*dsn)
	}
	mysql.RegisterReaderHandler("file", func() io.Reader { return strings.NewReader(strings.Repeat("1\tx\n", 50000)) })
	var wg sync.WaitGroup
	ready := make(chan struct{})
	var old sync.WaitGroup
	for i := range *c {
		wg.Add(1)
		old.Add(1)
		go func() {
			defer wg.Done()
			conn, err := db.Conn(context.Background())
			if err != nil {
				fail(err)
			}
			defer conn.Close()
			var kept *sql.Stmt
			if *what == "old" {
				if kept, err = conn.PrepareContext(context.Background(), "SELECT v FROM items WHERE id < ?"); err != nil {
					fail(err)
				}
			}
			old.Done()
			if *what == "old" {
				<-ready
			}
			for k := range *n {
				id := fmt.Sprintf("id_%s_%d_%d", *tag, i, k)
				r := record{ID: id}
				switch *what {
				case "text", "old":
					switch k % 5 {
					case 0:
						r.Summary = "SELECT items"
						do(conn, r, fmt.Sprintf("SELECT v AS %s FROM items WHERE id < %d AND v <> 'se''cret'", id, k%40))
					case 1:
						r.Summary = "INSERT notes"
						do(conn, r, fmt.Sprintf("INSERT INTO notes (v) VALUES ('a'), ('b') RETURNING v AS %s", id))
					case 2:
						r.Summary = "SELECT nix_" + id
						do(conn, r, "SELECT * FROM nix_"+id)
					case 3:
						r.Summary = "SET"
						do(conn, r, fmt.Sprintf("SET @%s = 17", id))
					default:
						if kept != nil {
							if _, err := kept.Exec(3); err != nil {
								fail(err)
							}
							put(record{Summary: *executed})
						}
						r.Summary = "SELECT items"
						do(conn, r, fmt.Sprintf("SELECT v AS %s FROM items", id))
					}
				case "prepared":
					text := fmt.Sprintf("SELECT v AS %s FROM items WHERE id < ?", id)
					r.Summary = "SELECT items"
					if k%10 == 9 {
						r.Summary, text = "SELECT nix", fmt.Sprintf("SELECT v AS %s FROM nix WHERE id < ?", id)
						r.Summary = "PREPARE " + r.Summary
					}
					do(conn, r, text, k%40)
				case "multi":
					r.Summary, r.Batch = "SELECT items INSERT notes SELECT items", 3
					do(conn, r, fmt.Sprintf("SELECT v AS %s FROM items WHERE id < %d; INSERT INTO notes (v) VALUES (';'); SELECT v FROM items WHERE id < 3", id, k%20))
				case "large":
					switch k % 4 {
					case 0: // a text of 100 KB
						r.Summary = "SELECT items"
						do(conn, r, fmt.Sprintf("SELECT v AS %s FROM items WHERE id < 5 AND v <> '%s'", id, strings.Repeat("x", 100<<10)))
					case 1: // a value of 1 MB to the server
						r.ID, r.Summary = "", "INSERT notes"
						do(conn, r, fmt.Sprintf("INSERT INTO notes (w) VALUES ('%s')", strings.Repeat("x", 1<<20)))
					case 2: // and from it
						r.Summary = "SELECT"
						do(conn, r, fmt.Sprintf("SELECT REPEAT('x', 1048576) AS %s", id))
					default: // many rows
						r.Summary = "SELECT seq_1_to_50000"
						do(conn, r, fmt.Sprintf("SELECT seq AS %s FROM seq_1_to_50000", id))
					}
				case "infile":
					r.Summary = "LOAD DATA notes"
					do(conn, r, fmt.Sprintf("LOAD DATA LOCAL INFILE 'Reader::file' INTO TABLE notes (id, @%s)", id))
				default:
					fail(fmt.Errorf("no such case: %s", *what))
				}
			}
		}()
	}
	if *what == "old" {
		old.Wait()
		fmt.Println(`{"id": "ready"}`)
		if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
			fail(err)
		}
		close(ready)
	}
	wg.Wait()
	db.Close()
}
