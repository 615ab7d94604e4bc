// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	sigsyaml "sigs.k8s.io/yaml"
)

func repository(t *testing.T, elem ...string) string {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	return filepath.Join(append([]string{root}, elem...)...)
}

func binary(t *testing.T) string {
	path := os.Getenv("OTELCOL_EBPF_BIN")
	if path == "" {
		path = repository(t, "bin", "otelcol-ebpf")
	}
	require.FileExists(t, path, "run make build first")
	return path
}

// objects are what one `kubectl apply` sends, by type.
type objects struct {
	documents   [][]byte
	all         []runtime.Object
	namespaces  []*corev1.Namespace
	accounts    []*corev1.ServiceAccount
	configMaps  []*corev1.ConfigMap
	services    []*corev1.Service
	daemonSets  []*appsv1.DaemonSet
	deployments []*appsv1.Deployment
	roles       []*rbacv1.ClusterRole
	bindings    []*rbacv1.ClusterRoleBinding
	monitors    []*monitoringv1.ServiceMonitor
}

// decode reads YAML documents as the API server does with fieldValidation=Strict: a
// field that a type does not have, or that is there twice, is an error.
func decode(t *testing.T, text []byte) objects {
	types := runtime.NewScheme()
	require.NoError(t, scheme.AddToScheme(types))
	require.NoError(t, monitoringv1.AddToScheme(types))
	serializer := json.NewSerializerWithOptions(json.DefaultMetaFactory, types, types,
		json.SerializerOptions{Yaml: true, Strict: true})

	var o objects
	reader := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(text)))
	defer func() { _ = reader.Close() }()
	buffer := make([]byte, 1<<20)
	for {
		n, err := reader.Read(buffer)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		document := buffer[:n]
		var content any
		require.NoError(t, sigsyaml.Unmarshal(document, &content))
		if content == nil {
			continue // only comments
		}
		object, _, err := serializer.Decode(document, nil, nil)
		require.NoError(t, err, string(document))
		o.documents = append(o.documents, bytes.Clone(document))
		o.all = append(o.all, object)
		switch object := object.(type) {
		case *corev1.Namespace:
			o.namespaces = append(o.namespaces, object)
		case *corev1.ServiceAccount:
			o.accounts = append(o.accounts, object)
		case *corev1.ConfigMap:
			o.configMaps = append(o.configMaps, object)
		case *corev1.Service:
			o.services = append(o.services, object)
		case *appsv1.DaemonSet:
			o.daemonSets = append(o.daemonSets, object)
		case *appsv1.Deployment:
			o.deployments = append(o.deployments, object)
		case *rbacv1.ClusterRole:
			o.roles = append(o.roles, object)
		case *rbacv1.ClusterRoleBinding:
			o.bindings = append(o.bindings, object)
		case *monitoringv1.ServiceMonitor:
			o.monitors = append(o.monitors, object)
		default:
			t.Errorf("nobody checks a %T", object)
		}
	}
	require.NotEmpty(t, o.all)
	return o
}

// workload is what DaemonSets and Deployments have in common.
type workload struct {
	name, namespace string
	selector        map[string]string
	template        corev1.PodTemplateSpec
}

func (o objects) workloads() []workload {
	var all []workload
	for _, d := range o.daemonSets {
		all = append(all, workload{d.Name, d.Namespace, d.Spec.Selector.MatchLabels, d.Spec.Template})
	}
	for _, d := range o.deployments {
		all = append(all, workload{d.Name, d.Namespace, d.Spec.Selector.MatchLabels, d.Spec.Template})
	}
	return all
}

func (o objects) configMap(namespace, name string) *corev1.ConfigMap {
	for _, c := range o.configMaps {
		if c.Name == name && c.Namespace == namespace {
			return c
		}
	}
	return nil
}

func matches(selector, pod map[string]string) bool {
	return len(selector) > 0 && labels.SelectorFromSet(selector).Matches(labels.Set(pod))
}

// check verifies that what refers to each other fits together, and that the Collector
// accepts its configurations.
func check(t *testing.T, o objects) {
	accounts := map[string]bool{}
	for _, a := range o.accounts {
		accounts[a.Namespace+"/"+a.Name] = true
	}
	roles := map[string]bool{}
	for _, r := range o.roles {
		roles[r.Name] = true
		for _, rule := range r.Rules {
			assert.NotContains(t, rule.Resources, "secrets")
			for _, verb := range rule.Verbs {
				assert.Contains(t, []string{"get", "list", "watch"}, verb)
			}
		}
	}
	for _, b := range o.bindings {
		assert.True(t, roles[b.RoleRef.Name], b.RoleRef.Name)
		for _, s := range b.Subjects {
			assert.True(t, accounts[s.Namespace+"/"+s.Name], "%s/%s is bound and not there", s.Namespace, s.Name)
		}
	}
	for _, w := range o.workloads() {
		assert.True(t, matches(w.selector, w.template.Labels), "%s: selector and labels", w.name)
		if account := w.template.Spec.ServiceAccountName; account != "" {
			assert.True(t, accounts[w.namespace+"/"+account], "%s: no account %s", w.name, account)
		}
		for _, c := range w.template.Spec.Containers {
			if filepath.Base(imageName(c.Image)) == "otelcol-ebpf" {
				checkCollector(t, o, w, c)
			}
		}
	}
	for _, s := range o.services {
		checkService(t, o, s)
	}
	for _, m := range o.monitors {
		checkMonitor(t, o, m)
	}
}

