package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// heldERP stands before an ERP and holds calls of chosen orders until the test lets them through: so a test can act while a call
// is under way for sure.
type heldERP struct {
	url string

	mu      sync.Mutex
	held    map[string]*heldCall
	calling map[string]bool
	overlap bool // two calls of one order were under way at once
}

type heldCall struct{ called, released chan struct{} }

func newHeldERP(t *testing.T, erp string) *heldERP {
	t.Helper()
	target, err := url.Parse(erp)
	require.NoError(t, err)
	h := &heldERP{held: map[string]*heldCall{}, calling: map[string]bool{}}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		order := orderIn(r)
		defer h.begin(order)()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	h.url = server.URL + target.Path
	return h
}

// orderIn is the order that a call is about, empty for other requests. The body can be read again.
func orderIn(r *http.Request) string {
	content, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(content))
	var body struct {
		ID string `json:"order_increment_id"`
	}
	_ = json.Unmarshal(content, &body) // a health check has none
	return body.ID
}

// begin waits while calls of the order are held.
func (h *heldERP) begin(order string) (end func()) {
	h.mu.Lock()
	h.overlap = h.overlap || h.calling[order] && order != ""
	h.calling[order] = true
	held := h.held[order]
	h.mu.Unlock()
	if held != nil {
		select {
		case held.called <- struct{}{}:
		default:
		}
		<-held.released
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.calling[order] = false
	}
}

// hold keeps calls of the order from the ERP until release is called, or the test ends.
func (h *heldERP) hold(t *testing.T, order string) (called <-chan struct{}, release func()) {
	t.Helper()
	held := &heldCall{called: make(chan struct{}, 1), released: make(chan struct{})}
	h.mu.Lock()
	h.held[order] = held
	h.mu.Unlock()
	release = sync.OnceFunc(func() { close(held.released) })
	t.Cleanup(release)
	return held.called, release
}

func (h *heldERP) requireNoOverlap(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	require.False(t, h.overlap, "two calls of one order at once")
}
