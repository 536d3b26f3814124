package httpapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gorilla/mux"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Whatever the path, the quick router serves what its router would: the same route, with the same parts of the path, or the same refusal.
func TestTheQuickRouterServesWhatItsRouterWould(t *testing.T) {
	t.Parallel()
	quick := &quickRouter{Router: newRouter()}
	for _, r := range []Route{
		{Method: http.MethodGet, Path: "/a"},
		{Method: http.MethodGet, Path: "/a/{id}"},
		{Method: http.MethodPost, Path: "/a/{id}"},
		{Method: http.MethodGet, Path: "/a/b"},
		{Method: http.MethodGet, Path: "/a/{id}/b"},
		{Method: http.MethodDelete, Path: "/a/{id}/b"},
		{Method: http.MethodGet, Path: "/a/{id:[0-9]+}/c"},
		{Method: http.MethodGet, Path: "/{first}/b"},
		{Method: http.MethodGet, Path: "/b/{rest:.*}"},
	} {
		quick.add(r, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			_ = json.NewEncoder(w).Encode([]any{r.Method, r.Path, mux.Vars(req)})
		}))
	}
	ask := func(h http.Handler, method, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody))
		return w
	}
	require.JSONEq(t, `["GET", "/a/{id}", {"id": "b%2Fc"}]`, ask(quick, http.MethodGet, "/a/b%2Fc").Body.String())
	require.Equal(t, http.StatusMethodNotAllowed, ask(quick, http.MethodDelete, "/a/7").Code)
	rapid.Check(t, func(rt *rapid.T) {
		method := rapid.SampledFrom([]string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete}).Draw(rt, "method")
		path := "/" + rapid.StringOf(rapid.SampledFrom([]rune("ab7c//"))).Draw(rt, "path") + rapid.SampledFrom([]string{"", "/b", "/c", "%2Fb", "%62", "/%2F"}).Draw(rt, "end")
		want, got := ask(quick.Router, method, path), ask(quick, method, path)
		require.Equal(rt, want.Code, got.Code)
		require.Equal(rt, want.Header(), got.Header())
		require.Equal(rt, want.Body.String(), got.Body.String())
	})
}
