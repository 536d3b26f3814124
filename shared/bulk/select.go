package bulk

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/syncs"
)

// selectPage is how many orders are selected in one transaction.
const selectPage = 1000

// selectSome writes down the next orders of a job, and how far it has come, in one transaction. None of them gets the command before all
// are written down: what the job itself changes cannot be selected again.
func (r *Runner) selectSome(ctx context.Context, j Job) error {
	selected := int64(-1)
	err := postgres.InTx(ctx, r.pool, func(tx pgx.Tx) error {
		var raw []byte
		var place *string
		err := tx.QueryRow(ctx, `SELECT plan, place FROM bulk_job WHERE job_id = $1 AND state = 'selecting' FOR UPDATE`, j.ID).Scan(&raw, &place)
		if errors.Is(err, pgx.ErrNoRows) { // a person was first
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the plan: %w", err)
		}
		p, err := decodePlan(raw)
		if err != nil {
			return err
		}
		found, next, err := r.nextOf(ctx, tx, p, place)
		if err != nil {
			return err
		}
		if err := insertItems(ctx, tx, j.ID, found); err != nil {
			return err
		}
		selected, err = r.selected(ctx, tx, j.ID, next)
		return err
	})
	if err != nil {
		return fmt.Errorf("selecting orders of bulk job %d: %w", j.ID, err)
	}
	if selected >= 0 {
		r.log.Info("bulk job has selected its orders", "job_id", j.ID, "command", j.Command, "selected", selected)
	}
	return nil
}

// nextOf are the next orders of a plan, and the place after them; nil: there are no more.
func (r *Runner) nextOf(ctx context.Context, tx pgx.Tx, p Plan, place *string) (found []syncs.Sync, next *string, err error) {
	if p.Filter == nil {
		found, err = syncs.OfIDs(ctx, tx, p.SyncIDs, p.Source)
		return found, nil, err
	}
	f := selection(*p.Filter, r.page)
	if place != nil {
		if f.After, err = syncs.ParseCursor(*place, f.Sort); err != nil {
			return nil, nil, fmt.Errorf("reading the place %q: %w", *place, err)
		}
	}
	page, err := syncs.List(ctx, tx, f)
	if page.Next != nil {
		next = new(page.Next.String())
	}
	return page.Syncs, next, err
}

// insertItems writes orders down, behind those that are there. One that changed while pages were turned may come twice.
func insertItems(ctx context.Context, tx pgx.Tx, jobID int64, found []syncs.Sync) error {
	ids, sources, increments := make([]int64, len(found)), make([]string, len(found)), make([]string, len(found))
	for i, s := range found {
		ids[i], sources[i], increments[i] = s.SyncID, s.Source, s.OrderIncrementID
	}
	_, err := tx.Exec(ctx, `
		WITH added AS (
			INSERT INTO bulk_item (job_id, place, sync_id, source, order_increment_id)
			SELECT $1, j.selected + row_number() OVER (ORDER BY n.position), n.sync_id, n.source, n.order_increment_id
			FROM unnest($2::bigint[], $3::text[], $4::text[]) WITH ORDINALITY AS n (sync_id, source, order_increment_id, position)
			CROSS JOIN (SELECT selected FROM bulk_job WHERE job_id = $1) j
			WHERE NOT EXISTS (SELECT FROM bulk_item i WHERE i.job_id = $1 AND i.sync_id = n.sync_id)
			RETURNING 1
		) UPDATE bulk_job SET selected = selected + (SELECT count(*) FROM added) WHERE job_id = $1`, jobID, ids, sources, increments)
	if err != nil {
		return fmt.Errorf("writing %d orders down: %w", len(found), err)
	}
	return nil
}

// selected notes how far the selection has come. Once all are selected, the plan is forgotten, and it returns how many there are; else -1.
func (r *Runner) selected(ctx context.Context, tx pgx.Tx, jobID int64, next *string) (n int64, err error) {
	if next != nil {
		_, err = tx.Exec(ctx, `UPDATE bulk_job SET place = $2 WHERE job_id = $1`, jobID, next)
		return -1, err
	}
	err = tx.QueryRow(ctx, `UPDATE bulk_job SET plan = NULL, place = NULL, state = 'running', since = $2, changed_by = 'scheduler', why = NULL
		WHERE job_id = $1 RETURNING selected`, jobID, domain.NormalizeTime(r.now())).Scan(&n)
	return n, err
}
