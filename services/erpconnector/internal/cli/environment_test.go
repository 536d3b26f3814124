package cli

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
)

// A command has the process's variables unless its context brings others: then it has those alone.
func TestWhereVariablesComeFrom(t *testing.T) {
	t.Setenv("API_TOKEN", "of-the-process")
	t.Setenv("HTTP_ADDR", ":9999")
	cfg, err := config.FromEnv(environment(t.Context()))
	require.NoError(t, err)
	require.Equal(t, []any{":9999", config.Secret("of-the-process")}, []any{cfg.HTTP.Addr, cfg.HTTP.Token})
	cfg, err = config.FromEnv(environment(WithEnvironment(t.Context(), variables{"API_TOKEN": "given"}.lookup)))
	require.NoError(t, err)
	require.Equal(t, []any{":8080", config.Secret("given")}, []any{cfg.HTTP.Addr, cfg.HTTP.Token}, "nothing of the process reaches it")
}
