package contracts_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/contracts"
	"github.com/erpconnector/erpconnector/shared/httpapi"
)

// get asks the server that has nothing but these routes.
func get(t *testing.T, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	server := httpapi.NewServer(config.HTTP{}, nil, contracts.Routes(), nil, slog.New(slog.DiscardHandler))
	server.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
	return w
}

func TestTheDescriptionsAreServed(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/openapi.json", "/asyncapi.json"} {
		w := get(t, path)
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		require.True(t, json.Valid(w.Body.Bytes()))
	}
}

// The page shows every operation and type, loads nothing from elsewhere, runs nothing, and leads nowhere that is not there.
func TestThePageIsWholeAndWorksAlone(t *testing.T) {
	t.Parallel()
	w := get(t, "/docs")
	require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	require.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'none'")
	page := w.Body.String()
	var d struct {
		Paths      map[string]map[string]struct{ OperationID string }
		Components struct{ Schemas map[string]any }
	}
	require.NoError(t, json.Unmarshal(contracts.OpenAPI(), &d))
	require.NotEmpty(t, d.Paths)
	for _, operations := range d.Paths {
		for _, o := range operations {
			require.Contains(t, page, `<section id="`+o.OperationID+`">`)
		}
	}
	for name := range d.Components.Schemas {
		require.Contains(t, page, `<section id="type-`+name+`">`)
	}
	for _, link := range regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(page, -1) {
		require.Contains(t, page, `id="`+link[1]+`"`)
	}
	require.NotRegexp(t, `<script|style="|\son[a-z]+="|(src|href)="(https?:)?//`, page)
	require.Contains(t, page, "</html>")
	require.Less(t, len(page), 512<<10)
	require.Equal(t, "text/css; charset=utf-8", get(t, "/docs/page.css").Header().Get("Content-Type"))
}
