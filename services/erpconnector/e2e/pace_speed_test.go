//go:build speed

package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

var (
	outageTime   = flag.Duration("outage", 2*time.Minute, "how long the ERP is away")
	outageOrders = flag.Int("outage.orders", 10_000, "orders that come meanwhile")
	paceEnds     = flag.String("pace.ends", "stop", "how a syncer ends every 20 s, and another begins: stop, kill or none")
	paceTime     = flag.Duration("pace", 3*time.Minute, "how long an ERP with a limit is called")
	fairOrders   = flag.Int("fair.orders", 100_000, "orders of the other shop")
	syncerCounts = flag.String("syncers", "1,2,4", "how many processes share the calls")
)

// meteredERP is an ERP that counts what comes.
type meteredERP struct {
	delay time.Duration
	limit float64 // calls a second that it takes; 0: all. The others get 429

	mu       sync.Mutex
	away     bool
	began    time.Time
	tokens   float64 // of the limit, at most a fifth of a second's
	filled   time.Time
	inFlight int
	most     int
	area     time.Duration // of the calls in flight, over time
	changed  time.Time
	booked   map[string]time.Time // by source and order
	doubles  int
	refused  []time.Time // calls while it was away
	limited  []time.Time // calls that got 429
	calls    []time.Time
}

func newMeteredERP(limit float64, delay time.Duration) *meteredERP {
	return &meteredERP{limit: limit, delay: delay, began: time.Now(), filled: time.Now(), changed: time.Now(), booked: map[string]time.Time{}}
}

