package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// Symptom: each caller that hung up left an error in the log, for which somebody was woken.
func TestACallerThatHangsUpIsNoError(t *testing.T) {
	t.Parallel()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancelLate := context.WithTimeout(t.Context(), 0)
	defer cancelLate()
	failed := map[string]any{"level": "ERROR", "msg": "status not read", "order_increment_id": "7", "error": "cut"}
	for name, c := range map[string]struct {
		ctx  context.Context //nolint:containedctx // a case
		want map[string]any
	}{
		"waits":           {t.Context(), failed},
		"has gone":        {gone, map[string]any{"level": "INFO", "msg": "caller gone before its answer", "what": "status not read", "order_increment_id": "7"}},
		"our own timeout": {late, failed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var logged bytes.Buffer
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(c.ctx, http.MethodGet, "/", nil)
			httpapi.Failed(w, r, slog.New(slog.NewJSONHandler(&logged, nil)), "status not read", errors.New("cut"),
				problem.Problem{Code: "database_unavailable", Detail: "ask again"}, "order_increment_id", "7")
			line := map[string]any{}
			require.NoError(t, json.Unmarshal(logged.Bytes(), &line))
			delete(line, "time")
			require.Equal(t, c.want, line)
			require.Equal(t, http.StatusServiceUnavailable, w.Code)
			require.Equal(t, "5", w.Header().Get("Retry-After"))
			require.Contains(t, w.Body.String(), "database_unavailable")
		})
	}
}

// A right that is missing in the database is said, as asking again would not help.
func TestAMissingRightIsSaid(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	err := fmt.Errorf("making a token: %w", &pgconn.PgError{Code: "42501", Message: "permission denied for table api_token"})
	httpapi.Failed(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil), slog.New(slog.DiscardHandler), "tokens not answered", err,
		problem.Problem{Code: "database_unavailable", Detail: "the database does not answer"})
	require.Contains(t, w.Body.String(), `"detail":"the database refuses this to the connector's user (permission denied for table api_token); grant what docs/deploy.md lists"`)
}
