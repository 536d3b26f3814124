//go:build full

package e2e

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// Schemathesis makes requests of the description, right and wrong ones, and finds no 5xx, no status, type or body that is not described.
// The settings come last: a change may turn the connector off, which is answered by 503. The mock ERP is left out, as its faults are 5xx.
func TestSchemathesisFindsNothing(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		testkit.NotRun(t, "schemathesis", "no python3 on this machine")
	}
	interpreter, err := venv(t.Context(), "schemathesis==4.32.5")
	require.NoError(t, err)
	p := start(t, configured(t, testkit.EmbeddedBroker(t)))
	for _, selection := range [][]string{
		{"--exclude-tag", "Mock ERP", "--exclude-operation-id", "changeSettings"},
		{"--include-operation-id", "changeSettings"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
		defer cancel()
		run := exec.CommandContext(ctx, filepath.Join(filepath.Dir(interpreter), "schemathesis"), append([]string{
			"run", p.base + "/openapi.json", "--url", p.base, "-H", "Authorization: Bearer token", "--request-timeout", "90",
			"--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
			"--phases", "examples,fuzzing", "-n", "50", "--continue-on-failure",
		}, selection...)...)
		run.Dir = t.TempDir()
		text, err := run.CombinedOutput()
		t.Logf("%s", text)
		require.NoError(t, err)
	}
}
