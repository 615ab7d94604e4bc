// SPDX-License-Identifier: Apache-2.0

// Package databases checks spans of database operations against what clients say they
// did, one line of JSON per operation.
package databases

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// Operation is what a client did.
type Operation struct {
	// ID is in the text of the operation; empty if it is only counted, by its name.
	ID string `json:"id"`
	// Summary is the name of the span.
	Summary string `json:"summary"`
	// Rows returned, -1 if there is no set of them; Status is the code of the error.
	Rows   int64  `json:"rows"`
	Status string `json:"status"`
	// Batch is db.operation.batch.size, 0 if there is none.
	Batch int64 `json:"batch"`
	// Start and End as the client saw them, Unix ns.
	Start int64 `json:"start"`
	End   int64 `json:"end"`
}

// Run is a client that was run.
type Run struct {
	Case string
	PID  int
	// Operations it says it did.
	Operations []Operation
	Took       time.Duration
}

// Client is a running client.
type Client struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	run   *Run
	stuff strings.Builder

	started time.Time
}

// Start starts a client.
func Start(t *testing.T, name string, argv ...string) *Client {
	t.Helper()
	c := &Client{t: t, cmd: exec.Command(argv[0], argv[1:]...), run: &Run{Case: name}, started: time.Now()}
	c.cmd.Env = os.Environ()
	c.cmd.Stderr = &c.stuff
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	c.in, err = c.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	c.out = bufio.NewScanner(out)
	require.NoError(t, c.cmd.Start())
	c.run.PID = c.cmd.Process.Pid
	return c
}

// Ready waits until a client that waits says it does.
func (c *Client) Ready() {
	c.t.Helper()
	require.True(c.t, c.out.Scan(), "%s: %s", c.run.Case, &c.stuff)
	require.Contains(c.t, c.out.Text(), `"ready"`)
}

// Go lets it go on.
func (c *Client) Go() {
	_, err := io.WriteString(c.in, "\n")
	require.NoError(c.t, err)
}

