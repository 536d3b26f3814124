package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/mux"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem/problemtest"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

var (
	requested = time.Date(2024, 1, 15, 10, 29, 0, 0, time.UTC)
	attempted = requested.Add(time.Minute)
	order     = domain.OrderRef{Source: "default", IncrementID: "000000123"}
)

// caller asks the handler, and a page records what it is answered.
type caller struct {
	*problemtest.Recorder
	t    *testing.T
	pool *pgxpool.Pool
}

func setup(t *testing.T, name string) *caller {
	t.Helper()
	pool := testkit.Postgres(t).Pool
	return &caller{Recorder: problemtest.New(t, name, serve(t, pool)), t: t, pool: pool}
}

func serve(t testing.TB, pool *pgxpool.Pool) http.Handler {
	t.Helper()
	return serveWith(t, pool, setting.Defaults())
}

func serveWith(t testing.TB, pool *pgxpool.Pool, s setting.Settings) http.Handler {
	t.Helper()
	return serveOn(t, pool, s, kafka.Config{})
}

func serveOn(t testing.TB, pool *pgxpool.Pool, s setting.Settings, brokers kafka.Config) http.Handler {
	t.Helper()
	router := mux.NewRouter().UseEncodedPath()
	cfg := config.ERP{HMAC: "secret"}
	for _, r := range routes(pool, orders.New(pool, setting.Fixed(s)), brokers, cfg, setting.Fixed(s), slog.New(slog.NewTextHandler(t.Output(), nil))) {
		router.Handle(r.Path, httpapi.CheckQuery(r)).Methods(r.Method)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if httpapi.Requester(r.Context()) == "" {
			r = r.WithContext(httpapi.WithIdentity(r.Context(), httpapi.Identity{Name: "api"}))
		}
		router.ServeHTTP(w, r)
	})
}

func (c *caller) ask(pathAndQuery string) []byte {
	c.t.Helper()
	_, body := c.Do(problemtest.Request{Method: http.MethodGet, Path: "/rest/V1/erpconnector/sync-status/" + pathAndQuery})
	return body
}

// open is the order's gate right after its first invoice.
func open(ref domain.OrderRef, syncID int64) domain.Gate {
	g, _ := domain.Gate{Ref: ref, State: domain.GateNone}.Request(syncID, domain.RequestPolicy{Enabled: true, ImmediateSync: true, MaxAttempts: 5}, requested)
	return g
}

// accepted writes what accept writes of the order: its gate and its snapshot.
func (c *caller) accepted(g domain.Gate) {
	c.t.Helper()
	require.NoError(c.t, pgx.BeginFunc(c.t.Context(), c.pool, func(tx pgx.Tx) error {
		if _, err := gate.Lock(c.t.Context(), tx, []domain.OrderRef{g.Ref}, g.UpdatedAt); err != nil {
			return err
		}
		if err := gate.Save(c.t.Context(), tx, []domain.Gate{g}); err != nil {
			return err
		}
		_, err := tx.Exec(c.t.Context(), `INSERT INTO sales_order (order_key, source, increment_id, order_id, snapshot, created_at, updated_at)
			VALUES ($1, $2, $3, 123, '{}', $4, $4) ON CONFLICT DO NOTHING`, g.Ref.Key(), g.Ref.Source, g.Ref.IncrementID, requested)
		return err
	}))
}

// row is what the projection has of an order; fields left out are null or zero.
type row struct {
	ref       domain.OrderRef
	syncID    int64
	status    domain.Status
	attempts  int
	last      *time.Time
	next      *time.Time
	err       *string
	reference *string
	version   domain.Version
}

func (c *caller) projected(r row) {
	c.t.Helper()
	updated := requested
	if r.last != nil {
		updated = *r.last
	}
	_, err := c.pool.Exec(c.t.Context(), `
		INSERT INTO vendor_erp_sync (sync_id, order_id, order_increment_id, status, attempts, max_attempts, last_attempt_at, next_attempt_at,
			last_error, erp_reference, idempotency_key, created_at, updated_at, source, generation,
			attempt_version, attempt_version_at, version, version_at)
		VALUES ($1, 123, $2, $3, $4, 5, $5, $6, $7, $8, 'ERP_1', $9, $10, $11, $12, $13, $10, $13, $10)`,
		r.syncID, r.ref.IncrementID, r.status, r.attempts, r.last, r.next, r.err, r.reference, requested, updated, r.ref.Source,
		r.version.Generation(), int64(r.version))
	require.NoError(c.t, err)
}

