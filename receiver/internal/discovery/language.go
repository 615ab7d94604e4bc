// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"fmt"
	"slices"
	"strings"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/runtimes"
)

// Languages is a set of runtimes; zero is none.
type Languages uint32

// languages are the words of rules, in the order they are listed in messages. cpp is
// whatever else was compiled to machine code, well-known servers written in it among
// them.
var languages = []struct {
	name  string
	kinds []runtimes.Kind
}{
	{"go", []runtimes.Kind{runtimes.Go}},
	{"java", []runtimes.Kind{runtimes.Java}},
	{"python", []runtimes.Kind{runtimes.Python}},
	{"nodejs", []runtimes.Kind{runtimes.Node}},
	{"dotnet", []runtimes.Kind{runtimes.DotNet}},
	{"ruby", []runtimes.Kind{runtimes.Ruby}},
	{"php", []runtimes.Kind{runtimes.PHP}},
	{"rust", []runtimes.Kind{runtimes.Rust}},
	{"cpp", []runtimes.Kind{runtimes.Native, runtimes.Nginx, runtimes.HAProxy, runtimes.Envoy, runtimes.Apache}},
	{"erlang", []runtimes.Kind{runtimes.Erlang}},
	{"perl", []runtimes.Kind{runtimes.Perl}},
	{"nginx", []runtimes.Kind{runtimes.Nginx}},
	{"haproxy", []runtimes.Kind{runtimes.HAProxy}},
	{"envoy", []runtimes.Kind{runtimes.Envoy}},
	{"apache", []runtimes.Kind{runtimes.Apache}},
}

// ParseLanguage is the set that a word of a rule stands for. The error is half a
// sentence that says what is wrong and how to mend it.
func ParseLanguage(name string) (Languages, error) {
	names := make([]string, len(languages))
	for i, l := range languages {
		if names[i] = l.name; l.name != name {
			continue
		}
		var set Languages
		for _, kind := range l.kinds {
			set |= 1 << kind
		}
		return set, nil
	}
	if i := slices.Index(names, aliases[strings.ToLower(name)]); i >= 0 {
		return 0, fmt.Errorf("%q is not known; write %s", name, names[i])
	}
	last := len(names) - 1
	return 0, fmt.Errorf("%q is not known; write %s or %s", name, strings.Join(names[:last], ", "), names[last])
}

// aliases are what languages are called elsewhere.
var aliases = map[string]string{
	"golang": "go", "jvm": "java", "kotlin": "java", "scala": "java", "node": "nodejs", "node.js": "nodejs", "javascript": "nodejs",
	"c": "cpp", "c++": "cpp", "native": "cpp", "c#": "dotnet", ".net": "dotnet", "csharp": "dotnet",
}

// Contains reports whether a runtime is in the set; an unknown one never is.
func (l Languages) Contains(kind runtimes.Kind) bool {
	return kind != runtimes.Unknown && l&(1<<kind) != 0
}
