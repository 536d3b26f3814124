package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
)

// A secret whose variable ended in a line end made every call 401, or failed every attempt at a header that HTTP forbids. All of
// them go by one rule, whether they stand in a variable or in a file.
func TestSecretsAreOneLineOfVisibleCharacters(t *testing.T) {
	t.Parallel()
	secrets := map[string]func(c config.Config) string{
		"API_TOKEN":       func(c config.Config) string { return c.HTTP.Token.Reveal() },
		"ERP_API_KEY":     func(c config.Config) string { return c.ERP.APIKey.Reveal() },
		"ERP_HMAC_SECRET": func(c config.Config) string { return c.ERP.HMAC.Reveal() },
	}
	read := func(t *testing.T, name, value string, inFile bool) (config.Config, error) {
		t.Helper()
		values := map[string]string{
			"KAFKA_BROKERS": "a:1", "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": "p",
		}
		if inFile {
			delete(values, name)
			file := filepath.Join(t.TempDir(), "secret")
			require.NoError(t, os.WriteFile(file, []byte(value), 0o600))
			name, value = name+"_FILE", file+"\n"
		}
		values[name] = value
		return config.FromEnv(from(values))
	}
	for _, name := range []string{"API_TOKEN", "ERP_API_KEY", "ERP_HMAC_SECRET", "KAFKA_SASL_PASSWORD"} {
		inHeader := name == "API_TOKEN" || name == "ERP_API_KEY"
		for _, inFile := range []bool{false, true} {
			t.Run(map[bool]string{false: name, true: name + "_FILE"}[inFile], func(t *testing.T) {
				t.Parallel()
				for _, given := range []string{"q7 wjx", "q7 wjx\n", "q7 wjx\r\n", "q7 wjx\n\n"} {
					cfg, err := read(t, name, given, inFile)
					require.NoError(t, err, "%q", given)
					if reveal := secrets[name]; reveal != nil {
						require.Equal(t, "q7 wjx", reveal(cfg))
					}
				}
				for given, want := range map[string]string{
					"q7\nwjx":       "holds U+000A LINE FEED as character 3; a secret is one line of visible characters",
					"q7wjx\x00":     "holds U+0000 NULL as character 6",
					"q7\x1bwjx":     "holds U+001B ESCAPE as character 3",
					"\tq7wjx":       "holds U+0009 TAB as character 1",
					"q7\u0085wjx":   "holds U+0085 as character 3",
					"q7wjx ":        "begins or ends with U+0020 SPACE; take it off",
					" q7wjx":        "begins or ends with U+0020 SPACE",
					"q7wjx\u00a0":   "begins or ends with U+00A0 NO-BREAK SPACE",
					"\ufeffq7wjx":   "begins or ends with U+FEFF BYTE ORDER MARK",
					"q7wjx\u200b\n": "begins or ends with U+200B ZERO WIDTH SPACE",
				} {
					_, err := read(t, name, given, inFile)
					require.ErrorContains(t, err, name)
					require.ErrorContains(t, err, want)
					require.NotContains(t, err.Error(), "wjx")
					require.NotContains(t, err.Error(), "q7")
				}
				_, err := read(t, name, "größe", inFile)
				if inHeader {
					require.ErrorContains(t, err, "holds U+00F6 as character 3; a header of HTTP takes ASCII characters only")
				} else {
					require.NoError(t, err)
				}
				if inFile {
					_, err = read(t, name, "\n", inFile)
					require.ErrorContains(t, err, name+"_FILE")
					require.ErrorContains(t, err, "is empty: write the secret into it")
				}
			})
		}
	}
}

// The line end that a here-document or an editor leaves behind a value is no part of it, whatever the variable.
func TestALineEndBehindAValueIsNoPartOfIt(t *testing.T) {
	t.Parallel()
	cfg, err := config.FromEnv(from(map[string]string{
		"DATABASE_URL": "postgres://erp@db/erp\n", "KAFKA_TOPIC_PREFIX": "a.\r\n", "HTTP_ADDR": ":1\n", "ERP_BASE_URL": "http://erp\n", "KAFKA_PARTITIONS": "4\n",
		"LOG_LEVEL": "\n", "KAFKA_TLS": "false\n",
	}))
	require.NoError(t, err)
	require.Equal(t, []any{"postgres://erp@db/erp", "a.", ":1", "http://erp", 4, "info"},
		[]any{cfg.DatabaseURL, cfg.TopicPrefix, cfg.HTTP.Addr, cfg.Settings.ErpBaseURL, cfg.Partitions, cfg.LogLevel})
}
