// Package drain takes events from the commerce outbox and accepts them: the same accept as over HTTP, in one
// transaction with their deletion. What accept refuses goes to the quarantine, with its reason. The drainer keeps the quarantine, too: it
// counts it, and deletes what has aged.
//
// One process drains at a time, so that the events of an order are accepted in the order of their ids.
//
// A shop's transaction may stay open for long after it has been given an id. The drainer does not wait for it: it reads on, and finds
// the row once it is committed (see feed). So one forgotten transaction in a shop delays no other order.
package drain

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/services/ingest/internal/quarantine"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/failpoint"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/setting"
)

const (
	batchRows  = 1000
	batchBytes = 8 << 20

	pollBusy  = 10 * time.Millisecond  // while events come
	pollIdle  = 50 * time.Millisecond  // after busyFor without any
	pollQuiet = 500 * time.Millisecond // after idleFor without any, and before the first ones
	busyFor   = time.Second
	idleFor   = time.Minute

	minRetry = 100 * time.Millisecond
	maxRetry = 5 * time.Second

	batchTimeout  = 30 * time.Second // of one transaction
	sweepInterval = 10 * time.Second
	cleanEntries  = 1000 // of the quarantine that one sweep deletes at most
	sweepShare    = 50   // a slow sweep runs more rarely: at most one part in 50 of the time goes into it
)

// Drainer is the loop. Any number may run; one works.
type Drainer struct {
	pool     *pgxpool.Pool
	accepter *accept.Accepter
	settings setting.Reader
	log      *slog.Logger

	failure atomic.Pointer[error] // why it does not work now
}

// New makes a drainer that does nothing before Run.
func New(pool *pgxpool.Pool, accepter *accept.Accepter, settings setting.Reader, log *slog.Logger) *Drainer {
	return &Drainer{pool: pool, accepter: accepter, settings: settings, log: log}
}

// Name is the loop's name.
func (d *Drainer) Name() string { return "commerce_outbox" }

