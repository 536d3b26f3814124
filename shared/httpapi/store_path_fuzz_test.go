package httpapi

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// FuzzStorePath: a path that names a store asks for the same path without it, of one shop or all; any other one is left alone.
func FuzzStorePath(f *testing.F) {
	for _, path := range []string{"/rest/default/V1/x", "/rest/all/V1/", "/rest/V1/x", "/rest/a%2Fb/V1/x", "/rest/../V1/x", "/rest/async/V1/x", "/rest/de/V1/%zz", "//rest/de/V1/x"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://host/", nil)
		require.NoError(t, err)
		u, err := url.Parse("http://host" + path)
		if err != nil {
			return
		}
		r.URL = u
		w := httptest.NewRecorder()
		got, source := u.EscapedPath(), ""
		visited(storePaths(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got, source = r.URL.EscapedPath(), PathSource(r.Context())
		}), map[string]string{"de": "germany"})).ServeHTTP(w, r)
		require.True(t, source == "" || domain.ValidateSource(source) == nil, source)
		require.Contains(t, u.EscapedPath(), strings.TrimPrefix(got, "/rest"))
		require.Contains(t, []int{http.StatusOK, http.StatusNotFound}, w.Code)
	})
}
