package scheduler

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// forgetQuery deletes accepted events of before $1, at most $2. Those of an order that is under way, or that anything happened to since,
// stay. So does the invoice of an order without a request: `repair` asks for it by that.
//
// The gate is asked for each old event. Written as a join, the planner would begin with the gates, and read all that ever closed.
// For the events it would walk through the primary key; postgres.BitmapsOnly leaves it the index of the time.
const forgetQuery = `
WITH old AS (
	SELECT e.source, e.event_id FROM accepted_event e
	WHERE e.accepted_at < $1
		AND (SELECT g.updated_at < $1 AND (g.state = 'closed' OR g.state = 'none' AND e.type <> $3) FROM erp_sync_gate g WHERE g.order_key = e.order_key)
	LIMIT $2
)
DELETE FROM accepted_event e USING old WHERE e.source = old.source AND e.event_id = old.event_id`

// forgetEvents deletes accepted events of before, at most so many, and returns how many. An event that was forgotten and is sent again
// counts as a new one: what it asks for was done, and its order's gate and snapshot know that.
func forgetEvents(ctx context.Context, pool *pgxpool.Pool, before time.Time, limit int) (deleted int, err error) {
	err = postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, postgres.BitmapsOnly); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, forgetQuery, before, limit, event.InvoiceCreated)
		deleted = int(tag.RowsAffected())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("forgetting old events: %w", err)
	}
	return deleted, nil
}
