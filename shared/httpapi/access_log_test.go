package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/logging"
)

// served sends one request to a server of one route and gives the lines of its log.
func served(t *testing.T, method, path string, h http.HandlerFunc) (int, []map[string]any) {
	t.Helper()
	var out bytes.Buffer
	s := NewServer(config.HTTP{Token: "token"}, nil, []Route{{Method: http.MethodPost, Path: "/orders/{id}", Query: []string{"token"}, Resource: ResourceSync, Handler: h}},
		nil, logging.New(&out, slog.LevelDebug))
	req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(`{"a": 1}`))
	req.Header.Set("Authorization", "Bearer token")
	w := httptest.NewRecorder()
	s.http.Handler.ServeHTTP(w, req)
	var lines []map[string]any
	dec := json.NewDecoder(&out)
	for dec.More() {
		var line map[string]any
		require.NoError(t, dec.Decode(&line))
		delete(line, "time")
		delete(line, "took_ms")
		lines = append(lines, line)
	}
	return w.Code, lines
}

func TestARequestIsToldByItsRoute(t *testing.T) {
	t.Parallel()
	answered := func(method, route string, status int) map[string]any {
		return map[string]any{"level": "DEBUG", "msg": "request answered", "method": method, "route": route, "bytes": 8.0, "http_status": float64(status)}
	}
	teapot := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }
	_, lines := served(t, http.MethodPost, "/orders/secret?token=secret", teapot)
	require.Equal(t, []map[string]any{answered("POST", "/orders/{id}", http.StatusTeapot)}, lines)
	_, lines = served(t, http.MethodPost, "/secret", teapot)
	require.Equal(t, []map[string]any{answered("POST", "", http.StatusNotFound)}, lines)
}

// A panic's value may quote what was worked on.
func TestAPanicIsToldByItsPlace(t *testing.T) {
	t.Parallel()
	var orders []string
	for want, panics := range map[string]func(){
		"*errors.errorString": func() { panic(errors.New("order of secret@example.com")) },
		"string":              func() { panic("order of secret@example.com") },
		"runtime error: index out of range [3] with length 0": func() { _ = orders[3] },
	} {
		status, lines := served(t, http.MethodPost, "/orders/1", func(http.ResponseWriter, *http.Request) { panics() })
		require.Equal(t, http.StatusInternalServerError, status)
		require.Len(t, lines, 2)
		require.Equal(t, "request handler panicked", lines[0]["msg"])
		require.Equal(t, "/orders/{id}", lines[0]["route"])
		require.Equal(t, want, lines[0]["panic"])
		require.Contains(t, lines[0]["stack"], "access_log_test.go")
		require.NotContains(t, lines[0]["stack"], "secret@")
	}
}
