package httpapi_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
)

// What an operator should know makes no service unready: an orchestrator would take a process out that does its work.
func TestReadiness(t *testing.T) {
	t.Parallel()
	probe := func(name string, err error, detail string) httpapi.Probe {
		return httpapi.Probe{
			Name: name, Check: func(context.Context) error { return err }, Detail: func(context.Context) string { return detail },
		}
	}
	waits, away := probe("erp", nil, "each order waits"), probe("postgres", errors.New("is away"), "and this is not looked at")
	noDetail := httpapi.Probe{Name: "relay", Check: func(context.Context) error { return nil }}
	for name, c := range map[string]struct {
		probes []httpapi.Probe
		status int
		want   string
	}{
		"nothing_to_look_at": {nil, http.StatusOK, `{"ready": true, "checks": {}}`},
		"well":               {[]httpapi.Probe{probe("erp", nil, ""), noDetail}, http.StatusOK, `{"ready": true, "checks": {"erp": "ok", "relay": "ok"}}`},
		"well_with_a_detail": {[]httpapi.Probe{waits, noDetail}, http.StatusOK, `{"ready": true, "checks": {"erp": "ok", "relay": "ok"}, "details": {"erp": "each order waits"}}`},
		"one_is_not_ready":   {[]httpapi.Probe{waits, away}, http.StatusServiceUnavailable, `{"ready": false, "checks": {"erp": "ok", "postgres": "is away"}, "details": {"erp": "each order waits"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httpapi.NewServer(config.HTTP{}, nil, nil, c.probes, slog.New(slog.DiscardHandler))
			w := httptest.NewRecorder()
			server.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
			require.Equal(t, c.status, w.Code)
			require.JSONEq(t, c.want, w.Body.String())
		})
	}
}
