// SPDX-License-Identifier: Apache-2.0

package causality

// workers are the runtimes that are put in the middle of a graph: server and
// client in one process, in the ways their ecosystems do that.
var workers = []string{
	"go", "python", "gunicorn", "aiohttp", "fastapi", "node", "express", "java", "spring", "rust", "puma",
}

// clientLibraries are services of their own for what Java programs call others with,
// besides the JDK's.
var clientLibraries = []string{"okhttp", "apache", "netty"}

// proxies pass requests on.
var proxies = []string{"nginx", "haproxy", "goproxy"}

// Scenarios lists all of them.
func Scenarios() []*Scenario {
	var all []*Scenario
	for _, x := range workers {
		all = append(all, around(x)...)
	}
	for _, x := range clientLibraries {
		all = append(all, around(x)...)
	}
	for _, x := range proxies {
		all = append(all, through(x))
	}
	all = append(all, mixed()...)
	// Last, because what a process does with timers makes its event loop less
	// trusted for a while.
	for _, x := range workers {
		all = append(all, &Scenario{Name: x + "-timers", Root: sequence(x), Timers: true})
	}
	return all
}

// around is the graphs that have a runtime in their middle, and a second process
// of the same runtime behind the first.
func around(x string) []*Scenario {
	return []*Scenario{
		// One call after the other.
		{Name: x + "-seq", Root: sequence(x)},
		// One call, then four at once.
		{Name: x + "-par", Root: call("nginx", step(call(x,
			step(call("go")),
			step(call("go"), call("go"), call(x+"2", step(call("go"), call("go"))), call("go")))))},
	}
}

// sequence is one call after the other.
func sequence(x string) *Node {
	return call("nginx", step(call(x,
		step(call("go")),
		step(call(x+"2", step(call("go")))),
		step(call("go")))))
}

// through is the graph in which every request goes through a proxy.
func through(x string) *Scenario {
	leaf := func() *Node { return call(x, step(call("go"))) }
	return &Scenario{Name: x, Root: call(x, step(call("go", step(leaf()), step(leaf(), leaf(), leaf()))))}
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
		{Name: "mixed-chain1", Root: chain("nginx", "node", "java", "python", "go")},
		{Name: "mixed-chain2", Root: chain("haproxy", "spring", "fastapi", "rust", "go")},
		{Name: "mixed-wide", Root: call("nginx", step(call("express",
			step(chain("java", "go"), chain("aiohttp", "go"), chain("rust", "go")),
			step(chain("puma", "go")),
			step(chain("goproxy", "gunicorn", "go"), chain("go")))))},
		// Services that are called again while they wait.
		{Name: "mixed-reentry", Root: call("nginx", step(call("node", step(call("go", step(call("node", step(call("go")), step(call("go")))))))))},
	}
}
