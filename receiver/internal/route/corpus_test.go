// SPDX-License-Identifier: Apache-2.0

package route

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
)

// values make what stands for a name in templates, as services make such values.
var values = map[string]func(r *rand.Rand) string{
	"number": func(r *rand.Rand) string { return fmt.Sprint(1 + r.IntN(1_000_000)) },
	"uuid": func(r *rand.Rand) string {
		h := hexadecimal(r, 32)
		return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
	},
	"sha1":   func(r *rand.Rand) string { return hexadecimal(r, 40) },
	"object": func(r *rand.Rand) string { return "65" + hexadecimal(r, 22) }, // MongoDB: begins with the time
	"date": func(r *rand.Rand) string {
		return fmt.Sprintf("202%d-%02d-%02d", r.IntN(7), 1+r.IntN(12), 1+r.IntN(28))
	},
	"year":    func(r *rand.Rand) string { return fmt.Sprint(2000 + r.IntN(27)) },
	"month":   func(r *rand.Rand) string { return fmt.Sprintf("%02d", 1+r.IntN(12)) },
	"order":   func(r *rand.Rand) string { return fmt.Sprintf("ORD-%06d", r.IntN(1_000_000)) },
	"ulid":    func(r *rand.Rand) string { return "01" + letters(r, 24, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") },
	"nanoid":  func(r *rand.Rand) string { return "7" + letters(r, 20, alphabet+"_-") },
	"token":   func(r *rand.Rand) string { return base64.RawURLEncoding.EncodeToString([]byte(hexadecimal(r, 30))) },
	"email":   func(r *rand.Rand) string { return fmt.Sprintf("joe.%s@example.com", letters(r, 5, "abcdefgh")) },
	"address": func(r *rand.Rand) string { return fmt.Sprintf("10.%d.%d.%d", r.IntN(256), r.IntN(256), r.IntN(256)) },
	"user":    func(r *rand.Rand) string { return letters(r, 6, "bcdfglmnprst") + letters(r, 3, "aeiou") },
	"slug": func(r *rand.Rand) string {
		return letters(r, 5, "abcdklmnopr") + "-and-the-" + letters(r, 7, "abcdklmnopr")
	},
	"pod": func(r *rand.Rand) string {
		return "cart-7d" + hexadecimal(r, 7) + "-" + letters(r, 5, "bcdfghjklmnpqrstvwxz2456789")
	},
}

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func hexadecimal(r *rand.Rand, n int) string {
	b := make([]byte, (n+1)/2)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return hex.EncodeToString(b)[:n]
}

func letters(r *rand.Rand, n int, of string) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = of[r.IntN(len(of))]
	}
	return string(b)
}

// services are those whose routes are learned; words in braces are values.
var services = map[string][]string{
	"shop": {
		"/", "/health", "/api/v1/users", "/api/v1/users/{number}", "/api/v1/users/{number}/orders", "/api/v1/users/{number}/orders/{order}",
		"/api/v1/products/{uuid}", "/api/v1/products/{uuid}/reviews/{number}", "/api/v1/cart/{object}/items", "/api/v1/search",
		"/api/v2/users/{ulid}", "/static/main.css", "/static/app.js", "/img/{number}.png", "/reports/{date}/summary",
	},
	"forge": {
		"/repos/{user}/tree/main", "/repos/{user}/commit/{sha1}", "/repos/{user}/issues/{number}", "/login", "/login/oauth2/callback",
		"/settings/profile", "/settings/keys/{number}", "/search/code", "/avatars/{sha1}.jpg",
	},
	"blog": {
		"/", "/about", "/feed.xml", "/posts/{slug}", "/posts/{slug}/comments", "/archive/{year}/{month}", "/tags/go", "/tags/linux",
		"/authors/{email}",
	},
	"cluster": {
		"/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/pods/{pod}", "/api/v1/namespaces/default/pods/{pod}/log",
		"/apis/apps/v1/deployments", "/api/v1/nodes/{address}/proxy/metrics", "/healthz", "/readyz", "/version",
	},
	"auth": {
		"/oauth2/token", "/oauth2/authorize", "/.well-known/openid-configuration", "/sessions/{token}", "/invites/{nanoid}", "/saml/sso",
	},
}

// What is learned from the traffic of services are their routes, and few enough of them.
func TestCorpus(t *testing.T) {
	for name, templates := range services {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, 7))
			l := newLearner(DefaultMaxChildren, DefaultMaxNodes, new(atomic.Int64))
			// request makes a path of a template, and the route it should have once what
			// varies is known to.
			request := func(template string) (path, want string) {
				path, want = template, template
				for kind, value := range values {
					mark := "{" + kind + "}"
					placeholder := placeholder
					if kind == "user" || kind == "slug" {
						placeholder = collapsed // words like any other
					}
					for strings.Contains(path, mark) {
						path = strings.Replace(path, mark, value(r), 1)
						want = strings.Replace(want, mark, placeholder, 1)
					}
				}
				return path, want
			}
			reported, wrong, example := map[string]bool{}, 0, ""
			const requests = 40_000
			for i := range requests {
				path, want := request(templates[r.IntN(len(templates))])
				got := l.Route([]byte(path), true)
				reported[got] = true
				if i >= requests/2 && got != want {
					wrong, example = wrong+1, got+" for "+path
				}
			}
			// Random letters without a digit among them look like a word, and those that change
			// their case seldom like names in camel case.
			assert.LessOrEqual(t, wrong, requests/2/500, "in the second half, such as %s", example)
			// Words that vary are reported until that is known.
			assert.LessOrEqual(t, len(reported), len(templates)+4*DefaultMaxChildren)
			t.Logf("%d templates, %d routes reported, %d of %d requests wrong", len(templates), len(reported), wrong, requests/2)
		})
	}
}

// Whatever a service is asked for, it has no more routes than it may have.
func TestHardCap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	l := newLearner(DefaultMaxChildren, DefaultMaxNodes, new(atomic.Int64))
	reported := map[string]bool{}
	for range 300_000 {
		var path strings.Builder
		for range 1 + r.IntN(6) {
			path.WriteString("/" + values["user"](r)[:1+r.IntN(4)])
		}
		reported[l.Route([]byte(path.String()), true)] = true
	}
	assert.LessOrEqual(t, len(reported), lifetime*DefaultMaxNodes+1)
}
