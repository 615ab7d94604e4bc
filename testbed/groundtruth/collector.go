// SPDX-License-Identifier: Apache-2.0

package groundtruth

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"text/template"
	"time"
)

// CollectorOptions say how to run the collector under test.
type CollectorOptions struct {
	// Hooks is the capture backend: sock, sys_exit, or empty for automatic.
	Hooks string
	// Receiver is more YAML for the receiver, unindented.
	Receiver string
	// Endpoint is the OTLP/gRPC sink's host:port; empty exports nowhere.
	Endpoint string
	// NowhereExporter is the exporter used without an Endpoint.
	NowhereExporter string
	// BatchTimeout of the batch processor; 100 ms if zero.
	BatchTimeout time.Duration
	// CollectionInterval of metrics; 1 s if zero.
	CollectionInterval time.Duration
	// Compression of the exporter; its default if empty.
	Compression string
	// Prometheus is a port of the loopback interface where metrics can be scraped,
	// too; 0 for none.
	Prometheus int
	// TracesOnly leaves out the metrics pipeline.
	TracesOnly bool
	// Contained gives it a pid namespace of its own, in which it is process 1, as in a
	// pod that shares its process namespace.
	Contained bool
	// Dir keeps the configuration and the log.
	Dir string
	// Command is what the collector is started by, such as setpriv with its options.
	Command []string
	// Binary replaces what Binary finds.
	Binary string
	// Config is the whole configuration, in place of the one that the fields above
	// make: a template with {{.Endpoint}} and {{.TelemetryPort}}.
	Config string
}

var configTemplate = template.Must(template.New("config").Parse(`receivers:
  ebpf:
    collection_interval: {{.Interval}}
{{- if .Hooks}}
    hooks: {{.Hooks}}
{{- end}}
{{.Receiver}}
processors:
  batch:
    timeout: {{.Timeout}}
    send_batch_size: 8192
exporters:
{{- if .Endpoint}}
  otlp_grpc:
    endpoint: {{.Endpoint}}
    tls: {insecure: true}
{{- if .Compression}}
    compression: {{.Compression}}
{{- end}}
{{- else}}
  {{.Exporter}}:
{{- end}}
{{- if .Prometheus}}
  prometheus: {endpoint: "127.0.0.1:{{.Prometheus}}"}
{{- end}}
service:
  telemetry:
    logs: {level: info}
    metrics:
      level: detailed
      readers:
        - pull:
            exporter:
              prometheus: {host: 127.0.0.1, port: {{.TelemetryPort}}}
  pipelines:
    traces:
      receivers: [ebpf]
      processors: [batch]
      exporters: [{{.Exporter}}]
{{- if not .TracesOnly}}
    metrics:
      receivers: [ebpf]
      exporters: [{{.Exporter}}{{if .Prometheus}}, prometheus{{end}}]
{{- end}}
`))

// Collector is a running collector.
type Collector struct {
	// Started is when its process was started, ReadyAt when the first probe
	// request made by WaitReady's prober had come back as a span.
	Started, ReadyAt time.Time

	cmd       *exec.Cmd
	telemetry int
	done      chan struct{}
	err       error
	log       *logBuffer
	logFile   *os.File
}

// ErrNoBinary is returned where the collector was not built.
var ErrNoBinary = errors.New("bin/otelcol-ebpf is missing: run `make build`, or set OTELCOL_EBPF_BIN")

// Root is the root of the repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Binary finds the collector: $OTELCOL_EBPF_BIN or bin/otelcol-ebpf.
func Binary() (string, error) {
	if p := os.Getenv("OTELCOL_EBPF_BIN"); p != "" {
		return p, nil
	}
	p := filepath.Join(Root(), "bin", "otelcol-ebpf")
	if _, err := os.Stat(p); err != nil {
		return "", ErrNoBinary
	}
	return p, nil
}

// FreePort finds a port of the loopback interface nobody listens on.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func indent(yaml, by string) string {
	var b strings.Builder
	for line := range strings.Lines(yaml) {
		b.WriteString(by + line)
	}
	return b.String()
}

// StartCollector starts a collector; it does not wait.
func StartCollector(o CollectorOptions) (*Collector, error) {
	binary := o.Binary
	if binary == "" {
		var err error
		if binary, err = Binary(); err != nil {
			return nil, err
		}
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	exporter := "otlp_grpc"
	if o.Endpoint == "" {
		exporter = o.NowhereExporter
	}
	orDefault := func(d, otherwise time.Duration) time.Duration {
		if d == 0 {
			return otherwise
		}
		return d
	}
	text := configTemplate
	if o.Config != "" {
		if text, err = template.New("config").Parse(o.Config); err != nil {
			return nil, err
		}
	}
	var config bytes.Buffer
	err = text.Execute(&config, map[string]any{
		"Hooks": o.Hooks, "Receiver": indent(o.Receiver, "    "), "Endpoint": o.Endpoint, "Exporter": exporter,
		"Timeout": orDefault(o.BatchTimeout, 100*time.Millisecond), "Interval": orDefault(o.CollectionInterval, time.Second),
		"TelemetryPort": port, "TracesOnly": o.TracesOnly, "Compression": o.Compression, "Prometheus": o.Prometheus,
	})
	if err != nil {
		return nil, err
	}
	path := filepath.Join(o.Dir, "config.yaml")
	if err := os.WriteFile(path, config.Bytes(), 0o644); err != nil { // also for other users
		return nil, err
	}
	logFile, err := os.Create(filepath.Join(o.Dir, "collector.log"))
	if err != nil {
		return nil, err
	}
	c := &Collector{telemetry: port, done: make(chan struct{}), log: &logBuffer{}, logFile: logFile}
	argv := append(slices.Clone(o.Command), binary, "--config", path)
	c.cmd = exec.Command(argv[0], argv[1:]...)
	c.cmd.Stdout = io.MultiWriter(logFile, c.log)
	c.cmd.Stderr = c.cmd.Stdout
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if o.Contained {
		c.cmd.Path = "/bin/sh"
		c.cmd.Args = []string{"sh", "-c", `mount --make-rprivate / && mount -t proc proc /proc && exec "$@"`, "sh", binary, "--config", path}
		c.cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS
	}
	c.Started = time.Now()
	// Pdeathsig is sent when the thread that forked ends: keep it.
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread() // or it ends, and others that were forked on it, too
		started <- c.cmd.Start()
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start collector: %w", err)
	}
	return c, nil
}

