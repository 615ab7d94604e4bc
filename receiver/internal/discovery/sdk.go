// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"path"
	"strings"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/runtimes"
)

// SDK says what makes it look as if a process ran an OpenTelemetry SDK or agent that
// exports spans: a variable, an argument or a file; empty if nothing does. That is
// suspicion, not proof: variables are inherited, and set for whole namespaces.
//
// What is looked for is described at
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ and
// https://opentelemetry.io/docs/zero-code/. files are those the process has mapped.
func SDK(kind runtimes.Kind, args, env []string, files func() []string) string {
	value := func(name string) string {
		v, _ := lookup(env, name)
		return v
	}
	if strings.EqualFold(value("OTEL_SDK_DISABLED"), "true") || value("OTEL_TRACES_EXPORTER") == "none" {
		return ""
	}
	for _, arg := range args {
		switch {
		case kind == runtimes.Java && isOpenTelemetryAgent(arg):
			return "-javaagent"
		case kind == runtimes.Python && path.Base(arg) == "opentelemetry-instrument":
			return "opentelemetry-instrument"
		case kind == runtimes.Node && isOpenTelemetryModule(arg):
			return path.Base(arg)
		}
	}
	for _, v := range agentVariables {
		if kind == v.kind && v.tells(value(v.name)) {
			return v.name
		}
	}
	for _, name := range []string{"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
		if value(name) != "" {
			return name
		}
	}
	if files == nil {
		return ""
	}
	for _, file := range files() {
		base := path.Base(file)
		if base == "OpenTelemetry.AutoInstrumentation.Native.so" || base == "opentelemetry.so" && kind == runtimes.PHP {
			return base
		}
	}
	return ""
}

// agentVariables bring agents into processes of a runtime.
var agentVariables = []struct {
	kind  runtimes.Kind
	name  string
	tells func(value string) bool
}{
	{runtimes.Java, "JAVA_TOOL_OPTIONS", hasAgent},
	{runtimes.Java, "JDK_JAVA_OPTIONS", hasAgent},
	{runtimes.Java, "_JAVA_OPTIONS", hasAgent},
	{runtimes.Node, "NODE_OPTIONS", hasModule},
	{runtimes.Python, "PYTHONPATH", func(value string) bool {
		return strings.Contains(value, "opentelemetry/instrumentation/auto_instrumentation") || strings.Contains(value, operatorDirectory)
	}},
	{runtimes.Ruby, "RUBYOPT", func(value string) bool { return strings.Contains(value, "opentelemetry") }},
	{runtimes.PHP, "OTEL_PHP_AUTOLOAD_ENABLED", func(value string) bool { return strings.EqualFold(value, "true") }},
	// The profiler of opentelemetry-dotnet-instrumentation, by its class id.
	{runtimes.DotNet, "CORECLR_PROFILER", func(value string) bool {
		return strings.EqualFold(value, "{918728DD-259F-4A6A-AC2B-B85E1B658318}")
	}},
}

// operatorDirectory begins the names of those the Kubernetes operator mounts.
const operatorDirectory = "/otel-auto-instrumentation"

func isOpenTelemetryAgent(arg string) bool {
	jar, ok := strings.CutPrefix(arg, "-javaagent:")
	jar, _, _ = strings.Cut(jar, "=")
	return ok && (strings.Contains(path.Base(jar), "opentelemetry") || strings.HasPrefix(jar, operatorDirectory))
}

func isOpenTelemetryModule(arg string) bool {
	return strings.Contains(arg, "@opentelemetry/auto-instrumentations") || strings.Contains(arg, operatorDirectory)
}

func hasAgent(value string) bool { return anyWord(value, isOpenTelemetryAgent) }

func hasModule(value string) bool { return anyWord(value, isOpenTelemetryModule) }

func anyWord(s string, is func(string) bool) bool {
	for word := range strings.FieldsSeq(s) {
		if is(word) {
			return true
		}
	}
	return false
}
