// SPDX-License-Identifier: Apache-2.0

//go:build linux

package preflight

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"
)

var able = Kernel{TaskStorage: true, Loop: true, UprobeMulti: true, Uprobes: true, ReadKernel: true, SockHooks: true, IOUring: true, Iterators: true}

func TestReport(t *testing.T) {
	least := only(unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_SYS_PTRACE, unix.CAP_DAC_READ_SEARCH)
	for name, c := range map[string]struct {
		change   func(*Host, *Kernel, *Wants)
		hooks    string
		missing  []string // features
		logged   map[string]zapcore.Level
		degraded string
	}{
		"everything": {hooks: "sock"},
		"least": {
			change:  func(h *Host, _ *Kernel, _ *Wants) { h.Effective = least },
			hooks:   "sock",
			missing: []string{FeatureTCPOption, FeatureHTTPHeader, FeatureNamespaces},
		},
		"old kernel": {
			change:  func(_ *Host, k *Kernel, _ *Wants) { *k = Kernel{ReadKernel: true, Uprobes: true} },
			hooks:   "sys_exit",
			missing: []string{FeatureSockHooks, FeatureIOUring, FeatureTCPOption, FeatureHTTPHeader, FeatureNamespaces},
			logged:  map[string]zapcore.Level{FeatureSockHooks: zap.InfoLevel, FeatureIOUring: zap.InfoLevel},
		},
		"configured hooks": {
			change:  func(_ *Host, k *Kernel, w *Wants) { k.SockHooks, w.Hooks = false, "sys_exit" },
			hooks:   "sys_exit",
			missing: []string{FeatureSockHooks},
		},
		"sidecar": {
			change:  func(h *Host, _ *Kernel, _ *Wants) { h.PIDNamespace = 1 },
			hooks:   "sock",
			missing: []string{FeatureHostProcesses},
			logged:  map[string]zapcore.Level{FeatureHostProcesses: zap.InfoLevel},
		},
		"no uprobes": {
			change:  func(_ *Host, k *Kernel, _ *Wants) { k.Uprobes = false },
			hooks:   "sock",
			missing: []string{FeatureRuntimes},
			logged:  map[string]zapcore.Level{FeatureRuntimes: zap.InfoLevel},
		},
		"others' files": {
			change: func(h *Host, _ *Kernel, _ *Wants) {
				h.Effective &^= only(unix.CAP_DAC_READ_SEARCH, unix.CAP_DAC_OVERRIDE)
			},
			hooks:    "sock",
			missing:  []string{FeatureProcessDetails},
			logged:   map[string]zapcore.Level{FeatureProcessDetails: zap.WarnLevel},
			degraded: "missing CAP_DAC_READ_SEARCH",
		},
		"override": {
			change: func(h *Host, _ *Kernel, _ *Wants) { h.Effective &^= only(unix.CAP_DAC_READ_SEARCH) },
			hooks:  "sock",
		},
		"AppArmor": {
			change:   func(h *Host, _ *Kernel, _ *Wants) { h.Refused, h.Confinement = 90, "docker-default (enforce)" },
			hooks:    "sock",
			missing:  []string{FeatureProcessDetails},
			logged:   map[string]zapcore.Level{FeatureProcessDetails: zap.WarnLevel},
			degraded: "90 of 100 processes may not be looked at in spite of CAP_SYS_PTRACE, by docker-default (enforce), it seems (Kubernetes: securityContext: {appArmorProfile: {type: Unconfined}}",
		},
		"few out of reach": {change: func(h *Host, _ *Kernel, _ *Wants) { h.Refused = 3 }, hooks: "sock"},
		"subset of proc": {
			change:   func(h *Host, _ *Kernel, _ *Wants) { h.ProcSubset = true },
			hooks:    "sock",
			missing:  []string{FeatureProcessDetails},
			logged:   map[string]zapcore.Level{FeatureProcessDetails: zap.WarnLevel},
			degraded: "systemd: ProcSubset=all",
		},
		"injection, no admin": {
			change: func(h *Host, _ *Kernel, w *Wants) {
				h.Effective, w.TCPOption = least|only(unix.CAP_NET_ADMIN), true
			},
			hooks:   "sock",
			missing: []string{FeatureNamespaces},
			logged:  map[string]zapcore.Level{FeatureNamespaces: zap.InfoLevel},
		},
		"did not start": {change: func(h *Host, k *Kernel, _ *Wants) { h.Effective = 0; *k = Kernel{} }, missing: []string{
			FeatureSockHooks, FeatureIOUring, FeatureProcessDetails, FeatureRuntimes, FeatureTCPOption, FeatureHTTPHeader, FeatureNamespaces,
		}, degraded: "CAP_DAC_READ_SEARCH"},
	} {
		t.Run(name, func(t *testing.T) {
			h, k, w := fine(), able, Wants{Hooks: "auto"}
			if c.change != nil {
				c.change(h, &k, &w)
			}
			r := NewReport(h, k, w, c.hooks)
			_, off := r.names()
			require.Equal(t, c.missing, off)
			if c.degraded == "" {
				require.NoError(t, r.Degraded())
			} else {
				require.ErrorContains(t, r.Degraded(), c.degraded)
			}
			core, logs := observer.New(zap.DebugLevel)
			r.Log(zap.New(core))
			entries := logs.TakeAll()
			require.Equal(t, "eBPF preflight", entries[0].Message)
			require.Equal(t, zap.InfoLevel, entries[0].Level)
			logged := map[string]zapcore.Level{}
			for _, e := range entries[1:] {
				fields := e.ContextMap()
				require.NotEmpty(t, e.Message)
				require.NotEmpty(t, fields["why"])
				require.NotEmpty(t, fields["mend"])
				logged[fields["feature"].(string)] = e.Level
			}
			require.Len(t, entries[1:], len(logged), "each once")
			if c.logged == nil {
				c.logged = map[string]zapcore.Level{}
			}
			require.Equal(t, c.logged, logged)
			hooks, _ := r.Attributes().Get("hooks")
			require.Equal(t, c.hooks, hooks.Str())
		})
	}
}

func TestWhyNotBetter(t *testing.T) {
	k := able
	require.Empty(t, NewReport(fine(), k, Wants{Hooks: "auto"}, "sock").Better)
	require.Equal(t, "hooks: sys_exit is configured", NewReport(fine(), k, Wants{Hooks: "sys_exit"}, "sys_exit").Better)
	k.SockHooks = false
	require.Contains(t, NewReport(fine(), k, Wants{Hooks: "auto"}, "sys_exit").Better, "Linux 6.3 or newer")
}

func TestLockdown(t *testing.T) {
	h := fine()
	h.Lockdown = lockdownUnknown
	require.Equal(t, "none or integrity", NewReport(h, able, Wants{}, "sock").lockdown())
	require.Equal(t, "confidentiality", NewReport(h, Kernel{}, Wants{}, "sock").lockdown())
	require.Equal(t, "unknown", NewReport(h, Kernel{}, Wants{}, "").lockdown())
}
