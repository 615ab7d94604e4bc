// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/cluster"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/runtimes"
)

func TestMatchPods(t *testing.T) {
	pod := &cluster.Pod{
		Namespace: "shop", Name: "cart-7d9f-x2x", Labels: map[string]string{"app": "cart", "empty": ""},
		Annotations: map[string]string{"example.com/traced": "true"}, NamespaceLabels: map[string]string{"team": "pay"},
		NamespaceAnnotations: map[string]string{"cost": "12"}, Owner: cluster.Owner{Kind: "Deployment", Name: "cart"},
	}
	in := Place{Pod: pod, Container: "app"}
	labels := func(s ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(s); i += 2 {
			m[s[i]] = s[i+1]
		}
		return m
	}
	for name, test := range map[string]struct {
		rule  Kubernetes
		place Place
		want  bool
	}{
		"namespace":                 {Kubernetes{Namespace: "sh*"}, in, true},
		"another namespace":         {Kubernetes{Namespace: "shop-*"}, in, false},
		"no pod":                    {Kubernetes{Namespace: "*"}, Place{}, false},
		"container, but no pod":     {Kubernetes{ContainerName: "*"}, Place{Container: "app"}, false},
		"namespace label":           {Kubernetes{NamespaceLabels: labels("team", "pay")}, in, true},
		"namespace annotation":      {Kubernetes{NamespaceAnnotations: labels("cost", "1?")}, in, true},
		"pod name":                  {Kubernetes{PodName: "cart-*"}, in, true},
		"present":                   {Kubernetes{PodLabels: labels("app", "*")}, in, true},
		"present, but empty":        {Kubernetes{PodLabels: labels("empty", "*")}, in, true},
		"absent":                    {Kubernetes{PodLabels: labels("version", "*")}, in, false},
		"every entry":               {Kubernetes{PodLabels: labels("app", "cart", "empty", "")}, in, true},
		"one entry does not":        {Kubernetes{PodLabels: labels("app", "cart", "empty", "?")}, in, false},
		"pod annotation":            {Kubernetes{PodAnnotations: labels("example.com/traced", "true")}, in, true},
		"owner":                     {Kubernetes{OwnerKind: "Deployment", OwnerName: "c*"}, in, true},
		"another kind of owner":     {Kubernetes{OwnerKind: "StatefulSet", OwnerName: "c*"}, in, false},
		"no owner":                  {Kubernetes{OwnerKind: "*"}, Place{Pod: &cluster.Pod{Namespace: "shop"}}, false},
		"container":                 {Kubernetes{Namespace: "shop", ContainerName: "app"}, in, true},
		"container not known":       {Kubernetes{ContainerName: "*"}, Place{Pod: pod}, false},
		"another container":         {Kubernetes{Namespace: "shop", ContainerName: "proxy"}, in, false},
		"annotation of another map": {Kubernetes{PodAnnotations: labels("app", "*")}, in, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := compile(t, []Rule{{Kubernetes: &test.rule}}, nil)
			assert.True(t, m.Needs().Pods)
			assert.True(t, m.NeedsCluster())
			p := &Process{PID: 1, Exe: "/bin/cart", Place: func() Place { return test.place }}
			assert.Equal(t, test.want, m.Match(p).Selected)
			assert.Equal(t, !test.want, compile(t, nil, []Rule{{Kubernetes: &test.rule}}).Match(p).Selected, "exclude")
		})
	}
	m := compile(t, []Rule{{ContainerName: "a*"}}, nil)
	assert.True(t, m.Match(&Process{Place: func() Place { return Place{Container: "app"} }}).Selected, "outside pods, too")
	assert.False(t, m.Match(&Process{}).Selected)
	assert.True(t, m.Needs().Containers)
	assert.False(t, m.NeedsCluster())
}

func TestMatchLanguages(t *testing.T) {
	m := compile(t, []Rule{{Languages: []string{"go", "cpp"}}}, nil)
	require.True(t, m.Needs().Languages)
	for kind, want := range map[runtimes.Kind]bool{
		runtimes.Go: true, runtimes.Native: true, runtimes.Nginx: true, runtimes.Envoy: true,
		runtimes.Rust: false, runtimes.Python: false, runtimes.Unknown: false,
	} {
		assert.Equal(t, want, m.Match(&Process{Language: func() runtimes.Kind { return kind }}).Selected, kind)
	}
	// Every runtime has a word, and every word a runtime.
	for kind := runtimes.Native; kind.String() != runtimes.Unknown.String(); kind++ {
		found := false
		for _, l := range languages {
			set, err := ParseLanguage(l.name)
			require.NoError(t, err)
			found = found || set.Contains(kind)
		}
		assert.True(t, found, kind)
	}
}

