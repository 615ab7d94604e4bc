// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/config"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/protocol/recorded"
)

// packages are where the conversations of protocols are, where it is not under their names.
var packages = map[string]string{"http": "http1"}

// Among all protocols, every recorded conversation is taken for what it is, by both ends,
// however it is cut; seen from its middle, for that or for nothing.
func TestRecordedAmongAll(t *testing.T) {
	t.Parallel()
	all, _, err := protocols(config.Default(), &peers{})
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(5, 5))
	cuts := map[string]func(int) int{
		"whole": nil, "byte by byte": func(int) int { return 1 }, "at random": func(n int) int { return 1 + r.IntN(n) },
	}
	for i, p := range all {
		dir := p.Name()
		if packages[dir] != "" {
			dir = packages[dir]
		}
		for _, c := range recorded.ReadOf(t, filepath.Join("..", "protocol", dir)) {
			for _, role := range []exchange.Role{exchange.RoleClient, exchange.RoleServer} {
				alone := recorded.Play([]protocol.Protocol{p}, c, recorded.Replay{Role: role})
				require.NotEmpty(t, alone.Lines)
				for name, cut := range cuts {
					got := recorded.Play(all, c, recorded.Replay{Role: role, Cut: cut})
					require.Empty(t, got.Wrong)
					require.Equal(t, alone.Lines, got.Lines, "%s %s, %s, %s", dir, c.Name, role, name)
				}
				for range 50 {
					got := recorded.Play(all, c, recorded.Replay{Role: role, Skip: 1 + r.IntN(len(c.Pieces)-1)})
					for k, s := range got.Stats.ByProtocol {
						if k != i {
							require.Zero(t, s.Exchanges, "%s %s, %s, for %s", dir, c.Name, role, all[k].Name())
						}
					}
				}
			}
		}
	}
}
