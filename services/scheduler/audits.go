package scheduler

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/alert"
	"github.com/erpconnector/erpconnector/shared/audits"
	"github.com/erpconnector/erpconnector/shared/run"
)

// auditRetryInterval is the wait after Postgres has given no answer.
const auditRetryInterval = 5 * time.Second

// auditRuns carries out the audits and verifications that somebody has asked for. It sleeps until it is told of one, so it costs nothing
// while there is none.
type auditRuns struct {
	runner *audits.Runner
	log    *slog.Logger
	woken  chan struct{}
	outage run.Outage
}

func newAuditRuns(pool *pgxpool.Pool, works audits.Works, log *slog.Logger) *auditRuns {
	noted := func(ctx context.Context, r audits.Run) error { return noteAudit(ctx, alert.NewStore(pool), r) }
	return &auditRuns{
		runner: audits.NewRunner(audits.NewStore(pool), works, log, noted), log: log, woken: make(chan struct{}, 1),
		outage: run.Outage{Began: "audits are not carried out; trying on", Ended: "audits are carried out again"},
	}
}

// noteAudit lets an alert tell of what an audit has found, as `audit --alert` does.
func noteAudit(ctx context.Context, alerts *alert.Store, r audits.Run) error {
	if r.Kind != audits.Audit {
		return nil
	}
	found := map[string]int{}
	for kind, n := range r.ByKind {
		found[kind] = int(n)
	}
	return alerts.NoteAudit(ctx, alert.Audit{At: *r.At, Breaks: r.Found, Found: found})
}

// wake tells that a run may wait.
func (a *auditRuns) wake() {
	select {
	case a.woken <- struct{}{}:
	default: // it looks anyway
	}
}

// run carries them out until ctx ends. Only the leader does. It looks once at its start, for what was asked for while nobody led, or was
// left by a leader that died.
func (a *auditRuns) run(ctx context.Context) {
	for a.wake(); ; {
		select {
		case <-ctx.Done():
			return
		case <-a.woken:
		}
		did, err := a.runner.Step(ctx)
		if ctx.Err() == nil {
			a.outage.Report(a.log, err)
		}
		if err != nil {
			run.Sleep(ctx, auditRetryInterval)
		}
		if did || err != nil {
			a.wake()
		}
	}
}
