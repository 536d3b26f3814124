package projector

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// writeSide is what the projector writes to: the gates and the orders' marks.
func writeSide(t require.TestingT, pool *pgxpool.Pool) []map[string]any {
	return query(t, pool, `SELECT order_key, generation, state, closed_by, key_answered, erp_synced
		FROM erp_sync_gate LEFT JOIN sales_order USING (order_key) ORDER BY order_key`)
}

// notes counts what the projector still has to do to the write side.
func notes(t require.TestingT, pool *pgxpool.Pool) int {
	return len(query(t, pool, `SELECT order_key FROM erp_unclosed_gate UNION ALL SELECT order_key FROM erp_answered_key
		UNION ALL SELECT order_key FROM erp_unmarked_order UNION ALL SELECT after_key FROM projector_recheck`))
}

// prepare empties the tables and puts the orders of the history on the write side, their gates open at the newest generation.
func prepare(t require.TestingT, pool *pgxpool.Pool, facts []fact) {
	ctx := context.Background()
	_, err := pool.Exec(ctx, `TRUNCATE vendor_erp_sync, vendor_erp_sync_event, erp_sync_gate, sales_order,
		erp_unclosed_gate, erp_answered_key, erp_unmarked_order, projector_recheck`)
	require.NoError(t, err)
	newest := map[int64]int{}
	for _, f := range facts {
		newest[f.Sync.SyncID] = max(newest[f.Sync.SyncID], f.Sync.Generation)
	}
	for syncID, generation := range newest {
		g := openGate(int(syncID)-1, generation)
		_, err := pool.Exec(ctx, `WITH o AS (INSERT INTO sales_order (order_key, source, increment_id, snapshot, created_at, updated_at)
				VALUES ($1, $2, $3, '{}', now(), now()))
			INSERT INTO erp_sync_gate (order_key, source, increment_id, sync_id, generation, state, idempotency_key, updated_at)
			VALUES ($1, $2, $3, $4, $5, 'open', $6, now())`,
			g.Ref.Key(), g.Ref.Source, g.Ref.IncrementID, syncID, generation, g.IdempotencyKey)
		require.NoError(t, err)
	}
}

// busy locks the gates and orders of some keys for as long as work takes.
func busy(t require.TestingT, pool *pgxpool.Pool, gates, orders []string, work func()) {
	ctx := context.Background()
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(ctx) }()
	_, err = tx.Exec(ctx, `SELECT FROM erp_sync_gate WHERE order_key = ANY($1) ORDER BY order_key FOR UPDATE`, gates)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, `SELECT FROM sales_order WHERE order_key = ANY($1) ORDER BY order_key FOR UPDATE`, orders)
	require.NoError(t, err)
	work()
}

// Whoever holds what locked at whichever batch, and however often the projector is started anew between two: the write side
// comes to be the one of a projector that met no lock.
func TestTheWriteSideIsTheSameWhateverWasLocked(t *testing.T) {
	t.Parallel()
	free, held := testkit.Postgres(t).Pool, testkit.Postgres(t).Pool
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		h := drawHistory(t)
		prepare(t, free, h.facts)
		prepare(t, held, h.facts)
		require.NoError(t, newStore(free, live).apply(ctx, batch{facts: h.facts}))
		require.Zero(t, notes(t, free))

		var keys []string
		for order := range partitions * 2 {
			keys = append(keys, ref(order).Key())
		}
		some := rapid.SliceOfDistinct(rapid.SampledFrom(keys), rapid.ID[string])
		s := newStore(held, live)
		for facts := h.facts; len(facts) > 0; {
			n := rapid.IntRange(1, len(facts)).Draw(t, "batch")
			busy(t, held, some.Draw(t, "gates"), some.Draw(t, "orders"), func() {
				require.NoError(t, s.apply(ctx, batch{facts: facts[:n]}))
				if rapid.Bool().Draw(t, "catches_up") {
					require.NoError(t, s.catchUp(ctx))
				}
			})
			facts = facts[n:]
			if rapid.Bool().Draw(t, "started_anew") {
				s = newStore(held, live)
			}
		}
		require.NoError(t, newStore(held, live).catchUp(ctx))
		want := writeSide(t, free)
		require.Equal(t, want, writeSide(t, held))
		require.Zero(t, notes(t, held))

		_, err := held.Exec(ctx, `TRUNCATE vendor_erp_sync, vendor_erp_sync_event`) // a projector that starts at offset zero
		require.NoError(t, err)
		require.NoError(t, newStore(held, live).apply(ctx, batch{facts: h.facts}))
		require.Equal(t, want, writeSide(t, held))
	})
}

// The mark of an order that was locked when the ERP's success went by used to be lost once a resync had moved the row on.
func TestASuccessThatAResyncOvertookStillMarksTheOrder(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	s, facts := newStore(pool, live), success(0)
	prepare(t, pool, facts)
	key := []string{ref(0).Key()}
	busy(t, pool, key, key, func() { require.NoError(t, s.apply(t.Context(), whole(facts))) })
	again := fact{at: kafka.TopicPartition{Topic: event.TopicRequested, Partition: 1}, Fact: domain.Fact{
		Sync: openGate(0, 2).RequestedSync(nil, "resync"), Time: began.Add(time.Hour),
	}}
	require.NoError(t, s.apply(t.Context(), whole([]fact{again})))
	require.NoError(t, s.catchUp(t.Context()))
	require.Equal(t, int16(1), writeSide(t, pool)[0]["erp_synced"])
}

