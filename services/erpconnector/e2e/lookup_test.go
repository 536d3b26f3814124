package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gorilla/mux"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// byKey is where the mock ERP is asked for an order.
const byKey = domain.LookupPath("/orders?idempotency_key={idempotency_key}")

// losing are the faults of an ERP that books each call, whatever its key, and loses that share of its answers.
func losing(share float64) []mockerp.Fault {
	return []mockerp.Fault{{ResetAfter: true, ForgetsKeys: true, Rate: share}, {ForgetsKeys: true}}
}

// lossy sends orders to an ERP that loses 30 % of its answers and knows no keys, and returns what it has booked once all
// orders have ended, and how many ended in success.
func lossy(t *testing.T, brokers kafka.Config, path domain.LookupPath, orders int) (stats mockerp.Stats, succeeded int) {
	t.Helper()
	cfg := configured(t, brokers)
	erp := mockerp.New(mockerp.Options{APIKey: cfg.ERP.APIKey.Reveal(), Secret: cfg.ERP.HMAC.Reveal()})
	erp.Fail(losing(0.3)...)
	server := serveERP(t, erp)
	cfg.Settings.ErpBaseURL, cfg.Settings.ErpLookup, cfg.Settings.MaxAttempts, cfg.LogLevel = server, path, 5, "error"
	p := start(t, cfg)
	const batch = 100
	for first := 0; first < orders; first += batch {
		var events []any
		for i := first; i < min(first+batch, orders); i++ {
			events = append(events, invoice(fmt.Sprint("e", i), fmt.Sprint(i)))
		}
		status, _ := p.do(http.MethodPost, httpapi.BasePath+"/events", events)
		require.Equal(t, http.StatusOK, status)
	}
	pool, err := pgxpool.New(t.Context(), cfg.DatabaseURL)
	require.NoError(t, err)
	defer pool.Close()
	testkit.Eventually(t, func() bool {
		var ended int
		err := pool.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE status IN ('success', 'failed')), count(*) FILTER (WHERE status = 'success' AND erp_reference IS NOT NULL)
			FROM vendor_erp_sync`).Scan(&ended, &succeeded)
		return err == nil && ended == orders
	}, "not all orders have ended")
	return erp.Stats(), succeeded
}

// serveERP serves a mock ERP that outlives the product, and returns its base URL.
func serveERP(t *testing.T, erp *mockerp.ERP) (base string) {
	t.Helper()
	server := httptest.NewServer(routed(erp))
	t.Cleanup(server.Close)
	return server.URL + httpapi.BasePath
}

func routed(erp *mockerp.ERP) http.Handler {
	router := mux.NewRouter()
	for _, r := range mockerp.Routes(erp) {
		router.Handle(r.Path, r.Handler).Methods(r.Method)
	}
	return router
}

// Symptom: each answer that was lost made an ERP that knows no keys book the order once more.
func TestAnERPThatForgetsKeysAndLosesAnswersBooksOnceWhereItIsAsked(t *testing.T) {
	t.Parallel()
	const orders = 100
	testkit.OnEmbeddedFirst(t, func(t *testing.T, brokers kafka.Config) {
		for name, path := range map[string]domain.LookupPath{"asked": byKey, "not_asked": ""} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				brokers := brokers
				brokers.Prefix += name + "."
				stats, succeeded := lossy(t, brokers, path, orders)
				t.Logf("%d orders, %d successes with a reference: %+v", orders, succeeded, stats)
				if path == "" {
					require.Greater(t, stats.Doubles, 5, "the control: this ERP does double")
					require.Equal(t, orders+stats.Doubles, stats.Bookings)
					return
				}
				require.Zero(t, stats.Doubles)
				require.Equal(t, orders, succeeded)
				require.Equal(t, orders, stats.Bookings)
				require.Greater(t, stats.LookUps, 5, "three answers of ten are lost, by chance")
			})
		}
	})
}

// While the ERP does not say whether it has an order, the order waits; no attempt is used up, and nothing is sent.
func TestAnOrderInDoubtWaitsUntilTheERPSaysWhatItHas(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, brokers kafka.Config) {
		cfg := configured(t, brokers)
		cfg.Settings.ErpLookup = byKey
		p := start(t, cfg)
		p.fail(mockerp.Fault{Order: "1", ResetAfter: true, ForgetsKeys: true, Times: 1}, mockerp.Fault{LookUps: true, Status: http.StatusServiceUnavailable, Times: 5})
		p.publish(invoice("e1", "1"))
		got := p.becomes("1", ended("success"))
		require.Equal(t, "ERP-1", got["erp_reference"])
		require.InDelta(t, 2, got["attempts"], 0)
		require.Len(t, p.calls("1"), 1)
		requireOneEndOfEach(t, p)
	})
}

// Symptom: a process died after calls and before their outcomes were in the log. Its heir called again, and an ERP that knows
// no keys booked twice.
func TestTheHeirOfADeadProcessAsksBeforeItSends(t *testing.T) {
	t.Parallel()
	binary := build(t)
	testkit.OnApacheFirst(t, func(t *testing.T, brokers kafka.Config) {
		t.Parallel()
		for _, point := range []string{"syncer.called:4", "syncer-0.produced"} {
			t.Run(point, func(t *testing.T) {
				t.Parallel()
				brokers := brokers
				brokers.Prefix += strings.NewReplacer(":", "-").Replace(point) + "."
				c := newCrashCase(t, binary, brokers)
				c.erp.Fail(mockerp.Fault{ForgetsKeys: true})
				c.p.cfg.Settings.ErpBaseURL = serveERP(t, c.erp)
				c.with = append(c.with, "ERP_LOOKUP="+string(byKey))
				batch, orders := invoices(12)
				first := c.run(point)
				var published sync.WaitGroup
				published.Go(func() { c.publish(batch) })
				require.Equal(t, syscall.SIGKILL, first.ended(t))
				c.run("")
				published.Wait()
				c.listening()
				for _, order := range orders {
					c.p.becomes(order, ended("success"))
				}
				c.requireNothingLostOrDoubled(t, len(orders))
			})
		}
	})
}
