// SPDX-License-Identifier: Apache-2.0

// Command client talks to a broker with Go's client libraries, and writes down what it
// did, a line of JSON each: what the spans have to be called, and between which times they
// have to lie.
//
// It opens connections, prints "ready", waits for a line on its standard input, and then
// works. So a collector can be started in between.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"
)

// record is what one side of an operation has to look like. Start and End are bounds, ns
// since the epoch; 0 where there is none.
type record struct {
	Case  string `json:"case"`
	Name  string `json:"name"`
	Start int64  `json:"start"`
	End   int64  `json:"end"`
	// Least is the shortest duration there can have been, ns.
	Least int64  `json:"least"`
	Error string `json:"error"`
	// Sides are "client", "server", or both with "".
	Side string `json:"side"`
	// OneWay: it ends with what the client sends and nobody answers. End is the client's.
	OneWay bool `json:"one_way,omitempty"`
	// Attributes the span must have.
	Attributes map[string]string `json:"attributes,omitempty"`
}

var (
	out   = bufio.NewWriter(os.Stdout)
	mutex sync.Mutex
)

func emit(r record) {
	b, err := json.Marshal(r)
	check(err)
	mutex.Lock()
	defer mutex.Unlock()
	out.Write(append(b, '\n'))
}

func now() int64 { return time.Now().UnixNano() }

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// wait says that all connections are open, and waits for the word to go on.
func wait() {
	fmt.Println("ready")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

func main() {
	run := map[string]func(address string){"amqp": amqp, "nats": natsClient, "mqtt": mqttClient, "mqtt5": mqtt5Client}[os.Args[1]]
	run(os.Args[2])
	check(out.Flush())
}

// inFlight does n things, at most width of them at once.
func inFlight(n, width int, do func(i int)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, width)
	for i := range n {
		slots <- struct{}{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			do(i)
			<-slots
		}()
	}
	wg.Wait()
}

// text is what messages carry: mostly a few bytes, now and then more than is captured.
func text(i int) []byte {
	switch i % 20 {
	case 7:
		return make([]byte, 100_000)
	case 13:
		return make([]byte, 9_000)
	}
	return make([]byte, 10+i)
}

// short is for messages that go out many in one call: of that, 64 KiB are seen.
func short(i int) []byte {
	if i%50 == 13 {
		return make([]byte, 9_000)
	}
	return make([]byte, 10+i)
}

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
