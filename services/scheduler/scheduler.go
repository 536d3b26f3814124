// Package scheduler releases held orders: those that wait for the cron when it is due, and those that were held because the connector
// was off as soon as it is on. The rule when a run is due is in due.go. It also keeps the outbox's partitions (keeper.go),
// carries bulk jobs out (bulk.go), and makes the audits that somebody has asked for or that are due (audits.go).
package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/audits"
	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/failpoint"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/setting"
)

const (
	tickInterval = 500 * time.Millisecond // a changed setting counts, and a due run begins, within this

	// Orders that were held while the connector was off are released at no more than 1,000 a second. That is more than ERPs take, so
	// the pace delays nothing. And it is so few that a new invoice need not wait for the whole backlog. A million orders take a
	// quarter of an hour.
	maxFree      = 100
	freeInterval = 100 * time.Millisecond
	// Those that join the cron's are not sent by it.
	maxRehold = 1000

	countInterval = 10 * time.Second
	countShare    = 50 // a slow count runs more rarely: at most one part in 50 of the time goes into it
)

// Scheduler releases held orders. Any number may run; one of them works.
type Scheduler struct {
	pool     *pgxpool.Pool
	orders   *orders.Orders
	settings setting.Reader
	log      *slog.Logger
	now      func() time.Time

	freed    int       // since the connector is on
	look     look      // for orders that were held while it was off
	cronAt   time.Time // when to look next whether a run of cronName is due
	cronName string
	countAt  time.Time // when held orders are counted next
	made     *madeRun  // by the cron since held orders were counted last
	backlog  backlog
	outage   *run.Outage // of the ticks
	keeper   *keeper
	bulk     *bulkJobs
	audits   *auditRuns
}

// New makes a scheduler that does nothing before Run.
func New(pool *pgxpool.Pool, cfg kafka.Config, settings setting.Reader, works audits.Works, log *slog.Logger) *Scheduler {
	return &Scheduler{
		pool: pool, orders: orders.New(pool, settings), settings: settings, log: log, now: time.Now,
		keeper: newKeeper(pool, cfg, settings, log), bulk: newBulkJobs(pool, settings, log), audits: newAuditRuns(pool, settings, works, log),
		outage: &run.Outage{Began: "held orders are not released; trying on", Ended: "held orders are released again"},
	}
}

// Name is the worker's name.
func (s *Scheduler) Name() string { return "scheduler" }

// Run works while the process holds the one lease, until ctx ends; others stand by. Two at once would do no harm, as orders are locked
// and a run is noted once.
func (s *Scheduler) Run(ctx context.Context) error {
	return postgres.WithLease(ctx, s.pool, "scheduler", 1, s.log, func(ctx context.Context, _ string) error {
		leader.Set(1)
		defer resign()
		var beside sync.WaitGroup
		beside.Go(func() { s.keeper.run(ctx) })
		beside.Go(func() { s.bulk.run(ctx) })
		beside.Go(func() { s.audits.run(ctx) })
		defer beside.Wait()
		s.countAt, s.cronAt, s.made, s.backlog, s.look = time.Time{}, time.Time{}, nil, backlog{}, look{} // others may have made runs meanwhile
		for ctx.Err() == nil {
			more, err := s.tick(ctx)
			if ctx.Err() == nil {
				s.outage.Report(s.log, err)
			}
			if more {
				run.Sleep(ctx, freeInterval)
			} else {
				run.Sleep(ctx, tickInterval)
			}
		}
		return nil
	}, postgres.Listening{Channel: audits.Channel, Heard: s.audits.wake})
}

// tick does what is due now; more reports whether orders are left that need not wait for the next tick.
func (s *Scheduler) tick(ctx context.Context) (more bool, err error) {
	current := s.settings.Current()
	more, err = s.free(ctx, current)
	if errors.Is(err, orders.ErrDisabled) { // turned off meanwhile
		err = nil
	}
	return more, errors.Join(err, s.cron(ctx, current), s.count(ctx))
}

// free takes up what was held because the connector was off. With immediate sync it is released, otherwise it waits for the cron.
func (s *Scheduler) free(ctx context.Context, current setting.Settings) (more bool, err error) {
	now := time.Now()
	switch {
	case !current.Enabled:
		s.look = look{}
		return false, nil
	case !s.look.isDue(now):
		return false, nil
	}
	more, err = s.freeSome(ctx, current)
	s.look.saw(now, more || err != nil)
	return more, err
}

