package platform_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/platform"
)

func from(values map[string]string) platform.Lookup {
	return func(name string) (string, bool) { v, ok := values[name]; return v, ok }
}

func TestFromEnv(t *testing.T) {
	t.Parallel()
	t.Run("nothing_set_gives_the_modules_defaults", func(t *testing.T) {
		t.Parallel()
		cfg, err := platform.FromEnv(from(nil))
		require.NoError(t, err)
		require.Equal(t, 30*time.Second, cfg.Settings.ErpTimeout)
		require.Equal(t, time.Minute, cfg.Settings.BaseDelay)
		require.Equal(t, 5, cfg.Settings.MaxAttempts)
		require.True(t, cfg.Settings.Enabled && cfg.Settings.ImmediateSync)
	})
	t.Run("every_problem_is_named_at_once", func(t *testing.T) {
		t.Parallel()
		_, err := platform.FromEnv(from(map[string]string{
			"KAFKA_PARTITIONS": "0", "CONNECTOR_ENABLED": "perhaps", "ERP_TIMEOUT": "soon", "RETRY_JITTER": "2", "LOG_LEVEL": "loud",
			"RETRYABLE_CODES": "teapot", "ERP_BASE_URL": "erp.example.com", "API_TOKEN_FILE": "/does/not/exist",
		}))
		for _, name := range []string{
			"KAFKA_PARTITIONS", "CONNECTOR_ENABLED", "ERP_TIMEOUT", "RETRY_JITTER", "LOG_LEVEL", "RETRYABLE_CODES", "ERP_BASE_URL", "API_TOKEN_FILE",
		} {
			require.ErrorContains(t, err, name)
		}
	})
	t.Run("a_secret_may_stand_in_a_file_and_never_prints", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "secret")
		require.NoError(t, os.WriteFile(file, []byte("s3cret\n"), 0o600))
		cfg, err := platform.FromEnv(from(map[string]string{"ERP_HMAC_SECRET_FILE": file}))
		require.NoError(t, err)
		require.Equal(t, "s3cret", cfg.ErpHMAC.Reveal())
		require.Equal(t, "****", cfg.ErpHMAC.String())
	})
	t.Run("bare_numbers_are_seconds", func(t *testing.T) {
		t.Parallel()
		cfg, err := platform.FromEnv(from(map[string]string{"ERP_TIMEOUT": "5", "RETRY_BASE_DELAY": "1m30s"}))
		require.NoError(t, err)
		require.Equal(t, 5*time.Second, cfg.Settings.ErpTimeout)
		require.Equal(t, 90*time.Second, cfg.Settings.BaseDelay)
	})
}
