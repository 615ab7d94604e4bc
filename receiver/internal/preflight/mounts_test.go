// SPDX-License-Identifier: Apache-2.0

//go:build linux

package preflight

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCgroupRoot(t *testing.T) {
	dir := t.TempDir()
	mounts := func(lines ...string) string {
		name := filepath.Join(dir, "mountinfo")
		require.NoError(t, os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
		return name
	}
	root, below := filepath.Join(dir, "root"), filepath.Join(dir, "be low")
	require.NoError(t, os.Mkdir(root, 0o700))
	require.NoError(t, os.Mkdir(below, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(below, "cgroup.type"), nil, 0o600))
	v1 := "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:3 - cgroup cgroup rw,cpu"
	isRoot := "38 31 0:38 / " + root + " rw,relatime shared:4 - cgroup2 cgroup2 rw"
	isBelow := "39 31 0:38 /a " + strings.ReplaceAll(below, " ", `\040`) + " rw,relatime - cgroup2 cgroup2 rw"

	got, err := CgroupRoot(mounts(v1, isBelow, isRoot))
	require.NoError(t, err)
	require.Equal(t, root, got)

	var u *Unsupported
	_, err = CgroupRoot(mounts(v1))
	require.ErrorAs(t, err, &u)
	require.ErrorContains(t, err, "context_propagation.inject: no cgroup2 hierarchy is mounted")
	_, err = CgroupRoot(mounts(v1, isBelow))
	require.ErrorAs(t, err, &u)
	require.ErrorContains(t, err, below+" is not the root of the cgroup2 hierarchy")
}
