package config

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestHTTPThatCannotBe(t *testing.T) {
	t.Parallel()
	c := testkit.NewCertificates(t)
	for _, tt := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"HTTP_TLS_CERT_FILE": c.Server}, "go together: one of HTTP_TLS_CERT_FILE and HTTP_TLS_KEY_FILE is not set"},
		{map[string]string{"HTTP_TLS_KEY_FILE": c.ServerKey}, "go together: one of HTTP_TLS_CERT_FILE and HTTP_TLS_KEY_FILE is not set"},
		{map[string]string{"HTTP_TLS_CERT_FILE": c.Server, "HTTP_TLS_KEY_FILE": c.ClientKey}, "private key does not match public key"},
		{map[string]string{"HTTP_TLS_CERT_FILE": c.Server, "HTTP_TLS_KEY_FILE": c.ServerKey, "HTTP_TLS_CLIENT_CA_FILE": c.ServerKey}, "holds no certificate in PEM"},
		{map[string]string{"HTTP_TLS_CLIENT_CA_FILE": c.CA}, "HTTP_TLS_CERT_FILE is not: without https no client presents a certificate"},
		{map[string]string{"HTTP_CORS_ORIGINS": "*"}, `HTTP_CORS_ORIGINS names "*"; an origin is like https://console.example:8443`},
		{map[string]string{"HTTP_CORS_ORIGINS": "https://a.example, https://b.example/"}, `"https://b.example/"`},
		{map[string]string{"HTTP_CORS_ORIGINS": "https://A.example"}, `in small letters`},
		{map[string]string{"HTTP_TRUSTED_PROXIES": "10.0.0.0/8,proxy"}, `HTTP_TRUSTED_PROXIES: "proxy" is no network`},
		{map[string]string{"HTTP_MAX_BODIES_MIB": "16"}, "HTTP_MAX_BODIES_MIB is \"16\"; it must be a number from 40"},
	} {
		_, err := FromEnv(func(name string) (string, bool) { v, ok := tt.env[name]; return v, ok })
		require.ErrorContains(t, err, tt.want)
	}
}

// Symptom: a certificate that was renewed was served after the next restart, which came after the old one had expired.
func TestACertificateIsReadAgainWhenItsFilesChange(t *testing.T) {
	t.Parallel()
	first, second := testkit.NewCertificates(t), testkit.NewCertificates(t)
	dir := t.TempDir()
	at := time.Now()
	put := func(name, from string) string {
		t.Helper()
		content, err := os.ReadFile(from) //nolint:gosec // ours
		require.NoError(t, err)
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, content, 0o600))
		at = at.Add(time.Minute)
		require.NoError(t, os.Chtimes(file, at, at))
		return file
	}
	files := ServerTLS{Cert: put("cert", first.Server), Key: put("key", first.ServerKey), ClientCA: put("ca", first.CA)}
	var reports []error
	live, err := files.live(func(variable string, err error) {
		require.Equal(t, "HTTP_TLS_CERT_FILE", variable)
		reports = append(reports, err)
	})
	require.NoError(t, err)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", live.config())
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	go func() {
		for conn, err := listener.Accept(); err == nil; conn, err = listener.Accept() {
			_, _ = conn.Read(make([]byte, 1)) // until the client has seen enough
			_ = conn.Close()
		}
	}()
	shakes := func(roots string) error {
		t.Helper()
		live.looked = time.Time{} // it is looked at once a second
		client, err := clientTLS("", roots, "", "", nil)
		require.NoError(t, err)
		client.NextProtos = []string{"h2"}
		conn, err := tls.Dial("tcp", listener.Addr().String(), client)
		if err != nil {
			return err
		}
		require.Equal(t, "h2", conn.ConnectionState().NegotiatedProtocol)
		return conn.Close()
	}
	require.NoError(t, shakes(first.CA))
	require.Error(t, shakes(second.CA))
	require.Empty(t, reports)

	put("cert", second.Server)
	require.NoError(t, shakes(first.CA), "a certificate without its key leaves the one before")
	require.NoError(t, shakes(first.CA))
	require.Len(t, reports, 1, "what cannot be used is reported once")
	require.ErrorContains(t, reports[0], "private key does not match public key")
	put("key", second.ServerKey)
	require.NoError(t, shakes(second.CA))
	require.Error(t, shakes(first.CA))
	require.Len(t, reports, 2)
	require.NoError(t, reports[1])

	put("ca", second.CA)
	require.NoError(t, shakes(second.CA))
	require.Len(t, reports, 3, "the roots of clients are read again too")
	require.NoError(t, os.Remove(filepath.Join(dir, "ca")))
	require.NoError(t, shakes(second.CA))
	require.ErrorIs(t, reports[3], os.ErrNotExist)
}
