package accept

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// An invoice of an order that nobody has published waits in the quarantine. The transaction that puts it there holds the order's
// gate, and has seen no snapshot. The one that stores the snapshot holds the gate too, and looks into the quarantine afterwards. So
// whichever commits first, the invoice does not stay there: it goes back to the commerce outbox, where the drainer takes it as any
// event.
//
// An entry that an operator is sending is skipped. To wait for its lock under the gate's lock could be a deadlock, as the operator's
// transaction takes the gate next; and that one finds the order. The outbox has no column for the tries, so they start from 0 again.
const release = `
gone AS (DELETE FROM commerce_quarantine q USING waiting w WHERE q.id = w.id RETURNING q.*),
returned AS (INSERT INTO commerce_outbox (source, traceparent, payload, created_at)
    SELECT source, traceparent, payload, published_at FROM gone ORDER BY id)
SELECT order_key, count(*) FROM gone GROUP BY order_key`

// insertAndRelease and updateAndRelease do both in one statement. For orders without waiting invoices that costs one index look-up. IS TRUE
// keeps Postgres from walking along the index that counts open entries, through all of them.
//
// Under the gate's lock it is known whether there is a row. An insertion that allows for one writes each row twice to the log.
const (
	insertAndRelease = `WITH stored AS (` + insertOrders + `)` + andRelease
	updateAndRelease = `
WITH stored AS (UPDATE sales_order t SET snapshot = j::json, updated_at = $6, snapshot_at = a, order_id = coalesce(o, order_id)
    FROM ` + givenOrders + ` WHERE t.order_key = k)` + andRelease
	insertOrders = `
    INSERT INTO sales_order (order_key, source, increment_id, order_id, snapshot, created_at, updated_at, snapshot_at)
    SELECT k, s, i, o, j::json, $6, $6, a FROM ` + givenOrders
	givenOrders = `unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $7::timestamptz[]) AS n (k, s, i, o, j, a)`
	andRelease  = `,
waiting AS (SELECT id FROM commerce_quarantine WHERE order_key = ANY($1) AND (state = 'open') IS TRUE FOR UPDATE SKIP LOCKED),` + release
)

const releaseKnown = `
WITH waiting AS (SELECT q.id FROM commerce_quarantine q
    WHERE q.order_key IS NOT NULL AND q.state = 'open' AND EXISTS (SELECT FROM sales_order s WHERE s.order_key = q.order_key) FOR UPDATE SKIP LOCKED),` + release

// ReleaseKnown returns the waiting invoices whose order is there to the outbox. Accept does that for nearly all; left are those that
// it skipped, and those of older releases, which did not do it. It returns their number by order.
func ReleaseKnown(ctx context.Context, pool *pgxpool.Pool) (map[string]int, error) {
	rows, err := pool.Query(ctx, releaseKnown)
	if err != nil {
		return nil, fmt.Errorf("releasing invoices from the quarantine: %w", err)
	}
	released := map[string]int{}
	if err := countByOrder(rows, released); err != nil {
		return nil, fmt.Errorf("releasing invoices from the quarantine: %w", err)
	}
	return released, nil
}

func countByOrder(rows pgx.Rows, counts map[string]int) error {
	var key string
	var n int
	_, err := pgx.ForEachRow(rows, []any{&key, &n}, func() error {
		counts[key] = n
		return nil
	})
	return err
}

// setReleased notes in the result of one event of each order how many invoices it has released.
func (t *transaction) setReleased(released map[string]int) {
	for _, it := range t.accepted {
		if it.order != nil && released[it.key] > 0 {
			it.result.Released = released[it.key]
			delete(released, it.key)
		}
	}
}
