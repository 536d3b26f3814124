package scheduler

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/alert"
	"github.com/erpconnector/erpconnector/shared/audits"
	"github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// auditRetryInterval is the wait after Postgres has given no answer.
const auditRetryInterval = 5 * time.Second

// auditRuns carries out the audits and verifications that somebody has asked for, and the audits that are due by the setting
// audit_interval. It sleeps until it is told of one. What it was told it keeps in mind, so it costs no statement while there is nothing
// to do: its looks in between are at the setting and at the clock.
type auditRuns struct {
	store    *audits.Store
	runner   *audits.Runner
	settings setting.Reader
	log      *slog.Logger
	woken    chan struct{}
	interval time.Duration // of the looks in between
	outage   run.Outage

	dueAt    time.Time     // when an audit may be due by the setting; zero: it is not known
	dueBy    time.Duration // the setting that dueAt follows from
	commands int           // runs of commands that were under way at the last look
}

func newAuditRuns(pool *pgxpool.Pool, settings setting.Reader, works audits.Works, log *slog.Logger) *auditRuns {
	noted := func(ctx context.Context, r audits.Run) error { return noteAudit(ctx, alert.NewStore(pool), r) }
	store := audits.NewStore(pool)
	return &auditRuns{
		store: store, runner: audits.NewRunner(store, works, log, noted), settings: settings, log: log, woken: make(chan struct{}, 1), interval: rareInterval,
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
	tick := time.NewTicker(a.interval)
	defer tick.Stop()
	for a.wake(); ; {
		told := false
		select {
		case <-ctx.Done():
			return
		case <-a.woken:
			told = true
		case <-tick.C:
		}
		did, err := a.look(ctx, told)
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

// look does what is to be done now. told reports that there may be something new; else only what is known to be due is looked at.
func (a *auditRuns) look(ctx context.Context, told bool) (did bool, err error) {
	if told {
		if err := a.store.Clean(ctx); err != nil {
			return false, err
		}
	}
	if told || a.commands > 0 {
		if a.commands, err = a.store.EndLeft(ctx); err != nil {
			return false, err
		}
	}
	started, err := a.startDue(ctx, told)
	if err != nil || !told && !started {
		return false, err
	}
	return a.runner.Step(ctx)
}

// startDue asks for the audit that is due by the setting audit_interval.
func (a *auditRuns) startDue(ctx context.Context, told bool) (started bool, err error) {
	interval := a.settings.Current().AuditInterval
	switch {
	case interval == 0:
		a.dueAt = time.Time{}
		return false, nil
	case !told && interval == a.dueBy && time.Now().Before(a.dueAt):
		return false, nil
	}
	r, last, err := a.store.StartDue(ctx, interval)
	if err != nil {
		return false, err
	}
	a.dueAt, a.dueBy = last.Add(interval), interval
	if r != nil {
		a.log.Info("run asked for", "run_id", r.ID, "kind", r.Kind, "by", r.AskedBy)
	}
	return r != nil, nil
}