// What a process was selected or excluded by holds for those it forks, but for what is its
// own.
func TestInherits(t *testing.T) {
	place := func(name string) func() Place {
		return func() Place { return Place{Pod: &cluster.Pod{Namespace: name}} }
	}
	parent := &Process{PID: 5, Exe: "/bin/a", Cmdline: []string{"master"}, ListeningPorts: func() []uint16 { return []uint16{80} }, Place: place("in")}
	child := &Process{PID: 6, Exe: "/bin/a", Cmdline: []string{"worker"}, Place: place("in")}
	rule := Rule{PIDs: []int{5}, OpenPorts: "80", Cmdline: "master", Exe: "/bin/a", Kubernetes: &Kubernetes{Namespace: "in"}}
	m := compile(t, []Rule{rule}, nil)
	require.True(t, m.Match(parent).Selected)
	require.False(t, m.Match(child).Selected)
	assert.True(t, m.Match(parent).Inherits(child))
	assert.False(t, m.Match(parent).Inherits(&Process{PID: 6, Exe: "/bin/a", Place: place("out")}), "the pod has changed")
	excluded := compile(t, nil, []Rule{rule}).Match(parent)
	assert.False(t, excluded.Selected)
	assert.True(t, excluded.Inherits(child))
	assert.False(t, m.Match(child).Inherits(child), "no rule has decided")
}

func TestSDK(t *testing.T) {
	for name, test := range map[string]struct {
		kind  runtimes.Kind
		args  string
		env   []string
		files []string
		want  string
	}{
		"nothing":               {kind: runtimes.Java, args: "java -jar shop.jar"},
		"java agent":            {kind: runtimes.Java, args: "java -javaagent:/opt/opentelemetry-javaagent.jar=debug -jar x.jar", want: "-javaagent"},
		"another agent":         {kind: runtimes.Java, args: "java -javaagent:/opt/jmx_exporter.jar -jar opentelemetry.jar"},
		"java options":          {kind: runtimes.Java, env: []string{"JAVA_TOOL_OPTIONS=-Xmx1g -javaagent:/x/opentelemetry-javaagent.jar"}, want: "JAVA_TOOL_OPTIONS"},
		"of a shell":            {kind: runtimes.Native, env: []string{"JAVA_TOOL_OPTIONS=-javaagent:/x/opentelemetry-javaagent.jar"}},
		"node options":          {kind: runtimes.Node, env: []string{"NODE_OPTIONS=--require @opentelemetry/auto-instrumentations-node/register"}, want: "NODE_OPTIONS"},
		"other node options":    {kind: runtimes.Node, env: []string{"NODE_OPTIONS=--max-old-space-size=100"}},
		"operator, node":        {kind: runtimes.Node, env: []string{"NODE_OPTIONS= --require /otel-auto-instrumentation-nodejs/autoinstrumentation.js"}, want: "NODE_OPTIONS"},
		"node argument":         {kind: runtimes.Node, args: "node --require @opentelemetry/auto-instrumentations-node/register app.js", want: "register"},
		"python path":           {kind: runtimes.Python, env: []string{"PYTHONPATH=/usr/lib/python3/site-packages/opentelemetry/instrumentation/auto_instrumentation:/app"}, want: "PYTHONPATH"},
		"python command":        {kind: runtimes.Python, args: "/usr/bin/python3 /usr/bin/opentelemetry-instrument python app.py", want: "opentelemetry-instrument"},
		"python that names it":  {kind: runtimes.Python, args: "python3 -m opentelemetry_instrument_docs"},
		"dotnet":                {kind: runtimes.DotNet, env: []string{"CORECLR_PROFILER={918728DD-259F-4A6A-AC2B-B85E1B658318}"}, want: "CORECLR_PROFILER"},
		"another profiler":      {kind: runtimes.DotNet, env: []string{"CORECLR_PROFILER={846F5F1C-F9AE-4B07-969E-05C26BC060D8}"}},
		"dotnet library":        {kind: runtimes.DotNet, files: []string{"/otel/linux-x64/OpenTelemetry.AutoInstrumentation.Native.so"}, want: "OpenTelemetry.AutoInstrumentation.Native.so"},
		"endpoint":              {kind: runtimes.Go, env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://otel:4317"}, want: "OTEL_EXPORTER_OTLP_ENDPOINT"},
		"empty endpoint":        {kind: runtimes.Go, env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT="}},
		"exporter":              {kind: runtimes.Go, env: []string{"OTEL_TRACES_EXPORTER=otlp"}, want: "OTEL_TRACES_EXPORTER"},
		"no exporter":           {kind: runtimes.Java, args: "java -javaagent:/opt/opentelemetry-javaagent.jar x", env: []string{"OTEL_TRACES_EXPORTER=none", "OTEL_EXPORTER_OTLP_ENDPOINT=x"}},
		"disabled":              {kind: runtimes.Go, env: []string{"OTEL_SDK_DISABLED=True", "OTEL_EXPORTER_OTLP_ENDPOINT=x"}},
		"a name says nothing":   {kind: runtimes.Go, env: []string{"OTEL_SERVICE_NAME=shop"}},
		"php extension":         {kind: runtimes.PHP, files: []string{"/usr/lib/php/20220829/opentelemetry.so"}, want: "opentelemetry.so"},
		"a file of that name":   {kind: runtimes.Native, files: []string{"/usr/lib/opentelemetry.so"}},
		"ruby":                  {kind: runtimes.Ruby, env: []string{"RUBYOPT=-r opentelemetry-auto-instrumentation"}, want: "RUBYOPT"},
		"metrics endpoint only": {kind: runtimes.Go, env: []string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://otel:4317"}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, SDK(test.kind, strings.Fields(test.args), test.env, func() []string { return test.files }))
		})
	}
}
