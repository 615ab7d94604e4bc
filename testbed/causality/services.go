// SPDX-License-Identifier: Apache-2.0

package causality

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"text/template"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// program is how a runtime's service is run. It finds its port in PORT and the
// addresses of all services in PEERS, "go=127.0.0.1:4000 node=127.0.0.1:4001".
type program struct {
	// build is what build.sh has to build.
	build string
	// argv may name BUILD (build.sh's results), SERVICES (the sources), DIR (the
	// instance's own directory) and PORT.
	argv string
	// template is a file in SERVICES from which DIR/config is made.
	template string
	// children is the number of processes it starts that do the work.
	children int
	// named: it calls services by a name that it has to look up, not by their addresses.
	named bool
	// proxy: it passes requests on, and does not wait.
	proxy bool
}

var programs = map[string]program{
	"nginx":    {argv: "nginx -e DIR/error.log -c DIR/config", template: "nginx/nginx.conf", children: 1, proxy: true},
	"haproxy":  {argv: "haproxy -db -f DIR/config", template: "haproxy/haproxy.cfg", proxy: true},
	"goproxy":  {build: "goproxy", argv: "BUILD/goproxy", proxy: true},
	"go":       {build: "go", argv: "BUILD/go"},
	"python":   {build: "python", argv: "BUILD/python/bin/python SERVICES/python/threads.py"},
	"aiohttp":  {build: "python", argv: "BUILD/python/bin/python SERVICES/python/aio.py"},
	"fastapi":  {build: "python", argv: "BUILD/python/bin/python SERVICES/python/fast.py"},
	"gunicorn": {build: "python", argv: gunicorn, children: 2},
	"node":     {argv: "node SERVICES/node/plain.js"},
	"express":  {build: "node", argv: "node SERVICES/node/express.js", named: true},
	"java":     {build: "java", argv: "java -Xms512m -Xmx512m -Dsun.net.httpserver.nodelay=true -Dsun.net.httpserver.idleInterval=600 -cp BUILD/java causality.pool.Server"},
	"spring":   {build: "spring", argv: "java -Xms512m -Xmx512m -Dhttp.maxConnections=64 -jar BUILD/spring/spring.jar"},
	"okhttp":   {build: "clients", argv: "env CLIENT=okhttp " + clients},
	"apache":   {build: "clients", argv: "env CLIENT=apache " + clients},
	"netty":    {build: "clients", argv: "env CLIENT=netty " + clients},
	"rust":     {build: "rust", argv: "BUILD/rust/release/causality"},
	"puma":     {argv: "puma -C SERVICES/ruby/puma.rb SERVICES/ruby/config.ru"},
}

// Keep-alive is off in gunicorn's default of one thread, and 2 s otherwise: too
// short for clients not to meet connections that are being closed.
const gunicorn = "BUILD/python/bin/gunicorn --chdir SERVICES/python --worker-class gthread --workers 2 --threads 32" +
	" --keep-alive 600 --graceful-timeout 1 --backlog 256 --worker-connections 1000 --bind 127.0.0.1:PORT wsgi:app"

// clients calls others by what CLIENT names.
const clients = "java -Xms512m -Xmx512m -Dsun.net.httpserver.nodelay=true -Dsun.net.httpserver.idleInterval=600 -jar BUILD/clients/clients.jar"

// waits says whether a service can wait, as plans may ask it to.
func waits(service string) bool { return !programs[runtimeOf(service)].proxy }

func servicesDir() string {
	return filepath.Join(groundtruth.Root(), "testbed", "causality", "services")
}

func buildDir() string { return filepath.Join(groundtruth.Root(), "testbed", "_build", "causality") }

// Build makes what services need; that takes minutes the first time.
func Build(ctx context.Context, services []string) error {
	argv := []string{filepath.Join(groundtruth.Root(), "testbed", "causality", "build.sh")}
	seen := map[string]bool{"": true}
	for _, s := range services {
		p, ok := programs[runtimeOf(s)]
		if !ok {
			return fmt.Errorf("no such service: %s", s)
		}
		if !seen[p.build] {
			seen[p.build] = true
			argv = append(argv, p.build)
		}
	}
	if out, err := exec.CommandContext(ctx, "bash", argv...).CombinedOutput(); err != nil {
		return fmt.Errorf("build.sh: %w\n%s", err, out)
	}
	return nil
}

