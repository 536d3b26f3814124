package httpapi_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/gorilla/mux"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
)

// magento serves a route of each kind, whose answers say for which shop they were asked, and returns the log.
func magento(t *testing.T) (http.Handler, *bytes.Buffer) {
	t.Helper()
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shops := []string{mux.Vars(r)["id"], "query " + r.URL.Query().Get("source"), "bound " + httpapi.BoundSource(r.Context()), "path " + httpapi.PathSource(r.Context())}
		_, _ = io.WriteString(w, strings.Join(shops, ", "))
	})
	log := new(bytes.Buffer)
	return httpapi.NewServer(config.HTTP{Token: "first", Stores: map[string]string{"DE_Store": "outlet"}}, tokens{
		"outlet": {Name: "shop", All: true, Source: "outlet"},
	}, []httpapi.Route{
		{Method: http.MethodGet, Path: "/rest/V1/status/{id}", Query: []string{"source", "limit"}, Resource: httpapi.ResourceViewStatus, BySource: true, Handler: answer},
		{Method: http.MethodPost, Path: "/rest/V1/events", Resource: httpapi.ResourcePublish, BySource: true, Handler: answer},
		{Method: http.MethodGet, Path: "/rest/V1/letters", Query: []string{"source"}, Resource: httpapi.ResourceManage, Handler: answer},
		{Method: http.MethodGet, Path: "/rest/V1/settings", Resource: httpapi.ResourceConfig, Handler: answer},
		{Method: http.MethodPost, Path: "/rest/V1/webhook", Handler: answer},
		{Method: http.MethodGet, Path: "/mock", Handler: answer},
	}, nil, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))).Handler(), log
}

func TestStorePaths(t *testing.T) {
	t.Parallel()
	for request, want := range map[string]string{
		"GET /rest/V1/status/7":                        "200 7, query , bound , path ",
		"GET /rest/all/V1/status/7":                    "200 7, query , bound , path ",
		"GET /rest/all/V1/status/7?source=outlet":      "200 7, query outlet, bound , path ",
		"GET /rest/default/V1/status/7":                "200 7, query default, bound default, path default",
		"GET /rest/outlet/V1/status/A%2F7":             "200 A%2F7, query outlet, bound outlet, path outlet",
		"GET //rest//outlet/V1/status/7":               "200 7, query outlet, bound outlet, path outlet",
		"GET /rest/DE_Store/V1/status/7?limit=1":       "200 7, query outlet, bound outlet, path outlet",
		"HEAD /rest/outlet/V1/status/7":                "200 7, query outlet, bound outlet, path outlet",
		"GET /rest/outlet/V1/status/7?source=outlet":   "200 7, query outlet, bound outlet, path outlet",
		"GET /rest/outlet/V1/status/7?source=default":  `400 "contradicts"`,
		"GET /rest/default/V1/status/7?source=outlet":  `400 "contradicts"`,
		"GET /rest/outlet/V1/status/7?source=&limit=1": `400 "contradicts"`,
		"GET /rest/outlet/V1/status/7?sourec=outlet":   `400 "unknown"`,
		"POST /rest/outlet/V1/events":                  "200 , query , bound outlet, path outlet",
		"POST /rest/outlet/V1/webhook":                 "200 , query , bound , path outlet",
		"GET /rest/outlet/V1/letters":                  "200 , query outlet, bound , path outlet",
		"GET /rest/outlet/V1/settings":                 "200 , query , bound , path outlet",
		"DELETE /rest/outlet/V1/settings":              "405 ",
		"GET /rest/Outlet/V1/status/7":                 `404 "not_found"`,
		"GET /rest/../V1/status/7":                     `404 "not_found"`,
		"GET /rest/out%2Flet/V1/status/7":              `404 "not_found"`,
		"GET /rest/async/V1/status/7":                  `404 "not_found"`,
		"GET /rest/V1/V1/status/7":                     `404 "not_found"`,
		"GET /rest/outlet/default/V1/status/7":         `404 "not_found"`,
		"GET /rest/outlet/V2/status/7":                 `404 "not_found"`,
		"GET /rest/outlet/V1":                          `404 "not_found"`,
		"GET /outlet/V1/status/7":                      `404 "not_found"`,
		"GET /rest/outlet/mock":                        `404 "not_found"`,
	} {
		handler, _ := magento(t)
		method, path, _ := strings.Cut(request, " ")
		r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
		r.Header.Set("Authorization", "Bearer first")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		status, part, _ := strings.Cut(want, " ")
		require.Equal(t, status, strconv.Itoa(w.Code), "%s: %s", request, w.Body)
		if w.Code == http.StatusOK {
			require.Equal(t, part, w.Body.String(), request)
		}
		require.Contains(t, w.Body.String(), part, request)
	}
}

// The log names the route by its one pattern, whatever store the path names.
func TestTheLogOfAStorePath(t *testing.T) {
	t.Parallel()
	handler, log := magento(t)
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/rest/outlet/V1/status/7", nil))
	require.Contains(t, log.String(), "route=/rest/V1/status/{id} ")
}

// A token for one shop is for no path of another.
func TestATokenForOneShopAtAPathOfAnother(t *testing.T) {
	t.Parallel()
	handler, _ := magento(t)
	for path, want := range map[string]int{
		"/rest/outlet/V1/status/7": http.StatusOK, "/rest/all/V1/status/7": http.StatusOK, "/rest/default/V1/status/7": http.StatusForbidden,
		"/rest/outlet/V1/settings": http.StatusForbidden,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer outlet")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		require.Equal(t, want, w.Code, path)
	}
}
