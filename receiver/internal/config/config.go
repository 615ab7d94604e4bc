// SPDX-License-Identifier: Apache-2.0

package config

import (
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/httpconv"
)

// Config is everything a user can write under `receivers: ebpf:`.
//
// The values are read-only once the receiver is created: both signals of one
// receiver share the pointer, and the engine keeps it.
type Config struct {
	// Where bytes are copied: `sock` (the sock_send_length and
	// sock_recv_length tracepoints, kernel 6.3), `sys_exit` (the system call
	// exit tracepoint, kernel 5.14) or `auto`, the best one this kernel has.
	Hooks Hooks `mapstructure:"hooks"`
	// What happens when probes cannot be loaded: `propagate` stops the
	// Collector with the reason, `ignore` logs it, reports the receiver as
	// permanently failed and lets the rest of the Collector run.
	ErrorMode ErrorMode `mapstructure:"error_mode"`
	// Time between two exports of metrics.
	CollectionInterval time.Duration `mapstructure:"collection_interval"`

	Discovery  Discovery  `mapstructure:"discovery"`
	Kubernetes Kubernetes `mapstructure:"kubernetes"`

	Protocols Protocols `mapstructure:"protocols"`
	Routes    Routes    `mapstructure:"routes"`
	Sampler   Sampler   `mapstructure:"sampler"`
	Peers     Peers     `mapstructure:"peers"`

	ContextPropagation ContextPropagation `mapstructure:"context_propagation"`

	Metrics Metrics `mapstructure:"metrics"`
	Limits  Limits  `mapstructure:"limits"`

	// unknown are the keys Unmarshal could not place; Validate reports them.
	unknown problems
}

var _ component.Config = (*Config)(nil)

// Hooks is the choice of a capture backend.
type Hooks string

const (
	HooksAuto    Hooks = "auto"
	HooksSock    Hooks = "sock"
	HooksSysExit Hooks = "sys_exit"
)

// ErrorMode is what a failing start does to the Collector.
type ErrorMode string

const (
	ErrorModePropagate ErrorMode = "propagate"
	ErrorModeIgnore    ErrorMode = "ignore"
)

// Discovery selects the processes that are observed.
type Discovery struct {
	// Rules that select processes; the first one that matches decides.
	// Without any, every process that talks over sockets is observed, except
	// this Collector.
	Include []Rule `mapstructure:"include"`
	// Rules that take processes out again; they win over include.
	Exclude []Rule `mapstructure:"exclude"`
	// What becomes of the traces of processes that run an OpenTelemetry SDK or agent
	// and export spans themselves: `report` (our spans beside theirs),
	// `skip_exporting` (none of ours from the first export of traces on that is seen
	// to succeed, by OTLP in the clear) or `skip_all` (also none where environment,
	// command line or loaded files say that spans will be exported). Metrics stay.
	Instrumented Instrumented `mapstructure:"instrumented"`
}

// Instrumented says what becomes of traces of processes with an SDK.
type Instrumented string

const (
	InstrumentedReport        Instrumented = "report"
	InstrumentedSkipExporting Instrumented = "skip_exporting"
	InstrumentedSkipAll       Instrumented = "skip_all"
)

