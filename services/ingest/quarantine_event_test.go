package ingest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// What was published is answered byte for byte: JSON with its spaces, what is no JSON, and what is far larger than what is taken.
func TestAnEventIsAnsweredByteForByte(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	h := serve(t, pool, setting.Defaults())
	get := func(as httpapi.Identity, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(httpapi.WithIdentity(t.Context(), as), http.MethodGet, httpapi.BasePath+path, nil))
		return w
	}
	for _, payload := range []string{
		`{"event_id":  "e-1" }` + "\n", "no JSON\x00\xff", "", strings.Repeat("0123456789abcde", 1<<20) + "end",
	} {
		var id string
		require.NoError(t, pool.QueryRow(t.Context(), `
			INSERT INTO commerce_quarantine (source, event_id, code, problems, payload, published_at, quarantined_at)
			VALUES ('outlet', 'e-1', 'refused', '[]', $1, now(), now()) RETURNING id::text`, []byte(payload)).Scan(&id))
		w := get(anna, "/quarantine/"+id+"/event")
		require.Equal(t, http.StatusOK, w.Code)
		require.True(t, payload == w.Body.String(), "%d bytes of %d", w.Body.Len(), len(payload)) //nolint:testifylint // a difference of megabytes is not printed
		require.Equal(t, []string{"application/octet-stream"}, w.Header()["Content-Type"])
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		require.Equal(t, "attachment", w.Header().Get("Content-Disposition"))
	}
	require.Equal(t, http.StatusNotFound, get(httpapi.Identity{Name: "other", All: true, Source: "default"}, "/quarantine/1/event").Code, "of another shop")
	require.Equal(t, http.StatusOK, get(httpapi.Identity{Name: "own", All: true, Source: "outlet"}, "/quarantine/1/event").Code)
	require.Equal(t, http.StatusNotFound, get(anna, "/quarantine/99/event").Code)
	require.Contains(t, get(anna, "/quarantine/4").Body.String(), `"withheld":"the event has 15728643 bytes: GET /rest/V1/erpconnector/quarantine/4/event answers it"`)
}
