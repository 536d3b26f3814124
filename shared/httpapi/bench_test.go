package httpapi

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/logging"
)

// BenchmarkRequest is the way of a request to its handler and back, without what the network takes, among as many routes as the product
// has.
func BenchmarkRequest(b *testing.B) {
	var routes []Route
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { problem.JSON(w, http.StatusOK, liveness{"ok"}) })
	for i := range 80 {
		path := fmt.Sprintf("%s/thing-%d", BasePath, i)
		if i%2 == 0 {
			path += "/{id}"
		}
		routes = append(routes, Route{Method: http.MethodGet, Path: path, Query: []string{"source"}, Resource: ResourceViewStatus, BySource: true, Handler: handler})
	}
	s := NewServer(config.HTTP{Token: "0123456789abcdef"}, nil, routes, nil, logging.New(io.Discard, slog.LevelInfo))
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, BasePath+"/thing-60/000000123", http.NoBody)
	r.Header.Set("Authorization", "Bearer 0123456789abcdef")
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		w.Body.Reset()
		clear(w.Header())
		s.Handler().ServeHTTP(w, r)
	}
}
