// SPDX-License-Identifier: Apache-2.0

package groundtruth

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"text/template"
	"time"
)

// Nginx is an nginx with its own configuration.
type Nginx struct {
	*Process
	// Workers are its worker processes.
	Workers []int
	// Ports of its servers: static files with sendfile, static files without,
	// `return 200`, reverse proxies over HTTP/1.1 with keep-alive and over
	// HTTP/1.0.
	Sendfile, Plain, Return, Proxy, Proxy10 int
}

var nginxTemplate = template.Must(template.New("nginx").Parse(`daemon off;
user root;
worker_processes {{.Workers}};
pid {{.Dir}}/nginx.pid;
error_log {{.Dir}}/error.log warn;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path {{.Dir}}/body;
  proxy_temp_path {{.Dir}}/proxy;
  fastcgi_temp_path {{.Dir}}/fastcgi;
  uwsgi_temp_path {{.Dir}}/uwsgi;
  scgi_temp_path {{.Dir}}/scgi;
  root {{.Dir}}/files;
  default_type application/octet-stream;
  server { listen 127.0.0.1:{{.N.Sendfile}}; sendfile on; tcp_nopush on; location /case/ { rewrite ^ /$arg_file break; } }
  server { listen 127.0.0.1:{{.N.Plain}}; sendfile off; location /case/ { rewrite ^ /$arg_file break; } }
  server { listen 127.0.0.1:{{.N.Return}}; location / { return 200 "hello\n"; } }
{{- if .Upstream}}
  upstream app { server 127.0.0.1:{{.Upstream}}; keepalive 16; }
  server { listen 127.0.0.1:{{.N.Proxy}};
    location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host 127.0.0.1:{{.Upstream}}; } }
  server { listen 127.0.0.1:{{.N.Proxy10}}; location / { proxy_pass http://127.0.0.1:{{.Upstream}}; } }
{{- end}}
}
`))

// StartNginx runs nginx in dir, with a reverse proxy if upstream is a port.
func StartNginx(dir string, workers, upstream int) (*Nginx, error) {
	n := &Nginx{}
	for _, p := range []*int{&n.Sendfile, &n.Plain, &n.Return, &n.Proxy, &n.Proxy10} {
		var err error
		if *p, err = FreePort(); err != nil {
			return nil, err
		}
	}
	files := filepath.Join(dir, "files")
	if err := os.MkdirAll(files, 0o755); err != nil {
		return nil, err
	}
	for name, size := range map[string]int{"1k": 1 << 10, "64k": 64 << 10, "1m": 1 << 20} {
		if err := os.WriteFile(filepath.Join(files, name), bytes.Repeat([]byte("f"), size), 0o600); err != nil {
			return nil, err
		}
	}
	var config bytes.Buffer
	if err := nginxTemplate.Execute(&config, map[string]any{"Dir": dir, "Workers": workers, "Upstream": upstream, "N": n}); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, config.Bytes(), 0o600); err != nil {
		return nil, err
	}
	var err error
	if n.Process, err = Start(dir, "nginx", "-e", filepath.Join(dir, "error.log"), "-c", path); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", n.Return))
		if err == nil {
			c.Close()
			n.Workers, err = Children(n.PID())
			if err == nil && len(n.Workers) == workers {
				return n, nil
			}
		}
		if time.Now().After(deadline) {
			_ = n.Stop(0)
			return nil, fmt.Errorf("nginx does not listen: %s", n.stderr)
		}
	}
}

// Mirror makes the server's truth from its clients': the records of what any of
// pids did for the client records of a case. Its spans may end a little after
// the client has everything.
func Mirror(book *Book, name string, pids []int, change func(server *Record)) {
	for _, c := range book.Records(name) {
		if c.Role != Client || len(c.PIDs) > 0 {
			continue
		}
		s := *c
		s.Role, s.PIDs, s.PID = Server, pids, 0
		s.PeerPort, s.StartMax, s.EndMin = 0, 0, 0
		s.EndMax += int64(5 * time.Millisecond)
		if change != nil {
			change(&s)
		}
		book.Add(&s)
	}
}
