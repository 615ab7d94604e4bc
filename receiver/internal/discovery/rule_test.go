// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParsePorts(t *testing.T) {
	ports, err := ParsePorts("8080-8090, 9000")
	require.NoError(t, err)
	assert.Equal(t, Ports{{8080, 8090}, {9000, 9000}}, ports)
	for port, want := range map[uint16]bool{8079: false, 8080: true, 8090: true, 8091: false, 9000: true} {
		assert.Equal(t, want, ports.Contains(port), port)
	}
	for text, sentence := range map[string]string{
		"8090-8080": `"8090-8080" is backwards; write "8080-8090"`,
		"":          `"" has an empty entry; write ports and ranges like "8080-8090,9000"`,
		"80,":       `"80," has an empty entry; write ports and ranges like "8080-8090,9000"`,
		"http":      `"http" is not a port; write a number from 1 to 65535 or a range like "8080-8090"`,
		"0":         `"0" is not a port; write a number from 1 to 65535 or a range like "8080-8090"`,
		"65536":     `"65536" is not a port; write a number from 1 to 65535 or a range like "8080-8090"`,
		"80-":       `"" is not a port; write a number from 1 to 65535 or a range like "8080-8090"`,
		"-80":       `"" is not a port; write a number from 1 to 65535 or a range like "8080-8090"`,
	} {
		_, err := ParsePorts(text)
		assert.EqualError(t, err, sentence, text)
	}
}

func TestCompileErrors(t *testing.T) {
	for _, test := range []struct {
		name             string
		include, exclude []Rule
		want             []string
	}{
		{name: "empty rule", include: []Rule{{Exe: "*"}, {ServiceName: "x"}}, want: []string{
			`discovery.include[1]: a rule without conditions would match every process; give it exe, cmdline, open_ports, language, container_name, k8s, pids or environment (exe: "*" for every process)`,
		}},
		{name: "bare executable", include: []Rule{{Exe: "checkout"}}, want: []string{
			`discovery.include[0].exe: "checkout" can never match, as the path of an executable begins with a slash; write "*/checkout"`,
		}},
		{name: "backwards ports", exclude: []Rule{{OpenPorts: "2-1"}}, want: []string{
			`discovery.exclude[0].open_ports: "2-1" is backwards; write "1-2"`,
		}},
		{name: "open class", include: []Rule{{Cmdline: "a["}}, want: []string{
			`discovery.include[0].cmdline: "a[" has a "[" without its "]"; close it, or write "\\[" for a bracket`,
		}},
		{name: "several", include: []Rule{{PIDs: []int{1, 0}, Environment: map[string]string{"A=": "*", "B": "["}}}, want: []string{
			`discovery.include[0].environment[A=]: "A=" is not the name of a variable; write NAME: glob`,
			`discovery.include[0].environment[B]: "[" has a "[" without its "]"; close it, or write "\\[" for a bracket`,
			`discovery.include[0].pids[1]: 0 is not a process id; write a positive number`,
		}},
		{name: "override in exclude", exclude: []Rule{{Exe: "*", ServiceName: "x", ServiceNamespace: "y"}}, want: []string{
			`discovery.exclude[0].service_name: an excluded process reports nothing; move service_name to an include rule`,
			`discovery.exclude[0].service_namespace: an excluded process reports nothing; move service_namespace to an include rule`,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := Compile(test.include, test.exclude)
			assert.Nil(t, m)
			assert.EqualError(t, err, strings.Join(test.want, "\n"))
		})
	}
}

func compile(t *testing.T, include, exclude []Rule) *Matcher {
	t.Helper()
	m, err := Compile(include, exclude)
	require.NoError(t, err)
	return m
}

func TestMatch(t *testing.T) {
	process := &Process{
		PID:            42,
		Exe:            "/opt/shop/checkout",
		Cmdline:        []string{"checkout", "--port", "8080"},
		Environ:        func() []string { return []string{"TEAM=payments", "EMPTY="} },
		ListeningPorts: func() []uint16 { return []uint16{8080} },
	}
	for name, test := range map[string]struct {
		rule Rule
		want bool
	}{
		"exe":               {Rule{Exe: "*/checkout"}, true},
		"other exe":         {Rule{Exe: "*/cart"}, false},
		"cmdline":           {Rule{Cmdline: "checkout *8080"}, true},
		"ports":             {Rule{OpenPorts: "8000-9000"}, true},
		"other ports":       {Rule{OpenPorts: "9000"}, false},
		"pid":               {Rule{PIDs: []int{1, 42}}, true},
		"other pid":         {Rule{PIDs: []int{1}}, false},
		"environment":       {Rule{Environment: map[string]string{"TEAM": "pay*"}}, true},
		"empty value":       {Rule{Environment: map[string]string{"EMPTY": "*"}}, true},
		"unset variable":    {Rule{Environment: map[string]string{"TEA": "*"}}, false},
		"all hold":          {Rule{Exe: "*/checkout", OpenPorts: "8080", Environment: map[string]string{"TEAM": "*"}}, true},
		"one does not hold": {Rule{Exe: "*/checkout", OpenPorts: "8081"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := compile(t, []Rule{test.rule}, nil)
			d := m.Match(process)
			assert.Equal(t, test.want, d.Selected)
			assert.Equal(t, test.want, d.Rule != nil)
			assert.False(t, m.Default())
			assert.Equal(t, test.rule.OpenPorts != "", m.Needs().Ports)

			excluded := compile(t, nil, []Rule{test.rule}).Match(process)
			assert.Equal(t, !test.want, excluded.Selected)
			assert.Equal(t, test.want, excluded.Decided())
			assert.Nil(t, excluded.Rule)
		})
	}
}

func TestMatchOrder(t *testing.T) {
	p := &Process{PID: 1, Exe: "/bin/a"}
	m := compile(t, []Rule{{Exe: "/bin/b"}, {Exe: "/bin/*", ServiceName: "first"}, {Exe: "*", ServiceName: "second"}}, nil)
	d := m.Match(p)
	require.True(t, d.Selected)
	assert.Equal(t, "first", d.Rule.ServiceName)

	m = compile(t, []Rule{{Exe: "*"}}, []Rule{{PIDs: []int{1}}})
	assert.False(t, m.Match(p).Selected, "exclude beats include")

	m = compile(t, nil, nil)
	assert.True(t, m.Default())
	assert.True(t, m.Trivial())
	assert.Equal(t, Decision{Selected: true}, m.Match(p))
}

// Costly properties are not read for a process that the cheap ones rule out.
func TestMatchIsLazy(t *testing.T) {
	p := &Process{
		Exe:            "/bin/a",
		Environ:        func() []string { t.Error("environment read"); return nil },
		ListeningPorts: func() []uint16 { t.Error("ports read"); return nil },
	}
	m := compile(t, []Rule{{Exe: "/bin/b", OpenPorts: "80", Environment: map[string]string{"A": "*"}}}, nil)
	assert.False(t, m.Match(p).Selected)
	assert.False(t, compile(t, []Rule{{OpenPorts: "80"}}, nil).Match(&Process{}).Selected, "nil functions")
}
