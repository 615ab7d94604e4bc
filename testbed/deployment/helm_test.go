// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	sigsyaml "sigs.k8s.io/yaml"
)

func loadChart(t *testing.T) *chart.Chart {
	c, err := loader.Load(repository(t, "distribution", "helm", "otelcol-ebpf"))
	require.NoError(t, err)
	return c
}

// render is `helm template otelcol-ebpf --namespace otelcol-ebpf`; values is YAML.
func render(t *testing.T, values string) (objects string, notes string, err error) {
	c := loadChart(t)
	v, err := chartutil.ReadValues([]byte(values))
	require.NoError(t, err)
	release := chartutil.ReleaseOptions{Name: "otelcol-ebpf", Namespace: "otelcol-ebpf", IsInstall: true, Revision: 1}
	all, err := chartutil.ToRenderValues(c, v, release, chartutil.DefaultCapabilities)
	if err != nil {
		return "", "", err
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return "", "", err
	}
	var documents []string
	for name, text := range files {
		switch {
		case strings.HasSuffix(name, "NOTES.txt"):
			notes = text
		case strings.TrimSpace(text) != "":
			documents = append(documents, text)
		}
	}
	return strings.Join(documents, "\n---\n"), notes, nil
}

func rendered(t *testing.T, values string) objects {
	text, _, err := render(t, values)
	require.NoError(t, err)
	return decode(t, []byte(text))
}

func TestChartLints(t *testing.T) {
	for _, message := range lint.All(repository(t, "distribution", "helm", "otelcol-ebpf"), nil, "otelcol-ebpf", true).Messages {
		assert.LessOrEqual(t, message.Severity, support.InfoSev, message.Error())
	}
}

// collectorConfig is the configuration in the only ConfigMap.
func collectorConfig(t *testing.T, o objects) map[string]any {
	require.Len(t, o.configMaps, 1)
	var config map[string]any
	require.NoError(t, sigsyaml.Unmarshal([]byte(o.configMaps[0].Data["config.yaml"]), &config))
	return config
}

// substance is a DaemonSet without what the chart and kustomize name differently.
func substance(t *testing.T, o objects) appsv1.DaemonSetSpec {
	require.Len(t, o.daemonSets, 1)
	spec := o.daemonSets[0].Spec.DeepCopy()
	spec.Selector = nil
	spec.Template.Labels, spec.Template.Annotations = nil, nil
	for i := range spec.Template.Spec.Volumes {
		if c := spec.Template.Spec.Volumes[i].ConfigMap; c != nil {
			c.Name = ""
		}
	}
	for i := range spec.Template.Spec.Containers {
		if c := &spec.Template.Spec.Containers[i]; c.ImagePullPolicy == "" {
			c.ImagePullPolicy = corev1.PullIfNotPresent // the default for a tag that is not latest
		}
	}
	return *spec
}

// There are two ways to install the same thing.
func TestChartIsTheManifest(t *testing.T) {
	chart, manifest := rendered(t, ""), build(t, "distribution/kubernetes/monitoring")
	assert.Empty(t, chart.monitors)
	chart = rendered(t, "serviceMonitor: {enabled: true}")
	check(t, chart)
	assert.Equal(t, substance(t, manifest), substance(t, chart))
	assert.Equal(t, collectorConfig(t, manifest), collectorConfig(t, chart))
	require.Len(t, chart.roles, 1)
	assert.Equal(t, manifest.roles[0].Rules, chart.roles[0].Rules)
	assert.Equal(t, manifest.bindings[0].Subjects, chart.bindings[0].Subjects)
	require.Len(t, chart.services, 1)
	assert.Equal(t, manifest.services[0].Spec.Ports, chart.services[0].Spec.Ports)
	require.Len(t, chart.monitors, 1)
	assert.Equal(t, manifest.monitors[0].Spec.Endpoints, chart.monitors[0].Spec.Endpoints)
}

func TestChartPrivilegedIsTheManifest(t *testing.T) {
	chart := rendered(t, "privileged: true")
	check(t, chart)
	assert.Equal(t, substance(t, build(t, "distribution/kubernetes/privileged")), substance(t, chart))
}

// at walks maps and lists.
func at(t *testing.T, value any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, ok := value.(map[string]any)
			require.True(t, ok, "%v is no map", value)
			value = m[step]
		case int:
			l, ok := value.([]any)
			require.True(t, ok && step < len(l), "%v", value)
			value = l[step]
		}
	}
	return value
}

func TestChartOptIn(t *testing.T) {
	o := rendered(t, `
optIn:
  namespaces: [shop]
  namespaceLabels: {odigos-instrumentation: enabled}
config: {receivers: {ebpf: {discovery: {include: [{open_ports: "80"}]}}}}
`)
	check(t, o)
	include := at(t, collectorConfig(t, o), "receivers", "ebpf", "discovery", "include")
	assert.Equal(t, []any{
		map[string]any{"open_ports": "80"},
		map[string]any{"k8s": map[string]any{"namespace": "shop"}},
		map[string]any{"k8s": map[string]any{"namespace_labels": map[string]any{"odigos-instrumentation": "enabled"}}},
	}, include)
}

