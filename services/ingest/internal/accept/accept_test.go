package accept

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

var now = time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)

// bundle is an Accepter at a fixed time, on a database of its own.
type bundle struct {
	*Accepter
	pool *pgxpool.Pool
}

func setup(t *testing.T, change func(*setting.Settings)) bundle {
	t.Helper()
	return setupOn(t, testkit.Postgres(t).Pool, change)
}

func setupOn(t *testing.T, pool *pgxpool.Pool, change func(*setting.Settings)) bundle {
	t.Helper()
	s := setting.Defaults()
	if change != nil {
		change(&s)
	}
	a := New(pool, setting.Fixed(s), slog.New(slog.DiscardHandler))
	a.now, a.timeout = func() time.Time { return now }, testkit.Patience
	return bundle{a, pool}
}

func (b bundle) accept(t *testing.T, events ...Incoming) []Result {
	t.Helper()
	results, err := b.Accept(t.Context(), events)
	require.NoError(t, err)
	return results
}

// incoming is the good event with changes, of another id, type and order.
func incoming(t testing.TB, id string, ofType event.Type, order string, changes change) Incoming {
	t.Helper()
	all := change{"event_id": quoted(id), "type": quoted(string(ofType)), "order.order_increment_id": quoted(order)}
	for path, value := range changes {
		all[path] = value
	}
	return Incoming{Body: eventWith(t, all)}
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

// strings reads one column of text.
func (b bundle) strings(t *testing.T, sql string, args ...any) []string {
	t.Helper()
	rows, err := b.pool.Query(t.Context(), sql, args...)
	require.NoError(t, err)
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return out
}

// requests are the requested facts in the outbox, oldest first.
func (b bundle) requests(t *testing.T) []domain.Sync {
	t.Helper()
	var out []domain.Sync
	for _, payload := range b.strings(t, `SELECT convert_from(payload, 'utf8') FROM erp_outbox WHERE topic = $1 ORDER BY id`, event.TopicRequested) {
		v, err := event.DecodeSync([]byte(payload))
		require.NoError(t, err)
		require.True(t, json.Valid(v.Order))
		out = append(out, v.Sync)
	}
	return out
}

func TestAnInvoiceIsAcceptedWhole(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	syncID, orderID, released := int64(1), int64(123), true
	require.Equal(t, []Result{{
		Result: Accepted, EventID: "e1", SyncID: &syncID, Source: "shop-b", OrderIncrementID: "7", Status: domain.Queued,
	}}, b.accept(t, incoming(t, "e1", event.InvoiceCreated, "7", change{"source": `"shop-b"`})))
	ref := domain.OrderRef{Source: "shop-b", IncrementID: "7"}
	require.Equal(t, []domain.Sync{{
		SyncID: 1, Source: "shop-b", OrderID: &orderID, OrderIncrementID: "7", Status: domain.Queued, MaxAttempts: 5,
		IdempotencyKey: domain.IdempotencyKey(ref, 1), Generation: 1, Version: domain.RequestVersion(1, 0), Released: &released,
		Cause: "e1", CreatedAt: now, UpdatedAt: now,
	}}, b.requests(t))
	require.Equal(t, []string{"shop-b/7 sales_order_event shop-b:e1", "shop-b/7 vendor_erp_sync_requested shop-b/7/268435456/vendor_erp_sync_requested"},
		b.strings(t, `SELECT key || ' ' || topic || ' ' || (metadata::json ->> 'ce_id') FROM erp_outbox ORDER BY id`))
	require.Equal(t, []string{"shop-b e1 shop-b/7"}, b.strings(t, `SELECT source || ' ' || event_id || ' ' || order_key FROM accepted_event`))
	require.Equal(t, []string{"shop-b 7 123 0"},
		b.strings(t, `SELECT source || ' ' || increment_id || ' ' || order_id || ' ' || erp_synced FROM sales_order`))
}

func TestHeldRequestsAreInTheLogUnreleased(t *testing.T) {
	t.Parallel()
	for heldBy, change := range map[domain.HeldBy]func(*setting.Settings){
		domain.HeldByDisabled: func(s *setting.Settings) { s.Enabled, s.ImmediateSync = false, false },
		domain.HeldByCron:     func(s *setting.Settings) { s.ImmediateSync = false },
	} {
		t.Run(string(heldBy), func(t *testing.T) {
			t.Parallel()
			b := setup(t, change)
			b.accept(t, incoming(t, "e1", event.InvoiceCreated, "1", nil))
			requests := b.requests(t)
			require.Len(t, requests, 1)
			require.False(t, *requests[0].Released)
			require.Equal(t, domain.Pending, requests[0].Status)
			require.Equal(t, []string{"held " + string(heldBy)}, b.strings(t, `SELECT state || ' ' || held_by FROM erp_sync_gate`))
		})
	}
}

func TestTheSnapshotIsThatOfTheLastEventBeforeTheInvoice(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	invoice := Incoming{Body: []byte(`{"event_id": "e3", "type": "invoice.created", "invoice": {"increment_id": "9", "order_increment_id": "1"}}`)}
	b.accept(t,
		incoming(t, "e1", event.OrderPlaced, "1", change{"order.currency": `"EUR"`}),
		incoming(t, "e2", event.OrderUpdated, "1", change{"order.currency": `"USD"`}),
		invoice,
		incoming(t, "e4", event.OrderUpdated, "1", change{"order.currency": `"CHF"`}))
	require.Equal(t, []string{"USD"}, b.strings(t,
		`SELECT convert_from(payload, 'utf8')::json -> 'order' ->> 'currency' FROM erp_outbox WHERE topic = $1`, event.TopicRequested))
	require.Equal(t, []string{"CHF"}, b.strings(t, `SELECT snapshot ->> 'currency' FROM sales_order`))
}

// A request that followed an update without order_id had none, although the order's was known.
func TestAnOrderIDOnceKnownStaysKnown(t *testing.T) {
	t.Parallel()
	for name, together := range map[string]bool{"in_one_batch": true, "one_by_one": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			events := []Incoming{
				incoming(t, "e1", event.OrderPlaced, "1", nil),
				incoming(t, "e2", event.InvoiceCreated, "1", change{"order.order_id": ""}),
			}
			if together {
				b.accept(t, events...)
			} else {
				b.accept(t, events[0])
				b.accept(t, events[1])
			}
			requests := b.requests(t)
			require.Len(t, requests, 1)
			require.NotNil(t, requests[0].OrderID)
			require.EqualValues(t, 123, *requests[0].OrderID)
			require.Equal(t, []string{"123"}, b.strings(t, `SELECT order_id::text FROM sales_order`))
		})
	}
}

