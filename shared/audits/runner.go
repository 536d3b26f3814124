package audits

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/erpconnector/erpconnector/shared/run"
)

// A run rests as long as it has worked, in pieces that are too short for an order to feel. So it takes at most half of one core, and
// half of what Postgres and Kafka would give it.
const (
	workPiece = 20 * time.Millisecond
	maxRest   = time.Second
)

// Work carries a run out. It calls progress now and then, with the offsets that it has read, and how many there are; a call may take as
// long as the work before it did. An error says that it could not tell.
type Work func(ctx context.Context, p Plan, progress func(done, of int64)) (Result, error)

// Works are how each kind of run is carried out.
type Works map[Kind]Work

// Runner carries runs out. One process at a time should: two would do the same run twice.
type Runner struct {
	store    *Store
	works    Works
	log      *slog.Logger
	noted    func(ctx context.Context, r Run) error
	interval time.Duration
}

// NewRunner makes a Runner that does nothing before Step. noted is told of each run that is done, before others can see that it is: it
// may be told of a run more than once.
func NewRunner(store *Store, works Works, log *slog.Logger, noted func(ctx context.Context, r Run) error) *Runner {
	return &Runner{store: store, works: works, log: log, noted: noted, interval: progressInterval}
}

// Step carries out the run that is open, if there is one; did reports whether there was. A run that is broken off, as ctx ends, stays
// open: the next one who leads begins it again.
func (r *Runner) Step(ctx context.Context) (did bool, err error) {
	next, err := r.store.begin(ctx)
	if err != nil || next == nil {
		return false, err
	}
	r.log.Info("run begun", "run_id", next.ID, "kind", next.Kind, "by", next.AskedBy, "begun", next.Begun)
	result, err := r.work(ctx, *next)
	if ctx.Err() != nil {
		return true, nil //nolint:nilerr // the next one goes on
	}
	return true, r.end(ctx, *next, result, err)
}

// work does a run's work, and notes meanwhile how far it is.
func (r *Runner) work(ctx context.Context, next Run) (Result, error) {
	w := watch{store: r.store, interval: r.interval, missed: func(id int64, err error) { // the run itself tells of a database that stays away
		r.log.Debug("how far a run is was not noted", "run_id", id, "error", err)
	}}
	return w.over(ctx, next.ID, next.Plan, r.works[next.Kind], newRests().take)
}

// end keeps what a run came to.
func (r *Runner) end(ctx context.Context, done Run, result Result, err error) error {
	switch {
	case errors.Is(err, errCancelled):
		r.log.Info("run cancelled", "run_id", done.ID, "kind", done.Kind)
		return nil
	case err != nil:
		r.log.Warn("run failed", "run_id", done.ID, "kind", done.Kind, "error", err)
		return r.store.fail(ctx, done.ID, couldNotTell(err))
	}
	done.Result = result
	if err := r.noted(ctx, done); err != nil {
		return err
	}
	r.log.Info("run done", "run_id", done.ID, "kind", done.Kind, "found", result.Found)
	return r.store.finish(ctx, done.ID, result)
}

// rests lets a run rest as long as it has worked.
type rests struct {
	since time.Time
	now   func() time.Time
	sleep func(ctx context.Context, d time.Duration) bool
}

func newRests() *rests {
	return &rests{since: time.Now(), now: time.Now, sleep: run.Sleep}
}

// take rests, when enough was done since the last rest.
func (r *rests) take(ctx context.Context) {
	worked := r.now().Sub(r.since)
	if worked < workPiece {
		return
	}
	r.sleep(ctx, min(worked, maxRest))
	r.since = r.now()
}
