package bulk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/failpoint"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// Of all jobs together, so many orders are on their way to the ERP at once. A new order of a shop waits behind these at most. Those that
// wait for a retry do not count among them, and have a bound of their own: they all may come due at one time.
const (
	maxUnderWay = 100
	maxParked   = 1000
)

// Runner carries jobs out. One process at a time should: two would send more at once than they may, but never an order twice.
type Runner struct {
	pool     *pgxpool.Pool
	orders   *orders.Orders
	settings setting.Reader
	log      *slog.Logger
	now      func() time.Time
	observe  func(Command, Result, int)

	underWay, parked, page int // bounds
}

// NewRunner makes a Runner that does nothing before Step. observe is told of orders that have come to their end.
func NewRunner(pool *pgxpool.Pool, settings setting.Reader, log *slog.Logger, observe func(Command, Result, int)) *Runner {
	return &Runner{
		pool: pool, orders: orders.New(pool, settings), settings: settings, log: log, now: time.Now, observe: observe,
		underWay: maxUnderWay, parked: maxParked, page: selectPage,
	}
}

// Step is what there was to do.
type Step struct {
	Jobs int  // that are selecting or running
	Ends bool // orders of some job are under way, so that ends are to be seen
	More bool // there is more to do at once
}

// Step does some of the work: it selects a page of orders, notes which ones have ended, and gives the command to some. It may be broken off
// at any time.
func (r *Runner) Step(ctx context.Context) (s Step, err error) {
	jobs, err := r.active(ctx)
	if err != nil {
		return s, err
	}
	var running []Job
	for _, j := range jobs {
		goesOn, failed := r.prepare(ctx, &j, &s)
		err = errors.Join(err, failed) // a job that fails does not keep the others
		if goesOn {
			running = append(running, j)
		}
	}
	if len(running) == 0 {
		return s, err
	}
	more, failed := r.feed(ctx, running)
	s.More = s.More || more
	return s, errors.Join(err, failed)
}

// prepare does what a job needs before orders get its command; goesOn is false when none is to get it now.
func (r *Runner) prepare(ctx context.Context, j *Job, s *Step) (goesOn bool, err error) {
	if j.State == Selecting {
		s.Jobs++
		s.More = true
		return false, r.selectSome(ctx, *j)
	}
	if j.Sent > 0 {
		s.Ends = true
		if *j, err = r.noteEnds(ctx, *j); err != nil {
			return false, err
		}
	}
	if j.State != Running {
		return false, nil
	}
	s.Jobs++
	goesOn, err = r.move(ctx, j)
	return goesOn && r.maySend(*j), err
}

// active are the jobs that something is to be done about, the oldest first.
func (r *Runner) active(ctx context.Context) ([]Job, error) {
	rows, err := r.pool.Query(ctx, `SELECT `+columns+` FROM bulk_job WHERE state IN ('selecting', 'running', 'paused') OR sent > 0 ORDER BY job_id`)
	if err != nil {
		return nil, fmt.Errorf("looking for bulk jobs: %w", err)
	}
	jobs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Job])
	if err != nil {
		return nil, fmt.Errorf("looking for bulk jobs: %w", err)
	}
	return jobs, nil
}

// maySend is false while the connector is off, for commands that send: the job waits, and uses up no order.
func (r *Runner) maySend(j Job) bool {
	return r.settings.Current().Enabled || !j.request().NeedsConnector()
}

// move ends a job, or takes it past its canary; goesOn is false when no orders are to go out now.
func (r *Runner) move(ctx context.Context, j *Job) (goesOn bool, err error) {
	switch {
	case j.Waiting() == 0 && j.Sent == 0:
		err = r.set(ctx, j, `state = 'done', ended_at = $2`, "all orders have come to their end")
	case j.Waiting() == 0: // what is under way comes to its end
	case j.CanaryIs == CanaryOpen && j.Failed > 0:
		err = r.set(ctx, j, `state = 'paused', canary_is = 'failed'`, fmt.Sprintf(
			"of the %d orders that must succeed first, %d failed; look at the results, then resume or stop the job", j.Canary, j.Failed))
	case j.CanaryIs == CanaryOpen && j.Succeeded >= int64(j.Canary):
		err = r.set(ctx, j, `canary_is = 'passed'`, fmt.Sprintf("the %d orders that must succeed first have succeeded", j.Canary))
		goesOn = true
	default:
		goesOn = true
	}
	return goesOn, err
}

