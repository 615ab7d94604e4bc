// SPDX-License-Identifier: Apache-2.0

package groundtruth

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Role is the side of an exchange a process was on.
type Role string

const (
	Server Role = "server"
	Client Role = "client"
)

// Record is one request as one process really saw it. Times are CLOCK_REALTIME
// in ns; zero means not known. Workloads in other languages write the same
// fields as JSON.
type Record struct {
	Case string `json:"case"`
	ID   string `json:"id"`
	Role Role   `json:"role"`
	PID  int    `json:"pid"`
	// PIDs is used instead of PID where any of several processes may have
	// been the one (the workers of nginx).
	PIDs   []int  `json:"-"`
	Method string `json:"method"`
	Path   string `json:"path"`
	Query  string `json:"query"`
	// Status is the response's status code; 0 if there is no response.
	Status int `json:"status"`
	// StatusOptional allows the status code to be absent from the span.
	StatusOptional bool `json:"status_optional"`
	// Error says that the exchange failed below HTTP: an error.type that is
	// not a status code is expected.
	Error bool `json:"error"`
	// Anonymous requests cannot carry an id (OPTIONS *, CONNECT): they are
	// found by process and method.
	Anonymous bool   `json:"anonymous"`
	Version   string `json:"version"`
	// RequestBody and ResponseBody are payload sizes in bytes; -1 if unknown.
	RequestBody  int64 `json:"request_body"`
	ResponseBody int64 `json:"response_body"`
	// The exchange began within [StartMin, StartMax] and ended within
	// [EndMin, EndMax], as seen around the system calls of this process.
	StartMin int64 `json:"start_min"`
	StartMax int64 `json:"start_max"`
	EndMin   int64 `json:"end_min"`
	EndMax   int64 `json:"end_max"`

	UserAgent  string `json:"user_agent"`
	ServerPort int    `json:"server_port"`
	// PeerPort is the port of the other end of the connection; 0 if unknown.
	PeerPort int `json:"peer_port"`
	// Traceparent is the header the request carried.
	Traceparent string `json:"traceparent"`
	// Optional records need not be found, but if they are they must be right.
	Optional bool `json:"-"`
}

// Target is the request target in origin form.
func (r *Record) Target() string {
	if r.Query == "" {
		return r.Path
	}
	return r.Path + "?" + r.Query
}

func (r *Record) hasPID(pid int) bool {
	if len(r.PIDs) > 0 {
		return slices.Contains(r.PIDs, pid)
	}
	return r.PID == pid
}

// ParsePath splits /case/NAME/ID.
func ParsePath(path string) (name, id string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/case/")
	if !ok {
		return "", "", false
	}
	name, id, ok = strings.Cut(rest, "/")
	return name, id, ok && name != "" && id != ""
}

// SetURL fills case, id, path and query.
func (r *Record) SetURL(u *url.URL) {
	r.Path, r.Query = u.EscapedPath(), u.RawQuery
	r.Case, r.ID, _ = ParsePath(r.Path)
}

// Book is the truth of a run. It is safe for concurrent use.
type Book struct {
	mu      sync.Mutex
	records []*Record
	watched map[int]string
}

// Add keeps records.
func (b *Book) Add(records ...*Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records = append(b.records, records...)
}

// Watch names a process whose every HTTP span must be accounted for, and the
// case to charge if one is not.
func (b *Book) Watch(pid int, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.watched == nil {
		b.watched = make(map[int]string)
	}
	if _, ok := b.watched[pid]; !ok {
		b.watched[pid] = name
	}
}

// Records returns those kept so far; of one case, or of all if name is empty.
func (b *Book) Records(name string) []*Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	if name == "" {
		return slices.Clone(b.records)
	}
	var out []*Record
	for _, r := range b.records {
		if r.Case == name {
			out = append(out, r)
		}
	}
	return out
}

// Load reads the *.jsonl files that workloads left in dir.
func (b *Book) Load(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return err
	}
	for _, name := range files {
		if err := b.loadFile(name); err != nil {
			return fmt.Errorf("truth %s: %w", filepath.Base(name), err)
		}
	}
	return nil
}

func (b *Book) loadFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		r := &Record{}
		if err := json.Unmarshal(s.Bytes(), r); err != nil {
			return err
		}
		b.Add(r)
		b.Watch(r.PID, r.Case)
	}
	return s.Err()
}
