package httpapi

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// door is a server of two routes, /open to all and /closed for who holds sync.
func door(cfg config.HTTP, h http.HandlerFunc) http.Handler {
	return NewServer(cfg, nil, []Route{
		{Method: http.MethodPost, Path: "/closed", Resource: ResourceSync, Handler: h},
		{Method: http.MethodGet, Path: "/open", Handler: h},
	}, nil, slog.New(slog.DiscardHandler)).Handler()
}

func knock(t *testing.T, h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if from := r.Header.Get("From-Test"); from != "" {
		r.RemoteAddr = from
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestEveryAnswerTellsBrowsersToTrustNothing(t *testing.T) {
	t.Parallel()
	h := door(config.HTTP{Token: "token"}, func(w http.ResponseWriter, _ *http.Request) { panic("the handler's fault") })
	for path, status := range map[string]int{"/closed": 401, "/open": 500, "/nothing": 404, "/livez": 200, "/metrics": 200} {
		w := knock(t, h, http.MethodGet, path)
		if path == "/closed" {
			w = knock(t, h, http.MethodPost, path)
		}
		require.Equal(t, status, w.Code, path)
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		require.Equal(t, "no-referrer", w.Header().Get("Referrer-Policy"))
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		require.Equal(t, "default-src 'none'; frame-ancestors 'none'", w.Header().Get("Content-Security-Policy"))
		require.Empty(t, w.Header().Get("Strict-Transport-Security"))
		require.Empty(t, w.Header().Get("Server"))
		require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"), "no page may ask")
	}
	page := door(config.HTTP{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
	})
	require.Equal(t, "default-src 'self'", knock(t, page, http.MethodGet, "/open").Header().Get("Content-Security-Policy"))
}

func TestPagesOfListedOriginsMayAsk(t *testing.T) {
	t.Parallel()
	const console = "https://console.example"
	h := door(config.HTTP{Token: "token", CORSOrigins: []string{console}}, func(http.ResponseWriter, *http.Request) {})
	preflight := func(origin string) *httptest.ResponseRecorder {
		return knock(t, h, http.MethodOptions, "/closed", "Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")
	}
	w := preflight(console)
	require.Equal(t, http.StatusNoContent, w.Code, "it carries no token")
	require.Equal(t, console, w.Header().Get("Access-Control-Allow-Origin"))
	require.Contains(t, w.Header().Get("Access-Control-Allow-Methods"), "POST")
	require.Contains(t, w.Header().Get("Access-Control-Allow-Headers"), "Authorization")
	require.Empty(t, w.Header().Get("Access-Control-Allow-Credentials"))
	for _, origin := range []string{"https://console.example.evil", "http://console.example", "null", "https://CONSOLE.example"} {
		w = preflight(origin)
		require.Equal(t, http.StatusMethodNotAllowed, w.Code, origin)
		require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
		require.Equal(t, "Origin", w.Header().Get("Vary"), "no cache gives this answer to the console")
	}
	w = knock(t, h, http.MethodPost, "/closed", "Origin", console, "Authorization", "Bearer token")
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, console, w.Header().Get("Access-Control-Allow-Origin"))
	require.Contains(t, w.Header().Get("Access-Control-Expose-Headers"), "Retry-After")
	w = knock(t, h, http.MethodPost, "/closed", "Origin", console)
	require.Equal(t, http.StatusUnauthorized, w.Code)
	require.Equal(t, console, w.Header().Get("Access-Control-Allow-Origin"), "the page can read why")
	require.Equal(t, http.StatusMethodNotAllowed, knock(t, h, http.MethodOptions, "/closed", "Origin", console).Code, "no browser's question")
}

func TestWhoseAddressCounts(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tt := range []struct {
		story, peer, forwarded, want string
	}{
		{"no proxy", "192.0.2.7:1", "", "192.0.2.7"},
		{"a stranger who names another", "192.0.2.7:1", "198.51.100.1", "192.0.2.7"},
		{"one behind a proxy", "10.0.0.1:1", "192.0.2.7", "192.0.2.7"},
		{"one who invents a hop before", "10.0.0.1:1", "198.51.100.1, 192.0.2.7", "192.0.2.7"},
		{"two proxies", "10.0.0.1:1", "192.0.2.7, 10.0.0.2", "192.0.2.7"},
		{"a proxy that says nothing", "10.0.0.1:1", "", "10.0.0.1"},
		{"a proxy that says nonsense", "10.0.0.1:1", "192.0.2.7, unknown", "10.0.0.1"},
		{"all of them ours", "10.0.0.1:1", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:1", "::ffff:192.0.2.7", "192.0.2.7"},
		{"a customer's network", "[2001:db8:1:2:3:4:5:6]:1", "", "2001:db8:1:2::"},
		{"a proxy of IPv6", "[fd00::1]:1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.RemoteAddr = tt.peer
		if tt.forwarded != "" {
			r.Header.Set("X-Forwarded-For", tt.forwarded)
		}
		require.Equal(t, tt.want, callerAddress(r, proxies).String(), tt.story)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.RemoteAddr = "10.0.0.1:1"
	r.Header["X-Forwarded-For"] = []string{"198.51.100.1", "192.0.2.7"}
	require.Equal(t, "192.0.2.7", callerAddress(r, proxies).String(), "several lines are one list")
}

func encrypted(t *testing.T, files config.ServerTLS, c testkit.Certificates, client ...tls.Certificate) (base string, ask *http.Client) {
	t.Helper()
	l := defaultLimits
	l.answer = 100 * time.Millisecond
	s := newServer(config.HTTP{Addr: "127.0.0.1:0", TLS: files}, nil, []Route{{Method: http.MethodGet, Path: "/slow", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		found := time.NewTimer(3 * l.answer)
		defer found.Stop()
		select {
		case <-found.C:
			_, _ = io.WriteString(w, "found")
		case <-r.Context().Done():
		}
	})}}, nil, slog.New(slog.DiscardHandler), l)
	listener, err := s.Listen(t.Context())
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	pem, err := os.ReadFile(c.CA)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(pem))
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: client, MinVersion: tls.VersionTLS12}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		require.NoError(t, s.http.Close())
		require.NoError(t, <-served)
	})
	return "https://" + listener.Addr().String(), &http.Client{Transport: transport}
}