// set changes a running job. Where a person was first, nothing is changed.
func (r *Runner) set(ctx context.Context, j *Job, to, why string) error {
	err := r.pool.QueryRow(ctx, `UPDATE bulk_job SET `+to+`, since = $2, changed_by = 'scheduler', why = $3, done_then = succeeded + failed + refused
		WHERE job_id = $1 AND state = 'running' RETURNING state, canary_is`, j.ID, domain.NormalizeTime(r.now()), why).Scan(&j.State, &j.CanaryIs)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("changing bulk job %d: %w", j.ID, err)
	}
	r.log.Info("bulk job changed", "job_id", j.ID, "command", j.Command, "state", j.State, "canary", j.CanaryIs, "by", "scheduler",
		"selected", j.Selected, "succeeded", j.Succeeded, "failed", j.Failed, "refused", j.Refused)
	return nil
}

// endsQuery notes which orders have ended: the projection shows the end of the generation that the command made, or a newer one.
const endsQuery = `
WITH ended AS (
	SELECT i.place, CASE WHEN v.generation = i.generation AND v.status = 'success' THEN 'succeeded' ELSE 'failed' END AS result,
		CASE WHEN v.generation > i.generation THEN 'superseded' END AS code
	FROM bulk_item i CROSS JOIN LATERAL (SELECT * FROM vendor_erp_sync v WHERE v.sync_id = i.sync_id LIMIT 1) v
	WHERE i.job_id = $1 AND i.result = 'sent' AND (v.generation > i.generation OR v.generation = i.generation AND v.status IN ('success', 'failed'))
), noted AS (
	UPDATE bulk_item i SET result = e.result, code = e.code FROM ended e WHERE i.job_id = $1 AND i.place = e.place AND i.result = 'sent' RETURNING i.result
), n AS (
	SELECT count(*) AS ends, count(*) FILTER (WHERE result = 'succeeded') AS good FROM noted
)
UPDATE bulk_job SET sent = sent - ends, succeeded = succeeded + good, failed = failed + ends - good FROM n WHERE job_id = $1
RETURNING ` + columns

// noteEnds returns the job with the ends that it has noted.
func (r *Runner) noteEnds(ctx context.Context, before Job) (j Job, err error) {
	rows, err := r.pool.Query(ctx, endsQuery, before.ID)
	if err == nil {
		j, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Job])
	}
	if err != nil {
		return before, fmt.Errorf("looking for what orders of bulk job %d came to: %w", before.ID, err)
	}
	for result, n := range map[Result]int64{Succeeded: j.Succeeded - before.Succeeded, Failed: j.Failed - before.Failed} {
		if n > 0 {
			r.observe(j.Command, result, int(n))
		}
	}
	return j, nil
}

// feed gives the command to some orders of each job: to as many as may be under way, in equal parts. more reports whether others wait that
// could get it at once.
func (r *Runner) feed(ctx context.Context, jobs []Job) (more bool, err error) {
	free, err := r.free(ctx)
	for i, j := range jobs {
		if err != nil || free <= 0 {
			return false, err
		}
		share := (free + len(jobs) - i - 1) / (len(jobs) - i)
		if left := j.canaryLeft(); left >= 0 {
			share = min(share, left)
		}
		given, sent, err := r.give(ctx, j, share)
		if err != nil {
			return false, err
		}
		free -= sent
		more = more || given > sent
	}
	return more, nil
}

// free is how many orders more may be under way. Those of jobs that were paused or stopped count until they have ended.
func (r *Runner) free(ctx context.Context) (n int, err error) {
	var near, parked int
	err = r.pool.QueryRow(ctx, `
		SELECT count(*) FILTER (WHERE NOT parked)::int, count(*) FILTER (WHERE parked)::int
		FROM bulk_job j CROSS JOIN LATERAL (SELECT * FROM bulk_item i WHERE i.job_id = j.job_id AND i.result = 'sent') i
		LEFT JOIN LATERAL (SELECT v.generation = i.generation AND v.status = 'queued' AND v.next_attempt_at > $1 AS is FROM vendor_erp_sync v WHERE v.sync_id = i.sync_id) v ON true
		CROSS JOIN LATERAL (SELECT coalesce(v.is, false) AS parked) p
		WHERE j.state IN ('selecting', 'running', 'paused') OR j.sent > 0`, r.now()).Scan(&near, &parked)
	if err != nil {
		return 0, fmt.Errorf("counting orders of bulk jobs: %w", err)
	}
	if parked >= r.parked {
		return 0, nil
	}
	return r.underWay - near, nil
}

