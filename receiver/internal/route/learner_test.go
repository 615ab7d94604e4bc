// SPDX-License-Identifier: Apache-2.0

package route

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIdentifiersBecomePlaceholders(t *testing.T) {
	l := newLearner(DefaultMaxChildren, DefaultMaxNodes, new(atomic.Int64))
	for path, want := range map[string]string{
		"/":                  "/",
		"/users":             "/users",
		"/users/":            "/users",
		"/users/42":          "/users/{id}",
		"/users/42/posts/7":  "/users/{id}/posts/{id}",
		"/v1/users/1":        "/v1/users/{id}",
		"/v2.1/users/1":      "/v2.1/users/{id}",
		"/v1beta1/x":         "/v1beta1/x",
		"/s3/md5/oauth2/mp4": "/s3/md5/oauth2/mp4",
		"/o/550e8400-e29b-41d4-a716-446655440000": "/o/{id}",
		"/o/550E8400E29B41D4A716446655440000":     "/o/{id}",
		"/o/abcdefabcdefabcdef1":                  "/o/{id}",
		"/commit/8c5f29a":                         "/commit/8c5f29a", // too short to tell
		"/commit/8c5f29ab":                        "/commit/{id}",
		"/blob/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855":     "/blob/{id}",
		"/blob/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b": "/blob/{id}",
		"/report/2026-01-31":                     "/report/{id}",
		"/report/2026-01-31T10:00:00Z":           "/report/{id}",
		"/pkg/1.2.3":                             "/pkg/{id}",
		"/ip/10.0.0.1":                           "/ip/{id}",
		"/order/order-1001":                      "/order/{id}",
		"/order/INV_2024_0001":                   "/order/{id}",
		"/mail/joe@example.com":                  "/mail/{id}",
		"/npm/@scope":                            "/npm/@scope",
		"/q/hello%20world":                       "/q/{id}",
		"/q/a=b":                                 "/q/{id}",
		"/t/eyJhbGciOiJIUzI1NiIsInR5cCI6":        "/t/{id}",
		"/t/01ARZ3NDEKTSV4RRFFQ69G5FAV":          "/t/{id}",
		"/t/V1StGXR8_Z5jdHi6B-myT":               "/t/{id}",
		"/t/" + strings.Repeat("x", 65):          "/t/{id}",
		"/img/12345.png":                         "/img/{id}.png",
		"/watch/dQw4w9WgXcQ":                     "/watch/{id}",
		"/customers/cus_NffrFeUfNV2Hib":          "/customers/{id}",
		"/pods/cart-7d9f8b6c5-x2x4z":             "/pods/{id}",
		"/static/main.8f3b2c1d.js":               "/static/{id}.js",
		"/static/chunk-2ZGYK7LQ.js":              "/static/{id}.js",
		"/odata/Users(42)":                       "/odata/Users({id})",
		"/odata/Users('joe')/Orders":             "/odata/Users({id})/Orders",
		"/odata/Top()":                           "/odata/Top()",
		"/operations/1234:cancel":                "/operations/{id}:cancel",
		"/cart;jsessionid=8F3B2C1D/items":        "/cart/items",
		"/oauth2/OAuth2Token":                    "/oauth2/OAuth2Token",
		"/getUserV2/IPv4Address":                 "/getUserV2/IPv4Address",
		"/windows10/base64url/iso8601/sha256sum": "/windows10/base64url/iso8601/sha256sum",
		"/facade/deadbeef/decade":                "/facade/deadbeef/decade",
		"/geo/37.7749,-122.4194":                 "/geo/{id}",
		"/archive/2026/01/31/a-cake-in-10-steps": "/archive/{id}/{id}/{id}/a-cake-in-10-steps",
		"/assets/main.js":                        "/assets/main.js",
		"/assets/jquery-3.6.min.js":              "/assets/jquery-3.6.min.js",
		"/projects:search":                       "/projects:search",
		"/getUserInformationByIdentifier":        "/getUserInformationByIdentifier",
		"/internationalization-and-localization": "/internationalization-and-localization",
		"/bad/\xff\xfe":                          "/bad/{id}",
		"/double//slash":                         "/double//slash",
		"":                                       "",
		"*":                                      "",
		"example.com:443":                        "",
	} {
		require.Equal(t, want, l.Route([]byte(path), true), "path %q", path)
		require.Equal(t, want, l.Route([]byte(path), false), "path %q again", path)
	}
}

