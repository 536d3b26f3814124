package syncer

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/syncer/internal/erphttp"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/setting/settingtest"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// away is an ERP that cannot be reached for a while.
type away struct {
	*scriptedERP

	is     atomic.Bool
	failed atomic.Int64 // calls while it was away
	probes atomic.Int64
}

func (e *away) Send(ctx context.Context, r erphttp.Request) erphttp.Reply {
	if e.is.Load() {
		e.failed.Add(1)
		return erphttp.Reply{Answer: domain.Answer{Failure: domain.ErrorNetwork, Cause: "connection refused"}}
	}
	return e.scriptedERP.Send(ctx, r)
}

func (e *away) LookUp(ctx context.Context, path string, r erphttp.Request) erphttp.Reply {
	if e.is.Load() {
		e.failed.Add(1)
		return erphttp.Reply{Answer: domain.Answer{Failure: domain.ErrorNetwork, Cause: "connection refused"}}
	}
	return e.scriptedERP.LookUp(ctx, path, r)
}

func (e *away) Probe(context.Context) domain.Answer {
	e.probes.Add(1)
	if e.is.Load() {
		return domain.Answer{Failure: domain.ErrorNetwork, Cause: "connection refused"}
	}
	return domain.Answer{StatusCode: 200}
}

// Symptom: each order of the time in which the ERP was away used up its attempts, and had failed when it was back.
func TestAnOutageOfTheERPUsesAnAttemptOfFewOrdersAndFailsNone(t *testing.T) {
	t.Parallel()
	testkit.Virtually(t, func(t *testing.T, cfg kafka.Config) {
		const orders = 300 // more than callers and their queue hold
		b := setup(t, cfg)
		erp := &away{scriptedERP: b.erp}
		erp.is.Store(true)
		use := func(p *Params) { p.ERP = erp }
		stop := b.start(t, use)
		for i := range orders {
			b.request(t, fmt.Sprint("o", i))
		}
		testkit.Eventually(t, func() bool { return erp.probes.Load() > 0 }, "the breaker is open, and the ERP is probed")
		b.start(t, use, func(p *Params) { p.LeaseID = "syncer-1" })
		b.members(t, 2)
		began := time.Now()
		stop()
		require.Less(t, time.Since(began), revokeGrace, "callers that wait leave at once")
		probes := erp.probes.Load()
		testkit.Eventually(t, func() bool { return erp.probes.Load() > probes }, "the other process probes")
		failed := erp.failed.Load()
		require.LessOrEqual(t, failed, int64(10+16), "what opened the breaker, and what was in flight then")
		erp.is.Store(false)
		count := func(s map[string]int, topic string) (n int) {
			for i := range orders {
				n += s[fmt.Sprint(topic, " o", i)]
			}
			return n
		}
		seen := b.collect(t, func(s map[string]int) bool {
			return count(s, "vendor_erp_sync_success")+count(s, "vendor_erp_sync_retry_1s") == orders
		})
		parked := count(seen, "vendor_erp_sync_retry_1s")
		require.EqualValues(t, failed, parked)
		require.Zero(t, count(seen, "vendor_erp_sync_failed"))
		for i := range orders {
			if order := fmt.Sprint("o", i); seen["vendor_erp_sync_retry_1s "+order] > 0 {
				b.handOn(t, order)
			}
		}
		seen = b.collect(t, func(s map[string]int) bool { return count(s, "vendor_erp_sync_success") == parked })
		require.Zero(t, count(seen, "vendor_erp_sync_failed"))
		for i := range orders {
			require.LessOrEqual(t, b.values[fmt.Sprint("vendor_erp_sync_success o", i)].Sync.Attempts, 2)
		}
		require.Equal(t, failed, erp.failed.Load())
		require.Equal(t, orders, b.allCalls())
	})
}

