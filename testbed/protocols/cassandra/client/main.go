// SPDX-License-Identifier: Apache-2.0

// Command client does what it is told with the Go driver of Cassandra and prints what it
// did, as lines of JSON: see package databases.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"github.com/apache/cassandra-gocql-driver/v2/lz4"
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
	check(out.Encode(r))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// work does one operation. The id is in the text: a name, or a column's alias. The driver
// prepares whatever is no change of the schema, and executes that: two operations.
func work(s *gocql.Session, what, id string, k int) {
	r := record{ID: id, Rows: -1, Start: time.Now().UnixNano()}
	done := func() {
		r.End = time.Now().UnixNano()
		put(r)
	}
	rows := func(q *gocql.Query) {
		iter := q.Iter()
		r.Rows = int64(iter.NumRows())
		check(iter.Close())
		done()
	}
	failed := func(err error) {
		var e gocql.RequestError
		if !errors.As(err, &e) {
			check(fmt.Errorf("no error: %w", err))
		}
		r.Status = fmt.Sprint(e.Code())
		done()
	}
	if what == "large" {
		if k%2 == 0 {
			r.Summary = "SELECT shop.large"
			rows(s.Query("SELECT k AS " + id + ", v FROM shop.large"))
		} else {
			r.Summary = "INSERT shop.large"
			check(s.Query("INSERT /* */ INTO shop.large (k, v) VALUES ('" + id + "', '" + strings.Repeat("x", 1<<20) + "')").Exec())
			r.ID = "" // a literal
			done()
		}
		return
	}
	switch k % 5 {
	case 0:
		r.Summary = "SELECT shop.items"
		rows(s.Query(fmt.Sprintf("SELECT k AS %s, v FROM shop.items LIMIT %d", id, 1+k%20)))
		put(record{ID: id, Summary: "PREPARE SELECT shop.items", Rows: -1, Start: r.Start, End: r.End})
	case 1:
		r.Summary = "SELECT shop.items"
		rows(s.Query("SELECT v AS "+id+" FROM shop.items WHERE k = ?", "key 3"))
		put(record{ID: id, Summary: "PREPARE SELECT shop.items", Rows: -1, Start: r.Start, End: r.End})
	case 2:
		r.Summary = "PREPARE SELECT shop." + id
		failed(s.Query("SELECT k FROM shop." + id).Exec())
	case 3:
		r.Summary, r.Batch = "BATCH INSERT shop.items", 3
		b := s.Batch(gocql.UnloggedBatch)
		for i := range 3 {
			b.Query(fmt.Sprintf("INSERT INTO shop.items (k, v) VALUES ('%s', 'secret')", fmt.Sprint("batch ", i)))
		}
		check(b.Exec())
		r.ID = "" // nothing can be named in it
		done()
	default:
		r.Summary = "UPDATE shop.items"
		check(s.Query("UPDATE shop.items SET v = ? WHERE k = ?", id, "key 1").Exec())
		r.ID = ""
		done()
	}
}

func main() {
	address := flag.String("address", "", "where")
	what := flag.String("case", "", "what to do")
	version := flag.Int("version", 4, "of the protocol")
	compress := flag.Bool("lz4", false, "compress")
	n := flag.Int("n", 100, "operations per goroutine")
	c := flag.Int("c", 1, "goroutines, which share a connection")
	tag := flag.String("tag", "", "begins all ids")
	flag.Parse()
	cluster := gocql.NewCluster(*address)
	cluster.ProtoVersion, cluster.NumConns = *version, 1
	cluster.Timeout, cluster.ConnectTimeout = 20*time.Second, 20*time.Second
	cluster.Consistency = gocql.One
	if *c > 16 {
		// Requests that were gathered leave in one call with a buffer for each; of a
		// call 64 are looked at.
		cluster.WriteCoalesceWaitTime = 0
	}
	if *compress {
		cluster.Compressor = &lz4.LZ4Compressor{}
	}
	s, err := cluster.CreateSession()
	check(err)
	defer s.Close()
	if *what == "setup" {
		for _, text := range []string{
			"CREATE KEYSPACE shop WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
			"CREATE TABLE shop.items (k text PRIMARY KEY, v text)", "CREATE TABLE shop.large (k text PRIMARY KEY, v text)",
			"INSERT INTO shop.large (k, v) VALUES ('one', '" + strings.Repeat("y", 1<<20) + "')",
		} {
			check(s.Query(text).Exec())
		}
		for i := range 40 {
			check(s.Query(fmt.Sprintf("INSERT INTO shop.items (k, v) VALUES ('key %d', 'value')", i)).Exec())
		}
		put(record{ID: "id_setup"})
		return
	}
	if *what == "old" {
		check(s.Query("SELECT k FROM shop.items LIMIT 1").Exec())
		fmt.Println(`{"id": "ready"}`)
		_, err := bufio.NewReader(os.Stdin).ReadString('\n')
		check(err)
	} else {
		// This process is looked at, which takes a little while after its start.
		for begin := time.Now(); time.Since(begin) < 300*time.Millisecond; time.Sleep(5 * time.Millisecond) {
			check(s.Query("SELECT release_version FROM system.local").Exec())
		}
	}
	var wg sync.WaitGroup
	for i := range *c {
		wg.Go(func() {
			for k := range *n {
				work(s, *what, fmt.Sprintf("id_%s_%d_%d", *tag, i, k), k)
			}
		})
	}
	wg.Wait()
}
