package config_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func from(values map[string]string) config.Lookup {
	return func(name string) (string, bool) { v, ok := values[name]; return v, ok }
}

func TestFromEnv(t *testing.T) {
	t.Parallel()
	t.Run("nothing_set_gives_the_modules_defaults", func(t *testing.T) {
		t.Parallel()
		cfg, err := config.FromEnv(from(nil))
		require.NoError(t, err)
		require.Equal(t, 30*time.Second, cfg.Settings.ErpTimeout)
		require.Equal(t, time.Minute, cfg.Settings.BaseDelay)
		require.Equal(t, 5, cfg.Settings.MaxAttempts)
		require.True(t, cfg.Settings.Enabled && cfg.Settings.ImmediateSync)
	})
	t.Run("every_problem_is_named_at_once", func(t *testing.T) {
		t.Parallel()
		_, err := config.FromEnv(from(map[string]string{
			"KAFKA_PARTITIONS": "0", "CONNECTOR_ENABLED": "perhaps", "ERP_TIMEOUT": "soon", "RETRY_JITTER": "2", "LOG_LEVEL": "loud",
			"RETRYABLE_CODES": "teapot", "ERP_BASE_URL": "erp.example.com", "API_TOKEN_FILE": "/does/not/exist",
			"ERP_ALLOWED_NETWORKS": "169.254/16", "ERP_USE_PROXY": "perhaps",
		}))
		for _, name := range []string{
			"KAFKA_PARTITIONS", "CONNECTOR_ENABLED", "ERP_TIMEOUT", "RETRY_JITTER", "LOG_LEVEL", "RETRYABLE_CODES", "ERP_BASE_URL", "API_TOKEN_FILE",
			"ERP_ALLOWED_NETWORKS", "ERP_USE_PROXY",
		} {
			require.ErrorContains(t, err, name)
		}
	})
	t.Run("an_erp_in_a_network_that_no_erp_is_in", func(t *testing.T) {
		t.Parallel()
		values := map[string]string{"ERP_BASE_URL": "http://169.254.10.7/api"}
		_, err := config.FromEnv(from(values))
		require.ErrorContains(t, err, "ERP_BASE_URL is http://169.254.10.7/api: 169.254.10.7 is a link-local address, which is never called")
		values["ERP_ALLOWED_NETWORKS"] = "169.254.10.0/24"
		cfg, err := config.FromEnv(from(values))
		require.NoError(t, err)
		require.Equal(t, "http://169.254.10.7/api", cfg.Settings.ErpBaseURL)
	})
	t.Run("a_secret_may_stand_in_a_file_and_never_prints", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "secret")
		require.NoError(t, os.WriteFile(file, []byte("s3cret\n"), 0o600))
		cfg, err := config.FromEnv(from(map[string]string{"ERP_HMAC_SECRET_FILE": file}))
		require.NoError(t, err)
		require.Equal(t, "s3cret", cfg.ERP.HMAC.Reveal())
		require.Equal(t, "****", cfg.ERP.HMAC.String())
	})
	t.Run("the_database_may_stand_in_a_file", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "url")
		require.NoError(t, os.WriteFile(file, []byte("postgres://erp:s3cret@pg/erp\n"), 0o600))
		cfg, err := config.FromEnv(from(map[string]string{"DATABASE_URL": "postgres://other/erp", "DATABASE_URL_FILE": file}))
		require.NoError(t, err)
		require.Equal(t, "postgres://erp:s3cret@pg/erp", cfg.DatabaseURL)
		_, err = config.FromEnv(from(map[string]string{"DATABASE_URL_FILE": file + ".missing"}))
		require.ErrorContains(t, err, "DATABASE_URL_FILE: open "+file+".missing")
	})
	t.Run("bare_numbers_are_seconds", func(t *testing.T) {
		t.Parallel()
		cfg, err := config.FromEnv(from(map[string]string{"ERP_TIMEOUT": "5", "RETRY_BASE_DELAY": "1m30s", "ERP_MAX_IN_FLIGHT": "7"}))
		require.NoError(t, err)
		require.Equal(t, 5*time.Second, cfg.Settings.ErpTimeout)
		require.Equal(t, 90*time.Second, cfg.Settings.BaseDelay)
		require.Equal(t, []int{7, 7}, []int{cfg.Settings.MaxInFlight, cfg.ERP.InFlight}, "the setting, and what the syncer begins with")
	})
	t.Run("brokers_that_ask_for_a_login", func(t *testing.T) {
		t.Parallel()
		c := testkit.NewCertificates(t)
		cfg, err := config.FromEnv(from(map[string]string{
			"KAFKA_BROKERS": "a:1, b:2", "KAFKA_TLS": "true", "KAFKA_TLS_CA_FILE": c.CA, "KAFKA_TLS_CERT_FILE": c.Client, "KAFKA_TLS_KEY_FILE": c.ClientKey,
			"KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": "s3cret",
		}))
		require.NoError(t, err)
		k := cfg.Kafka()
		require.Equal(t, []string{"a:1", "b:2"}, k.Brokers)
		require.NotNil(t, k.Security.TLS.RootCAs)
		presented, err := k.Security.TLS.GetClientCertificate(nil)
		require.NoError(t, err)
		require.Len(t, presented.Certificate, 1)
		require.Equal(t, "PLAIN", k.Security.SASL.Name())
		require.NotContains(t, fmt.Sprintf("%+v", cfg), "s3cret")
	})
	t.Run("an_erp_with_a_login", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "secret")
		require.NoError(t, os.WriteFile(file, []byte("new\n"), 0o600))
		cfg, err := config.FromEnv(from(map[string]string{
			"ERP_HMAC_SECRET_FILE": file, "ERP_HMAC_SECRET_PREVIOUS": "old", "ERP_OAUTH_TOKEN_URL": "https://login.example.com/token",
			"ERP_OAUTH_CLIENT_ID": "me", "ERP_OAUTH_CLIENT_SECRET": "s3cret", "ERP_OAUTH_SCOPES": "a, b", "ERP_REFUSE_PRIVATE": "true",
		}))
		require.NoError(t, err)
		require.Equal(t, config.OAuth{TokenURL: "https://login.example.com/token", ClientID: "me", Secret: "s3cret", Scopes: []string{"a", "b"}}, cfg.ERP.OAuth)
		require.True(t, cfg.Settings.Egress.RefusePrivate)
		secrets := cfg.ERP.Secrets(func(string, error) {})
		require.Equal(t, []config.Secret{"new", "old"}, secrets().HMAC)
		require.Equal(t, config.Secret("s3cret"), secrets().OAuthSecret)
		require.NotContains(t, fmt.Sprintf("%+v %+v", cfg, secrets()), "s3cret")
		require.NoError(t, os.WriteFile(file, []byte("newest\n"), 0o600))
		testkit.Eventually(t, func() bool { return secrets().HMAC[0] == "newest" }, "the file is not read again")
	})
	t.Run("an_erp_with_half_a_login", func(t *testing.T) {
		t.Parallel()
		for said, values := range map[string]map[string]string{
			"ERP_OAUTH_TOKEN_URL, _CLIENT_ID and _CLIENT_SECRET go together": {"ERP_OAUTH_CLIENT_ID": "me"},
			"ERP_OAUTH_TOKEN_URL must be an http or https URL":               {"ERP_OAUTH_TOKEN_URL": "login", "ERP_OAUTH_CLIENT_ID": "me", "ERP_OAUTH_CLIENT_SECRET": "s"},
			"ERP_BASIC_USER and ERP_BASIC_PASSWORD go together":              {"ERP_BASIC_USER": "me"},
			"ERP_OAUTH_* and ERP_BASIC_* are both set":                       {"ERP_OAUTH_TOKEN_URL": "http://l/t", "ERP_OAUTH_CLIENT_ID": "me", "ERP_OAUTH_CLIENT_SECRET": "s", "ERP_BASIC_USER": "u", "ERP_BASIC_PASSWORD": "p"},
			"ERP_HMAC_SECRET_PREVIOUS is set and ERP_HMAC_SECRET is not":     {"ERP_HMAC_SECRET_PREVIOUS": "old"},
			"ERP_TLS_*_FILE: a certificate and its key go together":          {"ERP_TLS_CERT_FILE": "/a"},
		} {
			_, err := config.FromEnv(from(values))
			require.ErrorContains(t, err, said)
		}
	})
	t.Run("a_login_that_cannot_be", func(t *testing.T) {
		t.Parallel()
		c := testkit.NewCertificates(t)
		for said, values := range map[string]map[string]string{
			"would send the password readable":             {"KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": "p"},
			"a username and a password are needed":         {"KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "KAFKA_SASL_USERNAME": "u"},
			`mechanism "GSSAPI" is not known`:              {"KAFKA_SASL_MECHANISM": "GSSAPI", "KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": "p"},
			"KAFKA_SASL_MECHANISM is not":                  {"KAFKA_SASL_USERNAME": "u"},
			`KAFKA_TLS is "yes"; it must be true or false`: {"KAFKA_TLS": "yes"},
			"KAFKA_TLS is not true":                        {"KAFKA_TLS_CA_FILE": c.CA},
			"no such file":                                 {"KAFKA_TLS": "true", "KAFKA_TLS_CA_FILE": "/does/not/exist"},
			"holds no certificate in PEM":                  {"KAFKA_TLS": "true", "KAFKA_TLS_CA_FILE": c.ClientKey},
			"go together":                                  {"KAFKA_TLS": "true", "KAFKA_TLS_CERT_FILE": c.Client},
			"private key does not match public key":        {"KAFKA_TLS": "true", "KAFKA_TLS_CERT_FILE": c.Client, "KAFKA_TLS_KEY_FILE": c.ServerKey},
			"name the brokers":                             {"KAFKA_TLS": "true", "KAFKA_BROKERS": ""},
		} {
			all := map[string]string{"KAFKA_BROKERS": "a:1"}
			maps.Copy(all, values)
			_, err := config.FromEnv(from(all))
			require.ErrorContains(t, err, said)
		}
	})
}
