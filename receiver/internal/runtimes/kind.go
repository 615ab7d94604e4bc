// SPDX-License-Identifier: Apache-2.0

package runtimes

import (
	"regexp"
	"strings"
)

// Kind of a runtime: what matters for finding which request a thread works on.
type Kind uint8

const (
	// Unknown: the executable could not be read as what it is.
	Unknown Kind = iota
	// Native is C, C++ and everything else that is not one of the below.
	Native
	// Go has goroutines, which change threads.
	Go
	// Rust is best effort: it takes a compiler's mark, which may be stripped,
	// and which a C program with some Rust in it has as well.
	Rust
	// Node is any event loop of JavaScript: Node.js, Bun, Deno.
	Node
	// Python is CPython or PyPy, also in an embedding host.
	Python
	// Java is any JVM.
	Java
	// Ruby is CRuby; JRuby is Java.
	Ruby
	// PHP is its command line, php-fpm and php-cgi; see Apache.
	PHP
	// DotNet is CoreCLR. A single-file application and a native one do not
	// show theirs.
	DotNet
	// Erlang is the BEAM: its processes change threads.
	Erlang
	// Perl interpreters work on one request at a time.
	Perl
	// Nginx workers are event loops.
	Nginx
	// HAProxy threads are event loops.
	HAProxy
	// Envoy threads are event loops.
	Envoy
	// Apache works on one request per thread or process, whichever language
	// its modules bring.
	Apache
)

var kindNames = [...]string{
	Unknown: "unknown", Native: "native", Go: "go", Rust: "rust", Node: "node", Python: "python", Java: "java",
	Ruby: "ruby", PHP: "php", DotNet: "dotnet", Erlang: "erlang", Perl: "perl", Nginx: "nginx", HAProxy: "haproxy",
	Envoy: "envoy", Apache: "apache",
}

func (k Kind) String() string {
	if int(k) >= len(kindNames) {
		return kindNames[Unknown]
	}
	return kindNames[k]
}

// executables by base name, without version and debug suffixes.
var executables = map[string]Kind{
	"node": Node, "nodejs": Node, "iojs": Node, "bun": Node, "deno": Node,
	"python": Python, "pypy": Python,
	"java": Java,
	"ruby": Ruby,
	"php":  PHP, "php-fpm": PHP, "php-cgi": PHP,
	"dotnet":   DotNet,
	"beam.smp": Erlang, "beam": Erlang,
	"perl":  Perl,
	"nginx": Nginx, "nginx-debug": Nginx, "angie": Nginx, "openresty": Nginx,
	"haproxy": HAProxy,
	"envoy":   Envoy, "cilium-envoy": Envoy,
	"apache2": Apache, "httpd": Apache,
}

// libraries that bring a runtime into any executable.
var libraries = map[string]Kind{
	"python": Python, "pypy": Python, "jvm": Java, "node": Node, "ruby": Ruby, "php": PHP, "coreclr": DotNet,
}

var (
	// executableVersion as in python3.11, python3.13t, php-fpm8.2,
	// node-22, python3.12-dbg.
	executableVersion = regexp.MustCompile(`^(.*?)-?(?:([0-9][0-9.]*)[a-z]?)?(-dbg)?$`)
	// library as in libpython3.11.so.1.0, libruby-3.1.so.3.1, libjvm.so,
	// libpypy3.9-c.so, libphp8.2.so, libnode.so.115.
	library = regexp.MustCompile(`^lib(python|pypy|jvm|node|ruby|php|coreclr)(?:-?([0-9][0-9.]*)[a-z]?(?:-c)?)?\.so(?:\.|$)`)
)

// kindOfExecutable is Unknown for a name that tells nothing. version is what
// the name says, often nothing.
func kindOfExecutable(base string) (kind Kind, version string) {
	if kind, ok := executables[base]; ok {
		return kind, ""
	}
	if m := executableVersion.FindStringSubmatch(base); m != nil {
		if kind, ok := executables[m[1]]; ok {
			return kind, strings.TrimRight(m[2], ".")
		}
	}
	return Unknown, ""
}

// kindOfLibrary is Unknown for a library that is no runtime.
func kindOfLibrary(base string) (kind Kind, version string) {
	if !strings.HasPrefix(base, "lib") {
		return Unknown, ""
	}
	m := library.FindStringSubmatch(base)
	if m == nil {
		return Unknown, ""
	}
	return libraries[m[1]], m[2]
}
