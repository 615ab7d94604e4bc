// SPDX-License-Identifier: Apache-2.0

package runtimes

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/discovery/procfs"
)

// waitRuby says where its thread's variable is, and the value and descriptor of an IO in a
// local variable of a method that runs.
const waitRuby = `
require 'fiddle'
def serve(io)
  puts [Fiddle.dlopen(nil)['ruby_current_ec'], Fiddle.dlwrap(io), io.fileno].join(' ')
  $stdout.flush
  $stdin.read
end
serve(File.open('/dev/null'))
`

// The places that bpf/ruby.h reads are those of the Ruby that is installed.
func TestRuby(t *testing.T) {
	pid, line := start(t, "ruby", "-e", waitRuby)
	var variable, value, fd uint64
	_, err := fmt.Sscan(line, &variable, &value, &fd)
	require.NoError(t, err, line)
	p, err := NewExaminer(procfs.FS{}).Examine(pid)
	require.NoError(t, err)
	require.Equal(t, Ruby, p.Kind)
	require.NotZero(t, p.RubyThread)

	m := memoryOf(t, pid)
	assert.NotZero(t, m.word(p.RubyThread), "module")
	assert.Equal(t, variable&15, m.word(p.RubyThread+8)&15, "offset")
	context := m.word(variable)
	stack, size, frame := m.word(context), m.word(context+8), m.word(context+16)
	require.Less(t, frame-stack, size*8, "the frames are at the stack's other end")
	top := m.word(frame + 8)
	require.Less(t, top-stack, size*8)
	found := false
	for at := stack; at < min(top, stack+128*8); at += 8 {
		found = found || m.word(at) == value
	}
	assert.True(t, found, "the stack has the local variable")
	assert.Equal(t, uint64(0x0b), m.word(value)&0x1f, "T_FILE")
	io := m.word(value + 16)
	assert.Equal(t, value, m.word(io), "rb_io.self")
	assert.Equal(t, fd, m.word(io+16)&0xffffffff, "rb_io.fd")
}

func TestHAProxy(t *testing.T) {
	file, err := os.Open("/usr/sbin/haproxy")
	require.NoError(t, err, "testbed/install.sh installs haproxy")
	defer file.Close()
	o, err := readObject(file, "/usr/sbin/haproxy")
	require.NoError(t, err)
	names := map[FunctionName]int{}
	for _, f := range o.functions {
		names[f.Name]++
	}
	assert.Equal(t, map[FunctionName]int{HAProxyAccept: 1, HAProxyProcess: 1}, names)
}
