// SPDX-License-Identifier: Apache-2.0

package config

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.yaml.in/yaml/v3"
)

func TestDefault(t *testing.T) {
	t.Parallel()
	require.NoError(t, componenttest.CheckConfigStruct(Default()))
	require.NoError(t, confmap.Validate(Default()))

	empty := Default()
	require.NoError(t, confmap.New().Unmarshal(empty))
	require.Equal(t, Default(), empty)
}

func TestUnmarshalAllOptions(t *testing.T) {
	t.Parallel()
	conf, err := confmaptest.LoadConf(filepath.Join("testdata", "all.yaml"))
	require.NoError(t, err)
	got := Default()
	require.NoError(t, conf.Unmarshal(got))
	require.NoError(t, confmap.Validate(got))
	require.Equal(t, &Config{
		Hooks:              HooksSysExit,
		ErrorMode:          ErrorModeIgnore,
		CollectionInterval: 2 * time.Second,
		Discovery: Discovery{
			Include: []Rule{
				{
					Exe:           "*/checkout",
					Cmdline:       "*--port 80*",
					OpenPorts:     "8080-8090,9000",
					PIDs:          []int{17, 18},
					Environment:   map[string]string{"OTEL_SERVICE_NAME": "check*", "WORKERS": "4"},
					Language:      []string{"go", "rust"},
					ContainerName: "web*",
					K8s: &PodRule{
						Namespace:            "production",
						NamespaceLabels:      map[string]string{"observe": "enabled"},
						NamespaceAnnotations: map[string]string{"owner": "*"},
						PodName:              "checkout-*",
						PodLabels:            map[string]string{"app": "*", "generation": "2"},
						PodAnnotations:       map[string]string{"example.com/traced": "true"},
						OwnerKind:            "Deployment",
						OwnerName:            "checkout",
						ContainerName:        "app",
					},
					ServiceName:      "checkout",
					ServiceNamespace: "shop",
					Sampler:          &Sampler{Name: TraceIDRatio, Arg: "0.5"},
					Routes:           &Routes{Patterns: []string{"/checkout/{id}"}, Unmatched: UnmatchedWildcard},
					Signals:          []Signal{SignalTraces, SignalMetrics},
				},
				{Language: []string{"java"}, OpenPorts: "8080"},
			},
			Exclude:      []Rule{{Exe: "*/sshd"}, {K8s: &PodRule{Namespace: "kube-*"}}},
			Instrumented: InstrumentedReport,
		},
		Kubernetes: Kubernetes{Enabled: SwitchTrue, AuthType: AuthKubeConfig, Context: "kind", Node: "worker-1", Peers: PeersPods},
		Protocols: Protocols{
			HTTP: HTTP{
				KnownMethods:                 []string{"GET", "PURGE"},
				SensitiveQueryParameters:     []string{"token"},
				ServerAddressOnServerMetrics: true,
				Recognize:                    []Application{ApplicationS3},
			},
			PostgreSQL: Database{QueryText: QueryTextNone},
			MySQL:      Database{QueryText: QueryTextNone},
			Redis:      Database{QueryText: QueryTextNone},
			Memcached:  Database{QueryText: QueryTextNone},
			MongoDB:    Database{QueryText: QueryTextNone},
			Cassandra:  Database{QueryText: QueryTextNone},
		},
		Routes: Routes{
			Patterns:        []string{"/api/users/{id}", "/static/*"},
			IgnoredPatterns: []string{"/health"},
			IgnoreMode:      IgnoreTraces,
			Unmatched:       UnmatchedHeuristic,
		},
		Sampler:            Sampler{Name: ParentBasedTraceIDRatio, Arg: "0.1"},
		ContextPropagation: ContextPropagation{Inject: []Injection{InjectTCPOption, InjectHTTPHeader}},
		Metrics:            Metrics{Temporality: Delta, Histogram: HistogramExponential, Kernel: true, Peer: true},
		Limits: Limits{
			MaxConnections: 1000, RingBufferSize: 1 << 20, MaxSeriesPerMetric: 100,
			SpansPerBatch: 10, QueueSize: 5, MaxPayload: 4096,
		},
	}, got)
}