func TestTheOutboxFollowsTheOrderOfAcceptance(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	want := map[string][]string{}
	for batch := range 10 {
		var events []Incoming
		for i := range 20 {
			order, id := fmt.Sprint(rand.IntN(5)), fmt.Sprintf("e%d-%d-%d", batch, i, rand.IntN(1e9)) //nolint:gosec // a test
			want[order] = append(want[order], "default:"+id)
			events = append(events, incoming(t, id, event.OrderUpdated, order, nil))
		}
		for i, r := range b.accept(t, events...) {
			require.Equal(t, Accepted, r.Result, "%s: %+v", events[i].Body, r)
		}
	}
	for order, ids := range want {
		require.Equal(t, ids, b.strings(t, `SELECT metadata::json ->> 'ce_id' FROM erp_outbox WHERE key = $1 ORDER BY id`, order))
	}
}

// counter counts round trips.
type counter struct{ n atomic.Int64 }

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.n.Add(1)
	return ctx
}

func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (c *counter) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	c.n.Add(1)
	return ctx
}

func (c *counter) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (c *counter) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

func TestABatchCostsNoMoreRoundTripsThanOneEvent(t *testing.T) {
	t.Parallel()
	counted := &counter{}
	config, err := pgxpool.ParseConfig(testkit.Postgres(t).URL)
	require.NoError(t, err)
	config.ConnConfig.Tracer = counted
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	b := setupOn(t, pool, nil)
	cost := func(first, n int) int64 {
		var events []Incoming
		for i := first; i < first+n; i++ {
			events = append(events, incoming(t, fmt.Sprintf("e%d", i), event.InvoiceCreated, fmt.Sprint(i), nil))
		}
		before := counted.n.Load()
		for _, r := range b.accept(t, events...) {
			require.Equal(t, Accepted, r.Result)
		}
		return counted.n.Load() - before
	}
	one := cost(0, 1)
	require.Equal(t, one, cost(1, 500))
	require.LessOrEqual(t, one, int64(6), "begin, gates with what they guard, sync ids, all that is written, commit, wake-up")
}

