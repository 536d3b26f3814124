package audits

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/run"
)

// progressInterval is how often it is noted how far a run is. A run that was cancelled stops within this.
const progressInterval = time.Second

// errCancelled ends the work of a run that somebody has cancelled.
var errCancelled = errors.New("the run was cancelled")

// couldNotTell is why a run failed, as it is kept.
func couldNotTell(err error) string {
	return fmt.Sprintf("could not tell: %s", domain.ReasonText.Fit(err.Error()))
}

// watch notes how far a run is while its work is done.
type watch struct {
	store    *Store
	interval time.Duration
	missed   func(id int64, err error) // told when it could not be noted
}

// over does a run's work, and ends it with errCancelled when somebody has cancelled the run. rest is called after each piece.
func (w watch) over(ctx context.Context, id int64, p Plan, work Work, rest func(context.Context)) (Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var done, of atomic.Int64
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		w.note(ctx, id, &done, &of, cancel)
	}()
	result, err := work(ctx, p, func(d, o int64) {
		done.Store(d)
		of.Store(o)
		rest(ctx)
	})
	if errors.Is(context.Cause(ctx), errCancelled) {
		err = errCancelled
	}
	cancel(nil)
	<-watched
	return result, err
}

// note notes how far a run is until ctx ends, and ends it when somebody has cancelled the run.
func (w watch) note(ctx context.Context, id int64, done, of *atomic.Int64, cancel context.CancelCauseFunc) {
	for {
		run.Sleep(ctx, w.interval)
		if ctx.Err() != nil {
			return
		}
		goesOn, err := w.store.goesOn(ctx, id, done.Load(), of.Load())
		if !goesOn {
			cancel(errCancelled)
			return
		}
		if err != nil && ctx.Err() == nil {
			w.missed(id, err)
		}
	}
}
