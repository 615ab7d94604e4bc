// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/testbed/groundtruth"
)

const configuration = `cluster_name: test
num_tokens: 1
hints_directory: %[1]s/hints
data_file_directories: [%[1]s/data]
commitlog_directory: %[1]s/commitlog
cdc_raw_directory: %[1]s/cdc
saved_caches_directory: %[1]s/caches
commitlog_sync: periodic
commitlog_sync_period: 10000ms
commitlog_segment_size: 4MiB
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
storage_port: %[2]d
native_transport_port: %[3]d
start_native_transport: true
memtable_allocation_type: heap_buffers
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{seeds: "127.0.0.1:%[2]d"}]
`

const logging = `<configuration><appender name="S" class="ch.qos.logback.core.ConsoleAppender"><target>System.err</target><encoder><pattern>%msg%n</pattern></encoder></appender><root level="WARN"><appender-ref ref="S"/></root></configuration>`

// opened are the packages of the JDK that Cassandra 4.1 looks into.
var opened = []string{
	"java.base/java.io", "java.base/java.lang", "java.base/java.lang.module", "java.base/java.nio", "java.base/java.util", "java.base/java.util.concurrent",
	"java.base/java.util.concurrent.atomic", "java.base/jdk.internal.loader", "java.base/jdk.internal.math", "java.base/jdk.internal.misc", "java.base/jdk.internal.module",
	"java.base/jdk.internal.ref", "java.base/jdk.internal.reflect", "java.base/jdk.internal.util.jar", "java.base/sun.nio.ch", "java.management.rmi/com.sun.jmx.remote.internal.rmi",
	"java.rmi/sun.rmi.registry", "java.rmi/sun.rmi.server", "java.rmi/sun.rmi.transport.tcp", "java.sql/java.sql", "jdk.management/com.sun.management.internal",
}

// start starts Apache Cassandra as a cluster of one node.
func start(t *testing.T, build string) (pid int, port string) {
	t.Helper()
	home := t.TempDir()
	storage, err := groundtruth.FreePort()
	require.NoError(t, err)
	native, err := groundtruth.FreePort()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(home, "cassandra.yaml"), fmt.Appendf(nil, configuration, home, storage, native), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(home, "logback.xml"), []byte(logging), 0o600))
	argv := []string{"java", "-Xms192m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}
	for _, name := range opened {
		argv = append(argv, "--add-opens", name+"=ALL-UNNAMED")
	}
	for key, value := range map[string]string{
		"cassandra.config": "file://" + home + "/cassandra.yaml", "logback.configurationFile": home + "/logback.xml", "cassandra.storagedir": home,
		"cassandra-foreground": "yes", "cassandra.skip_wait_for_gossip_to_settle": "0", "cassandra.ring_delay_ms": "0", "cassandra.unsafesystem": "true",
		"java.io.tmpdir": home, "jna.tmpdir": home,
	} {
		argv = append(argv, "-D"+key+"="+value)
	}
	p, err := groundtruth.Start(home, append(argv, "-cp", filepath.Join(build, "jars", "*"), "org.apache.cassandra.service.CassandraDaemon")...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Stop(0) })
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", native))
		if err == nil {
			c.Close()
		}
		return err == nil
	}, 40*time.Second, 50*time.Millisecond)
	return p.PID(), fmt.Sprint(native)
}
