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
	require.Equal(t, config.HTTP{Addr: ":9999", Token: "of-the-process"}, cfg.HTTP)
	cfg, err = config.FromEnv(environment(WithEnvironment(t.Context(), variables{"API_TOKEN": "given"}.lookup)))
	require.NoError(t, err)
	require.Equal(t, config.HTTP{Addr: ":8080", Token: "given"}, cfg.HTTP, "nothing of the process reaches it")
}