func TestChartExporters(t *testing.T) {
	o := rendered(t, `
extraExporters:
  otlp_http/vendor:
    signals: [traces, metrics]
    config:
      endpoint: https://otlp.example.com
      headers: {x-api-key: "${env:API_KEY}"}
extraEnv:
  - name: API_KEY
    valueFrom: {secretKeyRef: {name: vendor, key: api-key}}
extraEnvFrom:
  - secretRef: {name: more}
secretMounts:
  /etc/vendor: vendor-credentials
`)
	check(t, o)
	config := collectorConfig(t, o)
	assert.Equal(t, []any{"otlp_grpc", "otlp_http/vendor"}, at(t, config, "service", "pipelines", "traces", "exporters"))
	assert.Equal(t, []any{"prometheus", "otlp_http/vendor"}, at(t, config, "service", "pipelines", "metrics", "exporters"))
	container := o.daemonSets[0].Spec.Template.Spec.Containers[0]
	assert.Equal(t, "vendor", container.Env[len(container.Env)-1].ValueFrom.SecretKeyRef.Name)
	assert.Equal(t, "more", container.EnvFrom[0].SecretRef.Name)
	assert.Equal(t, "/etc/vendor", container.VolumeMounts[1].MountPath)
	assert.Equal(t, "vendor-credentials", o.daemonSets[0].Spec.Template.Spec.Volumes[1].Secret.SecretName)
}

// An exporter of the defaults is taken away with null, as Helm does it everywhere.
func TestChartReplacesExporter(t *testing.T) {
	o := rendered(t, `
config:
  exporters:
    otlp_grpc: null
    otlp_grpc/jaeger: {endpoint: "jaeger:4317"}
  service: {pipelines: {traces: {exporters: [otlp_grpc/jaeger]}}}
`)
	check(t, o)
	assert.NotContains(t, at(t, collectorConfig(t, o), "exporters"), "otlp_grpc")
}

func TestChartContextPropagation(t *testing.T) {
	o := rendered(t, "contextPropagation: [tcp_option]")
	check(t, o)
	pod := o.daemonSets[0].Spec.Template.Spec
	assert.Equal(t, append(append([]corev1.Capability{}, needed...), "NET_ADMIN"), pod.Containers[0].SecurityContext.Capabilities.Add)
	assert.Equal(t, "/sys/fs/cgroup", pod.Containers[0].VolumeMounts[1].MountPath)
	assert.True(t, pod.Containers[0].VolumeMounts[1].ReadOnly)
	assert.Equal(t, "/sys/fs/cgroup", pod.Volumes[1].HostPath.Path)
	assert.Equal(t, []any{"tcp_option"}, at(t, collectorConfig(t, o), "receivers", "ebpf", "context_propagation", "inject"))
}

// What the notes say is a pod template's spec.
func TestChartSidecar(t *testing.T) {
	text, notes, err := render(t, "mode: sidecar")
	require.NoError(t, err)
	o := decode(t, []byte(text))
	assert.Empty(t, o.daemonSets)
	_, snippet, found := strings.Cut(notes, "\nspec:\n")
	require.True(t, found, notes)
	template := corev1.PodTemplateSpec{}
	require.NoError(t, sigsyaml.UnmarshalStrict([]byte("spec:\n"+snippet), &template))
	assert.True(t, *template.Spec.ShareProcessNamespace)
	leastPrivilege(t, template.Spec.Containers[0].SecurityContext)
	assert.Nil(t, template.Spec.Containers[0].ReadinessProbe)
	template.Labels = map[string]string{"app": "x"}
	checkCollector(t, o, workload{"sidecar", "otelcol-ebpf", nil, template}, template.Spec.Containers[0])
	assert.Equal(t, o.accounts[0].Name, template.Spec.ServiceAccountName)
}

func TestChartNames(t *testing.T) {
	o := rendered(t, `
fullnameOverride: agent
image: {digest: "sha256:`+strings.Repeat("0a", 32)+`"}
serviceAccount: {create: false, name: mine}
rbac: {create: false}
`)
	assert.Empty(t, o.roles)
	assert.Empty(t, o.accounts)
	assert.Equal(t, "agent", o.daemonSets[0].Name)
	pod := o.daemonSets[0].Spec.Template.Spec
	assert.Equal(t, "mine", pod.ServiceAccountName)
	assert.Equal(t, "ghcr.io/otelcol-ebpf/otelcol-ebpf@sha256:"+strings.Repeat("0a", 32), pod.Containers[0].Image)
}

// A change of the configuration restarts the pods.
func TestChartChecksum(t *testing.T) {
	annotations := func(values string) map[string]string {
		return rendered(t, values).daemonSets[0].Spec.Template.Annotations
	}
	assert.Equal(t, annotations(""), annotations("resources: {limits: {memory: 1Gi}}"))
	assert.NotEqual(t, annotations(""), annotations("config: {receivers: {ebpf: {collection_interval: 30s}}}"))
}

// Mistakes in values are told, not installed.
func TestChartRefuses(t *testing.T) {
	for name, c := range map[string]struct{ values, message string }{
		"mode":            {"mode: deployment", "mode"},
		"unknown key":     {"privilleged: true", "privilleged"},
		"capability":      {"extraCapabilities: [CAP_SYS_ADMIN]", "extraCapabilities"},
		"digest":          {"image: {digest: abc}", "digest"},
		"propagation":     {"contextPropagation: [baggage]", "contextPropagation"},
		"port":            {"ports: {metrics: 70000}", "metrics"},
		"signal":          {"extraExporters: {debug: {signals: [profiles], config: {}}}", "signals"},
		"no pipeline":     {"extraExporters: {debug: {signals: [logs], config: {}}}", "config.service.pipelines has no logs"},
		"namespace label": {"optIn: {namespaceLabels: {team: 7}}", "team"},
		"seccomp":         {"seccompProfile: {type: runtime/default}", "seccompProfile"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := render(t, c.values)
			require.Error(t, err)
			assert.Contains(t, err.Error(), c.message)
		})
	}
}
