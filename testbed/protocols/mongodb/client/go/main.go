// SPDX-License-Identifier: Apache-2.0

// Command client does what it is told with MongoDB's driver for Go and prints what it
// did, as lines of JSON: see package databases.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
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
	ctx = context.Background()
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

func check(err error) {
	if err != nil {
		fail(err)
	}
}

// find reads what a filter finds; the field is the id.
func find(c *mongo.Collection, r record, limit int64) {
	cursor, err := c.Find(ctx, bson.D{{Key: r.ID, Value: bson.D{{Key: "$exists", Value: false}}}, {Key: "v", Value: bson.D{{Key: "$ne", Value: "secret"}}}}, options.Find().SetLimit(limit))
	check(err)
	var all []bson.Raw
	check(cursor.All(ctx, &all))
	r.Rows = int64(len(all))
	r.End = time.Now().UnixNano()
	put(r)
}

func work(db *mongo.Database, what string, id string, k int) {
	items := db.Collection("items")
	r := record{ID: id, Start: time.Now().UnixNano(), Rows: -1}
	done := func() {
		r.End = time.Now().UnixNano()
		put(r)
	}
	if what == "large" {
		c := db.Collection(id)
		if k%2 == 0 {
			r.Summary = "insert " + id
			_, err := c.InsertOne(ctx, bson.D{{Key: "_id", Value: 1}, {Key: "v", Value: strings.Repeat("x", 1<<20)}})
			check(err)
			done()
			r = record{ID: id, Summary: "find " + id, Start: time.Now().UnixNano()}
			find(c, r, 10)
		} else {
			long := make(bson.A, 8000)
			for i := range long {
				long[i] = "a text of some length"
			}
			r.Summary = "find items"
			cursor, err := items.Find(ctx, bson.D{{Key: id, Value: nil}, {Key: "v", Value: bson.D{{Key: "$nin", Value: long}}}}, options.Find().SetLimit(7))
			check(err)
			var all []bson.Raw
			check(cursor.All(ctx, &all))
			r.Rows = int64(len(all))
			done()
		}
		return
	}
	switch k % 6 {
	case 0:
		r.Summary = "find items"
		find(items, r, int64(1+k%20))
	case 1:
		r.Summary, r.Batch = "insert "+id, 3
		_, err := db.Collection(id).InsertMany(ctx, []any{bson.D{{Key: "a", Value: 1}}, bson.D{{Key: "a", Value: 2}}, bson.D{{Key: "a", Value: "x"}}})
		check(err)
		done()
	case 2:
		r.Summary, r.Status, r.Batch = "insert "+id, "11000", 2
		_, err := db.Collection(id).InsertMany(ctx, []any{bson.D{{Key: "_id", Value: 1}}, bson.D{{Key: "_id", Value: 1}}})
		if !mongo.IsDuplicateKeyError(err) {
			fail(fmt.Errorf("no error of duplicates: %w", err))
		}
		done()
	case 3:
		r.Summary = "nix " + id
		err := db.RunCommand(ctx, bson.D{{Key: "nix", Value: id}}).Err()
		var failure mongo.CommandError
		if !errors.As(err, &failure) {
			fail(fmt.Errorf("no error: %w", err))
		}
		r.Status = fmt.Sprint(failure.Code)
		done()
	case 4:
		r.Summary, r.Batch = "update items", 0
		_, err := items.UpdateMany(ctx, bson.D{{Key: "never", Value: 1}}, bson.D{{Key: "$set", Value: bson.D{{Key: "b", Value: k}}}})
		check(err)
		r.ID = "" // the statement is in a sequence of documents
		done()
	default:
		r.Summary = "aggregate items"
		cursor, err := items.Aggregate(ctx, bson.A{bson.D{{Key: "$match", Value: bson.D{{Key: id, Value: nil}}}}, bson.D{{Key: "$limit", Value: 4}}})
		check(err)
		var all []bson.Raw
		check(cursor.All(ctx, &all))
		r.Rows = int64(len(all))
		done()
	}
}

