// SPDX-License-Identifier: Apache-2.0

package config

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the reference table into README.md")

const (
	referenceBegin = "<!-- begin reference: make generate writes it from receiver/internal/config/config.go -->\n"
	referenceEnd   = "<!-- end reference -->\n"
)

// TestReference compares README.md's table of options with the doc comments and
// defaults of Config: every option is in it, and nothing else.
func TestReference(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "..", "..", "README.md")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), referenceBegin)
	require.True(t, ok, "README.md has no line %q", referenceBegin)
	_, after, ok := strings.Cut(rest, referenceEnd)
	require.True(t, ok, "README.md has no line %q", referenceEnd)

	want := before + referenceBegin + reference(t) + referenceEnd + after
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o644))
		return
	}
	require.Equal(t, want, string(text), "README.md is out of date: run make generate")
}

func reference(t *testing.T) string {
	docs := comments(t, "config.go")
	var b strings.Builder
	b.WriteString("| Option | Default | Meaning |\n|---|---|---|\n")
	seen := map[reflect.Type]bool{}
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() {
				continue
			}
			name := join(path, f.Tag.Get("mapstructure"))
			if f.Type.Kind() == reflect.Struct {
				walk(name, v.Field(i))
				continue
			}
			// What a rule has in common with the whole is described there.
			if f.Type == reflect.TypeFor[*PodRule]() {
				walk(name, reflect.Zero(f.Type.Elem()))
				continue
			}
			doc := docs[v.Type().Name()+"."+f.Name]
			require.NotEmpty(t, doc, "%s has no doc comment", name)
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, value(v.Field(i)), strings.ReplaceAll(doc, "|", `\|`))
			if f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct && !seen[f.Type] {
				seen[f.Type] = true
				walk(name+"[]", reflect.Zero(f.Type.Elem()))
			}
		}
	}
	walk("", reflect.ValueOf(*Default()))
	return b.String()
}

// value is a default as it would be written in YAML.
func value(v reflect.Value) string {
	if v.IsZero() && v.Kind() != reflect.Bool {
		return ""
	}
	if d, ok := v.Interface().(time.Duration); ok {
		return "`" + d.String() + "`"
	}
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.String {
		list := make([]string, v.Len())
		for i := range list {
			list[i] = v.Index(i).String()
		}
		return "`" + strings.Join(list, "`, `") + "`"
	}
	return fmt.Sprintf("`%v`", v.Interface())
}

// comments are the doc comments of struct fields, by Type.Field, in one line.
func comments(t *testing.T, file string) map[string]string {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	require.NoError(t, err)
	docs := map[string]string{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if s, ok := spec.Type.(*ast.StructType); ok {
			for _, field := range s.Fields.List {
				for _, name := range field.Names {
					docs[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(field.Doc.Text()), " ")
				}
			}
		}
		return true
	})
	return docs
}
