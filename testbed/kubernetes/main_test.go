// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// serve is the variable that makes this program a service at an address, instead of a
// test. GET /call?url= makes it call another one.
const serve = "KUBERNETES_TEST_SERVE"

func TestMain(m *testing.M) {
	if address := os.Getenv(serve); address != "" {
		fmt.Fprintln(os.Stderr, http.ListenAndServe(address, http.HandlerFunc(handle)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func handle(w http.ResponseWriter, r *http.Request) {
	if url := r.URL.Query().Get("url"); url != "" {
		res, err := http.Get(url)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		_, _ = io.Copy(w, res.Body)
		return
	}
	_, _ = io.WriteString(w, "hello\n")
}

// requirements skips where the machine cannot run this, but never in CI, and keeps
// loads from running beside each other.
func requirements(t *testing.T) {
	t.Helper()
	missing := func(what string) {
		t.Helper()
		if os.Getenv("CI") == "true" {
			t.Fatalf("needs %s", what)
		}
		t.Skipf("needs %s", what)
	}
	if os.Geteuid() != 0 {
		missing("root")
	}
	if _, err := groundtruth.Binary(); err != nil {
		missing(err.Error())
	}
	f, err := os.OpenFile(filepath.Join(os.TempDir(), "otelcol-ebpf-testbed.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	require.NoError(t, err)
	require.NoError(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
	t.Cleanup(func() { f.Close() })
}
