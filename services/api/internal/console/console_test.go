package console_test

import (
	"compress/gzip"
	"context"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/api/internal/console"
	"github.com/erpconnector/erpconnector/shared/access"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
)

// tokens knows one token besides that of the environment; its end is noon.
type tokens struct{}

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

func (tokens) Identify(_ context.Context, token string) (httpapi.Identity, error) {
	if token != "support" {
		return httpapi.Identity{}, httpapi.ErrNoToken
	}
	return httpapi.Identity{Name: "support", ExpiresAt: &noon}, nil
}

type request struct {
	method, path string
	headers      map[string]string
}

func ask(t *testing.T, q request) *httptest.ResponseRecorder {
	t.Helper()
	done := httpapi.Route{
		Method: http.MethodPost, Path: "/done", Resource: httpapi.ResourceAny,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }),
	}
	log := slog.New(slog.DiscardHandler)
	server := httpapi.NewServer(config.HTTP{Token: "first"}, tokens{}, append(console.Routes(config.HTTP{}, nil, access.NewStore(nil), log), done), nil, log)
	r := httptest.NewRequestWithContext(t.Context(), q.method, q.path, nil)
	for name, value := range q.headers {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	server.Handler().ServeHTTP(w, r)
	return w
}

func get(t *testing.T, path string) (*httptest.ResponseRecorder, string) {
	t.Helper()
	w := ask(t, request{method: http.MethodGet, path: path})
	return w, w.Body.String()
}

// cookieOf is the cookie that an answer sets; nil: none.
func cookieOf(w *httptest.ResponseRecorder) *http.Cookie {
	set, err := http.ParseSetCookie(w.Header().Get("Set-Cookie"))
	if err != nil {
		return nil
	}
	return set
}

var assetPath = regexp.MustCompile(`/console/assets/[\w-]+/[\w./]+`)

// The routes of a process come in any order: the page at every path below /console must not stand before the others.
func TestTheOrderOfRoutesDoesNotMatter(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	routes := console.Routes(config.HTTP{}, nil, access.NewStore(nil), log)
	slices.Reverse(routes)
	server := httpapi.NewServer(config.HTTP{}, tokens{}, routes, nil, log)
	w := httptest.NewRecorder()
	server.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/console/callback?code=x&state=y&session_state=z", nil))
	require.Equal(t, http.StatusFound, w.Code)
	require.Equal(t, "/console#signin=late", w.Header().Get("Location"))
}

// Each answer tells the browser to be strict, whatever it is.
func TestEveryAnswerHasThePolicy(t *testing.T) {
	t.Parallel()
	_, page := get(t, "/console")
	for path, status := range map[string]int{
		"/": http.StatusFound, "/console": http.StatusOK, "/console/": http.StatusOK, "/console/orders/7": http.StatusOK, "/console/assets/x/none.js": http.StatusNotFound,
		"/console/session": http.StatusOK, assetPath.FindString(page): http.StatusOK,
	} {
		resp, _ := get(t, path)
		require.Equal(t, status, resp.Code, path)
		require.Contains(t, resp.Header().Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
		require.NotContains(t, resp.Header().Get("Content-Security-Policy"), "unsafe")
		require.Equal(t, "nosniff", resp.Header().Get("X-Content-Type-Options"))
	}
	resp, _ := get(t, "/")
	require.Equal(t, "/console", resp.Header().Get("Location"))
}

// The page and all that it names are there, with their types. Those of this version are kept for ever, the page is not.
func TestThePageAndItsAssets(t *testing.T) {
	t.Parallel()
	resp, page := get(t, "/console/orders")
	require.Equal(t, "no-cache", resp.Header().Get("Cache-Control"))
	require.Equal(t, "text/html; charset=utf-8", resp.Header().Get("Content-Type"))
	require.NotContains(t, page, "{{")
	paths := assetPath.FindAllString(page, -1)
	require.Greater(t, len(paths), 15)
	for _, path := range paths {
		resp, body := get(t, path)
		require.Equal(t, http.StatusOK, resp.Code, path)
		require.NotEmpty(t, body)
		require.Equal(t, "public, max-age=31536000, immutable", resp.Header().Get("Cache-Control"))
		again := ask(t, request{http.MethodGet, path, map[string]string{"If-None-Match": resp.Header().Get("Etag")}})
		require.Equal(t, http.StatusNotModified, again.Code)
	}
	other, _ := get(t, regexp.MustCompile(`assets/[\w-]+/`).ReplaceAllString(paths[0], "assets/of-another-release/"))
	require.Equal(t, http.StatusOK, other.Code)
	require.Equal(t, "no-cache", other.Header().Get("Cache-Control"))
}

func TestAssetsAreZipped(t *testing.T) {
	t.Parallel()
	_, plain := get(t, "/console")
	resp := ask(t, request{http.MethodGet, "/console", map[string]string{"Accept-Encoding": "gzip, br"}})
	require.Equal(t, "gzip", resp.Header().Get("Content-Encoding"))
	z, err := gzip.NewReader(resp.Body)
	require.NoError(t, err)
	body, err := io.ReadAll(z)
	require.NoError(t, err)
	require.Equal(t, plain, string(body))
}

// What the browser must load stays small, and nothing in it comes from elsewhere or is written into the page.
func TestTheAssetsAreSmallAndOurOwn(t *testing.T) {
	t.Parallel()
	const most = 400_000
	total := 0
	require.NoError(t, fs.WalkDir(os.DirFS("assets"), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile("assets/" + name) //nolint:gosec // our own file
		total += len(content)
		if !strings.HasPrefix(name, "lib/") {
			require.NotRegexp(t, `(src|href|from|import)\s*[=(]?\s*["'\x60]https?:`, string(content), name)
		}
		if strings.HasSuffix(name, ".html") {
			require.NotRegexp(t, `(?i)<style|\sstyle=|\son\w+=|<script>`, string(content), name)
		}
		return err
	}))
	require.Less(t, total, most)
}

