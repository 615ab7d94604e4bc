// SPDX-License-Identifier: Apache-2.0

// shop is the program of the containers: an HTTP server on the port that is its
// argument. A request whose query has call=URL makes it request that first.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if url := r.URL.Query().Get("call"); url != "" {
			res, err := http.Get(url)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	if err := http.ListenAndServe(":"+os.Args[1], nil); err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
}
