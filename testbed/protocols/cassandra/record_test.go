// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

// recordTo is how testbed/protocols/confusion/record.sh gets its conversation.
var recordTo = flag.String("record", "", "write what a client and the server say into this file, and do nothing else")

func record(t *testing.T, build, port string) {
	replay := filepath.Join(t.TempDir(), "replay")
	out, err := exec.Command("go", "build", "-o", replay, "../confusion/replay").CombinedOutput()
	require.NoError(t, err, "%s", out)
	proxy, err := groundtruth.FreePort()
	require.NoError(t, err)
	p, err := groundtruth.Start(t.TempDir(), replay, "record", *recordTo, fmt.Sprint("127.0.0.1:", proxy), "127.0.0.1:"+port)
	require.NoError(t, err)
	time.Sleep(300 * time.Millisecond)
	out, err = exec.Command(filepath.Join(build, "client"), "-address", fmt.Sprint("127.0.0.1:", proxy), "-case", "some", "-n", "5", "-c", "1", "-tag", "rec").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NoError(t, p.Stop(300*time.Millisecond))
}