// Rule matches processes. A process has to match every key that is set, and
// every entry of environment and of k8s; of pids, open_ports and language, any one.
//
// In globs `*` matches any run of characters, also across `/`; `?` any single
// one; `[a-z]` one of a class, `[!a-z]` one outside it; `\` takes the next one
// literally.
//
// Compile makes a discovery.Rule of it.
type Rule struct {
	// Glob for the path of the executable, as the process sees it.
	Exe string `mapstructure:"exe"`
	// Glob for the command line, its arguments joined by single spaces.
	Cmdline string `mapstructure:"cmdline"`
	// TCP ports, at least one of which the process listens on: single ports
	// and ranges, like `8080-8090,9000`.
	OpenPorts string `mapstructure:"open_ports"`
	// Process ids, in the Collector's pid namespace.
	PIDs []int `mapstructure:"pids"`
	// Environment variables the process was started with: globs for their
	// values, by name.
	Environment map[string]string `mapstructure:"environment"`
	// Runtimes, one or a list: `go`, `java`, `python`, `nodejs`, `dotnet`, `ruby`,
	// `php`, `rust`, `cpp` (C, C++ and whatever else is machine code), `erlang`,
	// `perl`, and of cpp: `nginx`, `haproxy`, `envoy`, `apache`. Found in the
	// executable and the libraries it has loaded, which take effect up to a second after that.
	Language []string `mapstructure:"language"`
	// Glob for the name of the container: in Kubernetes that in the pod (which needs
	// the connection to the API server), elsewhere the one Docker, Podman or the OCI bundle's annotations
	// have on disk, as far as the Collector may read that.
	ContainerName string `mapstructure:"container_name"`
	// Conditions on the process's pod.
	K8s *PodRule `mapstructure:"k8s"`

	// service.name of the processes this rule selects (include only).
	ServiceName string `mapstructure:"service_name"`
	// service.namespace of the processes this rule selects (include only).
	ServiceNamespace string `mapstructure:"service_namespace"`
	// Takes the place of `sampler` for the processes this rule selects (include only).
	// What the kernel writes into requests (`context_propagation.inject`) goes by
	// `sampler` all the same. Ratios keep whole traces together: what the smaller one
	// keeps, the larger one keeps, too.
	Sampler *Sampler `mapstructure:"sampler"`
	// Takes the place of `routes`, all of it, for the processes this rule selects
	// (include only).
	Routes *Routes `mapstructure:"routes"`
	// What is reported of the processes this rule selects (include only): `traces`,
	// `metrics`, or both, which is the default.
	Signals []Signal `mapstructure:"signals"`
}

// Signal is a kind of telemetry.
type Signal string

const (
	SignalTraces  Signal = "traces"
	SignalMetrics Signal = "metrics"
)

// PodRule matches pods. All values are globs; of the maps, every entry has to
// match, and `"*"` is any value. A process in no pod, or in one the API server has not
// told of yet, matches nothing; it is looked at again when it has, and whenever
// something of this changes.
type PodRule struct {
	// Glob for the namespace.
	Namespace string `mapstructure:"namespace"`
	// Labels of the namespace: globs by name.
	NamespaceLabels map[string]string `mapstructure:"namespace_labels"`
	// Annotations of the namespace: globs by name.
	NamespaceAnnotations map[string]string `mapstructure:"namespace_annotations"`
	// Glob for the pod's name.
	PodName string `mapstructure:"pod_name"`
	// Labels of the pod: globs by name.
	PodLabels map[string]string `mapstructure:"pod_labels"`
	// Annotations of the pod: globs by name.
	PodAnnotations map[string]string `mapstructure:"pod_annotations"`
	// Glob for the kind of the topmost controller: `Deployment`, `StatefulSet`.
	OwnerKind string `mapstructure:"owner_kind"`
	// Glob for its name.
	OwnerName string `mapstructure:"owner_name"`
	// Glob for the container's name in the pod.
	ContainerName string `mapstructure:"container_name"`
}

// Kubernetes says how the cluster is asked which pods this node has, what their
// labels are and who has which address. The pods' namespaces, names and so on come
// into the data by the processor k8s_attributes.
type Kubernetes struct {
	// `auto` (where there is a cluster: in a pod, or a kubeconfig with `auth_type:
	// kubeConfig`), `true` (and it is an error if there is none) or `false`.
	Enabled Switch `mapstructure:"enabled"`
	// `serviceAccount` (that of the Collector's pod) or `kubeConfig` (the file
	// $KUBECONFIG or ~/.kube/config).
	AuthType AuthType `mapstructure:"auth_type"`
	// A context of the kubeconfig; its current one if empty.
	Context string `mapstructure:"context"`
	// Name of this node. If empty, that of the environment variables K8S_NODE_NAME,
	// NODE_NAME or KUBE_NODE_NAME (set one from the field spec.nodeName in the pod's
	// manifest), else that of the host.
	Node string `mapstructure:"node"`
	// Whose addresses get names: `services` (Services and the pods behind them),
	// `pods` (and all other pods of the cluster: more work for the API server) or
	// `none` (only pods of this node).
	Peers ClusterPeers `mapstructure:"peers"`
}