func (e *meteredERP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		e.mu.Lock()
		status := map[bool]int{true: http.StatusServiceUnavailable, false: http.StatusOK}[e.away]
		e.mu.Unlock()
		w.WriteHeader(status)
		return
	}
	var body struct {
		Source string `json:"source"`
		ID     string `json:"order_increment_id"`
	}
	_ = json.NewDecoder(r.Body).Decode(&body)
	status := e.begin()
	if status == 0 && e.delay > 0 {
		time.Sleep(e.delay)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.note(-1)
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	key := body.Source + "/" + body.ID
	if _, again := e.booked[key]; again {
		e.doubles++
	}
	e.booked[key] = time.Now()
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"erp_reference":"ERP-%s"}`, body.ID)
}

// begin counts a call, and returns the status of one that is not taken.
func (e *meteredERP) begin() (status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	e.note(1)
	e.calls = append(e.calls, now)
	if e.away {
		e.refused = append(e.refused, now)
		return http.StatusServiceUnavailable
	}
	if e.limit == 0 {
		return 0
	}
	e.tokens = min(e.limit/5, e.tokens+e.limit*now.Sub(e.filled).Seconds())
	e.filled = now
	if e.tokens < 1 {
		e.limited = append(e.limited, now)
		return http.StatusTooManyRequests
	}
	e.tokens--
	return 0
}

func (e *meteredERP) note(more int) {
	now := time.Now()
	e.area += now.Sub(e.changed) * time.Duration(e.inFlight)
	e.changed = now
	e.inFlight += more
	e.most = max(e.most, e.inFlight)
}

func (e *meteredERP) set(away bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.away = away
}

func (e *meteredERP) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.booked)
}

func since(all []time.Time, from time.Time) (n int) {
	for _, at := range all {
		if at.After(from) {
			n++
		}
	}
	return n
}

// withSyncers runs docker-compose.yml's set with each number of syncers, against an ERP of the test's own.
func withSyncers(t *testing.T, erp func() http.Handler, set map[string]string, test func(t *testing.T, f *fleet, erp http.Handler, pool *pgxpool.Pool, syncers int)) {
	t.Helper()
	binary := testkit.Program(t, "..")
	testkit.OnApache(t, func(t *testing.T, brokers kafka.Config) {
		for text := range strings.SplitSeq(*syncerCounts, ",") {
			t.Run(text, func(t *testing.T) {
				var n int
				_, err := fmt.Sscan(text, &n)
				require.NoError(t, err)
				brokers := brokers
				brokers.Prefix += text + "."
				handler := erp()
				server := httptest.NewServer(handler)
				t.Cleanup(server.Close)
				environment := map[string]string{"ERP_BASE_URL": server.URL + httpapi.BasePath, "ERP_TIMEOUT": "30s", "RETRY_MAX_ATTEMPTS": "5"}
				maps.Copy(environment, set)
				f, pool := fleetWithERP(t, binary, brokers, environment)
				s := f.project.Services["syncer"]
				s.SetScale(n)
				f.project.Services["syncer"] = s
				f.up()
				f.product().joined(event.GroupSyncer, n)
				test(t, f, handler, pool, n)
				f.stop()
			})
		}
	})
}

// shopSells posts orders of a shop in batches of 100, as fast as they are taken up to 2,000 a second.
func shopSells(t *testing.T, p *product, source string, orders int) {
	t.Helper()
	const batch = 100
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for first := 0; first < orders; first += batch {
		<-tick.C
		var events []any
		for i := first; i < min(first+batch, orders); i++ {
			e := invoice(fmt.Sprint("e", i), fmt.Sprint(i))
			e["source"] = source
			events = append(events, e)
		}
		status, _ := p.do(http.MethodPost, httpapi.BasePath+"/events", events)
		require.Equal(t, http.StatusOK, status)
	}
}

// takes says what memory the processes of some services have, and what CPU they have used, in words.
func (f *fleet) takes(t *testing.T, services ...string) string {
	t.Helper()
	var parts []string
	usages := f.usage(t)
	for _, service := range services {
		var memory []string
		var cpu time.Duration
		for i, m := range f.members {
			if m.service.Name == service {
				memory = append(memory, fmt.Sprint(usages[i].memory))
				cpu += usages[i].cpu
			}
		}
		parts = append(parts, fmt.Sprintf("%s %s MB, %s of CPU", service, strings.Join(memory, "+"), cpu.Round(100*time.Millisecond)))
	}
	return strings.Join(parts, "; ")
}

// TestSpeedOfAnOutage prints what an outage of the ERP costs: attempts, memory, and the time until all orders are in.
//
//	go test -tags speed -run TestSpeedOfAnOutage -timeout 4h ./services/erpconnector/e2e -v -outage 2h -outage.orders 100000 -syncers 2
func TestSpeedOfAnOutage(t *testing.T) {
	withSyncers(t, func() http.Handler { return newMeteredERP(0, 20*time.Millisecond) }, map[string]string{"ERP_MAX_IN_FLIGHT": "64", "RETRY_BASE_DELAY": "10s"},
		func(t *testing.T, f *fleet, handler http.Handler, pool *pgxpool.Pool, syncers int) {
			erp := handler.(*meteredERP)
			erp.set(true)
			began := time.Now()
			shopSells(t, f.product(), "default", *outageOrders)
			t.Logf("%d syncers, %d orders posted in %s: %s", syncers, *outageOrders, time.Since(began).Round(time.Second), f.takes(t, "syncer", "delayer", "relay"))
			for quarter := range 4 {
				require.True(t, run.Sleep(t.Context(), time.Until(began.Add(*outageTime/4*time.Duration(quarter+1)))))
				t.Logf("after %s: %s", time.Since(began).Round(time.Second), f.takes(t, "syncer", "delayer", "relay"))
			}
			var opened time.Time
			require.NoError(t, pool.QueryRow(t.Context(), `SELECT min(at) FROM erp_pace_history WHERE to_state = 'open'`).Scan(&opened))
			erp.set(false)
			back := time.Now()
			for erp.count() < *outageOrders {
				require.True(t, run.Sleep(t.Context(), 50*time.Millisecond))
			}
			took := time.Since(back)
			var states string
			var most int
			for underWay := true; underWay; {
				require.True(t, run.Sleep(t.Context(), 100*time.Millisecond))
				require.NoError(t, pool.QueryRow(t.Context(), `SELECT string_agg(status || ' with ' || attempts || ': ' || n, ', ' ORDER BY n DESC), max(attempts),
					bool_or(status NOT IN ('success', 'failed')) FROM (SELECT status, attempts, count(*) AS n FROM vendor_erp_sync GROUP BY 1, 2) s`).Scan(&states, &most, &underWay))
			}
			erp.mu.Lock()
			defer erp.mu.Unlock()
			last := time.Duration(0)
			if n := len(erp.refused); n > 0 {
				last = erp.refused[n-1].Sub(opened)
			}
			first := slices.MinFunc(slices.Collect(maps.Values(erp.booked)), time.Time.Compare)
			t.Logf("%d calls failed; the last one came %s after the breaker opened; back: the first order after %s, all after %s (%.0f/s); doubles %d; %s; %s",
				len(erp.refused), last.Round(time.Millisecond), first.Sub(back).Round(time.Millisecond), took.Round(100*time.Millisecond),
				float64(*outageOrders)/took.Seconds(), erp.doubles, states, f.takes(t, "syncer", "delayer", "relay"))
			require.LessOrEqual(t, most, 2)
			require.NotContains(t, states, "failed")
		})
}

// TestSpeedOfThePace prints how well an ERP's limit of 50 calls a second is used, which it tells by 429 only, and how many
// calls are under way at an ERP that answers in 200 ms; a syncer is stopped, and started again, every 20 seconds.
func TestSpeedOfThePace(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit float64
		delay time.Duration
		set   map[string]string
	}{
		{"learnt_by_429", 50, 20 * time.Millisecond, map[string]string{"ERP_MAX_IN_FLIGHT": "64"}},
		{"erp_rate_50", 50, 20 * time.Millisecond, map[string]string{"ERP_MAX_IN_FLIGHT": "64", "ERP_RATE": "49"}},
		{"in_flight_32", 0, 200 * time.Millisecond, map[string]string{"ERP_MAX_IN_FLIGHT": "32"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			withSyncers(t, func() http.Handler { return newMeteredERP(c.limit, c.delay) }, c.set,
				func(t *testing.T, f *fleet, handler http.Handler, _ *pgxpool.Pool, syncers int) {
					erp := handler.(*meteredERP)
					shopSells(t, f.product(), "default", int(170*paceTime.Seconds()))
					begin, first := time.Now(), time.Now().Add(min(time.Minute, *paceTime/3))
					require.True(t, run.Sleep(t.Context(), time.Until(first)))
					erp.mu.Lock()
					erp.area, erp.most = 0, erp.inFlight
					erp.mu.Unlock()
					for time.Since(begin) < *paceTime {
						require.True(t, run.Sleep(t.Context(), 20*time.Second))
						if ends, some := map[string]os.Signal{"stop": syscall.SIGTERM, "kill": syscall.SIGKILL}[*paceEnds]; some && syncers > 1 {
							m := f.first("syncer")
							require.NoError(t, m.cmd.Process.Signal(ends))
							<-m.done
							f.members = slices.DeleteFunc(f.members, func(one *member) bool { return one == m })
							f.awaitHealth(f.start(m.service, m.addr))
						}
					}
					took := time.Since(first)
					erp.mu.Lock()
					defer erp.mu.Unlock()
					calls, limited := since(erp.calls, first), since(erp.limited, first)
					t.Logf("%d syncers, after the first minute: %.1f calls a second, %.2f %% of them got 429, in flight %.1f on average and %d at most; doubles %d",
						syncers, float64(calls)/took.Seconds(), 100*float64(limited)/float64(calls), erp.area.Seconds()/took.Seconds(), erp.most, erp.doubles)
				})
		})
	}
}

// TestSpeedOfLookupsOfSeveral prints what 10,000 orders come to at an ERP that forgets keys and loses 30 % of its answers.
func TestSpeedOfLookupsOfSeveral(t *testing.T) {
	const orders = 10_000
	for _, path := range []domain.LookupPath{byKey, ""} {
		t.Run(map[bool]string{true: "not_asked", false: "asked"}[path == ""], func(t *testing.T) {
			var mock *mockerp.ERP
			withSyncers(t, func() http.Handler {
				mock = mockerp.New(mockerp.Options{APIKey: "key", Secret: "secret"})
				mock.Fail(losing(0.3)...)
				return routed(mock)
			}, map[string]string{"ERP_MAX_IN_FLIGHT": "64", "RETRY_MAX_ATTEMPTS": "12", "RETRY_MAX_DELAY": "2s", "ERP_LOOKUP": string(path), "ERP_BREAKER": "false"},
				func(t *testing.T, f *fleet, _ http.Handler, pool *pgxpool.Pool, syncers int) {
					began := time.Now()
					shopSells(t, f.product(), "default", orders)
					ended, succeeded := 0, 0
					for ended < orders {
						require.True(t, run.Sleep(t.Context(), 100*time.Millisecond))
						require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE status IN ('success', 'failed')), count(*) FILTER (WHERE status = 'success')
							FROM vendor_erp_sync`).Scan(&ended, &succeeded))
					}
					t.Logf("%d syncers: %d orders, %d successes, in %s: %+v", syncers, orders, succeeded, time.Since(began).Round(time.Second), mock.Stats())
					if path != "" {
						require.Zero(t, mock.Stats().Doubles)
					}
				})
		})
	}
}

