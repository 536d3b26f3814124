package bench

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
)

// ERP answers at once, and remembers when each order came first.
type ERP struct {
	server *httptest.Server

	mu   sync.Mutex
	came map[string]time.Time
}

// NewERP starts one. Close ends it.
func NewERP() *ERP {
	e := &ERP{came: map[string]time.Time{}}
	e.server = httptest.NewServer(e)
	return e
}

// URL is its base.
func (e *ERP) URL() string { return e.server.URL }

// Close ends it.
func (e *ERP) Close() { e.server.Close() }

// ServeHTTP takes an order; a GET asks for its health.
func (e *ERP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		body, _ := io.ReadAll(r.Body)
		var order struct {
			ID string `json:"order_increment_id"`
		}
		_ = json.Unmarshal(body, &order)
		now := time.Now()
		e.mu.Lock()
		if _, known := e.came[order.ID]; !known {
			e.came[order.ID] = now
		}
		e.mu.Unlock()
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"erp_reference":"ERP-1"}`)
}

// After tells for each order how long after that time it came first, and how many never came.
func (e *ERP) After(times map[string]time.Time) (took []time.Duration, missing int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for order, at := range times {
		if came, known := e.came[order]; known {
			took = append(took, came.Sub(at))
		} else {
			missing++
		}
	}
	return took, missing
}
