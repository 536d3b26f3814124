package audits

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// maxBegun is how often a run is begun: a run that ends the process each time, for want of memory perhaps, must not do so for ever.
const maxBegun = 3

// leftAfter is how long a command may be silent that says each second that it is there. Its run has failed then.
const leftAfter = time.Minute

// atWork is a run whose process may still note something. A command that was stopped for a while comes back to a run that has failed
// meanwhile, and goes on with it.
const atWork = `(state = 'running' OR made_by = 'command' AND state = 'failed')`

// begin takes the scheduler's open run, also one that another process has begun and not ended; nil when there is none. One that was begun
// too often fails.
func (s *Store) begin(ctx context.Context) (*Run, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	r, err := one(ctx, s.pool, `UPDATE audit_run SET state = 'running', begun = begun + 1, started_at = $1, done = 0, of_all = 0
		WHERE `+ofScheduler+` RETURNING `+brief, domain.NormalizeTime(s.now()))
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

// goesOn notes how far a run is, and that its command is there. It reports false when somebody has cancelled it.
func (s *Store) goesOn(ctx context.Context, id, done, of int64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	tag, err := s.pool.Exec(ctx, `UPDATE audit_run SET done = $2, of_all = $3, state = 'running', ended_at = NULL, error = NULL,
		seen_at = CASE made_by WHEN 'command' THEN now() END WHERE run_id = $1 AND `+atWork, id, done, of)
	if err != nil {
		return true, fmt.Errorf("noting how far run %d is: %w", id, err)
	}
	return tag.RowsAffected() > 0, nil
}

// finish keeps what a run has found.
func (s *Store) finish(ctx context.Context, id int64, r Result) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	_, err := s.pool.Exec(ctx, `UPDATE audit_run SET state = 'done', ended_at = $2, done = of_all, compared_at = $3, counts = $4, found = $5, found_by_kind = $6, findings = $7,
		error = NULL WHERE run_id = $1 AND `+atWork, id, domain.NormalizeTime(s.now()), r.At, r.Counts, r.Found, r.ByKind, r.Findings)
	return wrapped(err, fmt.Sprintf("keeping what run %d has found", id))
}

// fail keeps why a run could not tell.
func (s *Store) fail(ctx context.Context, id int64, why string) error {
	return s.end(ctx, id, Failed, why)
}

// end keeps that a run has ended without an answer, and why.
func (s *Store) end(ctx context.Context, id int64, as State, why string) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	_, err := s.pool.Exec(ctx, `UPDATE audit_run SET state = $3, ended_at = $2, error = $4 WHERE run_id = $1 AND `+atWork,
		id, domain.NormalizeTime(s.now()), as, why)
	return wrapped(err, fmt.Sprintf("keeping why run %d ended", id))
}

const leftBehind = "the command ended before it was done: it was killed, or its machine was lost"

// EndLeft ends the runs of commands that were killed, and reports how many commands are at work. Which is which shows by Postgres's clock
// alone.
func (s *Store) EndLeft(ctx context.Context) (atWork int, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	_, err = s.pool.Exec(ctx, `UPDATE audit_run SET state = 'failed', ended_at = greatest(started_at, seen_at), error = $1
		WHERE made_by = 'command' AND state = 'running' AND seen_at < now() - $2::interval`, leftBehind, leftAfter)
	if err == nil {
		err = s.pool.QueryRow(ctx, `SELECT count(*) FROM audit_run WHERE made_by = 'command' AND state = 'running'`).Scan(&atWork)
	}
	return atWork, wrapped(err, "looking for commands that were killed")
}

// Clean deletes runs that ended longer ago than Retention, but not the newest of a kind.
func (s *Store) Clean(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	_, err := s.pool.Exec(ctx, `DELETE FROM audit_run r WHERE ended_at < $1 AND EXISTS (SELECT FROM audit_run n WHERE n.kind = r.kind AND n.run_id > r.run_id)`,
		s.now().Add(-Retention))
	return wrapped(err, "deleting old runs")
}
