package audits

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// lastWords is how long the end of a command that was stopped may take to be noted.
const lastWords = 3 * time.Second

// RunHere carries a run out at once, in this process, as the commands do: without rests, and beside whatever else is under way. The run
// stands among the others. Where it cannot, as the role may only read, untold gets the reason, and the work is done all the same.
//
// It returns what work does. The error is another one when somebody has cancelled the run.
func (s *Store) RunHere(ctx context.Context, p Plan, by string, work Work, untold func(error)) (Result, error) {
	id, err := s.beginHere(ctx, p, by)
	if err != nil {
		untold(readable(err))
		return work(ctx, p, func(_, _ int64) {})
	}
	w := watch{store: s, interval: progressInterval, missed: func(int64, error) {}}
	result, err := w.over(ctx, id, p, work, func(context.Context) {})
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	noted := s.endHere(noting, id, by, result, err, ctx.Err() != nil)
	if errors.Is(err, errCancelled) {
		return result, s.whyCancelled(noting, id)
	}
	if noted != nil {
		untold(readable(noted))
	}
	return result, err
}

// whyCancelled says who has cancelled a run, and why.
func (s *Store) whyCancelled(ctx context.Context, id int64) error {
	if r, err := s.Get(ctx, id); err == nil && r.Error != nil {
		return errors.New(*r.Error)
	}
	return errCancelled
}

// beginHere writes a run that is under way. It takes Postgres's clock, as its liveness goes by that. Who leads is told, to look after it.
func (s *Store) beginHere(ctx context.Context, p Plan, by string) (id int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		r, err := one(ctx, tx, `INSERT INTO audit_run (kind, from_time, to_time, source, reason, asked_by, asked_at, state, started_at, begun, made_by, seen_at)
			VALUES ($1, $2, $3, $4, $5, $6, date_trunc('milliseconds', now()), 'running', date_trunc('milliseconds', now()), 1, 'command', now()) RETURNING `+brief,
			p.Kind, p.From, p.To, p.Source, p.Reason, domain.WhoText.Fit(by))
		if err != nil {
			return err
		}
		id = r.ID
		return tell(ctx, tx)
	})
	return id, err
}

// endHere keeps what became of the run. One that was cancelled says so already.
func (s *Store) endHere(ctx context.Context, id int64, by string, result Result, err error, stopped bool) error {
	switch {
	case errors.Is(err, errCancelled):
		return nil
	case stopped && err != nil:
		return s.end(ctx, id, Cancelled, fmt.Sprintf("%s stopped the command before it was done", domain.WhoText.Fit(by)))
	case err != nil:
		return s.fail(ctx, id, couldNotTell(err))
	}
	return s.finish(ctx, id, result)
}

// readable says of a right that is missing what is to be known of it, without the words of the database's driver.
func readable(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "42501" {
		return errors.New(refused.Message)
	}
	return err
}
