package bulk

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// Item is what became of one order in a job.
type Item struct {
	Place            int64
	SyncID           int64
	Source           string
	OrderIncrementID string
	Result           Result
	Code             *string        // of a refusal, or "superseded"; nil: none
	Generation       *int           // that the command has made, or found under way
	Status           *domain.Status // of the order, now
	LastError        *string        // of the order, now
}

// Results reads a part of a job's orders, by their places, after one. result empty: all.
func (s *Store) Results(ctx context.Context, id, after int64, result Result, limit int) ([]Item, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	const read = `
		SELECT i.place, i.sync_id, i.source, i.order_increment_id, i.result, i.code, i.generation, v.status, v.last_error
		FROM (SELECT * FROM bulk_item WHERE job_id = $1 AND place > $2 %s ORDER BY place LIMIT $3) i
		LEFT JOIN LATERAL (SELECT * FROM vendor_erp_sync v WHERE v.sync_id = i.sync_id LIMIT 1) v ON true ORDER BY i.place`
	args, where := []any{id, after, limit}, ""
	if result != "" {
		where, args = "AND result = $4", append(args, result)
	}
	rows, err := s.pool.Query(ctx, fmt.Sprintf(read, where), args...)
	if err != nil {
		return nil, fmt.Errorf("reading the results of bulk job %d: %w", id, err)
	}
	items, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Item])
	if err != nil {
		return nil, fmt.Errorf("reading the results of bulk job %d: %w", id, err)
	}
	return items, nil
}

// Retention is how long a job that has ended is kept, with what became of its orders.
const Retention = 90 * 24 * time.Hour

// Clean deletes previews that nobody may start any more, and jobs that ended before a time, with at most so many of their orders: when
// deleted is the limit, there may be more. A job whose orders are under way is kept.
func (s *Store) Clean(ctx context.Context, before time.Time, limit int) (deleted int64, err error) {
	if _, err := s.pool.Exec(ctx, `DELETE FROM bulk_preview WHERE expires_at < $1`, s.now()); err != nil {
		return 0, fmt.Errorf("deleting old previews: %w", err)
	}
	tag, err := s.pool.Exec(ctx, `
		DELETE FROM bulk_item WHERE (job_id, place) IN (
			SELECT i.job_id, i.place FROM (SELECT job_id FROM bulk_job WHERE ended_at < $1 AND sent = 0 ORDER BY ended_at LIMIT 100) j
			CROSS JOIN LATERAL (SELECT job_id, place FROM bulk_item i WHERE i.job_id = j.job_id LIMIT $2) i LIMIT $2)`, before, limit)
	if err != nil {
		return 0, fmt.Errorf("deleting the orders of old bulk jobs: %w", err)
	}
	if deleted = tag.RowsAffected(); deleted == int64(limit) {
		return deleted, nil
	}
	_, err = s.pool.Exec(ctx, `DELETE FROM bulk_job j WHERE ended_at < $1 AND sent = 0 AND NOT EXISTS (SELECT FROM bulk_item i WHERE i.job_id = j.job_id)`, before)
	if err != nil {
		return deleted, fmt.Errorf("deleting old bulk jobs: %w", err)
	}
	return deleted, nil
}