// together does n pieces of work at once and waits for all.
func together(n int, work func(i int) error) error {
	done := make(chan error, n)
	for i := range n {
		go func() { done <- work(i) }()
	}
	var errs []error
	for range n {
		errs = append(errs, <-done)
	}
	return errors.Join(errs...)
}

func TestConcurrentBatchesAcceptEachEventOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	var events []Incoming
	for order := range 50 {
		for i, ofType := range []event.Type{event.OrderPlaced, event.InvoiceCreated, event.OrderUpdated, event.InvoiceCreated} {
			events = append(events, incoming(t, fmt.Sprintf("e%d-%d", order, i), ofType, fmt.Sprint(order), nil))
		}
	}
	results := make([][]Result, 8)
	require.NoError(t, together(len(results), func(worker int) error {
		mine := slices.Clone(events)
		rand.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] }) //nolint:gosec // a test
		for chunk := range slices.Chunk(mine, 1+rand.IntN(60)) {                        //nolint:gosec // a test
			got, err := b.Accept(t.Context(), chunk)
			if err != nil {
				return err
			}
			results[worker] = append(results[worker], got...)
		}
		return nil
	}))
	accepted, syncs := tally(t, slices.Concat(results...))
	require.Len(t, accepted, len(events))
	require.Len(t, syncs, 50)
	require.Equal(t, []string{"200 200"}, b.strings(t, `SELECT count(*) || ' ' || count(DISTINCT event_id) FROM accepted_event`))
	require.Equal(t, []string{"sales_order_event 200 200", "vendor_erp_sync_requested 50 50"}, b.strings(t,
		`SELECT topic || ' ' || count(*) || ' ' || count(DISTINCT uuid) FROM erp_outbox GROUP BY topic ORDER BY topic`))
	for _, r := range b.requests(t) {
		require.Equal(t, syncs[r.OrderIncrementID], r.SyncID)
	}
}

// tally is the events accepted, each exactly once, and the one sync of each order.
func tally(t *testing.T, results []Result) (accepted map[string]bool, syncs map[string]int64) {
	t.Helper()
	accepted, syncs = map[string]bool{}, map[string]int64{}
	for _, r := range results {
		require.NotEqual(t, Refused, r.Result)
		require.False(t, r.Differs)
		if r.Result == Accepted {
			require.False(t, accepted[r.EventID], "event %s was accepted twice", r.EventID)
			accepted[r.EventID] = true
		}
		if r.SyncID == nil {
			continue
		}
		if known, ok := syncs[r.OrderIncrementID]; ok {
			require.Equal(t, known, *r.SyncID, "order %s", r.OrderIncrementID)
		}
		syncs[r.OrderIncrementID] = *r.SyncID
	}
	return accepted, syncs
}

