// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/config"
)

var update = flag.Bool("update", false, "write the table of protocols into README.md")

const (
	protocolsBegin = "<!-- begin protocols: make generate writes it from Describe of receiver/internal/protocol/... -->\n"
	protocolsEnd   = "<!-- end protocols -->\n"
)

// TestProtocolsTable compares README.md's table of protocols with what they say of
// themselves.
func TestProtocolsTable(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "..", "..", "README.md")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), protocolsBegin)
	require.True(t, ok, "README.md has no line %q", protocolsBegin)
	_, after, ok := strings.Cut(rest, protocolsEnd)
	require.True(t, ok, "README.md has no line %q", protocolsEnd)

	var b strings.Builder
	b.WriteString("| Protocol | Servers' spans | Clients' spans | Recognised by | Copied |\n|---|---|---|---|---|\n")
	all, _, err := protocols(config.Default(), &peers{})
	require.NoError(t, err)
	for _, p := range all {
		d := p.Describe()
		v := reflect.ValueOf(d)
		for i := range v.NumField() {
			require.NotContains(t, v.Field(i).String(), "\n", "%s: %s", p.Name(), v.Type().Field(i).Name)
		}
		require.NotEmpty(t, d.Title, p.Name())
		require.NotEmpty(t, d.Evidence, p.Name())
		require.NotEmpty(t, d.Capture, p.Name())
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", d.Title, d.Server, d.Client, d.Evidence, d.Capture)
	}
	want := before + protocolsBegin + b.String() + protocolsEnd + after
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o644))
		return
	}
	require.Equal(t, want, string(text), "README.md is out of date: run make generate")
}

// Every protocol can be switched off by itself.
func TestProtocolsAreSwitchedOff(t *testing.T) {
	t.Parallel()
	everything, _, err := protocols(config.Default(), &peers{})
	require.NoError(t, err)
	off := config.Default()
	switches := reflect.ValueOf(&off.Protocols).Elem()
	for i := range switches.NumField() {
		switches.Field(i).FieldByName("Enabled").SetBool(false)
	}
	none, _, err := protocols(off, &peers{})
	require.NoError(t, err)
	require.Empty(t, none)
	require.Greater(t, len(everything), 12)
	for i := range switches.NumField() {
		c := config.Default()
		reflect.ValueOf(&c.Protocols).Elem().Field(i).FieldByName("Enabled").SetBool(false)
		some, _, err := protocols(c, &peers{})
		require.NoError(t, err)
		want := len(everything) - 1
		if switches.Type().Field(i).Name == "GRPC" {
			want++ // HTTP/2 is parsed for HTTP, too
		}
		require.Len(t, some, want, switches.Type().Field(i).Name)
	}
}