// fetched is an answer that was read.
type fetched struct {
	status, proto int
	header        http.Header
	body          string
}

func fetch(t *testing.T, client *http.Client, url string) (fetched, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := client.Do(req)
	if err != nil {
		return fetched{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return fetched{resp.StatusCode, resp.ProtoMajor, resp.Header, string(body)}, err
}

// Over HTTP/2 the server's own limit on answers would have ended an order's ?wait=60 without an answer.
func TestHTTPSServesHTTP2AndWhatTakesLong(t *testing.T) {
	t.Parallel()
	c := testkit.NewCertificates(t)
	base, client := encrypted(t, config.ServerTLS{Cert: c.Server, Key: c.ServerKey}, c)
	got, err := fetch(t, client, base+"/slow")
	require.NoError(t, err)
	require.Equal(t, 2, got.proto)
	require.Equal(t, "found", got.body)
	require.Equal(t, "max-age=31536000", got.header.Get("Strict-Transport-Security"))
	got, err = fetch(t, client, strings.Replace(base, "https:", "http:", 1)+"/livez")
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, got.status, "http is not served")
	_, err = tls.Dial("tcp", strings.TrimPrefix(base, "https://"), &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true}) //nolint:gosec // that it is refused
	require.ErrorContains(t, err, "protocol version")
}

func TestClientsPresentACertificateWhereOneIsAsked(t *testing.T) {
	t.Parallel()
	c := testkit.NewCertificates(t)
	files := config.ServerTLS{Cert: c.Server, Key: c.ServerKey, ClientCA: c.CA}
	pair, err := tls.LoadX509KeyPair(c.Client, c.ClientKey)
	require.NoError(t, err)
	base, known := encrypted(t, files, c, pair)
	got, err := fetch(t, known, base+"/slow")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, got.status)

	base, nobody := encrypted(t, files, c)
	got, err = fetch(t, nobody, base+"/slow")
	require.NoError(t, err)
	require.Equal(t, http.StatusForbidden, got.status)
	require.Contains(t, got.body, "certificate_required")
	got, err = fetch(t, nobody, base+"/livez")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, got.status, "a platform's probe has none")

	other := testkit.NewCertificates(t)
	strange, err := tls.LoadX509KeyPair(other.Client, other.ClientKey)
	require.NoError(t, err)
	base, stranger := encrypted(t, files, c, strange)
	_, err = fetch(t, stranger, base+"/livez")
	require.Error(t, err)
}
