// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
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
