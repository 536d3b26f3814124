//go:build speed

package projector

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

const (
	speedOrders  = 1_000_000
	speedPending = 100
	speedRate    = 150 // updates of gates a second beside it
	speedLooks   = 5
)

// TestSpeed prints figures and claims none; it is built with the tag speed only. A million orders of which the ERP has all, gates
// being changed meanwhile: how long does it take to find what is left to do, when there is nothing and when there is something?
// The baseline is the look of releases before the notes, which compared all orders with the projection.
func TestSpeed(t *testing.T) {
	pool := testkit.Postgres(t).Pool
	fill(t, pool, speedOrders)
	_, err := pool.Exec(t.Context(), `TRUNCATE projector_recheck`)
	require.NoError(t, err)
	stop := changeGates(t, pool)
	defer stop()
	s := newStore(pool, live)
	for _, pending := range []int{0, speedPending} {
		before := median(t, func() {
			leave(t, pool, pending)
			_, err := pool.Exec(t.Context(), `TRUNCATE erp_unclosed_gate, erp_answered_key, erp_unmarked_order`)
			require.NoError(t, err)
		}, func() error { return compareAll(t.Context(), pool) })
		after := median(t, func() { leave(t, pool, pending) }, func() error { return s.catchUp(t.Context()) })
		require.Zero(t, notes(t, pool))
		t.Logf("%d orders, %d left to do: all compared in %s, the notes read and done in %s; ratio %.0f",
			speedOrders, pending, before.Round(time.Millisecond), after.Round(10*time.Microsecond), before.Seconds()/after.Seconds())
	}
}

// median is the time that look takes, each time after prepare.
func median(t *testing.T, prepare func(), look func() error) time.Duration {
	t.Helper()
	var took []time.Duration
	for range speedLooks {
		prepare()
		began := time.Now()
		require.NoError(t, look())
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// leave undoes the update of n orders, and notes it.
func leave(t *testing.T, pool *pgxpool.Pool, n int) {
	t.Helper()
	for _, statement := range []string{
		`UPDATE erp_sync_gate SET state = 'open', closed_by = NULL, key_answered = false WHERE order_key IN (SELECT (7 * n)::text FROM generate_series(1, $1) n)`,
		`UPDATE sales_order SET erp_synced = 0 WHERE order_key IN (SELECT (7 * n)::text FROM generate_series(1, $1) n)`,
		`INSERT INTO erp_unclosed_gate SELECT 7 * n, 1, 'answer' FROM generate_series(1, $1) n`,
		`INSERT INTO erp_answered_key SELECT 7 * n, 'ERP_' || 7 * n FROM generate_series(1, $1) n`,
		`INSERT INTO erp_unmarked_order SELECT 7 * n FROM generate_series(1, $1) n`,
	} {
		_, err := pool.Exec(t.Context(), statement, n)
		require.NoError(t, err)
	}
}

// changeGates is the load beside it.
func changeGates(t *testing.T, pool *pgxpool.Pool) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(time.Second / speedRate)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_, _ = pool.Exec(ctx, `UPDATE erp_sync_gate SET updated_at = now() WHERE order_key = $1`, speedOrders-n)
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// compareAll is what catchUp was.
func compareAll(ctx context.Context, pool *pgxpool.Pool) error {
	for _, statement := range []string{
		`
		WITH due AS MATERIALIZED (
			SELECT g.order_key, v.status FROM erp_sync_gate g JOIN vendor_erp_sync v ON v.sync_id = g.sync_id
			WHERE g.state = 'open' AND v.generation = g.generation AND v.status IN ('success', 'failed') AND v.version >> 24 & 15 = 1
		), free AS (
			SELECT g.order_key, g.generation FROM erp_sync_gate g JOIN due ON due.order_key = g.order_key
			WHERE g.state = 'open' ORDER BY g.order_key COLLATE "C" FOR UPDATE OF g SKIP LOCKED
		), closed AS (
			UPDATE erp_sync_gate g SET state = 'closed', closed_by = CASE v.status WHEN 'success' THEN 'answer' ELSE 'failure' END,
				key_answered = g.key_answered OR v.status = 'success'
			FROM free, vendor_erp_sync v
			WHERE g.order_key = free.order_key AND v.sync_id = g.sync_id AND v.generation = free.generation
			RETURNING g.order_key
		)
		SELECT EXISTS (SELECT order_key FROM due EXCEPT SELECT order_key FROM closed)`, `
		WITH due AS MATERIALIZED (
			SELECT o.order_key FROM sales_order o JOIN vendor_erp_sync v ON v.source = o.source AND v.order_increment_id = o.increment_id
			WHERE o.erp_synced = 0 AND v.status = 'success'
		), free AS (
			SELECT o.order_key FROM sales_order o JOIN due ON due.order_key = o.order_key
			ORDER BY o.order_key COLLATE "C" FOR UPDATE OF o SKIP LOCKED
		), marked AS (
			UPDATE sales_order o SET erp_synced = 1 FROM free WHERE o.order_key = free.order_key RETURNING o.order_key
		)
		SELECT EXISTS (SELECT order_key FROM due EXCEPT SELECT order_key FROM marked)`,
	} {
		if _, err := pool.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
