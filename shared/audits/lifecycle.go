package audits

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// maxBegun is how often a run is begun: a run that ends the process each time, for want of memory perhaps, must not do so for ever.
const maxBegun = 3

// begin takes the open run, also one that another process has begun and not ended; nil when there is none. One that was begun too often
// fails.
func (s *Store) begin(ctx context.Context) (*Run, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	r, err := one(ctx, s.pool, `UPDATE audit_run SET state = 'running', begun = begun + 1, started_at = $1, done = 0, of_all = 0
		WHERE state IN ('queued', 'running') RETURNING `+brief, domain.NormalizeTime(s.now()))
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for a run to begin: %w", err)
	}
	if r.Begun <= maxBegun {
		return &r, nil
	}
	return nil, s.fail(ctx, r.ID, fmt.Sprintf("the process that ran it ended before it was done, %d times: look into the scheduler's log and at its memory, then ask again", maxBegun))
}

// goesOn notes how far a run is. It reports false when somebody has cancelled it.
func (s *Store) goesOn(ctx context.Context, id, done, of int64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	tag, err := s.pool.Exec(ctx, `UPDATE audit_run SET done = $2, of_all = $3 WHERE run_id = $1 AND state = 'running'`, id, done, of)
	if err != nil {
		return true, fmt.Errorf("noting how far run %d is: %w", id, err)
	}
	return tag.RowsAffected() > 0, nil
}

// finish keeps what a run has found.
func (s *Store) finish(ctx context.Context, id int64, r Result) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	_, err := s.pool.Exec(ctx, `UPDATE audit_run SET state = 'done', ended_at = $2, done = of_all, compared_at = $3, counts = $4, found = $5, found_by_kind = $6, findings = $7
		WHERE run_id = $1 AND state = 'running'`, id, domain.NormalizeTime(s.now()), r.At, r.Counts, r.Found, r.ByKind, r.Findings)
	return wrapped(err, fmt.Sprintf("keeping what run %d has found", id))
}

// fail keeps why a run could not tell.
func (s *Store) fail(ctx context.Context, id int64, why string) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	_, err := s.pool.Exec(ctx, `UPDATE audit_run SET state = 'failed', ended_at = $2, error = $3 WHERE run_id = $1 AND state = 'running'`,
		id, domain.NormalizeTime(s.now()), why)
	return wrapped(err, fmt.Sprintf("keeping why run %d failed", id))
}

// clean deletes runs that ended longer ago than Retention, but not the newest of a kind.
func (s *Store) clean(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	_, err := s.pool.Exec(ctx, `DELETE FROM audit_run r WHERE ended_at < $1 AND EXISTS (SELECT FROM audit_run n WHERE n.kind = r.kind AND n.run_id > r.run_id)`,
		s.now().Add(-Retention))
	return wrapped(err, "deleting old runs")
}
