// SPDX-License-Identifier: Apache-2.0

// Package plan is what the path of a request asks a service to do; package
// causality says what it looks like.
package plan

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Call is a wait and a request; either may be missing.
type Call struct {
	Delay time.Duration
	URL   string
	In    int // bytes of its body
}

// Task is what to do for a request. The calls of a step are made at the same
// time.
type Task struct {
	Steps [][]Call
	Out   int // bytes of the response's body
}

// Peers reads "go=127.0.0.1:4000 node=127.0.0.1:4001".
func Peers(env string) map[string]string {
	peers := make(map[string]string)
	for _, p := range strings.Fields(env) {
		name, address, _ := strings.Cut(p, "=")
		peers[name] = address
	}
	return peers
}

// Parse reads the path of a request.
func Parse(path string, peers map[string]string) (Task, error) {
	var task Task
	part := strings.Split(path, "/") // "", scenario, id, node, sizes, plan
	if len(part) != 6 {
		return task, fmt.Errorf("path %q", path)
	}
	node, in := part[3], 0
	if _, err := fmt.Sscanf(part[4], "%d-%d", &in, &task.Out); err != nil {
		return task, fmt.Errorf("sizes %q: %w", part[4], err)
	}
	child := 0
	for _, entry := range strings.Split(part[5], "~") {
		steps, mine := strings.CutPrefix(entry, node+"=")
		if !mine {
			continue
		}
		for _, s := range strings.Split(steps, ",") {
			var step []Call
			for _, c := range strings.Split(s, "+") {
				name, delay, _ := strings.Cut(c, "*")
				ms, _ := strconv.Atoi(delay)
				next := Call{Delay: time.Duration(ms) * time.Millisecond, In: in}
				if name != "" {
					part[3] = fmt.Sprintf("%s.%d", node, child)
					next.URL = "http://" + peers[name] + strings.Join(part, "/")
					child++
				}
				step = append(step, next)
			}
			task.Steps = append(task.Steps, step)
		}
	}
	return task, nil
}
