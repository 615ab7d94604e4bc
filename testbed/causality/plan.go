// SPDX-License-Identifier: Apache-2.0

package causality

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Node is a request in the tree of a scenario: the service that gets it, and the
// steps that service takes, one after the other. The calls of a step are made at
// the same time.
type Node struct {
	Service string
	Steps   [][]*Node
}

// call is a request to a service.
func call(service string, steps ...[]*Node) *Node { return &Node{service, steps} }

// step is calls at the same time.
func step(calls ...*Node) []*Node { return calls }

// Scenario is a tree of calls.
type Scenario struct {
	Name string
	Root *Node
	// Timers: services wait before some of their calls. (Leaves wait before some
	// of their answers in every scenario.)
	Timers bool
}

// Hop is a node with its place in the tree.
type Hop struct {
	Node    string // "0.1"
	Service string // who gets the request
	Parent  int    // the index of the hop whose service makes it; -1 if that is the load generator
}

// Hops lists the nodes of the tree, each after its parent.
func (s *Scenario) Hops() []Hop {
	var hops []Hop
	var add func(n *Node, name string, parent int)
	add = func(n *Node, name string, parent int) {
		hops = append(hops, Hop{name, n.Service, parent})
		self, child := len(hops)-1, 0
		for _, s := range n.Steps {
			for _, c := range s {
				add(c, fmt.Sprintf("%s.%d", name, child), self)
				child++
			}
		}
	}
	add(s.Root, "0", -1)
	return hops
}

// Services lists the services of the tree, each once.
func (s *Scenario) Services() []string {
	var names []string
	seen := make(map[string]bool)
	for _, h := range s.Hops() {
		if !seen[h.Service] {
			seen[h.Service] = true
			names = append(names, h.Service)
		}
	}
	return names
}

// Request is one run through a scenario's tree.
type Request struct {
	Scenario *Scenario
	ID       string
	// Failed requests got no answer, or one that says so.
	Failed bool
	// In and Out are the bytes of body of each request and response.
	In, Out int
	Plan    string
}

// Path of the request at a node.
func (r *Request) Path(node string) string {
	return fmt.Sprintf("/%s/%s/%s/%d-%d/%s", r.Scenario.Name, r.ID, node, r.In, r.Out, r.Plan)
}

// sizes of bodies: mostly heads only, some that need several system calls.
var sizes = []struct{ in, out int }{
	{0, 20}, {0, 20}, {0, 300}, {200, 20}, {0, 3000}, {5000, 300}, {0, 20}, {300, 300}, {0, 70000}, {40000, 20},
}

// newRequest draws the sizes and delays of a request.
func newRequest(s *Scenario, id string, r *rand.Rand) *Request {
	size := sizes[r.IntN(len(sizes))]
	return &Request{Scenario: s, ID: id, In: size.in, Out: size.out, Plan: writePlan(s.Root, s.Timers, r)}
}

// writePlan says what every node of the tree has to do. One leaf in four waits 1 to
// 5 ms before it answers; with timers, so does one call in four before it is made.
func writePlan(root *Node, timers bool, r *rand.Rand) string {
	delay := func(one int) string {
		if r.IntN(one) != 0 {
			return ""
		}
		return fmt.Sprintf("*%d", 1+r.IntN(5))
	}
	var entries []string
	var add func(n *Node, name string)
	add = func(n *Node, name string) {
		var steps []string
		for _, s := range n.Steps {
			var calls []string
			for _, c := range s {
				if timers && waits(n.Service) {
					calls = append(calls, c.Service+delay(4))
				} else {
					calls = append(calls, c.Service)
				}
			}
			steps = append(steps, strings.Join(calls, "+"))
		}
		if len(n.Steps) == 0 && waits(n.Service) {
			if d := delay(4); d != "" {
				steps = append(steps, d)
			}
		}
		if len(steps) > 0 {
			entries = append(entries, name+"="+strings.Join(steps, ","))
		}
		child := 0
		for _, s := range n.Steps {
			for _, c := range s {
				add(c, fmt.Sprintf("%s.%d", name, child))
				child++
			}
		}
	}
	add(root, "0")
	return strings.Join(entries, "~")
}

// parsePath takes a request's path apart.
func parsePath(path string) (scenario, id, node string, ok bool) {
	parts := strings.Split(path, "/")
	if len(parts) != 6 || parts[0] != "" {
		return "", "", "", false
	}
	return parts[1], parts[2], parts[3], true
}

// String is the tree as text: nginx(node(go, go+node2(go))).
func (s *Scenario) String() string { return s.Root.String() }

func (n *Node) String() string {
	if len(n.Steps) == 0 {
		return n.Service
	}
	var steps []string
	for _, s := range n.Steps {
		var calls []string
		for _, c := range s {
			calls = append(calls, c.String())
		}
		steps = append(steps, strings.Join(calls, "+"))
	}
	return n.Service + "(" + strings.Join(steps, ", ") + ")"
}