func TestManyWordsCollapse(t *testing.T) {
	l := newLearner(10, 1000, new(atomic.Int64))
	for i := range 100 {
		route := l.Route([]byte("/users/"+word(i)+"/posts"), true)
		if i < 10 {
			require.Equal(t, "/users/"+word(i)+"/posts", route)
		} else {
			require.Equal(t, "/users/{*}/posts", route)
		}
	}
	require.Equal(t, "/users/{*}/posts", l.Route([]byte("/users/"+word(0)+"/posts"), true))
	require.Equal(t, "/users/{*}", l.Route([]byte("/users/42"), true))
	require.Equal(t, "/other", l.Route([]byte("/other"), true))
	require.Equal(t, l.root.count(), l.size)
}

func word(i int) string {
	return strings.Map(func(r rune) rune { return r - '0' + 'k' }, fmt.Sprint(i))
}

func TestNotFoundIsNotLearned(t *testing.T) {
	l := newLearner(10, 1000, new(atomic.Int64))
	l.Route([]byte("/shop/cart"), true)
	for i := range 100 {
		require.Equal(t, "", l.Route([]byte("/"+word(i)+".php"), false))
	}
	require.Equal(t, "/shop/cart", l.Route([]byte("/shop/cart"), false))
	require.Equal(t, 2, l.size)
}

func TestLearnerIsBounded(t *testing.T) {
	l := newLearner(8, 50, new(atomic.Int64))
	r := rand.New(rand.NewPCG(1, 1))
	routes := map[string]bool{}
	for range 20_000 {
		var b strings.Builder
		for range 1 + r.IntN(20) {
			b.WriteString("/" + word(r.IntN(1000)))
		}
		routes[l.Route([]byte(b.String()), true)] = true
		require.LessOrEqual(t, l.size, 50+1)
	}
	require.Equal(t, l.root.count(), l.size)
	require.LessOrEqual(t, len(routes), lifetime*50+1)
	require.NotContains(t, routes, "")
}

func TestLearnerConcurrently(t *testing.T) {
	m := mustNew(t, Options{Unmatched: UnmatchedHeuristic, MaxChildren: 16, MaxNodes: 400})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			for range 5000 {
				m.Learner("shop").Route([]byte("/"+word(r.IntN(8))+"/"+word(r.IntN(100))+"/x"), true)
			}
		})
	}
	wg.Wait()
	l := m.Learner("shop")
	require.Equal(t, l.root.count(), l.size)
	require.Equal(t, "/k/{*}/x", l.Route([]byte("/k/anything/x"), true))
	require.Equal(t, int64(l.size), m.nodes.Load())
	m.Forget("shop")
	require.Zero(t, m.nodes.Load())
	require.Equal(t, "/**", l.Route([]byte("/new/thing"), true)) // a straggler still gets an answer
	require.Zero(t, m.nodes.Load())
	require.NotSame(t, l, m.Learner("shop"))
}

func TestTooManyInstancesShareALearner(t *testing.T) {
	m := mustNew(t, Options{Unmatched: UnmatchedHeuristic})
	for i := range maxLearners + 10 {
		m.Learner(fmt.Sprint(i))
	}
	require.Same(t, m.Learner("one more"), m.Learner("and another"))
	require.LessOrEqual(t, len(m.learners), maxLearners+1)
}

func TestAllInstancesTogetherAreBounded(t *testing.T) {
	total := &atomic.Int64{}
	total.Store(maxTotalNodes)
	l := newLearner(8, 50, total)
	require.Equal(t, "/**", l.Route([]byte("/a/b"), true))
	total.Store(maxTotalNodes - 1)
	require.Equal(t, "/a/**", l.Route([]byte("/a/b"), true))
}

func TestKnownRouteDoesNotAllocate(t *testing.T) {
	l := newLearner(64, 1000, new(atomic.Int64))
	for _, p := range []string{"/api/users/550e8400-e29b-41d4-a716-446655440000/posts", "/img/12345.png"} {
		path := []byte(p)
		l.Route(path, true)
		require.Zero(t, testing.AllocsPerRun(100, func() { l.Route(path, true) }))
	}
}

func BenchmarkLearnerRoute(b *testing.B) {
	l := newLearner(64, 1000, new(atomic.Int64))
	path := []byte("/api/users/550e8400-e29b-41d4-a716-446655440000/posts")
	b.ReportAllocs()
	for b.Loop() {
		l.Route(path, true)
	}
}

// count is the number of nodes below n.
func (n *node) count() int {
	sum := 0
	if next := n.varied.Load(); next != nil {
		sum += 1 + next.count()
	}
	if children := n.children.Load(); children != nil {
		for _, c := range *children {
			sum += 1 + c.count()
		}
	}
	return sum
}