// TestSpeedOfAnotherShop prints how long an order takes from the answer of ingest to the ERP, while another shop's orders wait.
func TestSpeedOfAnotherShop(t *testing.T) {
	const samples = 40
	for _, rate := range []string{"0", "50"} {
		t.Run("rate_"+rate, func(t *testing.T) {
			withSyncers(t, func() http.Handler { return newMeteredERP(0, 50*time.Millisecond) }, map[string]string{"ERP_MAX_IN_FLIGHT": "16", "ERP_RATE": rate},
				func(t *testing.T, f *fleet, handler http.Handler, _ *pgxpool.Pool, syncers int) {
					erp, p := handler.(*meteredERP), f.product()
					began := time.Now()
					shopSells(t, p, "noisy", *fairOrders)
					posted := time.Since(began)
					var took []time.Duration
					for i := range samples {
						e := invoice(fmt.Sprint("o", i), fmt.Sprint("o", i))
						e["source"] = "other"
						status, _ := p.do(http.MethodPost, httpapi.BasePath+"/events", e)
						require.Equal(t, http.StatusAccepted, status)
						accepted := time.Now()
						var at time.Time
						for at.IsZero() {
							require.True(t, run.Sleep(t.Context(), 5*time.Millisecond))
							erp.mu.Lock()
							at = erp.booked[fmt.Sprint("other/o", i)]
							erp.mu.Unlock()
						}
						took = append(took, at.Sub(accepted))
					}
					booked := erp.count()
					slices.Sort(took)
					t.Logf("%d syncers, rate %s: %d orders posted in %s, %d of all booked when the last of the other shop was; an order of the other shop is booked after %s (median), %s (longest of %d)",
						syncers, rate, *fairOrders, posted.Round(time.Second), booked, took[samples/2].Round(time.Millisecond), took[samples-1].Round(time.Millisecond), samples)
				})
		})
	}
}
