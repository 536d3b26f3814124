package quarantine

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Discard decides that entries are not needed. They stay, with who decided it and why, until they have aged, and can still be sent by
// their ids. It returns the ids of those that it has discarded: not those that are not there, that were discarded before, or that somebody
// is sending. source limits it to entries of one shop; empty: of any.
func Discard(ctx context.Context, pool *pgxpool.Pool, ids []int64, source, by, why string) (done []int64, err error) {
	rows, err := pool.Query(ctx, `
		WITH free AS (SELECT id FROM commerce_quarantine WHERE id = ANY($1::bigint[]) AND (state = 'open') IS TRUE AND ($2 = '' OR source = $2)
			ORDER BY id FOR UPDATE SKIP LOCKED),
		done AS (UPDATE commerce_quarantine q SET state = 'discarded', discarded_at = now(), discarded_by = $3, discard_reason = $4
			FROM free WHERE q.id = free.id RETURNING q.id)
		SELECT id FROM done ORDER BY id`, ids, source, by, why)
	if err == nil {
		done, err = pgx.CollectRows(rows, pgx.RowTo[int64])
	}
	if err != nil {
		return nil, fmt.Errorf("discarding %d quarantined events: %w", len(ids), err)
	}
	return done, nil
}