// Switch turns something on, off, or on where it is possible.
type Switch string

const (
	SwitchAuto  Switch = "auto"
	SwitchTrue  Switch = "true"
	SwitchFalse Switch = "false"
)

// AuthType is how the API server knows who asks, as other components name it.
type AuthType string

const (
	AuthServiceAccount AuthType = "serviceAccount"
	AuthKubeConfig     AuthType = "kubeConfig"
)

// ClusterPeers says whose addresses are known.
type ClusterPeers string

const (
	PeersServices ClusterPeers = "services"
	PeersPods     ClusterPeers = "pods"
	PeersNone     ClusterPeers = "none"
)

// Protocols holds what is particular to each protocol. All are on by default.
type Protocols struct {
	HTTP       HTTP     `mapstructure:"http"`
	GRPC       Protocol `mapstructure:"grpc"`
	PostgreSQL Database `mapstructure:"postgresql"`
	MySQL      Database `mapstructure:"mysql"`
	Redis      Database `mapstructure:"redis"`
	Memcached  Database `mapstructure:"memcached"`
	MongoDB    Database `mapstructure:"mongodb"`
	Cassandra  Database `mapstructure:"cassandra"`
	Kafka      Protocol `mapstructure:"kafka"`
	AMQP       Protocol `mapstructure:"amqp"`
	NATS       Protocol `mapstructure:"nats"`
	MQTT       Protocol `mapstructure:"mqtt"`
	FastCGI    Protocol `mapstructure:"fastcgi"`
	DNS        Protocol `mapstructure:"dns"`
}

// Protocol configures one that has no options of its own.
type Protocol struct {
	// False turns the protocol off.
	Enabled bool `mapstructure:"enabled"`
}

// Database configures the protocol of a database.
type Database struct {
	// False turns the protocol off.
	Enabled bool `mapstructure:"enabled"`
	// What db.query.text is: `sanitized` (literals, and arguments of commands,
	// replaced by `?`), `none` (left out) or `raw` (as it was sent, with everything
	// that users wrote into it).
	QueryText QueryText `mapstructure:"query_text"`
}

// QueryText says what becomes of the texts of queries.
type QueryText string

const (
	QueryTextSanitized QueryText = "sanitized"
	QueryTextNone      QueryText = "none"
	QueryTextRaw       QueryText = "raw"
)

// HTTP configures HTTP/1.0, HTTP/1.1 and HTTP/2.
type HTTP struct {
	// False turns the protocol off.
	Enabled bool `mapstructure:"enabled"`
	// Request methods reported by name; any other becomes `_OTHER`.
	KnownMethods []string `mapstructure:"known_methods"`
	// Query parameters whose values are replaced by `REDACTED` in url.full
	// and url.query.
	SensitiveQueryParameters []string `mapstructure:"sensitive_query_parameters"`
	// Adds server.address and server.port to the metrics of servers. They
	// come from the Host header, so a client can make as many series as it
	// likes, up to `limits.max_series_per_metric`.
	ServerAddressOnServerMetrics bool `mapstructure:"server_address_on_server_metrics"`
	// What is recognised on HTTP, so that spans say more: `elasticsearch` (and
	// OpenSearch), `s3`, `graphql`. Metrics stay those of HTTP.
	Recognize []Application `mapstructure:"recognize"`
}

// Application is what is recognised in HTTP requests.
type Application string

const (
	ApplicationElasticsearch Application = "elasticsearch"
	ApplicationS3            Application = "s3"
	ApplicationGraphQL       Application = "graphql"
)

// Routes maps URL paths to http.route, and takes out what nobody wants to see.
type Routes struct {
	// Route templates, like `/api/users/{id}`: `{id}` or `*` is one segment,
	// a final `*` all the rest. Where several match a path, the more specific
	// one wins.
	Patterns []string `mapstructure:"patterns"`
	// Paths that are not reported, in the same syntax: `/health`.
	IgnoredPatterns []string `mapstructure:"ignored_patterns"`
	// What ignored paths are left out of: `all`, `traces` or `metrics`.
	IgnoreMode IgnoreMode `mapstructure:"ignore_mode"`
	// http.route of a path no pattern matches: `unset` (none, as the semantic
	// conventions ask for), `heuristic` (guessed and learned from the paths),
	// `wildcard` (`/**`) or `path` (the path itself: only where there are few). Spans of
	// such a route have `ebpf.http.route.guessed: true`.
	Unmatched Unmatched `mapstructure:"unmatched"`
}

