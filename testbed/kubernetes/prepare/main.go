// SPDX-License-Identifier: Apache-2.0

// Command prepare compiles the Kubernetes API server that tests use, so that this is
// not done while other tests measure something.
package main

import (
	"fmt"
	"os"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/kubernetes/cluster"
)

func main() {
	program, err := cluster.Build()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(program)
}
