// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// startTimeout is generous: the machine may compile something else meanwhile.
const startTimeout = 90 * time.Second

// Cluster is an API server and its etcd.
type Cluster struct {
	// Admin may do everything.
	Admin *rest.Config
	kubernetes.Interface

	t         testing.TB
	dir       string
	program   string
	authority *authority
	etcdURL   string
	port      int
	apiserver *process
}

// Start starts a cluster that ends with the test.
func Start(t testing.TB) *Cluster {
	t.Helper()
	program, err := Build()
	require.NoError(t, err)
	c := &Cluster{t: t, dir: t.TempDir(), program: program}
	c.authority, err = newAuthority(c.dir)
	require.NoError(t, err)
	// RFC 4180 with user, uid and groups.
	require.NoError(t, os.WriteFile(c.file("tokens.csv"), []byte(c.authority.token+",admin,admin,system:masters\n"), 0o600))

	c.etcdURL = fmt.Sprintf("http://127.0.0.1:%d", freePort(t))
	etcd, err := start(c.file("etcd.log"), program, "etcd", "--data-dir="+c.file("etcd"),
		"--listen-client="+c.etcdURL, fmt.Sprintf("--listen-peer=http://127.0.0.1:%d", freePort(t)))
	require.NoError(t, err)
	t.Cleanup(etcd.stop)

	c.port = freePort(t)
	c.Admin = &rest.Config{
		Host:            fmt.Sprintf("https://127.0.0.1:%d", c.port),
		BearerToken:     c.authority.token,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.authority.certificate},
		QPS:             -1, // no limit
	}
	c.Interface, err = kubernetes.NewForConfig(c.Admin)
	require.NoError(t, err)
	c.StartServer()
	t.Cleanup(c.StopServer)
	return c
}

func freePort(t testing.TB) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (c *Cluster) file(name string) string { return filepath.Join(c.dir, name) }

// StartServer starts the API server, again after StopServer, and waits until it is
// ready.
func (c *Cluster) StartServer() {
	c.t.Helper()
	require.Nil(c.t, c.apiserver, "it runs")
	var err error
	c.apiserver, err = start(c.file("apiserver.log"), c.program, "apiserver",
		"--etcd-servers="+c.etcdURL,
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", c.port),
		"--tls-cert-file="+c.file("server.crt"), "--tls-private-key-file="+c.file("server.key"),
		"--token-auth-file="+c.file("tokens.csv"), "--authorization-mode=RBAC", "--anonymous-auth=false",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+c.file("server.key"), "--service-account-signing-key-file="+c.file("server.key"),
		"--service-cluster-ip-range=10.96.0.0/16",
		"--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none",
		// Only what tests use: it starts faster.
		"--runtime-config=api/all=false,api/v1=true,apps/v1=true,batch/v1=true,discovery.k8s.io/v1=true,"+
			"rbac.authorization.k8s.io/v1=true,authentication.k8s.io/v1=true,authorization.k8s.io/v1=true,"+
			"coordination.k8s.io/v1=true,apiregistration.k8s.io/v1=true,apiextensions.k8s.io/v1=true,"+
			"scheduling.k8s.io/v1=true,networking.k8s.io/v1=true",
		// There is nobody who would make what it waits for.
		"--disable-admission-plugins=ServiceAccount,TaintNodesByCondition,StorageObjectInUseProtection,"+
			"DefaultStorageClass,PersistentVolumeClaimResize,RuntimeClass,"+
			"MutatingAdmissionWebhook,ValidatingAdmissionWebhook,ValidatingAdmissionPolicy,MutatingAdmissionPolicy",
		"--enable-priority-and-fairness=false", "--profiling=false", "--allow-privileged=true",
		"--shutdown-delay-duration=0s",
	)
	require.NoError(c.t, err)
	deadline := time.Now().Add(startTimeout)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err := c.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
		cancel()
		if err == nil {
			return
		}
		if c.apiserver.ended() || time.Now().After(deadline) {
			log, _ := os.ReadFile(c.file("apiserver.log"))
			require.NoError(c.t, err, "the API server is not ready:\n%s", tail(log, 6000))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func tail(text []byte, most int) []byte { return text[max(0, len(text)-most):] }

// StopServer ends the API server at once, as a crash does. etcd keeps what is in it.
func (c *Cluster) StopServer() {
	if c.apiserver != nil {
		c.apiserver.kill()
		c.apiserver = nil
	}
}

// Kubeconfig writes a file to reach the API server at an address with a token, and
// returns its path. Empty: the API server's own address, the administrator's token.
func (c *Cluster) Kubeconfig(address, token string) string {
	c.t.Helper()
	if address == "" {
		address = c.Address()
	}
	if token == "" {
		token = c.Admin.BearerToken
	}
	path := filepath.Join(c.t.TempDir(), "kubeconfig")
	require.NoError(c.t, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"test": {Server: "https://" + address, CertificateAuthorityData: c.authority.certificate}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"test": {Token: token}},
		Contexts:       map[string]*clientcmdapi.Context{"test": {Cluster: "test", AuthInfo: "test"}},
		CurrentContext: "test",
	}, path))
	return path
}

// Address of the API server, host:port.
func (c *Cluster) Address() string { return strings.TrimPrefix(c.Admin.Host, "https://") }

// As is how to reach the API server with another token.
func (c *Cluster) As(token string) *rest.Config {
	config := rest.CopyConfig(c.Admin)
	config.BearerToken = token
	return config
}

// process is a server that ends when this process does.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	once sync.Once
}

func start(log, program string, args ...string) (*process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = file, file
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() { // Pdeathsig is sent when the thread that forked ends: keep it
		runtime.LockOSThread()
		defer runtime.UnlockOSThread() // or it ends, and others that were forked on it, too
		defer file.Close()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait()
		}
		close(p.done)
	}()
	return p, <-started
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) stop() {
	p.once.Do(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(10 * time.Second):
			p.kill()
		}
	})
}

func encode(kind string, der []byte) []byte {
	var b bytes.Buffer
	_ = pem.Encode(&b, &pem.Block{Type: kind, Bytes: der})
	return b.Bytes()
}