// Symptom: look-ups told the pace nothing, so an ERP that was away was asked about each order in doubt, again and again.
func TestLookUpsThatFailAreAnOutageToo(t *testing.T) {
	t.Parallel()
	testkit.Virtually(t, func(t *testing.T, cfg kafka.Config) {
		const orders = 100
		b := setup(t, cfg)
		erp := &away{scriptedERP: b.erp}
		erp.is.Store(true)
		for i := range orders { // before the syncer starts: a former owner may have called
			b.request(t, fmt.Sprint("o", i))
		}
		b.start(t, func(p *Params) {
			s := p.Settings.Current()
			s.ErpLookup = byNumber
			p.Settings, p.ERP = setting.Fixed(s), erp
		})
		testkit.Eventually(t, func() bool { return erp.probes.Load() >= 2 }, "the breaker is open, and a probe has failed")
		require.LessOrEqual(t, erp.failed.Load(), int64(10+16), "what opened the breaker, and what was in flight then")
		erp.is.Store(false)
		b.collect(t, func(s map[string]int) bool {
			ended := 0
			for i := range orders {
				ended += s[fmt.Sprint("vendor_erp_sync_success o", i)] + min(1, s[fmt.Sprint("vendor_erp_sync_retry_1s o", i)])
			}
			return ended == orders
		})
	})
}

// The number of callers was fixed at the start of the process.
func TestTheNumberOfCallsFollowsTheSetting(t *testing.T) {
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		s := setting.Defaults()
		s.MaxInFlight = 1
		settings := settingtest.New(s)
		answer := make(chan struct{})
		for i := range 8 {
			b.erp.held[fmt.Sprint(i)] = answer
		}
		b.start(t, func(p *Params) { p.Settings = settings })
		t.Cleanup(func() { close(answer) }) // before the syncer is stopped
		for i := range 8 {
			b.request(t, fmt.Sprint(i))
		}
		testkit.Eventually(t, func() bool { return b.allCalls() == 1 }, "the first call")
		callersChecked(t, settings)
		require.Equal(t, 1, b.allCalls())
		settings.Change(func(s *setting.Settings) { s.MaxInFlight = 8 })
		testkit.Eventually(t, func() bool { return b.allCalls() == 8 }, "all calls at once")
	})
}

// An order that waits for the ERP is cancelled, and must not go out afterwards.
func TestTheGateIsReadAfterTheWaitForTheERP(t *testing.T) {
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		answer := make(chan struct{})
		b.erp.held["1"] = answer
		s := setting.Defaults()
		s.MaxInFlight = 2
		settings := settingtest.New(s)
		b.start(t, func(p *Params) { p.Settings = settings })
		release := sync.OnceFunc(func() { close(answer) })
		t.Cleanup(release) // before the syncer is stopped
		b.request(t, "1")
		testkit.Eventually(t, func() bool { return b.allCalls() == 1 }, "the first call")
		settings.Change(func(s *setting.Settings) { s.MaxInFlight = 1 }) // the second caller waits
		b.request(t, "2")
		callersChecked(t, settings)
		b.gates.mu.Lock()
		g := *b.gates.gates["2"]
		b.gates.mu.Unlock()
		g.State, g.ClosedBy = domain.GateClosed, domain.ClosedByCancelled
		b.gates.set(g)
		release()
		b.collect(t, func(s map[string]int) bool { return s["vendor_erp_sync_failed 2"] == 1 })
		require.Equal(t, 1, b.allCalls())
	})
}

func TestTheProbeAsksTheHealthEndpoint(t *testing.T) {
	var asked atomic.Pointer[http.Request]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(server.Close)
	s := setting.Defaults()
	s.ErpBaseURL, s.HealthPath = server.URL+"/api/", "/alive"
	client := erphttp.New(erphttp.Config{Secrets: func() config.ERPSecrets { return config.ERPSecrets{APIKey: "key"} }, Settings: setting.Fixed(s)})
	answer := client.Probe(t.Context())
	require.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
	require.Equal(t, "GET /api/alive", asked.Load().Method+" "+asked.Load().URL.Path)
	require.Equal(t, "key", asked.Load().Header.Get("X-Api-Key"))
	server.Close()
	require.Equal(t, domain.ErrorNetwork, client.Probe(t.Context()).Failure)
}
