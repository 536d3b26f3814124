package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/failpoint"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// runPage is how many orders of a run share a transaction: as many as of a batch of events.
const runPage = 1000

// errRunByOther means that another process has made the run.
var errRunByOther = errors.New("the run has been made by another process")

// cronRun is one run of the cron. Its name in cron_run is the schedule, so that the times of another schedule do not count for it.
//
// It is noted in the transaction that releases its first orders. So a crash undoes a run of up to runPage orders as a whole, and the
// run is made again. Of a larger one, the orders that were not released wait for the next run. No run is made twice.
type cronRun struct {
	name  string
	dueAt time.Time
}

// limitOf is how many orders a run may release. A batch of 0 stands for all that wait when it begins. Later ones wait for the next run,
// so that this one ends. A run without orders is noted too.
func limitOf(ctx context.Context, o *orders.Orders, cronBatch int) (int, error) {
	if cronBatch > 0 {
		return cronBatch, nil
	}
	counts, err := o.Held(ctx)
	return max(1, counts[domain.HeldByCron]), err
}

// make releases up to limit orders that wait for the cron, in the order of arrival.
func (r cronRun) make(ctx context.Context, o *orders.Orders, limit int, now time.Time) (total int, err error) {
	return release(ctx, o, limit, "cron", func(ctx context.Context, tx pgx.Tx, first bool, n int) error {
		if first {
			return r.begin(ctx, tx, n, now)
		}
		return r.goOn(ctx, tx, n)
	})
}

// release releases up to limit orders in pages; note is part of each page's transaction.
func release(ctx context.Context, o *orders.Orders, limit int, cause string,
	note func(ctx context.Context, tx pgx.Tx, first bool, n int) error,
) (total int, err error) {
	for first := true; total < limit; first = false {
		n, err := o.Release(ctx, orders.Releasing{
			HeldBy: domain.HeldByCron, Limit: min(runPage, limit-total), Cause: cause,
			InTx: func(ctx context.Context, tx pgx.Tx, n int) error { return note(ctx, tx, first, n) },
		})
		if err != nil {
			return total, err
		}
		failpoint.Hit("scheduler.after_commit")
		total += n
		if n == 0 {
			break
		}
	}
	return total, nil
}

// begin notes the run, unless somebody has noted it before.
func (r cronRun) begin(ctx context.Context, tx pgx.Tx, n int, now time.Time) error {
	tag, err := tx.Exec(ctx, `UPDATE cron_run SET due_at = $2, ran_at = $3, released = $4 WHERE name = $1 AND due_at < $2`, r.name, r.dueAt, now, n)
	if err != nil {
		return fmt.Errorf("noting the run of %s: %w", r.dueAt, err)
	}
	if tag.RowsAffected() == 0 {
		return errRunByOther
	}
	return nil
}

func (r cronRun) goOn(ctx context.Context, tx pgx.Tx, n int) error {
	_, err := tx.Exec(ctx, `UPDATE cron_run SET released = released + $3 WHERE name = $1 AND due_at = $2`, r.name, r.dueAt, n)
	if err != nil {
		return fmt.Errorf("noting the run of %s: %w", r.dueAt, err)
	}
	return nil
}

// pass notes the run as done without making it.
func (r cronRun) pass(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, `UPDATE cron_run SET due_at = $2 WHERE name = $1 AND due_at < $2`, r.name, r.dueAt)
	if err != nil {
		return fmt.Errorf("passing the run of %s by: %w", r.dueAt, err)
	}
	return nil
}

// lastRun is the scheduled time up to which the runs of a schedule are done, and when the last one was made. A new schedule has missed
// nothing: all its past times are done. The schedule before it is forgotten.
func lastRun(ctx context.Context, pool *pgxpool.Pool, name string, now time.Time) (dueAt, ranAt time.Time, err error) {
	const read = `SELECT due_at, ran_at FROM cron_run WHERE name = $1`
	err = pool.QueryRow(ctx, read, name).Scan(&dueAt, &ranAt)
	if errors.Is(err, pgx.ErrNoRows) {
		err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO cron_run (name, due_at, ran_at, released)
				VALUES ($1, $2, coalesce((SELECT max(ran_at) FROM cron_run), $2), 0) ON CONFLICT (name) DO NOTHING`, name, now)
			if err == nil {
				_, err = tx.Exec(ctx, `DELETE FROM cron_run WHERE name <> $1`, name)
			}
			if err != nil {
				return err
			}
			return tx.QueryRow(ctx, read, name).Scan(&dueAt, &ranAt)
		})
	}
	if err != nil {
		return dueAt, ranAt, fmt.Errorf("reading when the cron ran last: %w", err)
	}
	return dueAt, ranAt, nil
}

// RunNow makes one run of the cron by hand, also when none is due or the cron is off. It does not change the schedule. It returns how
// many orders were released, and how many still wait for the cron. While the connector is off it releases none and returns
// orders.ErrDisabled.
func RunNow(ctx context.Context, pool *pgxpool.Pool, settings setting.Reader) (total, waiting int, err error) {
	o := orders.New(pool, settings)
	limit, err := limitOf(ctx, o, settings.Current().CronBatch)
	if err != nil {
		return 0, 0, err
	}
	total, err = release(ctx, o, limit, "cron by hand",
		func(context.Context, pgx.Tx, bool, int) error { return nil })
	if err != nil {
		return total, 0, err
	}
	counts, err := o.Held(ctx)
	return total, counts[domain.HeldByCron], err
}
