// SPDX-License-Identifier: Apache-2.0

package sqltext

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/intern"
)

// Texts that are templates of what applications send; %s stands for a literal.
var templates = []string{
	"SELECT * FROM t WHERE a = %s AND b IN (%s, %s) OR c=%s",
	"insert into s.t (a, b) values (%s,%s), (%s,%s) returning id",
	"UPDATE t SET a=%s, b = f(%s) WHERE c<%s -- ' comment\n AND d>%s",
	"with x as (select %s from y /* it's */ where z like %s) select x.*, %s from x limit 5",
	"call p(%s,%s)", "set a = %s", "select %s", "alter user u with password %s", "select a from b;delete from c where d=%s;",
	"select (%s)||%s",
}

// literals of a dialect that hold a secret.
func literals(d Dialect, r *rand.Rand) string {
	common := []string{
		"'SECRET'", "'it''s SECRET'", "'SECRET '' SECRET'", "'-- SECRET'", "'/* SECRET'", "'\"SECRET'", "' ) SECRET (`'", "731731", "-731.731", "0x731731", "1e731", "x'731731'",
	}
	var own []string
	switch d {
	case PostgreSQL:
		own = []string{`E'a\'SECRET'`, "$$SECRET$$", "$q$ SECRET $$ $ SECRET $q$", `U&'SECRET'`, `'SECRET\'`, "1_731", "e'\\\\'"}
	case PostgreSQLEscapes:
		own = []string{`'a\'SECRET'`, `'SECRET\\'`}
	case MySQL:
		own = []string{`'a\'SECRET'`, `"SECRET"`, `"it's SECRET"`, `"SECRET""SECRET"`, `"\"SECRET"`, `'SECRET\\'`, "_utf8'SECRET'"}
	case CQL:
		own = []string{"$$SECRET'$$", "73173173-1731-7317-3173-173173173173", "731731h"}
	}
	all := append(common, own...)
	return all[r.IntN(len(all))]
}

// No part of a literal survives, wherever the text is cut.
func TestNoLiteralSurvives(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	table := intern.New(0)
	for i := range 20000 {
		d := Dialect(i % 4)
		text := templates[r.IntN(len(templates))]
		for strings.Contains(text, "%s") {
			text = strings.Replace(text, "%s", literals(d, r), 1)
		}
		if r.IntN(2) == 0 {
			text = text[:r.IntN(len(text)+1)]
		}
		out, q := Analyze(nil, []byte(text), d, table)
		for _, s := range []string{string(out), q.Summary.Summary, q.Operation, q.Collection, q.Procedure} {
			for _, secret := range []string{"SEC", "731"} {
				require.NotContains(t, s, secret, "%d: %s", d, text)
			}
		}
	}
}

func FuzzAnalyze(f *testing.F) {
	for d := range 4 {
		for _, text := range templates {
			f.Add([]byte(text), byte(d))
		}
		for _, text := range []string{"select $1 $a$ b $a$", "/*!1 x */", "P1Y", "a.b.\"c", "with a as ((", "E'\\"} {
			f.Add([]byte(text), byte(d))
		}
	}
	table := intern.New(0)
	f.Fuzz(func(t *testing.T, text []byte, dialect byte) {
		d := Dialect(dialect % 4)
		out, q := Analyze([]byte("x"), text, d, table)
		if out[0] != 'x' || len(out) > 2*len(text)+1 {
			t.Fatalf("%q: %q", text, out)
		}
		if !bytes.Equal(out[1:], Sanitize(nil, text, d)) || q != Describe(text, d, table) {
			t.Fatalf("%q: the ways differ", text)
		}
		if len(q.Summary.Summary) > 3*MaxSummary || !utf8.ValidString(q.Summary.Summary) {
			t.Fatalf("%q: %q", text, q.Summary.Summary)
		}
		// There is no literal in what comes out. (A cut one may look different from
		// within another.)
		again := lexer{text: out[1:], dialect: d}
		for k := again.next(); k != kindEnd; k = again.next() {
			if c := out[1+again.start]; k == kindLiteral && (c == '\'' || classes[c] == classDigit) {
				if d == MySQL || bytes.ContainsAny(text, "\"$eExXbBnNuU&-+/.*:#") {
					continue // `1/**/1`, `e?'`...
				}
				t.Fatalf("%q: literal in %q", text, out[1:])
			}
		}
		planted := append(append([]byte("select a from b where c = '"), bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("'"), []byte("''")), []byte("\\"), []byte("\\\\"))...), '\'')
		if out := Sanitize(nil, planted, d); string(out) != "select a from b where c = ?" {
			t.Fatalf("%q: %q", planted, out)
		}
	})
}

// A megabyte of what could make a lexer look ahead again and again: this would not end
// if it did.
func TestLinear(t *testing.T) {
	for _, part := range []string{"(", "'", "$a$ ", "$b", "/*", "in (1,", "select ", "with a as (", "a.", "-", "1", "1-", "--\n", "a1b2c3d4-", "\\", "\"", "`", "/*!", "union select ", "from a join "} {
		for d := range Dialect(4) {
			text := []byte(strings.Repeat(part, 1<<20/len(part)))
			out, _ := Analyze(nil, text, d, nil)
			require.LessOrEqual(t, len(out), 2*len(text))
		}
	}
}

const simple = "SELECT abalance FROM pgbench_accounts WHERE aid = 4711;"

func TestNoAllocation(t *testing.T) {
	table := intern.New(0)
	dst := make([]byte, 0, 4096)
	for _, text := range append(templates, simple) {
		text := []byte(fmt.Sprintf(strings.ReplaceAll(text, "%s", "%[1]s"), "'x'"))
		for d := range Dialect(4) {
			Analyze(dst, text, d, table)
			require.Zero(t, testing.AllocsPerRun(10, func() { Analyze(dst, text, d, table) }), "%s", text)
		}
	}
}

func BenchmarkAnalyze(b *testing.B) {
	for name, text := range map[string]string{
		"simple": simple,
		"join":   "SELECT o.id, o.total, c.name FROM orders o JOIN customers c ON o.customer_id = c.id WHERE o.created_at > '2024-01-01' AND c.region IN ('eu', 'us', 'apac') ORDER BY o.total DESC LIMIT 50",
	} {
		b.Run(name, func(b *testing.B) {
			table := intern.New(0)
			dst := make([]byte, 0, 4096)
			in := []byte(text)
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				Analyze(dst, in, PostgreSQL, table)
			}
		})
	}
}
