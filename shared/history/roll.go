package history

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/postgres"
)

// rollMargin is by how much later than the projector Roll takes a row for old: their clocks may differ.
const rollMargin = 10 * time.Minute

// Roll moves old rows into those of longer spans, and deletes those that are older than Keep: at most so many of each span. It returns how
// many of one span it took away at most: limit, when there may be more. The sums stay the same, so it may be called at any time and any number of times; a fact that is applied late makes
// a row that a later call moves. Without it reading takes longer, and nothing is wrong.
func Roll(ctx context.Context, pool *pgxpool.Pool, now time.Time, limit int) (taken int, err error) {
	now = now.Add(-rollMargin)
	err = postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		taken = 0
		for _, from := range []struct{ span, into, keep time.Duration }{
			{minute, tenMinutes, keepMinutes}, {tenMinutes, hour, keepTenMinutes}, {hour, 0, Keep},
		} {
			old, err := take(ctx, tx, from.span, now.Add(-from.keep), limit)
			if err != nil {
				return err
			}
			taken = max(taken, len(old))
			if from.into == 0 || len(old) == 0 {
				continue
			}
			if err := put(ctx, tx, old, from.into); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("adding up old rows of the history: %w", err)
	}
	return taken, nil
}

// take deletes rows of a span that begin before a time, and returns them. It waits for nobody who is writing one.
func take(ctx context.Context, tx pgx.Tx, span time.Duration, before time.Time, limit int) ([]stored, error) {
	rows, err := tx.Query(ctx, `
		WITH old AS (
			SELECT span, at, source FROM `+Table+` WHERE span = $1 AND at < $2 ORDER BY at, source LIMIT $3 FOR UPDATE SKIP LOCKED
		)
		DELETE FROM `+Table+` h USING old WHERE h.span = old.span AND h.at = old.at AND h.source = old.source RETURNING `+storedColumns,
		int(span/time.Second), before.Truncate(hour), limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanStored)
}

// put adds rows to those of a longer span.
func put(ctx context.Context, tx pgx.Tx, rows []stored, span time.Duration) error {
	t := make(Tally)
	for _, r := range rows {
		t.add(key{span, r.at.UTC().Truncate(span), r.source}, r.Counts)
	}
	text, err := t.JSON()
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, InsertInto(Table, 1), text)
	return err
}

// stored is a row as it stands there.
type stored struct {
	at     time.Time
	source string
	Counts
}

const storedColumns = `h.at, h.source, accepted, succeeded, failed, cancelled, attempts, attempt_errors, call_ms, order_ms`

func scanStored(row pgx.CollectableRow) (s stored, err error) {
	err = row.Scan(&s.at, &s.source, &s.Accepted, &s.Succeeded, &s.Failed, &s.Cancelled, &s.Attempts, &s.AttemptErrors, (*[]int32)(&s.Calls), (*[]int32)(&s.Orders))
	return s, err
}