func TestSigningInAndOut(t *testing.T) {
	t.Parallel()
	signIn := func(headers map[string]string) (int, *http.Cookie) {
		w := ask(t, request{http.MethodPost, "/console/session", headers})
		return w.Code, cookieOf(w)
	}
	status, cookie := signIn(map[string]string{"Authorization": "Bearer wrong"})
	require.Equal(t, http.StatusUnauthorized, status)
	require.Nil(t, cookie)
	status, cookie = signIn(map[string]string{"Authorization": "Bearer first"})
	require.Equal(t, http.StatusNoContent, status)
	require.True(t, cookie.HttpOnly)
	require.False(t, cookie.Secure, "without TLS")
	require.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
	require.True(t, cookie.Expires.IsZero())
	_, cookie = signIn(map[string]string{"Authorization": "Bearer support", "Origin": "https://connector.example"})
	require.True(t, cookie.Secure)
	require.Equal(t, noon, cookie.Expires, "it ends with the token")

	require.Equal(t, -1, cookieOf(ask(t, request{http.MethodDelete, "/console/session", nil})).MaxAge)
}

// The browser adds the cookie to what other sites make it send. Only what comes from our own pages counts.
func TestTheCookieCountsFromOurOwnPagesOnly(t *testing.T) {
	t.Parallel()
	signedIn := cookieOf(ask(t, request{http.MethodPost, "/console/session", map[string]string{"Authorization": "Bearer first"}}))
	cookie := signedIn.Name + "=" + signedIn.Value
	const ok, refused = http.StatusNoContent, http.StatusUnauthorized
	for name, c := range map[string]struct {
		headers map[string]string
		want    int
	}{
		"our own page":                       {map[string]string{"Sec-Fetch-Site": "same-origin"}, ok},
		"our own page, without TLS":          {map[string]string{"Origin": "http://example.com"}, ok},
		"another site":                       {map[string]string{"Sec-Fetch-Site": "cross-site"}, refused},
		"another site of our domain":         {map[string]string{"Sec-Fetch-Site": "same-site"}, refused},
		"another site, without TLS":          {map[string]string{"Origin": "http://evil.example"}, refused},
		"another port":                       {map[string]string{"Origin": "http://example.com:8081"}, refused},
		"a page without origin":              {map[string]string{"Origin": "null"}, refused},
		"nobody says":                        {nil, refused},
		"an address that was typed":          {map[string]string{"Sec-Fetch-Site": "none"}, refused},
		"a header that is wrong":             {map[string]string{"Sec-Fetch-Site": "same-origin", "Authorization": "Bearer wrong"}, refused},
		"a header that is right, from there": {map[string]string{"Sec-Fetch-Site": "cross-site", "Authorization": "Bearer first"}, ok},
		"another scheme":                     {map[string]string{"Sec-Fetch-Site": "same-origin", "Authorization": "Basic first"}, refused},
		"no base64":                          {map[string]string{"Sec-Fetch-Site": "same-origin", "Cookie": "erpconnector_session=%"}, refused},
	} {
		headers := map[string]string{"Cookie": cookie}
		for header, value := range c.headers {
			headers[header] = value
		}
		require.Equal(t, c.want, ask(t, request{http.MethodPost, "/done", headers}).Code, name)
	}
}

// Who guesses tokens by the cookie is stopped as by the header.
func TestGuessesByTheCookieAreCounted(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	routes := console.Routes(config.HTTP{}, nil, access.NewStore(nil), log)
	server := httpapi.NewServer(config.HTTP{Token: "first", FailedLogins: 2}, tokens{}, routes, nil, log)
	var statuses []int
	for _, guess := range []string{"YQ", "Yg", "Yw", "ZA"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/console/session", nil)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Cookie", "erpconnector_session="+guess)
		w := httptest.NewRecorder()
		server.Handler().ServeHTTP(w, r)
		statuses = append(statuses, w.Code)
	}
	require.Equal(t, []int{http.StatusUnauthorized, http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusTooManyRequests}, statuses)
}
