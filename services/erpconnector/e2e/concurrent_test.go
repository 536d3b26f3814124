package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// TestRequestsAtOnce makes all requests of the same orders at once, while the ERP answers in every way, and then checks
// promises 3, 6 and 7 by what the ERP was sent and what is in the log. The seed prints.
func TestRequestsAtOnce(t *testing.T) {
	t.Parallel()
	t.Run("sent_at_once", func(t *testing.T) {
		testkit.OnApacheFirst(t, func(t *testing.T, brokers kafka.Config) { requestsAtOnce(t, brokers, true) })
	})
	t.Run("held_for_the_cron", func(t *testing.T) {
		testkit.OnEmbeddedFirst(t, func(t *testing.T, brokers kafka.Config) { requestsAtOnce(t, brokers, false) })
	})
}

func requestsAtOnce(t *testing.T, brokers kafka.Config, immediate bool) {
	t.Helper()
	cfg := configured(t, brokers)
	erp := &moodyERP{t: t, busy: map[string]bool{}}
	server := httptest.NewServer(erp)
	t.Cleanup(server.Close)
	cfg.Settings.ErpBaseURL, cfg.Settings.ImmediateSync = server.URL, immediate
	cfg.Settings.Breaker = false // so many orders without luck would be an outage
	p := start(t, cfg)
	pool, err := pgxpool.New(t.Context(), cfg.DatabaseURL)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)

	const n = 20
	all := &atOnce{t: t, p: p, orders: orders.New(pool, setting.Fixed(cfg.Settings))}
	var asking sync.WaitGroup
	for o := range n {
		order := fmt.Sprint(o)
		p.publish(invoice("e"+order, order))
		for asker := range 4 {
			random := rand.New(rand.NewPCG(seed, uint64(o*4+asker))) //nolint:gosec // a plan, repeatable
			asking.Go(func() { all.ask(order, random) })
		}
	}
	asked := make(chan struct{})
	go func() { defer close(asked); asking.Wait() }()
	for over := false; !over; p.conserved() { // also while all this goes on
		select {
		case <-asked:
			over = true
		default:
		}
	}
	testkit.Eventually(t, func() bool { // the cron passes over an order whose earlier end is being written
		all.cron()
		var held int
		err := pool.QueryRow(t.Context(), `SELECT count(*) FROM erp_sync_gate WHERE state = 'held'`).Scan(&held)
		return err == nil && held == 0
	}, "what nobody asked for is released")
	log := (&crashCase{p: p}).quiet(t)
	require.Len(t, log, n)
	for order, facts := range log {
		requireOneEndOfEachGeneration(t, order, facts)
		requireGenerationsInOrder(t, order, facts)
		requireKeysUsedUpBeforeNew(t, order, facts)
	}
	(&crashCase{p: p}).requireTableIsLog(t, log)
	p.conserved()
}

// atOnce makes requests of orders at random.
type atOnce struct {
	t      *testing.T
	p      *product
	orders *orders.Orders
}

func (a *atOnce) ask(order string, random *rand.Rand) {
	for i := range 6 {
		switch what := random.IntN(len(domain.Requests) + 2); what {
		case len(domain.Requests):
			a.p.publish(invoice(fmt.Sprint("again", random.Uint32(), i), order))
		case len(domain.Requests) + 1:
			a.cron()
		default:
			a.request(order, domain.Requests[what], random)
		}
		pause := time.NewTimer(time.Duration(random.IntN(150)) * time.Millisecond)
		<-pause.C
	}
}

func (a *atOnce) cron() {
	if _, err := a.orders.Release(a.t.Context(), orders.Releasing{HeldBy: domain.HeldByCron, Limit: 100, Cause: "cron"}); err != nil {
		a.t.Errorf("cron: %s", err)
	}
}