// Check is nil while the drainer works or stands by.
func (d *Drainer) Check(context.Context) error {
	if err := d.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Run drains whenever it can until ctx ends.
func (d *Drainer) Run(ctx context.Context) error {
	return postgres.WithLease(ctx, d.pool, "commerce-outbox", 1, d.log, func(ctx context.Context, _ string) error {
		d.keepDraining(ctx)
		return nil
	})
}

// keepDraining drains session after session. A session ends with its first error, and forgets what it knows of the outbox. A second
// drainer would only disturb the order of the events of one order: rows are locked, and each is deleted with its event.
func (d *Drainer) keepDraining(ctx context.Context) {
	backoff, failing := run.Backoff{Min: minRetry, Max: maxRetry}, false
	for ctx.Err() == nil {
		progress, err := d.drain(ctx)
		if ctx.Err() != nil {
			return
		}
		d.failure.Store(&err)
		if progress {
			backoff.Reset()
			failing = false
		}
		if !failing {
			d.log.Warn("the commerce outbox is not drained; trying on", "error", err)
		}
		failing = true
		backoff.Sleep(ctx)
	}
}

// drain works until something fails. It reports whether it was able to read the outbox.
func (d *Drainer) drain(ctx context.Context) (progress bool, err error) {
	dial, cancel := context.WithTimeout(ctx, maxRetry)
	defer cancel()
	conn, err := postgres.Connect(dial, d.pool)
	if err != nil {
		return false, fmt.Errorf("connecting to Postgres: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	f, err := newFeed(ctx, conn, batchRows)
	if err != nil {
		return false, err
	}
	var last time.Time // when events came; before the first ones it looks as after a quiet minute
	var sweepAt time.Time
	for ctx.Err() == nil {
		rows, more, err := f.next(ctx)
		if err == nil {
			err = d.acceptAll(ctx, f, rows)
		}
		if err == nil && !time.Now().Before(sweepAt) {
			sweepAt, err = d.sweep(ctx, f)
		}
		if err != nil {
			return progress, err
		}
		progress = true
		d.failure.Store(nil)
		if len(rows) > 0 {
			last = time.Now()
		}
		if !more {
			run.Sleep(ctx, pollAfter(time.Since(last)))
		}
	}
	return progress, ctx.Err()
}

// pollAfter is when to look again, so long after the last event.
func pollAfter(none time.Duration) time.Duration {
	switch {
	case none < busyFor:
		return pollBusy
	case none < idleFor:
		return pollIdle
	default:
		return pollQuiet
	}
}

// sweep measures the outbox, and returns when to do so next.
func (d *Drainer) sweep(ctx context.Context, f *feed) (next time.Time, err error) {
	began := time.Now()
	waiting, oldest, overlooked, err := f.sweep(ctx)
	if err != nil {
		return began, err
	}
	if len(overlooked) > 0 {
		d.log.Warn("rows of the commerce outbox were found behind the reading mark; they are taken now: were they restored, or given ids by hand?",
			"rows", len(overlooked), "first_id", slices.Min(overlooked))
	}
	d.release(ctx)
	outboxRows.Set(float64(waiting))
	outboxAge.Set(0)
	if oldest != nil {
		outboxAge.Set(max(0, time.Since(*oldest).Seconds()))
	}
	d.clean(ctx)
	d.countQuarantine(ctx)
	return time.Now().Add(max(sweepInterval, sweepShare*time.Since(began))), nil
}

// countQuarantine leaves the gauges as they are when the database does not answer.
func (d *Drainer) countQuarantine(ctx context.Context) {
	counts, err := quarantine.Counts(ctx, d.pool, quarantine.Open, "")
	if err != nil {
		return
	}
	rows := map[quarantine.Door]int64{}
	for _, c := range counts {
		rows[c.Door] += c.Entries
	}
	for _, door := range quarantine.Doors {
		quarantineRows.WithLabelValues(string(door)).Set(float64(rows[door]))
	}
}

// clean deletes entries of the quarantine that are older than quarantine_retention, some hundred at a time. Its failure is only logged:
// it must not stop the outbox.
func (d *Drainer) clean(ctx context.Context) {
	retention := d.settings.Current().QuarantineRetention
	if retention == 0 {
		return
	}
	deleted, err := quarantine.Clean(ctx, d.pool, time.Now().Add(-retention), cleanEntries)
	switch {
	case err != nil && ctx.Err() != nil:
	case err != nil:
		d.log.Warn("old entries of the quarantine are not deleted; trying on", "error", err)
	case deleted > 0:
		d.log.Info("old entries of the quarantine deleted", "entries", deleted)
	}
}

// release releases waiting invoices whose order is there. Its failure is only logged: it must not stop the outbox.
func (d *Drainer) release(ctx context.Context) {
	released, err := accept.ReleaseKnown(ctx, d.pool)
	switch {
	case err != nil && ctx.Err() != nil:
	case err != nil:
		d.log.Warn("invoices are not released from the quarantine; trying on", "error", err)
	case len(released) > 0:
		d.log.Info("invoices released from the quarantine: their orders are there", "orders", len(released))
	}
}

// acceptAll accepts the rows in batches. Rows that somebody else holds go back to the feed.
func (d *Drainer) acceptAll(ctx context.Context, f *feed, rows []row) error {
	for len(rows) > 0 {
		n := batchSize(rows)
		held, err := d.accept(ctx, rows[:n])
		if err != nil {
			return err
		}
		f.returned(held)
		rows = rows[n:]
	}
	return nil
}

// batchSize is the number of rows of the next batch: at least one, and no more than the limits.
func batchSize(rows []row) int {
	n, bytes := 0, 0
	for n < len(rows) && n < batchRows {
		bytes += min(rows[n].bytes, event.MaxEventBytes) // larger ones are not fetched
		if n > 0 && bytes > batchBytes {
			break
		}
		n++
	}
	return n
}

// accept accepts one batch. When Postgres refuses its data, accept halves the batch until it has found the row, and sets that one
// aside.
func (d *Drainer) accept(ctx context.Context, rows []row) (held []int64, err error) {
	held, err = d.acceptBatch(ctx, rows)
	if err == nil || !postgres.IsAboutData(err) {
		return held, err
	}
	if len(rows) == 1 {
		d.log.Error("event set aside: the database refuses it; erpconnector quarantine list", postgres.LogFields(err)...)
		return nil, d.setAside(ctx, rows[0], err)
	}
	first, err := d.accept(ctx, rows[:len(rows)/2])
	if err != nil {
		return nil, err
	}
	second, err := d.accept(ctx, rows[len(rows)/2:])
	return append(first, second...), err
}

func (d *Drainer) acceptBatch(ctx context.Context, rows []row) (held []int64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, batchTimeout, fmt.Errorf("not done within %s", batchTimeout))
	defer cancel()
	var b *batch
	err = postgres.InTx(ctx, d.pool, func(tx pgx.Tx) error {
		b = &batch{tx: tx, rows: rows}
		return b.run(ctx, d.accepter)
	})
	if err != nil {
		return nil, fmt.Errorf("draining %d rows from id %d: %w", len(rows), rows[0].id, causeOf(ctx, err))
	}
	failpoint.Hit("drain.after_commit")
	outbox.Wake(ctx, d.pool)
	b.count(d.log)
	d.accepter.Log(ctx, b.results)
	return b.held(), nil
}
