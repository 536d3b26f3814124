package erphttp

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/egress"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// tokenService gives out tokens, and serves an ERP that takes only the last of them.
type tokenService struct {
	url     string
	expires time.Duration // of each token
	status  atomic.Int64  // answered in place of a token; 0: none

	fetched, calls atomic.Int64
	revoked        atomic.Int64 // tokens up to this one
}

func newTokenService(t *testing.T, expires time.Duration) *tokenService {
	t.Helper()
	s := &tokenService{expires: expires}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		if status := int(s.status.Load()); status != 0 {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, `{"error":"invalid_client","error_description":"not this sesame"}`)
			return
		}
		id, secret, _ := r.BasicAuth()
		if id != "me" || secret != "sesame" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "orders stock" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"access_token": fmt.Sprint("token-", s.fetched.Add(1)), "token_type": "bearer", "expires_in": int(s.expires.Seconds()),
		})
	})
	mux.HandleFunc("POST /orders/sync", func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		var n int64
		if _, err := fmt.Sscanf(r.Header.Get("Authorization"), "Bearer token-%d", &n); err != nil || n <= s.revoked.Load() {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *tokenService) client(change func(*setting.Settings)) *Client {
	all := setting.Defaults()
	all.ErpBaseURL = s.url
	if change != nil {
		change(&all)
	}
	return New(Config{
		OAuth:    config.OAuth{TokenURL: s.url + "/token", ClientID: "me", Scopes: []string{"orders", "stock"}},
		Secrets:  func() config.ERPSecrets { return config.ERPSecrets{OAuthSecret: "sesame"} },
		Settings: setting.Fixed(all), InFlight: 8,
	})
}

func TestATokenIsFetchedOnceAndRenewedWhenItEndsOrIsRefused(t *testing.T) {
	t.Parallel()
	t.Run("kept_for_all_calls", func(t *testing.T) {
		t.Parallel()
		s := newTokenService(t, time.Hour)
		c := s.client(nil)
		var calls sync.WaitGroup
		for range 20 {
			calls.Go(func() { _ = send(t, c) })
		}
		calls.Wait()
		require.Equal(t, http.StatusOK, send(t, c).StatusCode)
		require.Equal(t, []int64{1, 21}, []int64{s.fetched.Load(), s.calls.Load()})
	})
	t.Run("renewed_before_its_end", func(t *testing.T) {
		t.Parallel()
		s := newTokenService(t, renewBefore-time.Second)
		c := s.client(nil)
		for range 2 {
			require.Equal(t, http.StatusOK, send(t, c).StatusCode)
		}
		require.EqualValues(t, 2, s.fetched.Load())
	})
	t.Run("renewed_once_after_a_401", func(t *testing.T) {
		t.Parallel()
		s := newTokenService(t, time.Hour)
		c := s.client(nil)
		require.Equal(t, http.StatusOK, send(t, c).StatusCode)
		s.revoked.Store(1)
		require.Equal(t, http.StatusOK, send(t, c).StatusCode)
		require.Equal(t, []int64{2, 3}, []int64{s.fetched.Load(), s.calls.Load()})
		s.revoked.Store(100)
		require.Equal(t, http.StatusUnauthorized, send(t, c).StatusCode)
		require.Equal(t, []int64{3, 5}, []int64{s.fetched.Load(), s.calls.Load()})
	})
}

func TestWithoutATokenNoCallIsMade(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 401, 302, 503} {
		s := newTokenService(t, time.Hour)
		s.status.Store(int64(status))
		reply := send(t, s.client(nil))
		require.True(t, reply.NotSent)
		require.Contains(t, reply.Cause, fmt.Sprintf("no token for the ERP: the token service answered HTTP %d", status))
		require.NotContains(t, reply.Cause, "sesame")
		require.Zero(t, s.calls.Load())
		require.Equal(t, domain.OutcomeRetryable, domain.Classify(reply.Answer, domain.AnswerPolicy{}, false, at).Kind)
	}
	s := newTokenService(t, time.Hour)
	reply := send(t, s.client(func(all *setting.Settings) { all.Egress = egress.Policy{RefusePrivate: true} }))
	require.Contains(t, reply.Cause, "127.0.0.1 is an address of the machine itself, which is never called")
	require.Zero(t, s.fetched.Load(), "the token is fetched under the rules for calls")
}

func TestUserAndPasswordOfTheEnvironmentLogIn(t *testing.T) {
	t.Parallel()
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		got = user + " " + password
	}))
	t.Cleanup(server.Close)
	s := setting.Defaults()
	s.ErpBaseURL = server.URL
	c := New(Config{BasicUser: "me", Secrets: func() config.ERPSecrets { return config.ERPSecrets{BasicPassword: "pä ss"} }, Settings: setting.Fixed(s)})
	require.Equal(t, http.StatusOK, send(t, c).StatusCode)
	require.Equal(t, "me pä ss", got)
	require.Len(t, c.Warnings(), 1)
}

func TestAnERPWithCertificatesOfItsOwn(t *testing.T) {
	t.Parallel()
	files := testkit.NewCertificates(t)
	encryption, err := config.ERPTLS{CA: files.CA, Cert: files.Server, Key: files.ServerKey}.Config(nil)
	require.NoError(t, err)
	pair, err := tls.LoadX509KeyPair(files.Server, files.ServerKey)
	require.NoError(t, err)
	var protocol, caller string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		protocol, caller = r.Proto, r.TLS.PeerCertificates[0].Subject.CommonName
	}))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: encryption.RootCAs, ClientAuth: tls.RequireAndVerifyClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	s := setting.Defaults()
	s.ErpBaseURL = server.URL

	read := func(file string) []byte {
		content, err := os.ReadFile(file) //nolint:gosec // a test's
		require.NoError(t, err)
		return content
	}
	require.Equal(t, domain.ErrorNetwork, send(t, New(Config{Settings: setting.Fixed(s)})).Failure, "an unknown root")
	own := config.ERPTLS{CA: files.CA, Cert: files.Client, Key: files.ClientKey}
	var reports testkit.Log
	encryption, err = own.Config(func(variable string, err error) { _, _ = fmt.Fprintln(&reports, variable, err) })
	require.NoError(t, err)
	c := New(Config{Settings: setting.Fixed(s), TLS: encryption})
	require.Equal(t, http.StatusOK, send(t, c).StatusCode)
	require.Equal(t, "HTTP/2.0 client", protocol+" "+caller)

	// A certificate that cannot be used leaves the one before, and is told: it was passed over in silence, until the old one ended.
	require.NoError(t, os.WriteFile(own.Cert, []byte("no certificate"), 0o600))
	require.Eventually(t, func() bool {
		c.transport.(*http.Transport).CloseIdleConnections() //nolint:forcetypeassert // ours
		return send(t, c).StatusCode == http.StatusOK && strings.HasPrefix(reports.String(), "ERP_TLS_CERT_FILE tls: ")
	}, testkit.Patience, 50*time.Millisecond)
	require.Equal(t, "client", caller)

	// The files change while the process runs. The next connection shows the new certificate.
	require.NoError(t, os.WriteFile(own.Cert, read(files.Server), 0o600))
	require.NoError(t, os.WriteFile(own.Key, read(files.ServerKey), 0o600))
	require.Eventually(t, func() bool {
		c.transport.(*http.Transport).CloseIdleConnections() //nolint:forcetypeassert // ours
		return send(t, c).StatusCode == http.StatusOK && caller == "server"
	}, testkit.Patience, 50*time.Millisecond)
}
