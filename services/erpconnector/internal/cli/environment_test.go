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
	require.Equal(t, []string{":9999", "of-the-process"}, []string{cfg.HTTP.Addr, cfg.HTTP.Token.Reveal()})
	cfg, err = config.FromEnv(environment(WithEnvironment(t.Context(), variables{"API_TOKEN": "given"}.lookup)))
	require.NoError(t, err)
	require.Equal(t, []string{":8080", "given"}, []string{cfg.HTTP.Addr, cfg.HTTP.Token.Reveal()}, "nothing of the process reaches it")
}
