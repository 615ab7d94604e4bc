// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// server is one that requests are sent to.
type server struct {
	job string // as Prometheus shall see it
	// instance that it shall share with whoever else names the same one; empty
	// for one of its own.
	instance string
	url      string
	requests int
}

// No two service instances are one series in Prometheus, whatever they are called,
// and every request is counted once.
func TestPrometheus(t *testing.T) {
	groundtruth.Requirements(t, "podman", "runc", "conmon", "containerd", "ctr")
	dir := t.TempDir()
	root, err := rootfs(dir)
	require.NoError(t, err)
	dirP, dirC := filepath.Join(dir, "p"), filepath.Join(dir, "c")
	require.NoError(t, os.Mkdir(dirP, 0o755))
	require.NoError(t, os.Mkdir(dirC, 0o755))
	p, err := newPodman(dirP, root)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, p.close()) })
	cd, err := newContainerd(dirC, root)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, cd.close()) })

	var servers []server
	add := func(job, instance, url string) {
		servers = append(servers, server{job, instance, url, 3 + 2*len(servers)})
	}
	inPodman := func(name, job, instance string, options ...string) {
		t.Helper()
		c, err := p.start(name, "8080", append(append([]string{"--network", p.network}, options...), image, "8080")...)
		require.NoError(t, err)
		add(job, instance, c.url)
	}
	onHost := func(job, instance string, env ...string) {
		t.Helper()
		port, err := groundtruth.FreePort()
		require.NoError(t, err)
		s, err := groundtruth.Start(dir, append(append([]string{"env"}, env...), root+program, strconv.Itoa(port))...)
		require.NoError(t, err)
		t.Cleanup(func() { _ = s.Cmd.Process.Kill() })
		add(job, instance, fmt.Sprintf("http://127.0.0.1:%d", port))
	}
	// The same service twice, on the same port of two network namespaces.
	inPodman("a", "checkout", "", "-e", "OTEL_SERVICE_NAME=checkout")
	inPodman("b", "checkout", "", "-e", "OTEL_SERVICE_NAME=checkout")
	// Told the same instance id, which cannot be.
	one := "OTEL_RESOURCE_ATTRIBUTES=service.name=told,service.namespace=shop,service.instance.id=one"
	inPodman("c", "shop/told", "", "-e", one)
	inPodman("d", "shop/told", "", "-e", one)
	// The name that the container's main program has anyway.
	inPodman("e", "shop", "e")
	_, err = p.run("exec", "-d", "-e", "OTEL_SERVICE_NAME=shop", "e", program, "8081")
	require.NoError(t, err)
	add("shop", "e", strings.TrimSuffix(servers[4].url, "8080")+"8081")
	// Outside containers: the same program twice, and two that are told to be one.
	onHost("by-hand", "", "OTEL_SERVICE_NAME=by-hand")
	onHost("by-hand", "", "OTEL_SERVICE_NAME=by-hand")
	onHost("shop", "")
	onHost("shop", "")
	both := "OTEL_RESOURCE_ATTRIBUTES=service.name=both,service.instance.id=two"
	onHost("both", "two", both)
	onHost("both", "two", both)
	// A pod's two containers; the name is left to k8s_attributes, which is not here.
	for _, name := range []string{"web", "sidecar"} {
		port, err := groundtruth.FreePort()
		require.NoError(t, err)
		c, err := cd.start("shop-0", name, podUID, strconv.Itoa(port))
		require.NoError(t, err)
		add("", "prod.shop-0."+name, c.url)
	}
	w := &world{t: t}
	for _, s := range servers {
		w.up(&container{name: s.job, url: s.url})
	}

	sink, err := groundtruth.NewSink()
	require.NoError(t, err)
	defer sink.Close()
	port, err := groundtruth.FreePort()
	require.NoError(t, err)
	collector, err := groundtruth.StartCollector(groundtruth.CollectorOptions{Endpoint: sink.Endpoint(), Prometheus: port, Dir: t.TempDir()})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, sink.WaitReady(ctx, collector))

	// want are the counts of a job's instances.
	want := map[string][]int{}
	shared := map[string]int{}
	for _, s := range servers {
		for range s.requests {
			res, err := http.Get(s.url + "/x")
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		if s.instance == "" {
			want[s.job] = append(want[s.job], s.requests)
		} else {
			shared[s.job+"\x00"+s.instance] += s.requests
		}
	}
	for key, requests := range shared {
		job, _, _ := strings.Cut(key, "\x00")
		want[job] = append(want[job], requests)
	}
	var got map[string][]int
	assert.EventuallyWithT(t, func(t *assert.CollectT) {
		got = scrape(t, port, want)
		for job := range want {
			slices.Sort(want[job])
			assert.Equal(t, want[job], got[job], "job %q", job)
		}
	}, 10*time.Second, 500*time.Millisecond)
	// And it stays like that: a series that two write to changes from scrape to scrape.
	for range 4 {
		time.Sleep(500 * time.Millisecond)
		again := scrape(t, port, want)
		for job := range want {
			assert.Equal(t, want[job], again[job], "job %q", job)
		}
	}
	log := collector.Log()
	require.NoError(t, collector.Stop())
	assert.NotRegexp(t, `(?i)duplicate|collected before|conflict|\t(warn|error)\t`, log)
	t.Logf("%d servers, %d jobs: counts of instances %v", len(servers), len(want), got)
}

var sample = regexp.MustCompile(`^http_server_request_duration_seconds_count(\{.*\}) (\d+)`)

var label = regexp.MustCompile(`(\w+)="([^"]*)"`)

// scrape reads the counts of HTTP servers' requests: for each job that is asked
// about, those of its instances, ascending. Series have to be different in their
// labels, and instances to have one each.
func scrape(t require.TestingT, port int, jobs map[string][]int) map[string][]int {
	res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusOK, res.StatusCode)
	out, seen := map[string][]int{}, map[string]bool{}
	s := bufio.NewScanner(res.Body)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		m := sample.FindStringSubmatch(s.Text())
		if m == nil {
			continue
		}
		require.False(t, seen[m[1]], "series twice: %s", m[1])
		seen[m[1]] = true
		labels := map[string]string{}
		for _, l := range label.FindAllStringSubmatch(m[1], -1) {
			labels[l[1]] = l[2]
		}
		if _, asked := jobs[labels["job"]]; !asked {
			continue
		}
		require.NotEmpty(t, labels["instance"], m[1])
		n, err := strconv.Atoi(m[2])
		require.NoError(t, err)
		out[labels["job"]] = append(out[labels["job"]], n)
	}
	require.NoError(t, s.Err())
	for _, counts := range out {
		slices.Sort(counts)
	}
	return out
}
