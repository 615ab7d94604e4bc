// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/confmap"
)

var _ confmap.Unmarshaler = (*Config)(nil)

// Unmarshal reads the configuration. It accepts a number or a boolean where a
// string is asked for (`open_ports: 8080`, `arg: 0.1`).
//
// Keys that are not known are left for Validate to report, together with
// everything else that is wrong: the Collector buries an error of Unmarshal in
// three lines of its own, and of those of Validate it only says whose they are.
func (c *Config) Unmarshal(conf *confmap.Conf) error {
	defaults := *c
	raw := conf.ToStringMap()
	strict := conf.Unmarshal(c, confmap.WithIgnoreUnused())
	if strict != nil {
		*c = defaults
		type plain Config // has no Unmarshal: ends the recursion
		lenient := confmap.NewFromStringMap(textual(raw, reflect.TypeFor[Config]()).(map[string]any))
		if err := lenient.Unmarshal((*plain)(c), confmap.WithIgnoreUnused()); err != nil {
			*c = defaults
			return strict
		}
	}
	c.unknown = nil
	unknownKeys(&c.unknown, "", raw, reflect.TypeFor[Config]())
	return nil
}

// fields returns the options of a struct type by their YAML key.
func fields(t reflect.Type) map[string]reflect.Type {
	known := make(map[string]reflect.Type, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		known[f.Tag.Get("mapstructure")] = f.Type
	}
	return known
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// unknownKeys finds keys that no option has.
func unknownKeys(p *problems, path string, value any, t reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer:
		unknownKeys(p, path, value, t.Elem())
	case reflect.Struct:
		m, ok := value.(map[string]any)
		if !ok {
			return
		}
		known := fields(t)
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if ft, ok := known[key]; ok {
				unknownKeys(p, join(path, key), m[key], ft)
				continue
			}
			p.addf(join(path, key), "%q is not an option: %s", key, mend(key, slices.Sorted(maps.Keys(known))))
		}
	case reflect.Slice:
		items, _ := value.([]any)
		for i, item := range items {
			unknownKeys(p, fmt.Sprintf("%s[%d]", path, i), item, t.Elem())
		}
	}
}

// mend proposes the known key that is closest to a mistyped one, or lists all.
func mend(key string, known []string) string {
	flat := func(s string) string { return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(s)) }
	for _, k := range known {
		if distance(flat(key), flat(k)) <= 2 {
			return "did you mean " + k + "?"
		}
	}
	return "write " + oneOf(known)
}

// distance is the Levenshtein distance of two short words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// textual turns scalars into text wherever an option is a string.
func textual(value any, t reflect.Type) any {
	switch t.Kind() {
	case reflect.Pointer:
		return textual(value, t.Elem())
	case reflect.String:
		switch value.(type) {
		case int, int64, uint64, float64, bool:
			return fmt.Sprint(value)
		}
	case reflect.Struct:
		if m, ok := value.(map[string]any); ok {
			known := fields(t)
			out := make(map[string]any, len(m))
			for key, v := range m {
				out[key] = v
				if ft, ok := known[key]; ok {
					out[key] = textual(v, ft)
				}
			}
			return out
		}
	case reflect.Map:
		if m, ok := value.(map[string]any); ok {
			out := make(map[string]any, len(m))
			for key, v := range m {
				out[key] = textual(v, t.Elem())
			}
			return out
		}
	case reflect.Slice:
		if items, ok := value.([]any); ok {
			out := make([]any, len(items))
			for i, item := range items {
				out[i] = textual(item, t.Elem())
			}
			return out
		}
	}
	return value
}
