package bulk

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// Get reads a job. It returns ErrUnknown when there is none.
func (s *Store) Get(ctx context.Context, id int64) (j Job, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := s.pool.Query(ctx, `SELECT `+columns+` FROM bulk_job WHERE job_id = $1`, id)
	if err == nil {
		j, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Job])
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return j, ErrUnknown
	}
	if err != nil {
		return j, fmt.Errorf("reading bulk job %d: %w", id, err)
	}
	return j, nil
}

// Listing says which jobs are asked for.
type Listing struct {
	Source string // only jobs about this shop alone; empty: all
	State  State  // empty: any
	Before int64  // only jobs with a lower id; 0: all
	Limit  int    // above 0
}

// List reads jobs, the newest first. more reports whether the limit left others out.
func (s *Store) List(ctx context.Context, l Listing) (jobs []Job, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := s.pool.Query(ctx, `SELECT `+columns+` FROM bulk_job
		WHERE ($1 = '' OR source = $1) AND ($2 = '' OR state = $2) AND ($3 = 0 OR job_id < $3) ORDER BY job_id DESC LIMIT $4`, l.Source, l.State, l.Before, l.Limit+1)
	if err == nil {
		jobs, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Job])
	}
	if err != nil {
		return nil, false, fmt.Errorf("listing bulk jobs: %w", err)
	}
	if len(jobs) > l.Limit {
		return jobs[:l.Limit], true, nil
	}
	return jobs, false, nil
}

// Change is what a person does to a job.
type Change string

// The changes.
const (
	Pause  Change = "pause"  // no further order gets the command, until it is resumed
	Resume Change = "resume" // a canary that has failed no longer counts
	Stop   Change = "stop"   // no further order ever gets it
)

// changes say what a change sets, in which states. In the others it is refused, but for the state that it would lead to.
var changes = map[Change]struct{ set, in string }{
	Pause:  {`state = 'paused'`, `'selecting', 'running'`},
	Resume: {`state = CASE WHEN plan IS NULL THEN 'running' ELSE 'selecting' END, canary_is = CASE canary_is WHEN 'failed' THEN 'waived' ELSE canary_is END`, `'paused'`},
	Stop:   {`state = 'stopped', plan = NULL, ended_at = $2`, `'selecting', 'running', 'paused'`},
}

// isDone reports whether a job is as the change would make it.
func (c Change) isDone(s State) bool {
	switch c {
	case Pause:
		return s == Paused
	case Resume:
		return s == Selecting || s == Running
	default:
		return s == Stopped
	}
}

// Change changes a job's state. Once it has returned, no further order gets the command of a job that was paused or stopped; those that
// are under way go on to their ends. It returns ErrUnknown, and a *StateError when the job has ended.
func (s *Store) Change(ctx context.Context, id int64, c Change, by, why string) (j Job, err error) {
	query, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	change := changes[c]
	rows, err := s.pool.Query(query, `UPDATE bulk_job SET `+change.set+`, since = $2, changed_by = $3, why = nullif($4, ''), done_then = succeeded + failed + refused
		WHERE job_id = $1 AND state IN (`+change.in+`) RETURNING `+columns, id, domain.NormalizeTime(s.now()), domain.WhoText.Fit(by), why)
	if err == nil {
		j, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Job])
	}
	switch {
	case err == nil:
		return j, nil
	case !errors.Is(err, pgx.ErrNoRows):
		return j, fmt.Errorf("changing bulk job %d: %w", id, err)
	}
	if j, err = s.Get(ctx, id); err == nil && !c.isDone(j.State) {
		err = &StateError{j}
	}
	return j, err
}
