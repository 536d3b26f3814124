package syncer

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// readyz asks a process with a syncer whether it is ready, and what it says of the ERP beside that.
func readyz(t *testing.T, pool *pgxpool.Pool) (status int, detail string) {
	t.Helper()
	probes := []httpapi.Probe{erpProbe(pool, setting.Fixed(setting.Defaults()))}
	server := httpapi.NewServer(config.HTTP{}, nil, nil, probes, slog.New(slog.DiscardHandler))
	w := httptest.NewRecorder()
	server.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
	var answer struct{ Details map[string]string }
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
	return w.Code, answer.Details["erp"]
}

// A process that was taken out, or started anew, because the ERP is away would help nobody: its orders wait.
func TestASyncerIsReadyWhileOrdersWait(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	for _, c := range []struct{ breaker, hold, want string }{
		{`{}`, `{}`, ""},
		{
			`{"state": "open", "since": "2024-01-15T02:00:31Z", "why": "the probe by the health endpoint failed: HTTP 502", "out_since": "2024-01-15T02:00:07Z",
			"out_why": "10 of the newest 10 calls failed, of 10 orders"}`, `{}`,
			"each order waits until the ERP works again; calls stopped at 2024-01-15T02:00:07Z: 10 of the newest 10 calls failed, of 10 orders",
		},
		{
			`{"state": "open", "since": "2024-01-15T02:00:07Z", "why": "a new server", "by": "jane", "by_hand": true, "out_since": "2024-01-15T02:00:07Z"}`, `{}`,
			"each order waits until calls are let out by hand (erpconnector erp close); jane stopped them at 2024-01-15T02:00:07Z: a new server",
		},
		{`{}`, `{"until": "2999-01-01T00:00:00Z"}`, "each order waits until 2999-01-01T00:00:00Z, as the ERP asked by Retry-After"},
		{`{}`, `{"until": "2024-01-15T02:00:07Z"}`, ""},
	} {
		_, err := pool.Exec(t.Context(), `UPDATE erp_pace SET breaker = $1, hold = $2`, c.breaker, c.hold)
		require.NoError(t, err)
		status, detail := readyz(t, pool)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, c.want, detail)
	}
}

// That Postgres is away is told by its own probe, once.
func TestTheERPsProbeIsSilentWithoutPostgres(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(context.Background(), "postgres://127.0.0.1:1/nowhere?connect_timeout=1")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	status, detail := readyz(t, pool)
	require.Equal(t, http.StatusOK, status)
	require.Empty(t, detail)
}