// The file above stays complete: no option keeps its default.
func TestAllOptionsFileIsComplete(t *testing.T) {
	t.Parallel()
	conf, err := confmaptest.LoadConf(filepath.Join("testdata", "all.yaml"))
	require.NoError(t, err)
	got := Default()
	require.NoError(t, conf.Unmarshal(got))
	var compare func(path string, got, def reflect.Value)
	compare = func(path string, got, def reflect.Value) {
		if got.Kind() != reflect.Struct {
			assert.NotEqual(t, def.Interface(), got.Interface(), path)
			return
		}
		for i := range got.NumField() {
			if !got.Type().Field(i).IsExported() {
				continue
			}
			compare(path+"."+got.Type().Field(i).Tag.Get("mapstructure"), got.Field(i), def.Field(i))
		}
	}
	compare("ebpf", reflect.ValueOf(*got), reflect.ValueOf(*Default()))
	compare("rule", reflect.ValueOf(got.Discovery.Include[0]), reflect.ValueOf(Rule{}))
}

func load(t *testing.T, text string) error {
	t.Helper()
	var raw map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &raw))
	c := Default()
	if err := confmap.NewFromStringMap(raw).Unmarshal(c); err != nil {
		return err
	}
	return confmap.Validate(c)
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ yaml, want string }{
		"backwards ports": {
			`discovery: {include: [{open_ports: "9000-8000"}]}`,
			`discovery.include[0].open_ports: "9000-8000" is backwards; write "8000-9000"`,
		},
		"no port": {
			`discovery: {exclude: [{open_ports: "80,http"}]}`,
			`discovery.exclude[0].open_ports: "http" is not a port; write a number from 1 to 65535 or a range like "8080-8090"`,
		},
		"port too large": {
			`discovery: {include: [{exe: "*/x"}, {open_ports: 70000}]}`,
			`discovery.include[1].open_ports: "70000" is not a port; write a number from 1 to 65535 or a range like "8080-8090"`,
		},
		"glob": {
			`discovery: {include: [{exe: "*/[a-"}]}`,
			`discovery.include[0].exe: "*/[a-" has a "[" without its "]"; close it, or write "\\[" for a bracket`,
		},
		"pid": {
			`discovery: {include: [{pids: [1, -2]}]}`,
			`discovery.include[0].pids[1]: -2 is not a process id; write a positive number`,
		},
		"rule without a condition": {
			`discovery: {include: [{service_name: x}]}`,
			`discovery.include[0]: a rule without conditions would match every process; give it exe, cmdline, open_ports, language, container_name, k8s, pids or environment (exe: "*" for every process)`,
		},
		"name of an excluded process": {
			`discovery: {exclude: [{exe: "*/x", service_name: y}]}`,
			`discovery.exclude[0].service_name: an excluded process reports nothing; move service_name to an include rule`,
		},
		"unknown key": {
			`discovery: {include: [{exe: "*/x", user: root}]}`,
			`discovery.include[0].user: "user" is not an option: write cmdline, container_name, environment, exe, k8s, language, open_ports, pids, routes, sampler, service_name, service_namespace or signals`,
		},
		"unknown key of pods": {
			`discovery: {include: [{k8s: {pod_label: {app: x}}}]}`,
			"discovery.include[0].k8s.pod_label: \"pod_label\" is not an option: did you mean pod_labels?\n" +
				`discovery.include[0].k8s: no condition is given; write namespace, namespace_labels, namespace_annotations, pod_name, pod_labels, pod_annotations, owner_kind, owner_name or container_name, or remove k8s`,
		},
		"language": {
			`discovery: {include: [{language: cobol}]}`,
			`discovery.include[0].language: "cobol" is not known; write go, java, python, nodejs, dotnet, ruby, php, rust, cpp, erlang, perl, nginx, haproxy, envoy or apache`,
		},
		"language by another name": {
			`discovery: {exclude: [{language: [go, C++]}]}`,
			`discovery.exclude[0].language[1]: "C++" is not known; write cpp`,
		},
		"container name": {
			`discovery: {include: [{container_name: "["}]}`,
			`discovery.include[0].container_name: "[" has a "[" without its "]"; close it, or write "\\[" for a bracket`,
		},
		"no condition on pods": {
			`discovery: {include: [{exe: "*", k8s: {}}]}`,
			`discovery.include[0].k8s: no condition is given; write namespace, namespace_labels, namespace_annotations, pod_name, pod_labels, pod_annotations, owner_kind, owner_name or container_name, or remove k8s`,
		},
		"glob of a namespace": {
			`discovery: {include: [{k8s: {namespace: "[b-a]"}}]}`,
			`discovery.include[0].k8s.namespace: "[b-a]" has a backwards range b-a; write a-b`,
		},
		"glob of a label": {
			`discovery: {exclude: [{k8s: {pod_labels: {app: "["}}}]}`,
			`discovery.exclude[0].k8s.pod_labels[app]: "[" has a "[" without its "]"; close it, or write "\\[" for a bracket`,
		},
		"label without a name": {
			`discovery: {include: [{k8s: {namespace_labels: {"": x}}}]}`,
			`discovery.include[0].k8s.namespace_labels[]: "" is not a name; write name: glob`,
		},
		"sampler of a rule": {
			`discovery: {include: [{exe: "*", sampler: {name: traceidratio, arg: 2}}]}`,
			`discovery.include[0].sampler.arg: "2" is not a probability: use a number from 0 to 1, such as "0.1" for a tenth of the traces`,
		},
		"routes of a rule": {
			`discovery: {include: [{exe: "*", routes: {patterns: [x]}}]}`,
			`discovery.include[0].routes.patterns[0]: "x" does not begin with a slash: write "/x"`,
		},
		"unmatched routes of a rule": {
			`discovery: {include: [{exe: "*", routes: {unmatched: x}}]}`,
			`discovery.include[0].routes.unmatched: "x" is not known: use heuristic, wildcard, path or unset`,
		},
		"mistyped routes of a rule": {
			`discovery: {include: [{exe: "*", routes: {pattern: [/x]}}]}`,
			`discovery.include[0].routes.pattern: "pattern" is not an option: did you mean patterns?`,
		},
		"signal": {
			`discovery: {include: [{exe: "*", signals: [traces, logs]}]}`,
			`discovery.include[0].signals[1]: "logs" is not known: write traces or metrics`,
		},
		"no signals": {
			`discovery: {include: [{exe: "*", signals: []}]}`,
			`discovery.include[0].signals: the list is empty, so that nothing would be reported: write traces, metrics or both, or move the rule to discovery.exclude`,
		},
		"sampler of an excluded process": {
			`discovery: {exclude: [{exe: "*/x", sampler: {name: always_on}}]}`,
			`discovery.exclude[0].sampler: an excluded process reports nothing; move sampler to an include rule`,
		},
		"routes of an excluded process": {
			`discovery: {exclude: [{exe: "*/x", routes: {}}]}`,
			`discovery.exclude[0].routes: an excluded process reports nothing; move routes to an include rule`,
		},
		"signals of an excluded process": {
			`discovery: {exclude: [{exe: "*/x", signals: [metrics]}]}`,
			`discovery.exclude[0].signals: an excluded process reports nothing; move signals to an include rule`,
		},
		"instrumented": {
			`discovery: {instrumented: drop}`,
			`discovery.instrumented: "drop" is not known: write report, skip_exporting or skip_all`,
		},
		"mistyped key": {
			`routes: {ignored-pattern: [/x]}`,
			`routes.ignored-pattern: "ignored-pattern" is not an option: did you mean ignored_patterns?`,
		},
		"key of a later version": {
			`network: {}`,
			`network: "network" is not an option: write collection_interval, context_propagation, discovery, error_mode, hooks, kubernetes, limits, metrics, peers, protocols, routes or sampler`,
		},
		"unknown protocol": {
			`protocols: {gopher: {}}`,
			`protocols.gopher: "gopher" is not an option: write amqp, cassandra, dns, fastcgi, grpc, http, kafka, memcached, mongodb, mqtt, mysql, nats, postgresql or redis`,
		},
		"wrong type": {
			`limits: {queue_size: many}`,
			`'limits.queue_size' expected type 'int'`,
		},
		"enum": {
			`hooks: kprobe`,
			`hooks: "kprobe" is not known: write auto, sock or sys_exit`,
		},
		"kubernetes switch": {
			`kubernetes: {enabled: maybe}`,
			`kubernetes.enabled: "maybe" is not known: write auto, true or false`,
		},
		"authentication": {
			`kubernetes: {auth_type: tls}`,
			`kubernetes.auth_type: "tls" is not known: write serviceAccount or kubeConfig`,
		},
		"context of a service account": {
			`kubernetes: {context: kind}`,
			`kubernetes.context: a service account has no contexts: write auth_type: kubeConfig, or leave context out`,
		},
		"node that was not filled in": {
			`kubernetes: {node: $(K8S_NODE_NAME)}`,
			`kubernetes.node: "$(K8S_NODE_NAME)" is not the name of a node: write what ` + "`kubectl get nodes`" + ` says`,
		},
		"peers": {
			`kubernetes: {peers: off}`,
			`kubernetes.peers: "off" is not known: write services, pods or none`,
		},
		"interval": {
			`collection_interval: 1ms`,
			`collection_interval: 1ms is too short: write 100ms or more`,
		},
		"method": {
			`protocols: {http: {known_methods: ["GET POST"]}}`,
			`protocols.http.known_methods[0]: "GET POST" is not an HTTP method: write a token such as PROPFIND`,
		},
		"application": {
			`protocols: {http: {recognize: [s3, solr]}}`,
			`protocols.http.recognize[1]: "solr" is not known: write elasticsearch, s3 or graphql`,
		},
		"query parameter": {
			`protocols: {http: {sensitive_query_parameters: ["a=b"]}}`,
			`protocols.http.sensitive_query_parameters[0]: "a=b" cannot be the name of a query parameter: write the name alone, such as token`,
		},
		"route without slash": {
			`routes: {patterns: [api/x]}`,
			`routes.patterns[0]: "api/x" does not begin with a slash: write "/api/x"`,
		},
		"route with an open brace": {
			`routes: {ignored_patterns: ["/api/{id"]}`,
			`routes.ignored_patterns[0]: "/api/{id": the brace { is not closed in its segment: write {id}`,
		},
		"route mode": {
			`routes: {unmatched: low}`,
			`routes.unmatched: "low" is not known: use heuristic, wildcard, path or unset`,
		},
		"sampler": {
			`sampler: {name: sometimes}`,
			`sampler.name: "sometimes" is not a sampler: use one of always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, parentbased_traceidratio`,
		},
		"ratio": {
			`sampler: {name: traceidratio, arg: 10}`,
			`sampler.arg: "10" is not a probability: use a number from 0 to 1, such as "0.1" for a tenth of the traces`,
		},
		"argument nobody reads": {
			`sampler: {arg: 0.5}`,
			`sampler.arg: parentbased_always_on takes no argument: remove "0.5" or use parentbased_traceidratio`,
		},
		"injection": {
			`context_propagation: {inject: [http_header, grpc]}`,
			`context_propagation.inject[1]: "grpc" is not known: write tcp_option or http_header`,
		},
		"limit": {
			`limits: {max_payload: 300000}`,
			`limits.max_payload: 300000 is out of range: write a number from 256 to 262144`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := load(t, test.yaml)
			require.Error(t, err)
			assert.Contains(t, err.Error(), test.want)
			if name != "wrong type" { // that sentence is confmap's
				assert.Equal(t, test.want, err.Error(), "one sentence")
			}
		})
	}
}

func TestEveryMistakeIsReported(t *testing.T) {
	t.Parallel()
	err := load(t, `{hooks: x, error_mode: y, routs: {}, limits: {queue_size: 0}, sampler: {name: traceidratio, arg: 0.5}}`)
	require.Error(t, err)
	require.Len(t, strings.Split(err.Error(), "\n"), 4, err.Error())
}
