package httpapi

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// Symptom: 200 batches of 16 MiB at once were all read, and the process was killed for its memory.
func TestBodiesBeyondWhatTheProcessHoldsAreRefused(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	read, release := make(chan struct{}), make(chan struct{})
	l := newLoad(config.HTTP{MaxBodiesMiB: 40})
	h := visited(l.bounded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil && r.Header.Get("Packed") != "" {
			_, err = io.ReadAll(Inflated(r.Context(), bytes.NewReader(body)))
		}
		if errors.Is(err, ErrOverloaded) {
			problem.Write(w, Overload)
			return
		}
		if r.Header.Get("Hold") != "" {
			read <- struct{}{}
			<-release
		}
	})))
	post := func(size int, announced int64, header string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(make([]byte, size)))
		r.ContentLength = announced
		r.Header.Set(header, "1")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	done := make(chan *httptest.ResponseRecorder)
	for range 2 {
		go func() { done <- post(16*mib, 16*mib, "Hold") }()
		<-read
	}
	for story, w := range map[string]*httptest.ResponseRecorder{
		"announced": post(0, 9*mib, ""), "not announced": post(9*mib, -1, ""), "larger once inflated": post(5*mib, 5*mib, "Packed"),
	} {
		require.Equal(t, http.StatusServiceUnavailable, w.Code, story)
		require.Equal(t, "5", w.Header().Get("Retry-After"))
		require.Contains(t, w.Body.String(), `"code":"overloaded"`)
	}
	require.Equal(t, http.StatusOK, post(8*mib, 8*mib, "").Code, "there is room for this one")
	require.EqualValues(t, 32*mib, l.bytes.Load())
	close(release)
	require.Equal(t, http.StatusOK, (<-done).Code)
	require.Equal(t, http.StatusOK, (<-done).Code)
	require.Equal(t, http.StatusOK, post(16*mib, 1<<40, "").Code, "what is too large is its handler's to say")
	require.Zero(t, l.bytes.Load())
	require.Zero(t, l.requests.Load())
}

func TestRequestsBeyondWhatTheProcessWorksOnAreRefused(t *testing.T) {
	t.Parallel()
	busy, release, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	h := door(config.HTTP{Token: "token", MaxRequests: 10}, func(http.ResponseWriter, *http.Request) {
		busy <- struct{}{}
		<-release
	})
	for range 10 {
		go func() {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/open", nil))
			done <- struct{}{}
		}()
		<-busy
	}
	w := knock(t, h, http.MethodGet, "/open")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Equal(t, "5", w.Header().Get("Retry-After"))
	for _, probe := range []string{"/livez", "/readyz", "/metrics"} {
		require.Equal(t, http.StatusOK, knock(t, h, http.MethodGet, probe).Code, probe)
	}
	close(release)
	for range 10 {
		<-done
	}
	go func() { <-busy }()
	require.Equal(t, http.StatusOK, knock(t, h, http.MethodGet, "/open").Code)
}
