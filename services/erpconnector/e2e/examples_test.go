package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

const examples = repository + "/services/examples/"

// Each example publishes an order that reaches the ERP; run twice it publishes the same event, which is no second order.
func TestPublishingExamples(t *testing.T) {
	cfg := configured(t, testkit.EmbeddedBroker(t))
	p := start(t, cfg)
	commands := map[string]func(t *testing.T, order string) *exec.Cmd{
		"publish-go": func(t *testing.T, order string) *exec.Cmd {
			return exec.CommandContext(t.Context(), "go", "run", examples+"publish-go", order) //nolint:gosec // our own
		},
		"publish-watermill": func(t *testing.T, order string) *exec.Cmd {
			return exec.CommandContext(t.Context(), "go", "run", examples+"publish-watermill", order) //nolint:gosec // our own
		},
		"publish-psql": func(t *testing.T, order string) *exec.Cmd {
			if _, err := exec.LookPath("psql"); err != nil {
				testkit.NotRun(t, "psql example", "no psql on this machine")
			}
			return exec.CommandContext(t.Context(), "psql", cfg.DatabaseURL, "-v", "order="+order, "-f", examples+"publish-psql/publish.sql") //nolint:gosec // our own
		},
		"publish-python": func(t *testing.T, order string) *exec.Cmd {
			return exec.CommandContext(t.Context(), python(t), examples+"publish-python/publish.py", order) //nolint:gosec // our own
		},
	}
	found, err := filepath.Glob(examples + "publish-*")
	require.NoError(t, err)
	require.Len(t, found, len(commands), "each example is run")
	for name, command := range commands {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				cmd := command(t, name)
				cmd.Env = append(os.Environ(), "DATABASE_URL="+cfg.DatabaseURL)
				out, err := cmd.CombinedOutput()
				require.NoError(t, err, "%s", out)
			}
			p.becomes(name, ended("success"))
			_, calls := p.do(http.MethodGet, "/mockerp/stats", nil)
			require.InDelta(t, 0, calls["doubles"], 0)
			status, _ := p.do(http.MethodGet, httpapi.BasePath+"/sync-status/"+name, nil)
			require.Equal(t, http.StatusOK, status)
		})
	}
}

// python is an interpreter with psycopg, made once in the user's cache; a machine without Python does not run the test.
func python(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		testkit.NotRun(t, "Python example", "no python3 on this machine")
	}
	interpreter, err := venv(t.Context(), "psycopg[binary]==3.2.10")
	require.NoError(t, err)
	return interpreter
}

func venv(ctx context.Context, requirement string) (string, error) {
	interpreter := filepath.Join("venv", "bin", "python")
	dir, err := testkit.Cached("python-"+requirement, func(dir string) error {
		for _, args := range [][]string{
			{"python3", "-m", "venv", "--clear", filepath.Join(dir, "venv")},
			{filepath.Join(dir, interpreter), "-m", "pip", "install", "--quiet", requirement},
		} {
			if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil { //nolint:gosec // our own arguments
				return fmt.Errorf("making a Python with %s: %w: %s", requirement, err, out)
			}
		}
		return nil
	})
	return filepath.Join(dir, interpreter), err
}