// One event id under several orders is guarded by no common gate, only by the key of accepted_event.
func TestOneEventIDOfManyOrdersIsAcceptedForOne(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	verdicts := make([]Verdict, 12)
	events := make([]Incoming, len(verdicts))
	for i := range events {
		events[i] = incoming(t, "same", event.InvoiceCreated, fmt.Sprint(i), nil)
	}
	require.NoError(t, together(len(events), func(i int) error {
		results, err := b.Accept(t.Context(), events[i:i+1])
		if err == nil {
			verdicts[i] = results[0].Result
		}
		return err
	}))
	slices.Sort(verdicts)
	require.Equal(t, append([]Verdict{Accepted}, slices.Repeat([]Verdict{Conflict}, 11)...), verdicts)
	require.Len(t, b.requests(t), 1)
}

// waiting puts invoices of other orders into the quarantine.
func (b bundle) waiting(t *testing.T, n int) {
	t.Helper()
	_, err := b.pool.Exec(t.Context(), `
		INSERT INTO commerce_quarantine (source, event_id, order_key, code, problems, payload, published_at, quarantined_at)
		SELECT 'default', 'w' || n, 'w' || n, 'unknown_order', '[]', '', now(), now() FROM generate_series(1, $1) n`, n)
	require.NoError(t, err)
}

// Statements whose plans were made while the tables were small read all of them when they had grown: locking 100 gates
// among 20,000 took 20 ms.
func TestNoTableIsReadWholeWhileItGrows(t *testing.T) {
	t.Parallel()
	database := testkit.Postgres(t)
	single := database.Pool.Config()
	single.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), single)
	require.NoError(t, err)
	b := setupOn(t, pool, nil)
	b.waiting(t, 1000)
	for batch := range 20 {
		var events []Incoming
		for i := range 50 {
			order := fmt.Sprint(batch%15, "-", i) // some orders come again
			events = append(events, incoming(t, fmt.Sprint("e", batch, "-", i), event.InvoiceCreated, order, nil))
		}
		b.accept(t, events...)
	}
	pool.Close() // a session's counters are certain to be told when it ends
	var scanned []string
	require.Eventually(t, func() bool {
		rows, err := database.Pool.Query(t.Context(), `SELECT relname || ' ' || coalesce(idx_scan, 0) || ' ' || seq_tup_read FROM pg_stat_user_tables
			WHERE relname IN ('accepted_event', 'sales_order', 'erp_sync_gate', 'commerce_quarantine') ORDER BY relname`)
		require.NoError(t, err)
		scanned, err = pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return len(scanned) == 4 && !slices.ContainsFunc(scanned, func(table string) bool { return strings.Contains(table, " 0 ") })
	}, 10*time.Second, 20*time.Millisecond)
	for _, table := range scanned {
		require.True(t, strings.HasSuffix(table, " 0"), "%s rows were read by scanning the table", table)
	}
}

// Accepting looks for events in the quarantine by their ids and orders, however many wait there. The planner, which knows nothing of the
// table yet, once took the index of open entries for as good, and each batch read them all.
func TestAcceptingReadsNoOtherEntriesOfTheQuarantine(t *testing.T) {
	t.Parallel()
	database := testkit.Postgres(t)
	_, err := database.Pool.Exec(t.Context(), `
		INSERT INTO commerce_quarantine (source, event_id, code, problems, payload, about_order, door, identity, published_at, quarantined_at)
		SELECT 'default', 'q' || i, 'refused', '[]', '', 'o' || i, 'http', decode(md5(i::text), 'hex'), now(), now() FROM generate_series(1, 3000) AS i`)
	require.NoError(t, err)
	single := database.Pool.Config()
	single.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), single)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	var events []Incoming
	for i := range 50 {
		events = append(events, incoming(t, fmt.Sprint("e", i), event.InvoiceCreated, fmt.Sprint(i), nil))
	}
	setupOn(t, pool, nil).accept(t, events...)
	_, err = pool.Exec(t.Context(), `SELECT pg_stat_force_next_flush()`)
	require.NoError(t, err)
	var read int
	err = database.Pool.QueryRow(t.Context(), `SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'commerce_quarantine'`).Scan(&read)
	require.NoError(t, err)
	require.LessOrEqual(t, read, 50)
}
