package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMisspelt(t *testing.T) {
	t.Parallel()
	var own []string
	for _, v := range Variables() {
		own = append(own, v.Name)
	}
	require.Empty(t, Misspelt(own), "each name is itself")
	require.Empty(t, Misspelt([]string{
		"PATH", "HOME", "HTTP_PROXY", "ERP_SERVICE_PORT", "KAFKA_PORT", "KAFKA_HOME", "LOG_FILE", "API_TOKEN_FILE", "DATABASE_URL_FILE", "XERP_BASEURL", "",
	}))
	require.Equal(t, []string{
		"ERP_BASEURL is no variable: did you mean ERP_BASE_URL?",
		"KAFKA_BROKER is no variable: did you mean KAFKA_BROKERS?",
		"API_TOKEN_FILES is no variable: did you mean API_TOKEN_FILE?",
	}, Misspelt([]string{"ERP_BASEURL", "KAFKA_BROKER", "API_TOKEN_FILES"}))
}