// IgnoreMode says which signals ignored routes are left out of.
type IgnoreMode string

const (
	IgnoreAll     IgnoreMode = "all"
	IgnoreTraces  IgnoreMode = "traces"
	IgnoreMetrics IgnoreMode = "metrics"
)

// Unmatched says what the route of an unknown path is.
type Unmatched string

const (
	UnmatchedUnset     Unmatched = "unset"
	UnmatchedHeuristic Unmatched = "heuristic"
	UnmatchedWildcard  Unmatched = "wildcard"
	UnmatchedPath      Unmatched = "path"
)

// Sampler decides which traces are exported. Metrics count every exchange.
type Sampler struct {
	// `always_on`, `always_off`, `traceidratio`, `parentbased_always_on`,
	// `parentbased_always_off` or `parentbased_traceidratio`, as in
	// OTEL_TRACES_SAMPLER.
	Name SamplerName `mapstructure:"name"`
	// The share of traces the traceidratio samplers keep, from 0 to 1; all of
	// them if empty.
	Arg string `mapstructure:"arg"`
}

// SamplerName is a value of OTEL_TRACES_SAMPLER.
type SamplerName string

const (
	AlwaysOn                SamplerName = "always_on"
	AlwaysOff               SamplerName = "always_off"
	TraceIDRatio            SamplerName = "traceidratio"
	ParentBasedAlwaysOn     SamplerName = "parentbased_always_on"
	ParentBasedAlwaysOff    SamplerName = "parentbased_always_off"
	ParentBasedTraceIDRatio SamplerName = "parentbased_traceidratio"
)

// Peers says what is found out of who is at the other end of connections.
type Peers struct {
	// Clients' server.address is the name that the process has looked the address up by,
	// where requests do not name the server (databases, brokers). Needs
	// `protocols.dns`, which sees the lookups.
	DNS bool `mapstructure:"dns"`
	// service.peer.name of spans where the other end is a process on this node that is
	// observed, too.
	Local bool `mapstructure:"local"`
	// service.peer.name and ebpf.peer.k8s.* of spans where the other end is a pod or a
	// service of the cluster. Without a cluster that is known, there is nothing to find.
	Kubernetes bool `mapstructure:"kubernetes"`
}

// ContextPropagation says how traces go on from node to node where applications do
// not pass them on themselves.
type ContextPropagation struct {
	// Where the context of requests is written that leave for other nodes:
	// `tcp_option` (a TCP option, to peers that run this receiver with the same
	// setting), `http_header` (a `traceparent` header, into HTTP/1 requests in the
	// clear), both, or nowhere. Needs CAP_NET_ADMIN and cgroup v2.
	Inject []Injection `mapstructure:"inject"`
}

// Injection is a way to write contexts into requests.
type Injection string

const (
	InjectTCPOption  Injection = "tcp_option"
	InjectHTTPHeader Injection = "http_header"
)

// Metrics is the shape of the exported metrics.
type Metrics struct {
	// `cumulative` or `delta`. Prometheus wants cumulative.
	Temporality Temporality `mapstructure:"temporality"`
	// `explicit` (the buckets of the semantic conventions) or `exponential`.
	Histogram Histogram `mapstructure:"histogram"`
	// Attaches trace and span ids of sampled exchanges to histogram points.
	Exemplars bool `mapstructure:"exemplars"`
	// Adds histograms of what only the kernel knows of each exchange, otherwise
	// on spans only: ebpf.socket.queue_time, ebpf.thread.cpu_time,
	// ebpf.thread.runqueue_time, ebpf.tcp.rtt, ebpf.tcp.retransmits.
	Kernel bool `mapstructure:"kernel"`
	// Adds service.peer.name and service.peer.namespace, as `peers` finds them, to all
	// histograms: one more dimension, of services, for graphs of who calls whom.
	Peer bool `mapstructure:"peer"`
}