// instance is a running service.
type instance struct {
	name    string
	port    int
	process *groundtruth.Process
	pids    []int
}

func (i *instance) url(path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", i.port, path) }

// fleet is the running services.
type fleet []*instance

// startFleet starts services and waits until all of them answer.
func startFleet(ctx context.Context, dir string, names []string) (fleet, error) {
	ports, err := freePorts(len(names))
	if err != nil {
		return nil, err
	}
	var f fleet
	var peers []string
	for n, name := range names {
		f = append(f, &instance{name: name, port: ports[n]})
		peers = append(peers, fmt.Sprintf("%s=127.0.0.1:%d", name, ports[n]))
	}
	err = f.each(func(i *instance) error {
		if err := i.start(filepath.Join(dir, i.name), peers); err != nil {
			return fmt.Errorf("%s: %w", i.name, err)
		}
		return i.wait(ctx)
	})
	if err != nil {
		f.stop()
		return nil, err
	}
	return f, nil
}

// freePorts finds ports of the loopback interface nobody listens on. It holds all
// of them before it lets any go, or the kernel may give one of them twice.
func freePorts(count int) ([]int, error) {
	var ports []int
	for range count {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// each runs do for all instances at once.
func (f fleet) each(do func(*instance) error) error {
	errs := make([]error, len(f))
	var wg sync.WaitGroup
	for n, i := range f {
		wg.Go(func() { errs[n] = do(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (f fleet) stop() {
	_ = f.each(func(i *instance) error {
		if i.process != nil {
			_ = i.process.Stop(0) // most end by the signal, which is not an error here
		}
		return nil
	})
}

func (f fleet) find(name string) *instance {
	for _, i := range f {
		if i.name == name {
			return i
		}
	}
	return nil
}

// processes tells which service a pid is.
func (f fleet) processes() map[int]string {
	m := make(map[int]string)
	for _, i := range f {
		for _, pid := range i.pids {
			m[pid] = i.name
		}
	}
	return m
}

func (i *instance) start(dir string, peers []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	p := programs[runtimeOf(i.name)]
	if p.template != "" {
		var config bytes.Buffer
		t, err := template.ParseFiles(filepath.Join(servicesDir(), p.template))
		if err != nil {
			return err
		}
		addresses := make(map[string]string)
		for _, peer := range peers {
			name, address, _ := strings.Cut(peer, "=")
			addresses[name] = address
		}
		if err := t.Execute(&config, map[string]any{"Dir": dir, "Port": i.port, "Peers": addresses}); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "config"), config.Bytes(), 0o600); err != nil {
			return err
		}
	}
	known := strings.Join(peers, " ")
	if p.named {
		known = strings.ReplaceAll(known, "127.0.0.1", "localhost")
	}
	argv := []string{
		"env", fmt.Sprintf("PORT=%d", i.port), "PEERS=" + known,
		"NODE_PATH=" + filepath.Join(buildDir(), "node", "node_modules"),
	}
	where := strings.NewReplacer("BUILD", buildDir(), "SERVICES", servicesDir(), "DIR", dir, "PORT", fmt.Sprint(i.port))
	for _, word := range strings.Fields(p.argv) {
		argv = append(argv, where.Replace(word))
	}
	var err error
	i.process, err = groundtruth.Start(dir, argv...)
	return err
}

// wait waits until the service answers and all its processes are there.
func (i *instance) wait(ctx context.Context) error {
	children := programs[runtimeOf(i.name)].children
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := get(ctx, i.url(probePath(i.name)))
		if syscall.Kill(i.process.PID(), 0) != nil { // whoever answers, it is not this one
			return fmt.Errorf("%s ended: %w", i.name, i.process.Wait(time.Second))
		}
		if err == nil {
			i.pids, err = groundtruth.Children(i.process.PID())
			if err == nil && len(i.pids) == children {
				i.pids = append(i.pids, i.process.PID())
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", i.name, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// probe is the scenario of requests that only find out whether a service answers.
const probe = "probe"

func probePath(id string) string { return "/" + probe + "/" + id + "/0/0-1/" }

// get makes a request on a connection of its own.
func get(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, res.Status)
	}
	return nil
}
