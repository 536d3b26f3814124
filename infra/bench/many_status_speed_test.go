//go:build speed

package bench

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	statusTime        = 10 * time.Second // of one rate
	statusConnections = 64
)

// statusLoad asks for the status of orders in an open loop: requests come at their time, whether or not those before are answered, and a
// request's time begins when it should have come. The driver, the product and Postgres share the machine.
func (m *many) statusLoad(t *testing.T) {
	t.Helper()
	m.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: statusConnections, MaxConnsPerHost: statusConnections}}
	for _, rate := range []int{250, 500, 1000, 2000, 3000, 4000, 5000} {
		if rate > *rateFlag {
			return
		}
		before, began := used(t), time.Now()
		took := m.atRate(t, rate)
		cpu, seconds := used(t).Since(before), time.Since(began).Seconds()
		t.Logf("status at %4d/s: answered %5.0f/s, p50 %6.2f ms, p90 %6.2f ms, p99 %7.2f ms; CPU a request: %.0f µs of the product, %.0f µs of Postgres",
			rate, float64(len(took))/seconds, milliseconds(quantile(took, 0.5)), milliseconds(quantile(took, 0.9)), milliseconds(quantile(took, 0.99)),
			1e6*cpu.Product/float64(len(took)), 1e6*cpu.Postgres/float64(len(took)))
	}
}

// atRate returns how long each request took, sorted.
func (m *many) atRate(t *testing.T, rate int) (took []time.Duration) {
	t.Helper()
	due := make(chan time.Time, rate*int(statusTime.Seconds()))
	var asking sync.WaitGroup
	var mu sync.Mutex
	for range statusConnections {
		asking.Go(func() {
			var mine []time.Duration
			for at := range due {
				order := 1_000_000_001 + rand.IntN(*manyFlag/10)*10 //nolint:gosec // any of the shop default
				status, said := m.request(t.Context(), http.MethodGet, fmt.Sprintf("/sync-status/%d", order), "")
				mine = append(mine, time.Since(at))
				if status != http.StatusOK {
					t.Errorf("%d: %s", status, said)
					return
				}
			}
			mu.Lock()
			took = append(took, mine...)
			mu.Unlock()
		})
	}
	began := time.Now()
	for n := range cap(due) {
		at := began.Add(time.Duration(n) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(at))
		due <- at
	}
	close(due)
	asking.Wait()
	require.Len(t, took, cap(due))
	slices.Sort(took)
	return took
}
