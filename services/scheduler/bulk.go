package scheduler

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/bulk"
	"github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/setting"
)

const (
	bulkInterval     = 200 * time.Millisecond // between two steps of the bulk jobs that run
	bulkEndsInterval = time.Second            // while none runs, but orders of one are under way
	bulkIdleInterval = time.Second            // a job that was started begins within this
	bulkTimeout      = time.Minute            // of one step
	bulkItems        = 5_000                  // orders of old jobs that are deleted at once
)

// bulkJobs carries bulk jobs out, and deletes old ones.
type bulkJobs struct {
	runner *bulk.Runner
	store  *bulk.Store
	log    *slog.Logger

	cleanAt          time.Time
	stepping, tidies run.Outage
}

func newBulkJobs(pool *pgxpool.Pool, settings setting.Reader, log *slog.Logger) *bulkJobs {
	observe := func(c bulk.Command, r bulk.Result, n int) {
		bulkOrders.WithLabelValues(string(c), string(r)).Add(float64(n))
	}
	return &bulkJobs{
		runner: bulk.NewRunner(pool, settings, log, observe), store: bulk.NewStore(pool, settings), log: log,
		stepping: run.Outage{Began: "bulk jobs stand still; trying on", Ended: "bulk jobs go on again"},
		tidies:   run.Outage{Began: "old bulk jobs are not deleted; trying on", Ended: "old bulk jobs are deleted again"},
	}
}

// run carries them out until ctx ends. Only the leader does.
func (b *bulkJobs) run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := b.step(ctx)
		if time.Now().After(b.cleanAt) {
			b.clean(ctx)
		}
		run.Sleep(ctx, wait)
	}
}

// step returns how long to wait for the next one.
func (b *bulkJobs) step(ctx context.Context) time.Duration {
	step, cancel := context.WithTimeout(ctx, bulkTimeout)
	defer cancel()
	done, err := b.runner.Step(step)
	if ctx.Err() == nil {
		b.stepping.Report(b.log, err)
	}
	bulkRunning.Set(float64(done.Jobs))
	switch {
	case err != nil:
		return bulkIdleInterval
	case done.More:
		return 0
	case done.Jobs > 0:
		return bulkInterval
	case done.Ends:
		return bulkEndsInterval
	default:
		return bulkIdleInterval
	}
}

// clean deletes some of what is old. While there is more, it comes back soon.
func (b *bulkJobs) clean(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, cleanTimeout)
	defer cancel()
	deleted, err := b.store.Clean(ctx, time.Now().Add(-bulk.Retention), bulkItems)
	if ctx.Err() == nil {
		b.tidies.Report(b.log, err)
	}
	b.cleanAt = time.Now().Add(cleanInterval)
	if deleted == bulkItems {
		b.cleanAt = time.Now().Add(extendInterval)
	}
}
