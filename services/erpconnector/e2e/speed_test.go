//go:build speed

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// instantERP answers at once and notes when each order came.
type instantERP struct {
	mu   sync.Mutex
	came map[string]time.Time
}

func (e *instantERP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		ID string `json:"order_increment_id"`
	}
	_ = json.NewDecoder(r.Body).Decode(&body)
	e.mu.Lock()
	e.came[body.ID] = time.Now()
	e.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"erp_reference":"ERP-%s"}`, body.ID)
}

// TestSpeed prints figures and claims none; it is built with the tag speed only: orders per second from POST events to status success, and
// the time from POST, or from the commit of a shop's transaction, to the ERP's request, at 40 events a second.
func TestSpeed(t *testing.T) {
	testkit.OnBrokers(t, func(t *testing.T, brokers kafka.Config) {
		cfg := configured(t, brokers)
		erp := &instantERP{came: map[string]time.Time{}}
		server := httptest.NewServer(erp)
		t.Cleanup(server.Close)
		cfg.Settings.ErpBaseURL, cfg.Settings.ErpTimeout, cfg.ERP.InFlight, cfg.LogLevel = server.URL, 10*time.Second, 64, "warn"
		p := start(t, cfg)
		t.Logf("%s: %s", t.Name(), throughput(t, p, cfg))
		t.Logf("%s: %s", t.Name(), latency(t, p, erp))
	})
}

func throughput(t *testing.T, p *product, cfg config.Config) string {
	t.Helper()
	const batches, size, clients = 100, 100, 4
	pool, err := pgxpool.New(t.Context(), cfg.DatabaseURL)
	require.NoError(t, err)
	defer pool.Close()
	began := time.Now()
	var posting sync.WaitGroup
	for c := range clients {
		posting.Go(func() {
			for b := c; b < batches; b += clients {
				batch := make([]any, size)
				for i := range batch {
					order := fmt.Sprintf("s%d-%d", b, i)
					batch[i] = invoice("e"+order, order)
				}
				post(t, p, batch, http.StatusOK)
			}
		})
	}
	posting.Wait()
	posted := time.Since(began)
	done := 0
	testkit.Eventually(t, func() bool {
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM vendor_erp_sync WHERE status = 'success'`).Scan(&done))
		return done == batches*size
	}, "not all is done")
	took := time.Since(began)
	return fmt.Sprintf("%d orders posted in %s, all success after %s: %.0f orders/s", batches*size, posted.Round(time.Millisecond),
		took.Round(time.Millisecond), float64(batches*size)/took.Seconds())
}

// latency publishes alternately over HTTP and in a shop's transaction, so that both doors meet the same moments.
func latency(t *testing.T, p *product, erp *instantERP) string {
	t.Helper()
	const events = 800
	shop, err := pgx.Connect(t.Context(), p.cfg.DatabaseURL)
	require.NoError(t, err)
	defer func() { _ = shop.Close(context.WithoutCancel(t.Context())) }()
	sent := [2]map[string]time.Time{{}, {}}
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for i := range events {
		<-tick.C
		order := fmt.Sprintf("l%d", i)
		e := invoice("e"+order, order)
		if i%2 == 0 {
			sent[0][order] = time.Now()
			post(t, p, e, http.StatusAccepted)
			continue
		}
		tx, err := shop.Begin(t.Context())
		require.NoError(t, err)
		publishEvents(t, tx, []any{e})
		sent[1][order] = time.Now() // what the shop did before its commit is its own time
		require.NoError(t, tx.Commit(t.Context()))
	}
	p.becomes(fmt.Sprintf("l%d", events-1), ended("success"))
	return "over HTTP, from POST to the ERP: " + erp.percentiles(sent[0]) + "; in a shop's transaction, from COMMIT to the ERP: " + erp.percentiles(sent[1])
}

func (e *instantERP) percentiles(sent map[string]time.Time) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var took []time.Duration
	for order, at := range sent {
		took = append(took, e.came[order].Sub(at))
	}
	slices.Sort(took)
	n := len(took)
	return fmt.Sprintf("p50 %s, p99 %s, slowest %s", took[n/2].Round(10*time.Microsecond), took[n*99/100].Round(10*time.Microsecond),
		took[n-1].Round(10*time.Microsecond))
}

func post(t *testing.T, p *product, body any, want int) {
	t.Helper()
	encoded, err := json.Marshal(body)
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.base+httpapi.BasePath+"/events", bytes.NewReader(encoded))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer token")
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	_ = resp.Body.Close()
	require.Equal(t, want, resp.StatusCode)
}