// item is an order of a job.
type item struct {
	Place  int64
	Source string
	Order  string
}

// give gives the command to so many orders; sent is how many are under way by it.
func (r *Runner) give(ctx context.Context, j Job, limit int) (given, sent int, err error) {
	rows, err := r.pool.Query(ctx, `SELECT place, source, order_increment_id FROM bulk_item WHERE job_id = $1 AND result = 'waiting' ORDER BY place LIMIT $2`, j.ID, limit)
	if err != nil {
		return 0, 0, fmt.Errorf("reading orders of bulk job %d: %w", j.ID, err)
	}
	items, err := pgx.CollectRows(rows, pgx.RowToStructByPos[item])
	if err != nil {
		return 0, 0, fmt.Errorf("reading orders of bulk job %d: %w", j.ID, err)
	}
	for _, it := range items {
		result, err := r.command(ctx, j, it)
		switch {
		case errors.Is(err, errTaken): // by another process, which still believed that the lease was its own
			continue
		case errors.Is(err, errHalted) || errors.Is(err, orders.ErrDisabled):
			return given, sent, nil
		case err != nil:
			return given, sent, err
		}
		given++
		if result == Sent {
			sent++
		} else {
			r.observe(j.Command, result, 1)
		}
	}
	return given, sent, nil
}

var (
	errTaken  = errors.New("the order has got the command already")
	errHalted = errors.New("the job does not run, or its canary is full")
)

// command gives the command to one order. The note that the order has got it is a part of the command's transaction.
func (r *Runner) command(ctx context.Context, j Job, it item) (result Result, err error) {
	failpoint.Hit("bulk.before_command")
	_, err = r.orders.Do(ctx, orders.Command{
		Ref: domain.OrderRef{Source: it.Source, IncrementID: it.Order}, Request: j.request(), Who: j.CreatedBy, Reason: j.reason(),
		InTx: func(ctx context.Context, tx pgx.Tx, done orders.Result) error {
			var code *string
			result, code = resultOf(done)
			return note(ctx, tx, j.ID, it.Place, result, done.Gate.Generation, code)
		},
	})
	if err != nil && postgres.IsAboutData(err) { // it would fail each time, and keep the job from the others
		result = Refused
		err = pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
			return note(ctx, tx, j.ID, it.Place, Refused, 0, new("not_possible"))
		})
	}
	failpoint.Hit("bulk.after_command")
	return result, err
}

// reason is what stands in the order's log.
func (j Job) reason() string {
	if j.Reason == "" {
		return fmt.Sprintf("bulk job %d", j.ID)
	}
	return fmt.Sprintf("bulk job %d: %s", j.ID, j.Reason)
}

// resultOf is what a command's result means in a job, with the code of a refusal. A settlement is the order's end.
func resultOf(done orders.Result) (result Result, code *string) {
	switch done.Action {
	case domain.RefuseNotFound:
		return Refused, new("order_not_found")
	case domain.RefuseConflict:
		return Refused, new("order_" + string(done.State))
	case domain.ActSettle:
		return Succeeded, nil
	default:
		return Sent, nil
	}
}

// note notes that an order has got the command. It undoes the command when the order had got it, when the job no longer runs, and when the
// canary is full. Once a job's row says that it is paused, no such transaction commits any more.
func note(ctx context.Context, tx pgx.Tx, jobID, place int64, result Result, generation int, code *string) error {
	tag, err := tx.Exec(ctx, `UPDATE bulk_item SET result = $3, generation = nullif($4, 0), code = $5 WHERE job_id = $1 AND place = $2 AND result = 'waiting'`,
		jobID, place, result, generation, code)
	if err != nil {
		return fmt.Errorf("noting what became of an order: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return errTaken
	}
	tag, err = tx.Exec(ctx, `
		UPDATE bulk_job SET sent = sent + ($2 = 'sent')::int, succeeded = succeeded + ($2 = 'succeeded')::int, refused = refused + ($2 = 'refused')::int
		WHERE job_id = $1 AND state = 'running' AND (canary_is <> 'open' OR sent + succeeded + failed < canary)`, jobID, result)
	if err != nil {
		return fmt.Errorf("noting what became of an order: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return errHalted
	}
	return nil
}
