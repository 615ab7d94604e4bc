// SPDX-License-Identifier: Apache-2.0

package procfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseStat(t *testing.T) {
	const tail = " 1 1 0 -1 4194560 2 0 0 0 1 2 0 0 20 0 1 0 987654 8192 100 18446744073709551615 94000 95000 140736 0 0 0\n"
	for text, want := range map[string]Stat{
		"42 (nginx) S 7" + tail:                                       {PID: 42, PPID: 7, Comm: "nginx", State: 'S', StartTime: 987654, StartCode: 94000, StartStack: 140736},
		"43 (a) b (c)) Z 1" + tail:                                    {PID: 43, PPID: 1, Comm: "a) b (c)", State: 'Z', StartTime: 987654, StartCode: 94000, StartStack: 140736},
		"44 (x\ny) R 4294967295" + tail:                               {PID: 44, PPID: 4294967295, Comm: "x\ny", State: 'R', StartTime: 987654, StartCode: 94000, StartStack: 140736},
		"45 (z) R 1" + strings.Replace(tail, "4194560", "4228876", 1): {PID: 45, PPID: 1, Comm: "z", State: 'R', Exiting: true, StartTime: 987654, StartCode: 94000, StartStack: 140736},
	} {
		got, ok := parseStat([]byte(text))
		assert.True(t, ok)
		assert.Equal(t, want, got)
	}
	for _, text := range []string{"", "42", "42 (", ")(", "x (a) S 1", "42 (a)", "42 (a) S 1 2 3"} {
		_, ok := parseStat([]byte(text))
		assert.False(t, ok, text)
	}
}

func TestForkOf(t *testing.T) {
	a := Stat{StartCode: 1, StartStack: 2}
	assert.True(t, a.ForkOf(Stat{StartCode: 1, StartStack: 2}))
	assert.False(t, a.ForkOf(Stat{StartCode: 1, StartStack: 3}))
	assert.False(t, Stat{}.ForkOf(Stat{}), "unreadable is not evidence")
}

func TestOwnProcess(t *testing.T) {
	var fs FS
	pid := uint32(os.Getpid())
	stat, ok := fs.Stat(pid)
	require.True(t, ok)
	assert.Equal(t, uint32(os.Getppid()), stat.PPID)
	assert.NotZero(t, stat.StartStack)
	image := fs.Image(pid)
	assert.Equal(t, os.Args, image.Args)
	assert.NotEmpty(t, image.Env)
	cwd, err := os.Getwd()
	require.NoError(t, err)
	assert.Equal(t, cwd, fs.Cwd(pid))
	assert.NotZero(t, fs.NamespacePID(pid))
	assert.Contains(t, fs.Cgroup(pid), ":")
	assert.Contains(t, fs.Namespace(pid, "net"), "net:[")
}

func TestGone(t *testing.T) {
	var fs FS
	const pid = 1 << 30
	_, ok := fs.Stat(pid)
	assert.False(t, ok)
	assert.Zero(t, fs.Exe(pid)+fs.Cwd(pid)+fs.Cgroup(pid)+fs.MountInfo(pid)+fs.Namespace(pid, "net"))
	assert.Zero(t, fs.Image(pid))
	assert.Zero(t, fs.NamespacePID(pid))
	assert.Empty(t, fs.Children(pid))
	assert.Empty(t, fs.ListeningSockets(pid))
	fs.Sockets(pid, func(uint64) bool { t.Error("socket of nobody"); return false })
}

func TestReadLimits(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "5"), 0o755))
	big := strings.Repeat("x", maxFile+100)
	require.NoError(t, os.WriteFile(filepath.Join(root, "5", "cmdline"), []byte("java\x00"+big), 0o644))
	args := FS{Root: root}.Args(5)
	require.Len(t, args, 2)
	assert.Len(t, args[1], maxFile-len("java\x00"))
}

func TestTitlePadding(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "5"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, "5", "cmdline"), []byte("puma: worker   \x00\x00\x00"), 0o644))
	assert.Equal(t, []string{"puma: worker"}, FS{Root: root}.Args(5))
}

// A reader that hangs is given up; the slots it holds come back.
func TestWithinGivesUp(t *testing.T) {
	release := make(chan struct{})
	start := time.Now()
	got := within(func() string { <-release; return "late" })
	assert.Empty(t, got)
	assert.Less(t, time.Since(start), 10*patience)
	assert.Equal(t, "now", within(func() string { return "now" }))
	close(release)
	assert.Eventually(t, func() bool { return len(waiting) == 0 }, time.Second, time.Millisecond)
}

func TestListeningTable(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "5", "net")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	const header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	const listen = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0\n"
	const established = "   1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 20 4 30 10 -1\n"
	const never = "   2: 0100007F:2328 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100 0 0 10 0\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tcp"), []byte(header+listen+established+never), 0o644))
	// Longer than the read buffer.
	var many strings.Builder
	many.WriteString(header)
	for range 1000 {
		many.WriteString(listen)
	}
	many.WriteString("   0: 00000000000000000000000000000000:2328 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 444 1 0 100 0 0 10 0\n")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tcp6"), []byte(many.String()), 0o644))
	assert.Equal(t, map[uint64]uint16{111: 8080, 444: 9000}, FS{Root: root}.ListeningSockets(5))
}

func TestSocketInode(t *testing.T) {
	inode, ok := socketInode([]byte("socket:[123]"))
	assert.True(t, ok)
	assert.Equal(t, uint64(123), inode)
	for _, s := range []string{"pipe:[1]", "socket:[", "socket:[]", "socket:[x]", "/socket:[1]"} {
		_, ok := socketInode([]byte(s))
		assert.False(t, ok, s)
	}
}
