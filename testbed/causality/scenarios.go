// SPDX-License-Identifier: Apache-2.0

package causality

// workers are the runtimes that are put in the middle of a graph: server and
// client in one process, in the ways their ecosystems do that.
var workers = []string{
	"go", "python", "gunicorn", "aiohttp", "fastapi", "node", "express", "java", "spring", "rust", "puma",
}

// proxies pass requests on.
var proxies = []string{"nginx", "haproxy", "goproxy"}

// Scenarios lists all of them.
func Scenarios() []*Scenario {
	var all []*Scenario
	for _, x := range workers {
		all = append(all, around(x)...)
	}
	for _, x := range proxies {
		all = append(all, through(x))
	}
	return append(all, mixed()...)
}

// around is the graphs that have a runtime in their middle, and a second process
// of the same runtime behind the first.
func around(x string) []*Scenario {
	second := x + "2"
	return []*Scenario{
		// One call after the other.
		{x + "-seq", call("nginx", step(call(x,
			step(call("go")),
			step(call(second, step(call("go")))),
			step(call("go")))))},
		// One call, then four at once.
		{x + "-par", call("nginx", step(call(x,
			step(call("go")),
			step(call("go"), call("go"), call(second, step(call("go"), call("go"))), call("go")))))},
	}
}

// through is the graph in which every request goes through a proxy.
func through(x string) *Scenario {
	leaf := func() *Node { return call(x, step(call("go"))) }
	return &Scenario{x, call(x, step(call("go", step(leaf()), step(leaf(), leaf(), leaf()))))}
}

// mixed are graphs of several runtimes.
func mixed() []*Scenario {
	chain := func(services ...string) *Node {
		n := call(services[len(services)-1])
		for i := len(services) - 2; i >= 0; i-- {
			n = call(services[i], step(n))
		}
		return n
	}
	return []*Scenario{
		{"mixed-chain1", chain("nginx", "node", "java", "python", "go")},
		{"mixed-chain2", chain("haproxy", "spring", "fastapi", "rust", "go")},
		{"mixed-wide", call("nginx", step(call("express",
			step(chain("java", "go"), chain("aiohttp", "go"), chain("rust", "go")),
			step(chain("puma", "go")),
			step(chain("goproxy", "gunicorn", "go"), chain("go")))))},
		// Services that are called again while they wait.
		{"mixed-reentry", call("nginx", step(call("node", step(call("go", step(call("node", step(call("go")), step(call("go")))))))))},
	}
}
