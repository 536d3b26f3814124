package timeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/postgres"
)

// Floor is the time before which lines may have been deleted; zero when none was. In a transaction, read it after the lines: then it
// is not older than what has taken them away.
func Floor(ctx context.Context, on postgres.Querier) (floor time.Time, err error) {
	err = on.QueryRow(ctx, `SELECT before FROM erp_timeline_floor`).Scan(&floor)
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("reading since when the timeline is whole: %w", err)
	}
	return floor.UTC(), nil
}

// cleanQuery deletes lines of before $1, at most $2. Lines of an order that is under way, or that anything happened to since, stay: an
// order's timeline goes as a whole.
//
// The sync is asked for each old line. Written as a join, the planner would begin with the syncs, and read all that ever ended. For the
// lines it would walk through the whole primary key, which ends with the time; postgres.BitmapsOnly leaves it the index of the time.
const cleanQuery = `
WITH old AS (
	SELECT e.topic, e.partition, e."offset", e.occurred_at FROM vendor_erp_sync_event e
	WHERE e.occurred_at < $1
		AND (SELECT s.updated_at < $1 AND s.status IN ('success', 'failed') FROM vendor_erp_sync s WHERE s.sync_id = e.sync_id)
	LIMIT $2
), deleted AS (
	DELETE FROM vendor_erp_sync_event e USING old
	WHERE e.topic = old.topic AND e.partition = old.partition AND e."offset" = old."offset" AND e.occurred_at = old.occurred_at
	RETURNING 1
), floor AS (
	INSERT INTO erp_timeline_floor AS f (before) SELECT $1 WHERE EXISTS (SELECT FROM old)
	ON CONFLICT (single) DO UPDATE SET before = greatest(f.before, excluded.before)
)
SELECT count(*) FROM deleted`

// Clean deletes the timelines of orders that ended before then, at most so many lines, and returns how many. Call it until it returns
// fewer than that.
func Clean(ctx context.Context, pool *pgxpool.Pool, before time.Time, limit int) (deleted int, err error) {
	err = postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, postgres.BitmapsOnly); err != nil {
			return err
		}
		return tx.QueryRow(ctx, cleanQuery, before, limit).Scan(&deleted)
	})
	if err != nil {
		return 0, fmt.Errorf("deleting old lines of the timeline: %w", err)
	}
	return deleted, nil
}