// An order that comes after its success, as when the database was restored to an earlier time, is marked too.
func TestAnOrderThatComesAfterItsSuccessIsMarked(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	s := newStore(pool, live)
	require.NoError(t, s.apply(t.Context(), whole(success(0))))
	require.NoError(t, s.catchUp(t.Context()))
	require.False(t, s.skipped, "nobody knows whether it ever comes: there is nothing to wait for")
	_, err := pool.Exec(t.Context(), `INSERT INTO sales_order (order_key, source, increment_id, snapshot, created_at, updated_at)
		VALUES ($1, $2, $3, '{}', now(), now())`, ref(0).Key(), ref(0).Source, ref(0).IncrementID)
	require.NoError(t, err)
	require.NoError(t, newStore(pool, live).catchUp(t.Context()))
	require.Len(t, query(t, pool, `SELECT FROM sales_order WHERE erp_synced = 1`), 1)
	require.Zero(t, notes(t, pool))
}

// What an earlier release has skipped was written down nowhere: the migration asks for one look at everything, in pages.
func TestWhatAnEarlierReleaseHasSkippedIsFoundOnce(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	require.Equal(t, 1, notes(t, pool), "the migration asks for it")
	const orders = 2*recheckPage + 1
	fill(t, pool, orders)
	_, err := pool.Exec(t.Context(), `UPDATE erp_sync_gate SET state = 'open', closed_by = NULL, key_answered = false; UPDATE sales_order SET erp_synced = 0`)
	require.NoError(t, err)
	s := newStore(pool, live)
	for range 2 {
		require.NoError(t, s.catchUp(t.Context()))
		require.True(t, s.skipped, "there is more")
	}
	require.NoError(t, s.catchUp(t.Context()))
	require.False(t, s.skipped)
	require.Len(t, query(t, pool, `SELECT FROM erp_sync_gate JOIN sales_order USING (order_key)
		WHERE state = 'closed' AND closed_by = 'answer' AND key_answered AND erp_synced = 1`), orders)
	require.Zero(t, notes(t, pool))
}

// catchUp once read every order: at a million that took 2.5 s of each 7.5 s. It must read what is left to do, and no more:
// the counters of Postgres say what a plan has really read.
func TestCatchingUpReadsOnlyWhatIsToBeTold(t *testing.T) {
	t.Parallel()
	database := testkit.Postgres(t)
	single := database.Pool.Config()
	single.MaxConns = 1 // one session, whose counters are flushed on demand
	pool, err := pgxpool.NewWithConfig(t.Context(), single)
	require.NoError(t, err)
	defer pool.Close()
	fill(t, pool, 5000)
	s := newStore(pool, live)
	_, err = pool.Exec(t.Context(), `TRUNCATE projector_recheck`)
	require.NoError(t, err)
	const pending = 3
	for range 8 { // so that a plan which is kept is met as well
		_, err = pool.Exec(t.Context(), `UPDATE erp_sync_gate SET state = 'open', closed_by = NULL WHERE order_key = ANY('{7,77,777}')`)
		require.NoError(t, err)
		_, err = pool.Exec(t.Context(), `UPDATE sales_order SET erp_synced = 0 WHERE order_key = ANY('{7,77,777}')`)
		require.NoError(t, err)
		_, err = pool.Exec(t.Context(), `INSERT INTO erp_unclosed_gate SELECT k, 1, 'answer' FROM unnest('{7,77,777}'::text[]) k`)
		require.NoError(t, err)
		_, err = pool.Exec(t.Context(), `INSERT INTO erp_unmarked_order SELECT k FROM unnest('{7,77,777}'::text[]) k`)
		require.NoError(t, err)
		before := rowsRead(t, pool)
		require.NoError(t, s.catchUp(t.Context()))
		require.LessOrEqual(t, rowsRead(t, pool)-before, int64(8*pending), "rows of gates, orders and syncs")
		require.Zero(t, notes(t, pool))
	}
	before := rowsRead(t, pool)
	require.NoError(t, s.catchUp(t.Context()))
	require.Equal(t, before, rowsRead(t, pool), "there was nothing to do")
}

// rowsRead counts the rows of the large tables that this session's statements have read, by whichever plan.
func rowsRead(t *testing.T, pool *pgxpool.Pool) (n int64) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `SELECT pg_stat_force_next_flush()`)
	require.NoError(t, err)
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_user_tables
		WHERE relname IN ('erp_sync_gate', 'sales_order', 'vendor_erp_sync')`).Scan(&n))
	return n
}

// fill puts n orders, the key of each its number, that the ERP has and of which nothing is left to do.
func fill(t testing.TB, pool *pgxpool.Pool, n int) {
	t.Helper()
	for _, statement := range []string{
		`INSERT INTO sales_order (order_key, source, increment_id, snapshot, erp_synced, created_at, updated_at)
			SELECT n, 'default', n, '{}', 1, now(), now() FROM generate_series(1, %[1]d) n`,
		`INSERT INTO erp_sync_gate (order_key, source, increment_id, sync_id, generation, state, closed_by, idempotency_key, key_answered, updated_at)
			SELECT n, 'default', n, n, 1, 'closed', 'answer', 'ERP_' || n, true, now() FROM generate_series(1, %[1]d) n`,
		`INSERT INTO vendor_erp_sync (sync_id, order_increment_id, status, attempts, max_attempts, idempotency_key, created_at, updated_at,
				source, generation, attempt_version, attempt_version_at, version, version_at)
			SELECT n, n, 'success', 1, 5, 'ERP_' || n, now(), now(), 'default', 1, v, now(), v, now()
			FROM generate_series(1, %[1]d) n, (SELECT %[2]d::bigint AS v) v`,
	} {
		_, err := pool.Exec(t.Context(), fmt.Sprintf(statement, n, domain.AttemptVersion(1, 1, domain.PhaseTerminal)))
		require.NoError(t, err)
	}
	_, err := pool.Exec(t.Context(), `ANALYZE`)
	require.NoError(t, err)
}