// imageName leaves tag and digest away.
func imageName(image string) string {
	for i := len(image) - 1; i >= 0 && image[i] != '/'; i-- {
		if image[i] == ':' || image[i] == '@' {
			image = image[:i]
		}
	}
	return image
}

func checkService(t *testing.T, o objects, s *corev1.Service) {
	found := false
	for _, w := range o.workloads() {
		if w.namespace != s.Namespace || !matches(s.Spec.Selector, w.template.Labels) {
			continue
		}
		found = true
		ports := map[string]int32{}
		for _, c := range w.template.Spec.Containers {
			for _, p := range c.Ports {
				ports[p.Name] = p.ContainerPort
			}
		}
		for _, p := range s.Spec.Ports {
			assert.Equal(t, p.Port, ports[p.TargetPort.StrVal], "service %s: port %s", s.Name, p.Name)
		}
	}
	assert.True(t, found, "service %s selects nothing", s.Name)
}

func checkMonitor(t *testing.T, o objects, m *monitoringv1.ServiceMonitor) {
	ports := map[string]bool{}
	for _, s := range o.services {
		if s.Namespace == m.Namespace && matches(m.Spec.Selector.MatchLabels, s.Labels) {
			for _, p := range s.Spec.Ports {
				ports[p.Name] = true
			}
		}
	}
	require.NotEmpty(t, m.Spec.Endpoints)
	for _, e := range m.Spec.Endpoints {
		assert.True(t, ports[e.Port], "no service has port %s", e.Port)
		assert.Equal(t, e.Port == "metrics", e.HonorLabels, "job and instance of %s", e.Port)
	}
}

// checkCollector verifies a Collector's container and validates its configuration in
// the environment that the container has.
func checkCollector(t *testing.T, o objects, w workload, c corev1.Container) {
	ports := map[string]int32{}
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	for _, probe := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		if probe != nil {
			assert.NotZero(t, ports[probe.HTTPGet.Port.StrVal], "%s: probe of port %s", w.name, &probe.HTTPGet.Port)
		}
	}
	require.NotNil(t, c.LivenessProbe)

	require.Len(t, c.Args, 1)
	var config string
	for _, mount := range c.VolumeMounts {
		file, err := filepath.Rel("--config="+mount.MountPath, c.Args[0])
		if err != nil || filepath.Dir(file) != "." {
			continue
		}
		for _, v := range w.template.Spec.Volumes {
			if v.Name == mount.Name && v.ConfigMap != nil {
				found := o.configMap(w.namespace, v.ConfigMap.Name)
				require.NotNil(t, found, "%s: no ConfigMap %s", w.name, v.ConfigMap.Name)
				require.Len(t, found.Data, 1)
				config = found.Data[file]
			}
		}
	}
	require.NotEmpty(t, config, "%s: no configuration", w.name)
	for _, mount := range c.VolumeMounts {
		found := false
		for _, v := range w.template.Spec.Volumes {
			found = found || v.Name == mount.Name
		}
		assert.True(t, found, "%s: no volume %s", w.name, mount.Name)
	}

	var env []string
	for _, e := range c.Env {
		value := e.Value
		if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil && e.ValueFrom.FieldRef.FieldPath == "status.podIP" {
			value = "10.0.0.1"
		} else if e.ValueFrom != nil {
			value = "x"
		}
		env = append(env, e.Name+"="+value)
	}
	validate(t, config, env)

	var parsed struct {
		Extensions struct {
			Health struct{ Endpoint string } `json:"health_check"`
		}
		Exporters struct{ Prometheus *struct{ Endpoint string } }
		Service   struct{ Extensions []string }
	}
	require.NoError(t, sigsyaml.Unmarshal([]byte(config), &parsed))
	assert.Contains(t, parsed.Service.Extensions, "health_check")
	assert.Equal(t, ports["health"], portOf(t, parsed.Extensions.Health.Endpoint), "%s: health", w.name)
	if parsed.Exporters.Prometheus != nil {
		assert.Equal(t, ports["metrics"], portOf(t, parsed.Exporters.Prometheus.Endpoint), "%s: metrics", w.name)
	}
}

func portOf(t *testing.T, endpoint string) int32 {
	i := bytes.LastIndexByte([]byte(endpoint), ':')
	require.NotEqual(t, -1, i, endpoint)
	var port int32
	for _, c := range endpoint[i+1:] {
		port = 10*port + c - '0'
	}
	return port
}

// validate asks the Collector whether it accepts a configuration, in exactly this
// environment.
func validate(t *testing.T, config string, env []string) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	cmd := exec.Command(binary(t), "validate", "--config", file)
	cmd.Env = env
	if cmd.Env == nil {
		cmd.Env = []string{}
	}
	out, err := cmd.CombinedOutput()
	assert.NoError(t, err, "%s\n%s", out, config)
}
