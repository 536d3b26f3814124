package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// A database whose login was changed, and a token that was replaced, took a restart of every process.
func TestSecretsOfTheEnvironmentAreReadAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := time.Now()
	write := func(name, text string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		at = at.Add(time.Minute)
		require.NoError(t, os.Chtimes(file, at, at))
		return file
	}
	env := map[string]string{
		"DATABASE_URL_FILE": write("url", "postgres://erp:first@pg/erp"), "API_TOKEN_FILE": write("token", "first"),
		"KAFKA_SASL_PASSWORD_FILE": write("sasl", "first"), "KAFKA_SASL_USERNAME": "erp", "KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_TLS": "true", "KAFKA_BROKERS": "kafka:9092",
	}
	cfg, err := FromEnv(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	require.NoError(t, err)
	require.Equal(t, Secret("first"), cfg.HTTP.CurrentToken())
	require.Equal(t, "postgres://erp:first@pg/erp", cfg.CurrentDatabaseURL())
	var reports []string
	cfg.ReportSecrets(func(variable string, err error) {
		if err != nil {
			variable += ": " + err.Error()
		}
		reports = append(reports, variable)
	})
	later := func(file *liveFile[Secret]) { // it is looked at once a second
		file.looked = time.Time{}
	}

	write("token", "second\n")
	write("url", "postgres://erp:second@pg/erp")
	later(cfg.HTTP.live)
	later(cfg.liveURL)
	require.Equal(t, Secret("second"), cfg.HTTP.CurrentToken())
	require.Equal(t, "postgres://erp:second@pg/erp", cfg.CurrentDatabaseURL())
	require.Equal(t, []string{"API_TOKEN", "DATABASE_URL"}, reports)

	write("url", "postgres://erp:third@pg:port/erp")
	later(cfg.liveURL)
	require.Equal(t, "postgres://erp:second@pg/erp", cfg.CurrentDatabaseURL(), "the one that can be used")
	require.Contains(t, reports[2], "DATABASE_URL: DATABASE_URL: cannot parse")
	require.NotContains(t, reports[2], "third")

	write("sasl", "second")
	testkit.Eventually(t, func() bool {
		_, login, err := cfg.Kafka().Security.SASL.Authenticate(t.Context(), "kafka")
		return err == nil && string(login) == "\x00erp\x00second"
	}, "the password of new connections")

	given, err := FromEnv(func(name string) (string, bool) { v, ok := map[string]string{"API_TOKEN": "fixed"}[name]; return v, ok })
	require.NoError(t, err)
	require.Equal(t, Secret("fixed"), given.HTTP.CurrentToken())
	require.Empty(t, given.CurrentDatabaseURL())
	Config{}.ReportSecrets(nil)
}