// Wait reads what it says, until its end.
func (c *Client) Wait() *Run {
	c.t.Helper()
	timer := time.AfterFunc(50*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer timer.Stop()
	for c.out.Scan() {
		o := Operation{}
		require.NoError(c.t, json.Unmarshal(c.out.Bytes(), &o), c.out.Text())
		c.run.Operations = append(c.run.Operations, o)
	}
	require.NoError(c.t, c.cmd.Wait(), "%s: %s", c.run.Case, &c.stuff)
	require.NotEmpty(c.t, c.run.Operations, c.run.Case)
	c.run.Took = time.Since(c.started).Round(time.Millisecond)
	return c.run
}

// Expectation is what holds for the spans of a run.
type Expectation struct {
	// Servers are the processes of the server.
	Servers []int
	// System is db.system.name; more than one for connections older than we are.
	Systems []string
	// ID finds the id of a span's operation; "" if it has none.
	ID func(*groundtruth.Span) string
	// Other says what spans without an operation there may be: what drivers do.
	Other func(*groundtruth.Span) bool
	// Truncated: rows may be missing from spans of big results.
	RowsOptional func(*Operation) bool
	// Tolerance of times: the client looks at its clock in its own language.
	Tolerance time.Duration
	// Unjoined is how much of the operations may have a server's span without a parent,
	// 0.05 if it is 0.
	Unjoined float64
}

var ident = regexp.MustCompile(`id_\w+`)

// IDInText finds an id in db.query.text.
func IDInText(s *groundtruth.Span) string { return ident.FindString(s.Text("db.query.text")) }

// Check compares spans with a run, and logs a line.
func Check(t *testing.T, run *Run, spans []*groundtruth.Span, e *Expectation) {
	t.Helper()
	servers := map[int]bool{}
	for _, pid := range e.Servers {
		servers[pid] = true
	}
	ids := map[string]bool{}
	names := map[string]int{} // operations without an id
	for i := range run.Operations {
		if o := &run.Operations[i]; o.ID != "" {
			ids[o.ID] = true
		} else {
			names[o.Summary]++
		}
	}
	type key struct{ id, name string }
	clients := map[key][]*groundtruth.Span{}
	byServer := map[key][]*groundtruth.Span{}
	bogus, other := 0, 0
	complain := 0
	wrong := func(format string, args ...any) {
		if complain++; complain <= 8 {
			t.Errorf("%s: %s", run.Case, fmt.Sprintf(format, args...))
		}
	}
	anonymous := map[string]int{}
	for _, s := range spans {
		id := e.ID(s)
		k := key{id, s.Name}
		switch {
		case s.PID() == run.PID && s.Kind == ptrace.SpanKindClient:
			if id != "" && ids[id] {
				clients[k] = append(clients[k], s)
				continue
			}
			if names[s.Name] > 0 && id == "" {
				anonymous[s.Name]++
				continue
			}
			if other++; id != "" || !e.Other(s) {
				bogus++
				wrong("bogus span %s: %v", s.Name, s.Attributes.AsRaw())
			}
		case servers[s.PID()] && s.Kind == ptrace.SpanKindServer && id != "" && ids[id]:
			byServer[k] = append(byServer[k], s)
		}
	}
	for name, want := range names {
		if got := anonymous[name]; got != want {
			wrong("%d spans %s, not %d", got, name, want)
		}
	}
	found, foundServer, total, unjoined := 0, 0, 0, 0
	for i := range run.Operations {
		o := &run.Operations[i]
		if o.ID == "" {
			continue
		}
		total++
		k := key{o.ID, o.Summary}
		check := func(side string, s *groundtruth.Span) {
			rows, has := s.Int("db.response.returned_rows")
			if !has {
				rows = -1
			}
			if rows != o.Rows && !(rows == -1 && e.RowsOptional != nil && e.RowsOptional(o)) && o.Rows != -2 {
				wrong("%s of %s: %d rows, not %d: %v", side, o.ID, rows, o.Rows, s.Attributes.AsRaw())
			}
			if got := s.Text("db.response.status_code"); got != o.Status {
				wrong("%s of %s: status %q, not %q", side, o.ID, got, o.Status)
			}
			if (o.Status != "") != (s.Status == ptrace.StatusCodeError) {
				wrong("%s of %s: %v with status %q", side, o.ID, s.Status, o.Status)
			}
			if batch, _ := s.Int("db.operation.batch.size"); batch != o.Batch {
				wrong("%s of %s: batch of %d, not %d", side, o.ID, batch, o.Batch)
			}
			system := false
			for _, want := range e.Systems {
				system = system || s.Text("db.system.name") == want
			}
			if !system {
				wrong("%s of %s: system %q", side, o.ID, s.Text("db.system.name"))
			}
			slack := int64(e.Tolerance)
			if s.Start < o.Start-slack || s.End > o.End+slack {
				wrong("%s of %s: from %d to %d, the client says %d to %d", side, o.ID, s.Start-o.Start, s.End-o.Start, 0, o.End-o.Start)
			}
		}
		c, s := clients[k], byServer[k]
		if len(c) > 1 || len(s) > 1 {
			bogus++
			wrong("%s: %d and %d spans %s", o.ID, len(c), len(s), o.Summary)
		}
		if len(c) == 1 {
			found++
			check("client", c[0])
		} else if len(c) == 0 {
			seen := []string{}
			for k := range clients {
				if k.id == o.ID {
					seen = append(seen, k.name)
				}
			}
			t.Logf("%s: no span %s of the client for %s (%v)", run.Case, o.Summary, o.ID, seen)
		}
		if len(s) == 1 {
			foundServer++
			check("server", s[0])
		}
		if len(c) == 1 && len(s) == 1 {
			switch {
			case s[0].ParentID.IsEmpty():
				unjoined++
			case s[0].ParentID != c[0].SpanID || s[0].TraceID != c[0].TraceID:
				wrong("%s: the server's span has another parent than the client's", o.ID)
			}
		}
	}
	t.Logf("%-28s %5d operations: client %5d, server %5d, bogus %d, other %d, not joined %d, %v", run.Case, total, found, foundServer, bogus, other, unjoined, run.Took)
	assert.GreaterOrEqual(t, float64(found), 0.999*float64(total), "recall of the client of %s", run.Case)
	assert.GreaterOrEqual(t, float64(foundServer), 0.999*float64(total), "recall of the server of %s", run.Case)
	assert.Zero(t, complain, run.Case)
	most := e.Unjoined
	if most == 0 {
		most = 0.05
	}
	assert.LessOrEqual(t, float64(unjoined), most*float64(total), run.Case)
}