func (a *atOnce) request(order string, request domain.Request, random *rand.Rand) {
	ask := orders.Command{Ref: domain.OrderRef{Source: domain.DefaultSource, IncrementID: order}, Request: request, Who: "test", Reason: "at random"}
	if random.IntN(2) == 0 {
		ask.Reference = new(fmt.Sprint("ERP-", random.IntN(3)))
	}
	if random.IntN(2) == 0 {
		ask.IdempotencyKey = domain.IdempotencyKey(ask.Ref, 1+random.IntN(3))
	}
	ask.Body = fmt.Sprintf(`{"idempotencyKey": %q, "at": %d}`, ask.IdempotencyKey, random.IntN(20)) // now and then the same again
	ask.Digest = sha256.Sum256([]byte(ask.Body))
	if _, err := a.orders.Do(a.t.Context(), ask); err != nil {
		a.t.Errorf("%s of order %s: %s", request, order, err)
	}
}

// moodyERP answers in every way, and notices two calls of one order at once.
type moodyERP struct {
	t    *testing.T
	mu   sync.Mutex
	busy map[string]bool
}

func (e *moodyERP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	order := orderOf(e.t, r)
	if !e.begin(order) {
		e.t.Errorf("two calls of order %s at once", order)
	}
	defer e.end(order)
	slow := 30
	if rand.IntN(3) == 0 { //nolint:gosec // an ERP's mood
		slow = 500 // long enough to be settled and asked for once more meanwhile
	}
	wait := time.NewTimer(time.Duration(rand.IntN(slow)) * time.Millisecond) //nolint:gosec // an ERP's mood
	<-wait.C
	switch mood := rand.IntN(100); { //nolint:gosec // an ERP's mood
	case mood < 30:
		w.WriteHeader(http.StatusServiceUnavailable)
	case mood < 40:
		w.WriteHeader(http.StatusUnprocessableEntity)
	case mood < 50:
		panic(http.ErrAbortHandler) // the answer is lost
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"erp_reference": "ERP-%s"}`, order)
	}
}

func (e *moodyERP) begin(order string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	free := !e.busy[order]
	e.busy[order] = true
	return free
}

func (e *moodyERP) end(order string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.busy, order)
}

// requireGenerationsInOrder: an older generation never goes out after a newer one has begun.
func requireGenerationsInOrder(t *testing.T, order string, facts []logged) {
	t.Helper()
	newest := 0
	for _, f := range facts { // of one topic and key, so of one partition, in its order
		if f.topic == event.TopicBeforeSend {
			require.GreaterOrEqual(t, f.value.Sync.Generation, newest, "order %s: %s", order, f.id)
			newest = f.value.Sync.Generation
		}
	}
}

// requireKeysUsedUpBeforeNew: a generation has another key than the one before only if that was answered with success, or
// somebody asked for a new one.
func requireKeysUsedUpBeforeNew(t *testing.T, order string, facts []logged) {
	t.Helper()
	keys, answered, asked := map[int]string{}, map[string]bool{}, map[int]bool{}
	for _, f := range facts {
		if f.topic == event.TopicSalesOrder {
			continue
		}
		s := f.value.Sync
		accepts := f.topic == event.TopicCallback && s.ClosedBy == domain.ClosedByWebhook && echoes(t, f.value, s.IdempotencyKey)
		success := f.topic == event.TopicAfterSend && f.value.Response != nil && f.value.Response.Status < 300
		answered[s.IdempotencyKey] = answered[s.IdempotencyKey] || accepts || success
		asked[s.Generation] = asked[s.Generation] || strings.HasPrefix(s.Cause, string(domain.RequestAnew))
		if known, seen := keys[s.Generation]; seen {
			require.Equal(t, known, s.IdempotencyKey, "order %s: %s", order, f.id)
		}
		keys[s.Generation] = s.IdempotencyKey
	}
	for generation := 2; keys[generation] != ""; generation++ {
		before := keys[generation-1]
		require.True(t, keys[generation] == before || answered[before] || asked[generation], "order %s: generation %d has a new key, though %s was never answered and nobody asked for one", order, generation, before)
	}
}

// echoes reports whether the callback carries the key.
func echoes(t *testing.T, v event.Sync, key string) bool {
	t.Helper()
	var said struct {
		Key string `json:"idempotencyKey"`
	}
	require.NoError(t, json.Unmarshal([]byte(v.Response.Body), &said))
	return said.Key == key
}

func orderOf(t *testing.T, r *http.Request) string {
	var body struct {
		ID string `json:"order_increment_id"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		t.Errorf("the ERP was sent no JSON: %s", err)
	}
	return body.ID
}
