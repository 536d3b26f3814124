package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// The ERP is away while 300 orders come. None of them has failed when it is back, and few have used an attempt.
func TestTheERPIsAwayForAWhile(t *testing.T) {
	t.Parallel()
	testkit.OnApacheFirst(t, func(t *testing.T, brokers kafka.Config) {
		const orders = 300
		cfg := configured(t, brokers)
		mock, err := url.Parse(cfg.Settings.ErpBaseURL)
		require.NoError(t, err)
		var away atomic.Bool
		var failed, probed atomic.Int64
		pass := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: mock.Scheme, Host: mock.Host})
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case !away.Load():
				pass.ServeHTTP(w, r)
			case r.Method == http.MethodGet:
				probed.Add(1)
				w.WriteHeader(http.StatusBadGateway)
			default:
				failed.Add(1)
				w.WriteHeader(http.StatusBadGateway)
			}
		}))
		t.Cleanup(front.Close)
		cfg.Settings.ErpBaseURL = front.URL + mock.Path
		cfg.Settings.BaseDelay = time.Second
		p := start(t, cfg)
		away.Store(true)
		for i := range orders {
			status, _ := p.publish(invoice(fmt.Sprint("e", i), strconv.Itoa(i)))
			require.Equal(t, http.StatusAccepted, status)
		}
		testkit.Eventually(t, func() bool { return probed.Load() >= 2 }, "the breaker is open, and a probe has failed")
		_, erp := p.do(http.MethodGet, "/rest/V1/erpconnector/erp", nil)
		require.NotEqual(t, "closed", erp["state"])
		require.NotEmpty(t, erp["last_probe"])
		resp, err := http.Get(p.base + "/readyz")
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode, "it does its work: the orders wait")
		used := failed.Load()
		require.LessOrEqual(t, used, int64(10+cfg.Settings.MaxInFlight), "what opened the breaker, and what was in flight then")
		away.Store(false)
		for i := range orders {
			p.becomes(strconv.Itoa(i), ended("success"))
			_, status := p.do(http.MethodGet, "/rest/V1/erpconnector/sync-status/"+strconv.Itoa(i), nil)
			require.LessOrEqual(t, status["attempts"], 2.0)
		}
		require.Equal(t, used, failed.Load())
		_, stats := p.do(http.MethodGet, "/mockerp/stats", nil)
		require.InDelta(t, orders, stats["bookings"], 0)
		require.InDelta(t, 0, stats["doubles"], 0)
	})
}