func TestGolden(t *testing.T) {
	t.Parallel()
	tests := map[string]func(c *caller){
		"not_found": func(c *caller) {
			c.ask("000000123")
			c.Note("placed, but never invoiced")
			c.accepted(domain.Gate{Ref: order, State: domain.GateNone, UpdatedAt: requested})
			c.ask("000000123")
			c.Note("another shop's")
			c.ask("000000123?source=outlet")
			c.Note("an invoice that came before its order")
			c.exec(`INSERT INTO commerce_quarantine (source, order_key, code, problems, payload, published_at, quarantined_at)
				VALUES ('default', '000000124', 'unknown_order', '[]', '{}', now(), now())`)
			c.ask("000000124")
			c.Note("its invoice was refused, twice; a discarded entry is none")
			for _, e := range [][]any{{order.Key(), "refused", "open"}, {order.Key(), "conflict", "open"}, {order.Key(), "failed", "discarded"}, {"outlet/000000125", "refused", "open"}} {
				c.exec(`INSERT INTO commerce_quarantine (source, about_order, code, state, problems, payload, published_at, quarantined_at, door, identity, discarded_at, discarded_by, discard_reason)
					VALUES ('default', $1, $2, $3, '[{"pointer": "/type", "code": "invalid", "detail": "is \u001b \"x\""}]', '{}', '2024-01-15T10:30:00Z', now(), 'http', random()::text::bytea, now(), 'x', 'y')`, e...)
			}
			c.ask("000000123")
			c.ask("000000125")
			c.ask("000000125?source=outlet")
		},
		"right_after_accept": func(c *caller) {
			c.accepted(open(order, 1))
			c.ask("000000123")
		},
		"right_after_accept_held": func(c *caller) {
			g := open(order, 1)
			g.State, g.HeldBy = domain.GateHeld, domain.HeldByCron
			c.accepted(g)
			c.ask("000000123")
		},
		"a_resync_the_projection_has_not_seen": func(c *caller) {
			g := open(order, 1)
			g.Generation, g.Version, g.UpdatedAt = 2, domain.RequestVersion(2, 0), attempted.Add(time.Hour)
			c.accepted(g)
			c.projected(failedRow())
			c.ask("000000123")
		},
		"a_callback_the_projection_has_not_seen": func(c *caller) {
			g := open(order, 1)
			g.State, g.ClosedBy, g.CallbackNumber = domain.GateClosed, domain.ClosedByWebhook, 1
			g.Version, g.UpdatedAt = domain.CallbackVersion(1, 1), attempted.Add(time.Hour)
			c.accepted(g)
			c.projected(failedRow())
			c.ask("000000123")
		},
		"each_status_of_the_projection": eachStatus,
		"two_sources_with_the_same_number": func(c *caller) {
			other := domain.OrderRef{Source: "shop-b", IncrementID: order.IncrementID}
			c.accepted(open(order, 1))
			c.ask("000000123?source=shop-b")
			c.accepted(open(other, 2))
			c.projected(row{ref: other, syncID: 2, status: domain.Success, attempts: 1, last: &attempted, version: terminal(1)})
			c.ask("000000123?source=shop-b")
			c.ask("000000123?source=default")
		},
		"percent_encoded_ids": func(c *caller) {
			for i, id := range []string{"A/1", "A%2F1", "50% off", "Größe"} {
				c.accepted(open(domain.OrderRef{Source: "default", IncrementID: id}, int64(i+1)))
			}
			for _, path := range []string{"A%2F1", "A%2f1", "A%252F1", "50%25%20off", "Gr%C3%B6%C3%9Fe", "A%2F2"} {
				c.ask(path)
			}
		},
		"orders_that_cannot_be": func(c *caller) {
			c.ask("000000123?source=Shop%20B")
			c.ask("a%0Ab")
			c.ask("a%FF")
		},
	}
	for name, story := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(setup(t, name))
		})
	}
}

func terminal(attempt int) domain.Version {
	return domain.AttemptVersion(1, attempt, domain.PhaseTerminal)
}

func failedRow() row {
	return row{
		ref: order, syncID: 1, status: domain.Failed, attempts: 5, last: &attempted, err: new("HTTP 503: try again later"), version: terminal(5),
	}
}

func eachStatus(c *caller) {
	next := attempted.Add(2 * time.Minute)
	for i, r := range []row{
		{status: domain.Pending, version: domain.RequestVersion(1, 0)},
		{status: domain.Queued, version: domain.RequestVersion(1, 0)},
		{status: domain.InProgress, version: domain.AttemptVersion(1, 1, domain.PhaseBefore)},
		{
			status: domain.Queued, attempts: 1, last: &attempted, next: &next, err: new("no answer within 30s"),
			version: domain.AttemptVersion(1, 1, domain.PhaseAfter),
		},
		{status: domain.Success, attempts: 1, last: &attempted, reference: new("ERP-123"), version: terminal(1)},
		{status: domain.Failed, attempts: 5, last: &attempted, err: new("HTTP 422: no such <sku> & more"), version: terminal(5)},
	} {
		r.ref, r.syncID = domain.OrderRef{Source: "default", IncrementID: string(rune('1' + i))}, int64(i+1)
		c.accepted(open(r.ref, r.syncID))
		c.projected(r)
		c.ask(r.ref.IncrementID)
	}
}

// The sample answer of magento-module.md, field by field.
func TestTheAnswerIsTheModules(t *testing.T) {
	t.Parallel()
	c := setup(t, "the_modules_sample")
	c.accepted(open(order, 1))
	c.projected(row{ref: order, syncID: 1, status: domain.Success, attempts: 1, last: &attempted, reference: new("ERP-123"), version: terminal(1)})
	const sample = `{
		"sync_id": 1, "order_id": 123, "order_increment_id": "000000123", "status": "success", "attempts": 1, "max_attempts": 5,
		"last_attempt_at": "2024-01-15 10:30:00", "next_attempt_at": null, "erp_reference": "ERP-123", "last_error": null,
		"created_at": "2024-01-15 10:29:00", "updated_at": "2024-01-15 10:30:00",
		"source": "default"
	}`
	got := c.ask("000000123")
	require.JSONEq(t, sample, string(got))
	require.Equal(t, keys(t, []byte(sample)), keys(t, got), "in the module's order, and ours behind them")
}

// keys are the names of a flat object in their order.
func keys(t *testing.T, object []byte) []string {
	t.Helper()
	var names []string
	dec := json.NewDecoder(bytes.NewReader(object))
	for i := 0; ; i++ {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return names
		}
		require.NoError(t, err)
		if name, ok := token.(string); ok && i%2 == 1 { // the opening brace is token 0
			names = append(names, name)
		}
	}
}

func TestPostgresAway(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(context.Background(), "postgres://127.0.0.1:1/nowhere?connect_timeout=1")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	c := &caller{t: t, pool: pool, Recorder: problemtest.New(t, "postgres_away", serve(t, pool))}
	c.ask("000000123")
}