func (s *Scheduler) freeSome(ctx context.Context, current setting.Settings) (more bool, err error) {
	if !current.ImmediateSync {
		moved, err := s.orders.Rehold(ctx, maxRehold)
		if moved > 0 {
			s.log.Info("orders held while the connector was off wait for the cron now", "orders", moved)
		}
		return moved > 0, err
	}
	n := 0
	held, err := s.orders.IsAnyHeld(ctx, domain.HeldByDisabled) // most of the time there is none
	if err == nil && held {
		n, err = s.orders.Release(ctx, orders.Releasing{HeldBy: domain.HeldByDisabled, Limit: maxFree, Cause: "the connector is on again"})
	}
	if err != nil {
		return false, err
	}
	if n > 0 {
		failpoint.Hit("scheduler.after_commit")
		released.WithLabelValues(string(domain.HeldByDisabled)).Add(float64(n))
	}
	s.freed += n
	if n == 0 && s.freed > 0 {
		s.log.Info("orders held while the connector was off have gone out", "orders", s.freed)
		s.freed = 0
	}
	return n > 0, nil
}

// cron makes the run that is due. While the connector is off it makes none, and makes up for the last one once it is on again. While
// the cron is off, its times pass without a run, as in the module.
func (s *Scheduler) cron(ctx context.Context, current setting.Settings) error {
	parsed, err := setting.ParseSchedule(current.CronSchedule)
	if err != nil {
		return fmt.Errorf("the schedule of the cron %q: %w; change the setting cron_schedule, no run is made until then", current.CronSchedule, err)
	}
	r := cronRun{name: current.CronSchedule}
	if r.name == s.cronName && s.now().Before(s.cronAt) {
		return nil
	}
	last, ran, err := lastRun(ctx, s.pool, r.name, s.now())
	if err != nil {
		return err
	}
	s.cronName, s.cronAt = r.name, nextLook(parsed, last, s.now())
	lastRunAge.Set(max(0, s.now().Sub(ran).Seconds()))
	var isDue bool
	r.dueAt, isDue = due(parsed, last, s.now())
	switch {
	case !isDue:
		return nil
	case !current.CronEnabled:
		return r.pass(ctx, s.pool)
	case !current.Enabled:
		return nil
	}
	return s.make(ctx, r, current.CronBatch)
}

func (s *Scheduler) make(ctx context.Context, r cronRun, cronBatch int) error {
	began := s.now()
	limit, err := limitOf(ctx, s.orders, cronBatch)
	if err != nil {
		return err
	}
	n, err := r.make(ctx, s.orders, limit, began)
	if n > 0 || err == nil {
		runs.Inc()
		released.WithLabelValues(string(domain.HeldByCron)).Add(float64(n))
		s.countAt, s.made = time.Time{}, &madeRun{released: n, limit: limit}
		s.log.Info("cron run", "due_at", r.dueAt, "released", n, "limit", limit, "took_ms", s.now().Sub(began).Milliseconds())
	}
	if errors.Is(err, errRunByOther) || errors.Is(err, orders.ErrDisabled) {
		return nil
	}
	return err
}

// count measures how many orders are held, which unfinished one is the oldest, and how many dead letters are open.
func (s *Scheduler) count(ctx context.Context) error {
	began := time.Now()
	if began.Before(s.countAt) {
		return nil
	}
	counts, err := s.orders.Held(ctx)
	if err != nil {
		return err
	}
	for heldBy, n := range counts {
		held.WithLabelValues(string(heldBy)).Set(float64(n))
	}
	since, err := s.orders.OldestUnfinished(ctx)
	if err != nil {
		return err
	}
	for state, at := range since {
		age := 0.0
		if !at.IsZero() {
			age = max(0, s.now().Sub(at).Seconds())
		}
		oldest.WithLabelValues(string(state)).Set(age)
	}
	open, err := deadletter.CountOpen(ctx, s.pool)
	if err != nil {
		return err
	}
	deadLetters.Set(float64(open))
	s.countAt = began.Add(max(countInterval, countShare*time.Since(began)))
	s.compare(counts[domain.HeldByCron])
	return nil
}

// madeRun is a run of the cron whose remaining orders were not counted yet.
type madeRun struct{ released, limit int }

// compare logs when more orders come than the runs of the cron release.
func (s *Scheduler) compare(waiting int) {
	if s.made == nil {
		return
	}
	before := s.backlog.left
	if s.backlog.after(waiting) {
		s.log.Warn("more orders wait for the cron from run to run; raise cron_batch",
			"waiting", waiting, "waiting_before", before, "released", s.made.released, "limit", s.made.limit)
	}
	s.made = nil
}