// Temporality of sums and histograms.
type Temporality string

const (
	Cumulative Temporality = "cumulative"
	Delta      Temporality = "delta"
)

// Histogram is the kind of a histogram.
type Histogram string

const (
	HistogramExplicit    Histogram = "explicit"
	HistogramExponential Histogram = "exponential"
)

// Limits bound what the receiver uses. What they make it drop is counted.
type Limits struct {
	// Connections that are tracked at once; beyond it the least recently used
	// one is forgotten.
	MaxConnections int `mapstructure:"max_connections"`
	// Bytes of ring buffer between kernel and Collector, in total; each of
	// the rings it is split into is a power of two, rounded down.
	RingBufferSize int `mapstructure:"ring_buffer_size"`
	// Series of one metric of one service instance; beyond it exchanges count
	// in one more series, with otel.metric.overflow=true.
	MaxSeriesPerMetric int `mapstructure:"max_series_per_metric"`
	// Spans that are handed to the pipeline at once, at most.
	SpansPerBatch int `mapstructure:"spans_per_batch"`
	// Batches, per signal, that wait while the pipeline refuses data; beyond
	// it new ones are dropped.
	QueueSize int `mapstructure:"queue_size"`
	// Bytes that are copied of one send or receive, at most 262144. Messages behind
	// them in the same call are not seen.
	MaxPayload int `mapstructure:"max_payload"`
}

// MaxPayload is the largest value of limits.max_payload, in bytes: CAPTURE_MAX of
// bpf/maps.h.
const MaxPayload = 256 << 10

// MinRingBufferSize is the smallest value of limits.ring_buffer_size, in bytes.
const MinRingBufferSize = 256 << 10

// Default returns what is in force without any configuration.
func Default() *Config {
	return &Config{
		Hooks:              HooksAuto,
		ErrorMode:          ErrorModePropagate,
		CollectionInterval: 10 * time.Second,
		Kubernetes:         Kubernetes{Enabled: SwitchAuto, AuthType: AuthServiceAccount, Peers: PeersServices},
		Protocols: Protocols{
			HTTP: HTTP{
				Enabled:                  true,
				KnownMethods:             httpconv.DefaultKnownMethods(),
				SensitiveQueryParameters: httpconv.DefaultSensitiveQueryKeys(),
				Recognize:                []Application{ApplicationElasticsearch, ApplicationS3, ApplicationGraphQL},
			},
			GRPC:       Protocol{Enabled: true},
			PostgreSQL: Database{Enabled: true, QueryText: QueryTextSanitized},
			MySQL:      Database{Enabled: true, QueryText: QueryTextSanitized},
			Redis:      Database{Enabled: true, QueryText: QueryTextSanitized},
			Memcached:  Database{Enabled: true, QueryText: QueryTextSanitized},
			MongoDB:    Database{Enabled: true, QueryText: QueryTextSanitized},
			Cassandra:  Database{Enabled: true, QueryText: QueryTextSanitized},
			Kafka:      Protocol{Enabled: true},
			AMQP:       Protocol{Enabled: true},
			NATS:       Protocol{Enabled: true},
			MQTT:       Protocol{Enabled: true},
			FastCGI:    Protocol{Enabled: true},
			DNS:        Protocol{Enabled: true},
		},
		Discovery: Discovery{Instrumented: InstrumentedSkipExporting},
		Routes:    Routes{IgnoreMode: IgnoreAll, Unmatched: UnmatchedUnset},
		Sampler:   Sampler{Name: ParentBasedAlwaysOn},
		Peers:     Peers{DNS: true, Local: true, Kubernetes: true},
		Metrics: Metrics{
			Temporality: Cumulative,
			Histogram:   HistogramExplicit,
			Exemplars:   true,
		},
		Limits: Limits{
			MaxConnections:     65536,
			RingBufferSize:     8 << 20,
			MaxSeriesPerMetric: 2000,
			SpansPerBatch:      2048,
			QueueSize:          64,
			MaxPayload:         128 << 10,
		},
	}
}