// pipeline keeps many commands in flight on one connection, which no driver does.
func pipeline(address, tag string, n, depth int) {
	conn, err := net.Dial("tcp", address)
	check(err)
	defer conn.Close()
	in := bufio.NewReader(conn)
	hello, err := bson.Marshal(bson.D{{Key: "hello", Value: 1}, {Key: "$db", Value: "admin"}})
	check(err)
	head := make([]byte, 21)
	binary.LittleEndian.PutUint32(head, uint32(len(head)+len(hello)))
	binary.LittleEndian.PutUint32(head[12:], 2013)
	_, err = conn.Write(append(head, hello...))
	check(err)
	_, err = io.ReadFull(in, head[:16])
	check(err)
	_, err = io.CopyN(io.Discard, in, int64(binary.LittleEndian.Uint32(head))-16)
	check(err)
	// How much is to be copied of a connection is known to the kernel a little after
	// the connection's protocol is; a burst on a new one has 32 KiB of each turn.
	time.Sleep(100 * time.Millisecond)
	for from := 0; from < n; from += depth {
		var b []byte
		for k := from; k < from+depth; k++ {
			id := fmt.Sprintf("id_%s_%d", tag, k)
			doc, err := bson.Marshal(bson.D{{Key: "find", Value: "items"}, {Key: "filter", Value: bson.D{{Key: id, Value: nil}}}, {Key: "limit", Value: 1 + k%20}, {Key: "$db", Value: "shop"}})
			check(err)
			head := make([]byte, 21)
			binary.LittleEndian.PutUint32(head, uint32(len(head)+len(doc)))
			binary.LittleEndian.PutUint32(head[4:], uint32(k+1))
			binary.LittleEndian.PutUint32(head[12:], 2013)
			b = append(append(b, head...), doc...)
		}
		start := time.Now().UnixNano()
		_, err := conn.Write(b)
		check(err)
		for range depth {
			head := make([]byte, 16)
			_, err := io.ReadFull(in, head)
			check(err)
			_, err = io.CopyN(io.Discard, in, int64(binary.LittleEndian.Uint32(head))-16)
			check(err)
			k := int(binary.LittleEndian.Uint32(head[8:])) - 1
			put(record{ID: fmt.Sprintf("id_%s_%d", tag, k), Summary: "find items", Rows: int64(1 + k%20), Start: start, End: time.Now().UnixNano()})
		}
	}
}

// warm lets this process be looked at, which takes a little while after its start.
func warm(address string) {
	client, err := mongo.Connect(options.Client().ApplyURI("mongodb://" + address + "/?directConnection=true"))
	check(err)
	defer client.Disconnect(ctx)
	for begin := time.Now(); time.Since(begin) < 300*time.Millisecond; time.Sleep(time.Millisecond) {
		check(client.Ping(ctx, nil))
	}
}

func main() {
	address := flag.String("address", "", "where")
	what := flag.String("case", "", "what to do")
	n := flag.Int("n", 100, "operations per goroutine")
	c := flag.Int("c", 1, "goroutines, or commands in flight")
	tag := flag.String("tag", "", "begins all ids")
	flag.Parse()
	if *what != "setup" && *what != "old" {
		warm(*address)
	}
	if *what == "pipeline" {
		pipeline(*address, *tag, *n, *c)
		return
	}
	client, err := mongo.Connect(options.Client().ApplyURI("mongodb://" + *address + "/?directConnection=true&retryWrites=false&heartbeatFrequencyMS=1000"))
	check(err)
	defer client.Disconnect(ctx)
	db := client.Database("shop")
	if *what == "setup" {
		docs := make([]any, 40)
		for i := range docs {
			docs[i] = bson.D{{Key: "_id", Value: i}, {Key: "v", Value: fmt.Sprint("value ", i)}}
		}
		_, err := db.Collection("items").InsertMany(ctx, docs)
		check(err)
		put(record{ID: "id_setup"})
		return
	}
	if *what == "old" {
		check(client.Ping(ctx, nil))
		fmt.Println(`{"id": "ready"}`)
		_, err := bufio.NewReader(os.Stdin).ReadString('\n')
		check(err)
	}
	var wg sync.WaitGroup
	for i := range *c {
		wg.Go(func() {
			for k := range *n {
				work(db, *what, fmt.Sprintf("id_%s_%d_%d", *tag, i, k), k)
			}
		})
	}
	wg.Wait()
}
