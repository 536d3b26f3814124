package syncer

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/syncer/internal/erphttp"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// forgetful is an ERP that books each call and knows no keys, but can be asked. Its scripts say by order what becomes of the
// calls and of the look-ups: a status, or 0 for a call that is booked and whose answer is lost; the last one repeats.
type forgetful struct {
	url string

	mu      sync.Mutex
	calls   map[string][]int
	lookups map[string][]int
	booked  map[string]int // calls that were booked, by order
	asked   map[string]int
}

func newForgetful(t *testing.T) *forgetful {
	t.Helper()
	e := &forgetful{calls: map[string][]int{}, lookups: map[string][]int{}, booked: map[string]int{}, asked: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders/sync", func(w http.ResponseWriter, r *http.Request) {
		id := orderIn(r)
		status := e.next(e.calls, id, http.StatusCreated)
		if status >= 300 {
			w.WriteHeader(status)
			return
		}
		e.mu.Lock()
		e.booked[id]++
		e.mu.Unlock()
		if status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"erp_reference":"CALL-`+id+`"}`)
	})
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		e.mu.Lock()
		e.asked[id]++
		isBooked := e.booked[id] > 0
		e.mu.Unlock()
		switch status := e.next(e.lookups, id, http.StatusOK); {
		case status != http.StatusOK:
			w.WriteHeader(status)
		case isBooked:
			_, _ = io.WriteString(w, `{"erp_reference":"LOOK-`+id+`"}`)
		default:
			_, _ = io.WriteString(w, `[]`)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	e.url = server.URL
	return e
}

// next takes the next entry of a script.
func (e *forgetful) next(scripts map[string][]int, id string, otherwise int) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	script := scripts[id]
	switch {
	case len(script) == 0:
		return otherwise
	case len(script) > 1:
		scripts[id] = script[1:]
	}
	return script[0]
}

// count is a counter of order 1.
func (e *forgetful) count(of map[string]int) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return of["1"]
}

// called makes the syncer call the ERP, and look orders up at the path.
func (e *forgetful) called(path domain.LookupPath) func(*Params) {
	s := setting.Defaults()
	s.ErpBaseURL, s.ErpTimeout, s.BaseDelay, s.ErpLookup = e.url, 10*time.Second, 100*time.Millisecond, path
	return func(p *Params) {
		p.Settings = setting.Fixed(s)
		p.ERP = erphttp.New(erphttp.Config{InFlight: 16, Settings: p.Settings})
	}
}

const byNumber = domain.LookupPath("/orders/{order_increment_id}")

// handOn hands the parked retry of an order on at once, as no delayer runs in these tests.
func (b *bench) handOn(t *testing.T, order string) {
	t.Helper()
	parked := b.values["vendor_erp_sync_retry_1s "+order]
	r, err := event.NewSync(event.TopicDue, parked, event.Context{At: time.Now()})
	require.NoError(t, err)
	require.NoError(t, b.cl.ProduceSync(t.Context(), b.cfg.Record(r)).FirstErr())
}

// Symptom: the ERP booked an order, its answer was lost, and it does not know keys: the order was sent and booked again.
func TestAnOrderWhoseAnswerWasLostIsFoundAndNotSentAgain(t *testing.T) {
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		b, erp := setup(t, cfg), newForgetful(t)
		erp.calls["1"] = []int{0, 201}
		b.start(t, erp.called(byNumber))
		b.awaitLive(t)
		b.request(t, "1")
		b.collect(t, func(s map[string]int) bool {
			return s["vendor_erp_sync_retry_1s 1"] == 1 && s["vendor_erp_sync_after_send 1"] == 1
		})
		parked := b.values["vendor_erp_sync_retry_1s 1"]
		require.True(t, parked.Sync.Doubtful)
		require.Zero(t, erp.count(erp.asked))
		b.handOn(t, "1")
		b.collect(t, func(s map[string]int) bool { // topics have no order among them
			return s["vendor_erp_sync_success 1"] == 1 && s["vendor_erp_sync_after_send 1"] == 1 && s["vendor_erp_sync_before_send 1"] == 1
		})
		require.Equal(t, 1, erp.count(erp.booked))
		end := b.values["vendor_erp_sync_success 1"]
		require.Equal(t, []any{domain.LookupFound, "LOOK-1", 2, false}, []any{end.Sync.Lookup, *end.Sync.ErpReference, end.Sync.Attempts, end.Sync.Doubtful})
		require.JSONEq(t, `{"erp_reference":"LOOK-1"}`, end.Response.Body)
		after := b.values["vendor_erp_sync_after_send 1"]
		require.Equal(t, []any{domain.LookupFound, 2, 200}, []any{after.Sync.Lookup, after.Sync.Attempts, after.Response.Status})
		require.Equal(t, 2, b.values["vendor_erp_sync_before_send 1"].Sync.Version.Attempt())
	})
}

// awaitLive waits until the syncer has its partitions: no former owner can have begun what is written from now on.
func (b *bench) awaitLive(t *testing.T) {
	t.Helper()
	b.request(t, "0")
	b.collect(t, func(s map[string]int) bool { return s["vendor_erp_sync_success 0"] == 1 })
}

func TestAnOrderThatIsNotFoundIsSent(t *testing.T) {
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		b, erp := setup(t, cfg), newForgetful(t)
		erp.calls["1"] = []int{503, 201}
		b.request(t, "1") // before the syncer starts: a former owner may have called
		b.start(t, erp.called(byNumber))
		b.collect(t, func(s map[string]int) bool { return s["vendor_erp_sync_retry_1s 1"] == 1 })
		require.True(t, b.values["vendor_erp_sync_retry_1s 1"].Sync.Doubtful, "what the former owner has sent may still be booked")
		b.handOn(t, "1")
		b.collect(t, func(s map[string]int) bool { return s["vendor_erp_sync_success 1"] == 1 })
		end := b.values["vendor_erp_sync_success 1"]
		require.Equal(t, []any{domain.LookupNotFound, "CALL-1", 2}, []any{end.Sync.Lookup, *end.Sync.ErpReference, end.Sync.Attempts})
		require.Equal(t, 2, erp.count(erp.asked))
	})
}

// A former owner of the partition has called, and died before the outcome was in the log.
func TestWhatAFormerOwnerMayHaveSentIsLookedUp(t *testing.T) {
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		b, erp := setup(t, cfg), newForgetful(t)
		erp.booked["1"] = 1
		b.request(t, "1")
		b.start(t, erp.called(byNumber))
		b.collect(t, func(s map[string]int) bool {
			return s["vendor_erp_sync_success 1"] == 1 && s["vendor_erp_sync_after_send 1"] == 1
		})
		require.Equal(t, 1, erp.count(erp.booked))
		require.Equal(t, 1, b.values["vendor_erp_sync_success 1"].Sync.Attempts)
	})
}

// Symptom: a look-up without an answer used up an attempt, or let the order out.
func TestALookupWithoutAnAnswerWaitsAndUsesUpNoAttempt(t *testing.T) {
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		b, erp := setup(t, cfg), newForgetful(t)
		erp.booked["1"] = 1
		erp.lookups["1"] = []int{503, 401, 200}
		var log testkit.Log
		b.request(t, "1")
		stop := b.start(t, erp.called(byNumber), func(p *Params) { p.Log = slog.New(slog.NewTextHandler(&log, nil)) })
		for n := range 2 {
			b.collect(t, func(s map[string]int) bool { return s["vendor_erp_sync_retry_1s 1"] == 1 })
			parked := b.values["vendor_erp_sync_retry_1s 1"]
			require.Equal(t, []any{domain.Queued, 0, domain.ErrorInDoubt, true}, []any{parked.Sync.Status, parked.Sync.Attempts, parked.Sync.ErrorCode, parked.Sync.Doubtful})
			require.Contains(t, *parked.Error, []string{"HTTP 503", "HTTP 401"}[n])
			b.handOn(t, "1")
		}
		seen := b.collect(t, func(s map[string]int) bool {
			return s["vendor_erp_sync_success 1"] == 1 && s["vendor_erp_sync_before_send 1"] > 0
		})
		stop()
		require.Equal(t, 1, seen["vendor_erp_sync_before_send 1"], "an intent is stated once somebody knows")
		require.Equal(t, 1, b.values["vendor_erp_sync_success 1"].Sync.Attempts)
		require.Equal(t, 1, erp.count(erp.booked))
		require.Equal(t, 2, strings.Count(log.String(), "outcome=postponed"))
	})
}

// Whoever settles an order while the ERP is asked about it is heard: nothing is sent after that.
func TestTheGateIsReadAgainAfterALookup(t *testing.T) {
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		b, erp := setup(t, cfg), newForgetful(t)
		b.request(t, "1")
		closing := erp.called(byNumber)
		b.start(t, closing, func(p *Params) {
			p.ERP = closesGate{erp: p.ERP, close: func() {
				g := *b.gates.gates["1"]
				g.State, g.ClosedBy = domain.GateClosed, domain.ClosedByCancelled
				b.gates.set(g)
			}}
		})
		b.collect(t, func(s map[string]int) bool { return s["vendor_erp_sync_failed 1"] == 1 })
		require.Equal(t, 1, erp.count(erp.asked))
		require.Zero(t, erp.count(erp.booked))
	})
}

// closesGate closes the gate during a look-up.
type closesGate struct {
	erp
	close func()
}

func (c closesGate) LookUp(ctx context.Context, path string, r erphttp.Request) erphttp.Reply {
	defer c.close()
	return c.erp.LookUp(ctx, path, r)
}

func TestWithoutTheSettingNobodyAsks(t *testing.T) {
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		b, erp := setup(t, cfg), newForgetful(t)
		erp.calls["1"] = []int{0, 201}
		b.request(t, "1")
		b.start(t, erp.called(""))
		b.collect(t, func(s map[string]int) bool { return s["vendor_erp_sync_retry_1s 1"] == 1 })
		require.False(t, b.values["vendor_erp_sync_retry_1s 1"].Sync.Doubtful)
		b.handOn(t, "1")
		b.collect(t, func(s map[string]int) bool { return s["vendor_erp_sync_success 1"] == 1 })
		require.Zero(t, erp.count(erp.asked))
		require.Equal(t, 2, erp.count(erp.booked), "this ERP knows no keys")
	})
}
