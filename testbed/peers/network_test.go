// SPDX-License-Identifier: Apache-2.0

package peers_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// Ports of the servers, in a network namespace of their own.
const (
	redisPort = "6379"
	pgPort    = "5432"
	httpPort  = "8080"
)

// nobody is the user that PostgreSQL runs as.
const nobody = 65534

// zone is what the name server knows.
var zone = []string{
	"--host-record=cache.peers.test,10.77.0.1",
	"--host-record=db.peers.test,10.77.0.2",
	// Two names of one address.
	"--host-record=one.peers.test,10.77.0.3", "--host-record=two.peers.test,10.77.0.3",
	// Two addresses of one name, which take turns.
	"--host-record=turns.peers.test,10.77.0.4", "--host-record=turns.peers.test,10.77.0.5",
	// A name that is another one's.
	"--cname=alias.peers.test,target.peers.test", "--host-record=target.peers.test,10.77.0.6",
	"--host-record=both.peers.test,10.77.0.7,fd77::7",
}

// network is a namespace with a name server and the servers the names lead to.
type network struct {
	t     *testing.T
	name  string
	etc   string
	redis *groundtruth.Process
	bin   string // of PostgreSQL
}

func newNetwork(t *testing.T) *network {
	n := &network{t: t, name: fmt.Sprintf("peerstest%d", os.Getpid())}
	n.etc = "/etc/netns/" + n.name
	n.ip("netns", "add", n.name)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", n.name).Run() })
	require.NoError(t, os.MkdirAll(n.etc, 0o755))
	t.Cleanup(func() { _ = os.RemoveAll(n.etc) })
	n.resolver("")
	require.NoError(t, os.WriteFile(filepath.Join(n.etc, "nsswitch.conf"), []byte("hosts: dns\n"), 0o644))
	n.ip("-n", n.name, "link", "set", "lo", "up")
	var addresses []string
	for i := range 7 {
		address := fmt.Sprintf("10.77.0.%d", i+1)
		addresses = append(addresses, address)
		n.ip("-n", n.name, "address", "add", address+"/32", "dev", "lo")
	}
	n.ip("-n", n.name, "address", "add", "fd77::7/128", "dev", "lo", "nodad")
	addresses = append(addresses, "fd77::7")

	n.server(append([]string{
		"/usr/sbin/dnsmasq", "--no-daemon", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--listen-address=127.0.0.1", "--bind-interfaces",
		"--user=root", "--local=/peers.test/", "--dns-forward-max=1000",
	}, zone...)...)
	n.redis = n.server(slices.Concat([]string{
		"redis-server", "--port", redisPort, "--save", "", "--daemonize", "no", "--protected-mode", "no", "--dir", t.TempDir(), "--bind",
	}, addresses)...)
	n.server("python3", filepath.Join(groundtruth.Root(), "testbed", "peers", "server.py"), httpPort)
	n.postgres()
	for _, probe := range []string{
		"dig +tries=1 +timeout=1 @127.0.0.1 cache.peers.test +short",
		"redis-cli -h 10.77.0.1 ping",
		"curl -sf http://10.77.0.1:" + httpPort + "/",
		filepath.Join(n.bin, "pg_isready") + " -q -h 10.77.0.1",
	} {
		require.Eventually(t, func() bool { return n.command(strings.Fields(probe)...).Run() == nil }, 20*time.Second, 20*time.Millisecond, probe)
	}
	return n
}

func (n *network) ip(args ...string) {
	n.t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	require.NoError(n.t, err, "ip %v: %s", args, out)
}

// resolver writes how names are looked up.
func (n *network) resolver(options string) {
	text := "nameserver 127.0.0.1\n"
	if options != "" {
		text += "options " + options + "\n"
	}
	require.NoError(n.t, os.WriteFile(filepath.Join(n.etc, "resolv.conf"), []byte(text), 0o644))
}

func (n *network) argv(argv ...string) []string {
	return append([]string{"ip", "netns", "exec", n.name}, argv...)
}

func (n *network) command(argv ...string) *exec.Cmd {
	argv = n.argv(argv...)
	return exec.Command(argv[0], argv[1:]...)
}

func (n *network) server(argv ...string) *groundtruth.Process {
	n.t.Helper()
	p, err := groundtruth.Start(n.t.TempDir(), n.argv(argv...)...)
	require.NoError(n.t, err)
	n.t.Cleanup(func() { _ = p.Stop(0) })
	return p
}

// postgres starts PostgreSQL, which refuses to be root.
func (n *network) postgres() {
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	require.NoError(n.t, err)
	require.NotEmpty(n.t, bins, "postgresql is not installed: testbed/install.sh")
	n.bin = filepath.Dir(bins[len(bins)-1])
	dir, err := os.MkdirTemp("", "peers-pg")
	require.NoError(n.t, err)
	n.t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(n.t, os.Chown(dir, nobody, nobody))
	data := filepath.Join(dir, "data")
	as := []string{"setpriv", "--reuid", strconv.Itoa(nobody), "--regid", strconv.Itoa(nobody), "--clear-groups"}
	initdb := exec.Command(as[0], append(as[1:], filepath.Join(n.bin, "initdb"), "-D", data, "-U", "tester", "-A", "trust", "--no-sync", "--locale=C")...)
	initdb.Dir = dir
	out, err := initdb.CombinedOutput()
	require.NoError(n.t, err, "%s", out)
	hba, err := os.OpenFile(filepath.Join(data, "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(n.t, err)
	_, err = hba.WriteString("host all all all trust\n")
	require.NoError(n.t, err)
	require.NoError(n.t, hba.Close())
	p, err := groundtruth.Start(dir, n.argv(append(as, filepath.Join(n.bin, "postgres"), "-D", data, "-p", pgPort, "-k", dir, "-c", "listen_addresses=*",
		"-c", "fsync=off", "-c", "log_min_messages=panic", "-c", "shared_buffers=32MB", "-c", "autovacuum=off")...)...)
	require.NoError(n.t, err)
	n.t.Cleanup(func() { _ = p.Stop(0) })
}