// PID of the collector.
func (c *Collector) PID() int { return c.cmd.Process.Pid }

// Done is closed when it has ended.
func (c *Collector) Done() <-chan struct{} { return c.done }

// Log is what it wrote so far.
func (c *Collector) Log() string { return c.log.String() }

// WaitReady makes probe requests until one of them is seen as a span.
func (c *Collector) WaitReady(ctx context.Context, seen func(ctx context.Context, id string) bool) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for n := 0; ; n++ {
		id := fmt.Sprintf("%d-%d", c.PID(), n)
		res, err := client.Get(fmt.Sprintf("http://%s/case/%s/%s", l.Addr(), ProbeCase, id))
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		wait, cancel := context.WithTimeout(ctx, 25*time.Millisecond)
		ok := seen(wait, fmt.Sprintf("%d-", c.PID()))
		cancel()
		if ok {
			c.ReadyAt = time.Now()
			return nil
		}
		select {
		case <-c.done:
			return fmt.Errorf("collector ended before it was ready: %w\n%s", errOr(c.err, "exit 0"), c.Log())
		case <-ctx.Done():
			return fmt.Errorf("collector did not report a probe request: %w\n%s", ctx.Err(), c.Log())
		default:
		}
	}
}

func errOr(err error, otherwise string) error {
	if err == nil {
		return errors.New(otherwise)
	}
	return err
}

// WaitReady waits until spans come out of a collector that exports to the sink.
func (s *Sink) WaitReady(ctx context.Context, c *Collector) error {
	return c.WaitReady(ctx, func(ctx context.Context, prefix string) bool {
		_, err := s.Find(ctx, func(sp *Span) bool {
			path, _ := pathOf(sp)
			name, id, _ := ParsePath(path)
			return name == ProbeCase && strings.HasPrefix(id, prefix)
		})
		return err == nil
	})
}

var crash = regexp.MustCompile(`(?m)^panic: |^fatal error: |^\S+\tfatal\t|"level":"fatal"|"level":"(d?panic)"|\tpanic\t|WARNING: DATA RACE`)

// Stop ends the collector with SIGTERM and reports crashes and an exit status
// other than 0.
func (c *Collector) Stop() error {
	defer c.logFile.Close()
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.done:
	case <-time.After(15 * time.Second):
		_ = c.cmd.Process.Signal(syscall.SIGKILL)
		<-c.done
		return fmt.Errorf("collector did not stop within 15s of SIGTERM\n%s", c.tail())
	}
	if m := crash.FindString(c.Log()); m != "" {
		return fmt.Errorf("collector log has %q\n%s", strings.TrimSpace(m), c.tail())
	}
	if c.err != nil {
		return fmt.Errorf("collector: %w\n%s", c.err, c.tail())
	}
	return nil
}

func (c *Collector) tail() string {
	log := c.Log()
	if len(log) > 6000 {
		return "..." + log[len(log)-6000:]
	}
	return log
}

// Telemetry reads the collector's own metrics: series -> value.
func (c *Collector) Telemetry(ctx context.Context) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", c.telemetry), nil)
	if err != nil {
		return nil, err
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	out := make(map[string]float64)
	s := bufio.NewScanner(res.Body)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		line := s.Text()
		i := strings.LastIndexByte(line, ' ')
		if i < 0 || line[0] == '#' {
			continue
		}
		if v, err := strconv.ParseFloat(line[i+1:], 64); err == nil {
			out[scopeLabels.ReplaceAllString(line[:i], "")] = v
		}
	}
	return out, s.Err()
}

var scopeLabels = regexp.MustCompile(`,?(otel_scope_\w+|service_\w+|server_\w+)="[^"]*"`)

var lossName = regexp.MustCompile(`lost|drop|refused|failed|overflow|invalid|resync|unmatched|evicted`)

// Losses are the non-zero counters of things lost, one per line.
func Losses(telemetry map[string]float64) []string {
	var out []string
	for series, v := range telemetry {
		name, _, _ := strings.Cut(series, "{")
		if v != 0 && lossName.MatchString(name) {
			out = append(out, fmt.Sprintf("%s = %g", series, v))
		}
	}
	sort.Strings(out)
	return out
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
