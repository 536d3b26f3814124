package cli

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// health runs the command as a user does and returns what it printed.
func health(ctx context.Context, args ...string) (string, error) {
	var out strings.Builder
	cmd := Root()
	cmd.SetArgs(append([]string{"health"}, args...))
	cmd.SetOut(&out)
	err := cmd.ExecuteContext(ctx)
	return out.String(), err
}

// running is the server of every service, with these probes.
func running(t *testing.T, probes ...httpapi.Probe) (addr string) {
	t.Helper()
	addr = testkit.FreeAddr(t)
	serve(t, config.HTTP{Addr: addr}, probes...)
	return addr
}

func serve(t *testing.T, cfg config.HTTP, probes ...httpapi.Probe) {
	t.Helper()
	server := httpapi.NewServer(cfg, nil, nil, probes, slog.New(slog.DiscardHandler))
	listener, err := server.Listen(t.Context())
	require.NoError(t, err)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { require.NoError(t, server.Stop(context.WithoutCancel(t.Context()))) })
}

func TestHealth(t *testing.T) {
	fine := httpapi.Probe{Name: "postgres", Check: func(context.Context) error { return nil }}
	broken := httpapi.Probe{Name: "relay", Check: func(context.Context) error { return errors.New("no broker answers") }}

	t.Run("ready", func(t *testing.T) {
		said, err := health(t.Context(), "http://"+running(t, fine)+"/")
		require.NoError(t, err)
		require.Equal(t, "ok postgres\n", said)
	})
	t.Run("an_address_without_a_scheme", func(t *testing.T) { // was told as a fault of the address: "first path segment in URL"
		said, err := health(t.Context(), running(t, fine))
		require.NoError(t, err)
		require.Equal(t, "ok postgres\n", said)
	})
	t.Run("what_is_not_ready_is_named", func(t *testing.T) {
		_, err := health(t.Context(), "http://"+running(t, fine, broken))
		require.ErrorContains(t, err, "relay: no broker answers")
		require.NotContains(t, err.Error(), "postgres")
	})
	t.Run("it_may_live_and_not_be_ready", func(t *testing.T) {
		_, err := health(t.Context(), "--live", "http://"+running(t, broken))
		require.NoError(t, err)
	})
	t.Run("by_default_the_port_of_http_addr_is_asked", func(t *testing.T) {
		_, port, err := net.SplitHostPort(running(t, fine))
		require.NoError(t, err)
		t.Setenv("HTTP_ADDR", ":"+port)
		_, err = health(t.Context())
		require.NoError(t, err)
	})
	t.Run("https_with_a_certificate_for_another_name", func(t *testing.T) {
		c, addr := testkit.NewCertificates(t), testkit.FreeAddr(t)
		serve(t, config.HTTP{Addr: addr, TLS: config.ServerTLS{Cert: c.Server, Key: c.ServerKey}}, fine)
		env := map[string]string{"HTTP_ADDR": strings.Replace(addr, "127.0.0.1", "localhost", 1), "HTTP_TLS_CERT_FILE": c.Server, "HTTP_TLS_KEY_FILE": c.ServerKey}
		ctx := WithEnvironment(t.Context(), func(name string) (string, bool) { v, ok := env[name]; return v, ok })
		said, err := health(ctx)
		require.NoError(t, err)
		require.Equal(t, "ok postgres\n", said)
		_, err = health(ctx, "https://"+addr)
		require.ErrorContains(t, err, "certificate", "somebody else's is checked")
	})
	t.Run("nobody_listens", func(t *testing.T) {
		_, err := health(t.Context(), "http://"+testkit.FreeAddr(t))
		require.ErrorContains(t, err, "nothing listens at")
	})
	t.Run("somebody_else_listens_and_keeps_the_connection", func(t *testing.T) { // which nothing ended, not even a signal
		base, said := testkit.SwitchingServer(t), make(chan error, 1)
		go func() {
			_, err := health(t.Context(), base)
			said <- err
		}()
		select {
		case err := <-said:
			require.ErrorContains(t, err, "answered 101 Switching Protocols and no JSON; does erpconnector listen there?")
		case <-time.After(testkit.Patience):
			require.Fail(t, "the command goes on")
		}
	})
	t.Run("somebody_else_listens", func(t *testing.T) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
		t.Cleanup(server.Close)
		_, err := health(t.Context(), server.URL)
		require.ErrorContains(t, err, "does erpconnector listen there?")
	})
	t.Run("no_answer_is_no_health", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			cancel() // stands for the time-out, which is long
			<-r.Context().Done()
		}))
		t.Cleanup(server.Close)
		_, err := health(ctx, server.URL)
		require.ErrorIs(t, err, context.Canceled)
	})
}

// What is asked, and what each answer is told as.
func TestHealthAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status    int
		body      string
		live      bool
		said, err string
	}{
		"well":              {200, `{"checks":{"relay":"ok","postgres":"ok"}}`, false, "ok postgres relay", ""},
		"with_details":      {200, `{"checks":{"relay":"ok","erp":"ok"},"details":{"erp":"each order waits"}}`, false, "ok erp relay\nerp: each order waits", ""},
		"hostile_details":   {200, `{"checks":{},"details":{"\u001b[2J":"a\rb"}}`, false, "ok \n" + `\x1b[2J: a\rb`, ""},
		"it_lives":          {200, `{}`, true, "ok ", ""},
		"hostile":           {200, `{"checks":{"\u001b[2J":"ok"}}`, false, `ok \x1b[2J`, ""},
		"one_is_not_well":   {503, `{"checks":{"relay":"no broker","postgres":"ok"}}`, false, "", "not ready (503 Service Unavailable)\nrelay: no broker"},
		"none_is_well":      {503, `{"checks":{"relay":"b","postgres":"a"}}`, false, "", "not ready (503 Service Unavailable)\npostgres: a\nrelay: b"},
		"it_does_not_say":   {503, `{}`, false, "", "not ready (503 Service Unavailable)"},
		"nothing_is_served": {404, `{"detail":"no such path"}`, false, "", "not ready (404 Not Found)"},
		"a_web_page":        {200, `<html>`, false, "", "answered 200 OK and no JSON; does erpconnector listen there?"},
		"empty":             {200, ``, true, "", "/livez answered 200 OK and no JSON; does erpconnector listen there?"},
		"endless":           {200, `{"checks":{"` + strings.Repeat("x", 1<<17) + `":"ok"}}`, false, "", "and no JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := ""
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = r.URL.Path
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			defer server.Close()
			said, err := askHealth(t.Context(), http.DefaultClient, server.URL, c.live)
			require.Equal(t, map[bool]string{true: "/livez", false: "/readyz"}[c.live], asked)
			require.Equal(t, c.said, said)
			if c.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.err)
		})
	}
	for _, base := range []string{"http://a b", "ftp://host", "http://"} {
		_, err := askHealth(t.Context(), http.DefaultClient, base, false)
		require.ErrorContains(t, err, "asking for health: ", base)
	}
}
