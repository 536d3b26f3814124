package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// shop posts an invoice at each tick and asks for its status, at whichever process answers. As a shop does, it repeats
// until the event is taken.
type shop struct {
	t       *testing.T
	ingest  []string // base URLs
	api     []string
	client  *http.Client
	close   func()                   // stops it and waits for what is under way
	mu      sync.Mutex               // guards what follows
	taken   map[string]time.Time     // when each order was accepted
	slowest map[string]time.Duration // one request with its repetitions, by method
}

func openShop(t *testing.T, f *fleet, every time.Duration) *shop {
	t.Helper()
	s := &shop{
		t: t, ingest: f.bases("ingest"), api: f.bases("api"), client: &http.Client{Timeout: 3 * time.Second},
		taken: map[string]time.Time{}, slowest: map[string]time.Duration{},
	}
	ctx, cancel := context.WithCancel(t.Context())
	var open sync.WaitGroup
	s.close = func() { cancel(); open.Wait() }
	open.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				open.Go(func() { s.sell(n) })
			}
		}
	})
	t.Cleanup(s.close)
	return s
}

func (s *shop) sell(n int) {
	order := fmt.Sprint(100000 + n)
	body, _ := json.Marshal(invoice("e"+order, order)) // maps of strings always encode
	if !s.insist(n, s.ingest, http.MethodPost, httpapi.BasePath+"/events", body) {
		return
	}
	s.mu.Lock()
	s.taken[order] = time.Now()
	s.mu.Unlock()
	s.insist(n, s.api, http.MethodGet, httpapi.BasePath+"/sync-status/"+order, nil)
}

// insist asks one process after the other until one says 2xx.
func (s *shop) insist(first int, bases []string, method, path string, body []byte) bool {
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	began := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	said := ""
	for try := first; ctx.Err() == nil; try++ {
		if said = s.request(ctx, method, bases[try%len(bases)]+path, body); said == "" {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.slowest[method] = max(s.slowest[method], time.Since(began))
			return true
		}
		<-tick.C
	}
	s.t.Errorf("%s %s: no process took it within %s: %s", method, path, testkit.Patience, said)
	return false
}

func (s *shop) request(ctx context.Context, method, url string, body []byte) (refusal string) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Authorization", "Bearer token")
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	if resp.StatusCode >= 300 {
		return resp.Status + " " + string(content)
	}
	return ""
}

// sold are the orders that were accepted by now.
func (s *shop) sold() (orders []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for order := range s.taken {
		orders = append(orders, order)
	}
	return orders
}

// slow is the longest request of a method since the last call.
func (s *shop) slow(method string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.slowest[method]
	s.slowest[method] = 0
	return d
}
