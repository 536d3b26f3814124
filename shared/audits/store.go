// Package audits keeps runs of `audit` and `verify`. Those that somebody has asked for, and those of the setting audit_interval, it carries
// out one at a time (runner.go). The commands carry theirs out by themselves (command.go).
//
// An example:
//
//	run, err := audits.NewStore(pool).Start(ctx, audits.Plan{Kind: audits.Audit, Reason: "after the move"}, "jane")
//	// run.State is queued; the scheduler was told, and its Runner begins it
//	run, err = store.Get(ctx, run.ID)
//	// run.State is done; run.Found 1, run.Findings row_not_in_kafka of order 000000124
//
// Whoever waits for runs listens to Channel, so nobody asks for them again and again.
package audits

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// Channel is where Postgres tells that a run was asked for, or cancelled.
const Channel = "erp_audit_run"

const queryTimeout = 10 * time.Second

// Errors of runs.
var (
	ErrUnknown = errors.New("there is no such run")
	ErrOpen    = errors.New("another run is under way")
	ErrEnded   = errors.New("the run has ended already")
)

// Store keeps runs.
type Store struct {
	pool *pgxpool.Pool
	now  func() time.Time
}

// NewStore makes a Store.
func NewStore(pool *pgxpool.Pool) *Store { return &Store{pool: pool, now: time.Now} }

// brief are a Run's columns without its findings, in the order of scan.
const brief = `run_id, kind, from_time, to_time, source, reason, asked_by, asked_at, state, started_at, begun, ended_at, done, of_all, error,
	compared_at, counts, found, found_by_kind, made_by`

// ofScheduler is the run that the scheduler is to make, or is making: one at a time.
const ofScheduler = `made_by = 'scheduler' AND state IN ('queued', 'running')`

// whole are all.
const whole = brief + `, findings`

// scan reads a row of brief or of whole.
func scan(row pgx.CollectableRow) (r Run, err error) {
	into := []any{
		&r.ID, &r.Kind, &r.From, &r.To, &r.Source, &r.Reason, &r.AskedBy, &r.AskedAt, &r.State, &r.StartedAt, &r.Begun, &r.EndedAt, &r.Done, &r.Of, &r.Error,
		&r.At, &r.Counts, &r.Found, &r.ByKind, &r.MadeBy, &r.Findings,
	}
	return r, row.Scan(into[:len(row.FieldDescriptions())]...)
}

// one reads the one run that a query returns; pgx.ErrNoRows when there is none.
func one(ctx context.Context, q postgres.Querier, query string, args ...any) (Run, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return Run{}, err
	}
	return pgx.CollectExactlyOneRow(rows, scan)
}

// Start asks the scheduler for a run. While another one of the scheduler is open it returns ErrOpen, and that one.
func (s *Store) Start(ctx context.Context, p Plan, by string) (r Run, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) (err error) {
		r, err = one(ctx, tx, `INSERT INTO audit_run (kind, from_time, to_time, source, reason, asked_by, asked_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT DO NOTHING RETURNING `+brief, p.Kind, p.From, p.To, p.Source, p.Reason, domain.WhoText.Fit(by), domain.NormalizeTime(s.now()))
		if err != nil {
			return err
		}
		return tell(ctx, tx)
	})
	if !errors.Is(err, pgx.ErrNoRows) {
		return r, wrapped(err, "asking for a run")
	}
	r, err = one(ctx, s.pool, `SELECT `+brief+` FROM audit_run WHERE `+ofScheduler)
	if err == nil || errors.Is(err, pgx.ErrNoRows) { // it has ended in between: asked once more, it is taken
		return r, ErrOpen
	}
	return r, wrapped(err, "reading the run that is under way")
}

// tell wakes whoever listens, once the transaction has committed.
func tell(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `SELECT pg_notify($1, '')`, Channel)
	return err
}

// wrapped says what was being done, where something went wrong.
func wrapped(err error, doing string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// Get reads a run with its findings. It returns ErrUnknown when there is none.
func (s *Store) Get(ctx context.Context, id int64) (Run, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	r, err := one(ctx, s.pool, `SELECT `+whole+` FROM audit_run WHERE run_id = $1`, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, ErrUnknown
	}
	return r, wrapped(err, fmt.Sprintf("reading run %d", id))
}

// Listing says which runs are asked for.
type Listing struct {
	Kind   Kind  // empty: any
	Before int64 // only runs with a lower id; 0: all
	Limit  int   // above 0
}

// List reads runs without their findings, the newest first. more reports whether the limit left others out.
func (s *Store) List(ctx context.Context, l Listing) (runs []Run, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := s.pool.Query(ctx, `SELECT `+brief+` FROM audit_run WHERE ($1 = '' OR kind = $1) AND ($2 = 0 OR run_id < $2) ORDER BY run_id DESC LIMIT $3`,
		l.Kind, l.Before, l.Limit+1)
	if err == nil {
		runs, err = pgx.CollectRows(rows, scan)
	}
	if err != nil {
		return nil, false, fmt.Errorf("listing runs: %w", err)
	}
	if len(runs) > l.Limit {
		return runs[:l.Limit], true, nil
	}
	return runs, false, nil
}

// NotDone counts the scheduler's runs of a kind that could not tell since a run of it could, and reads the newest of them.
func (s *Store) NotDone(ctx context.Context, k Kind) (newest Run, n int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := s.pool.Query(ctx, `SELECT `+brief+` FROM audit_run WHERE kind = $1 AND made_by = 'scheduler' AND state = 'failed'
		AND run_id > coalesce((SELECT max(run_id) FROM audit_run WHERE kind = $1 AND state = 'done'), 0) ORDER BY run_id DESC`, k)
	var runs []Run
	if err == nil {
		runs, err = pgx.CollectRows(rows, scan)
	}
	if err != nil || len(runs) == 0 {
		return Run{}, 0, wrapped(err, "looking for runs that could not tell")
	}
	return runs[0], int64(len(runs)), nil
}

// Cancel ends a run that is open; what it has found by then is lost. It returns ErrUnknown, and ErrEnded with the run.
func (s *Store) Cancel(ctx context.Context, id int64, by, why string) (r Run, err error) {
	query, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	said := fmt.Sprintf("cancelled by %s", domain.WhoText.Fit(by))
	if why != "" {
		said += ": " + why
	}
	err = postgres.InTx(query, s.pool, func(tx pgx.Tx) (err error) {
		r, err = one(query, tx, `UPDATE audit_run SET state = 'cancelled', ended_at = $2, error = $3 WHERE run_id = $1 AND state IN ('queued', 'running')
			RETURNING `+whole, id, domain.NormalizeTime(s.now()), said)
		if err != nil {
			return err
		}
		return tell(query, tx)
	})
	if !errors.Is(err, pgx.ErrNoRows) {
		return r, wrapped(err, fmt.Sprintf("cancelling run %d", id))
	}
	if r, err = s.Get(ctx, id); err == nil {
		err = ErrEnded
	}
	return r, err
}
