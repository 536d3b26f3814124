// Package relay moves the rows of erp_outbox to Kafka, each exactly once, in the order of their ids.
//
// One relay leads at a time. It reads a batch, writes it and its own position with one Kafka transaction, and reads on.
// The position lives in Kafka only (topic vendor_erp_sync_position, key "relay"), so it commits with the records or not
// at all, and nothing is written to Postgres. A new leader first opens its producer, whose fixed transactional id
// fences the one before and decides its open transaction, and only then reads the position.
package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/pause"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

const (
	pollBusy = 10 * time.Millisecond // while rows come, or wait behind a hole
	pollIdle = 50 * time.Millisecond // what others than our services wrote without a wake-up waits no longer

	retryFirst = 100 * time.Millisecond
	retryLast  = 5 * time.Second

	// stopTimeout bounds the transaction in flight when the process stops; it is aborted after that.
	stopTimeout = 4 * time.Second
)

// Params is what a relay is made of.
type Params struct {
	Pool   *pgxpool.Pool
	Kafka  kafka.Config // its prefix is on topics and the transactional id
	Log    *slog.Logger
	Limits outbox.Limits
}

// Relay is the loop. Any number may run; one works.
type Relay struct {
	p Params

	failure atomic.Pointer[error] // why it does not work now; nil while it leads or waits to
}

// check is nil while the relay leads or stands by.
func (r *Relay) check(context.Context) error {
	if err := r.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// New makes a relay that does nothing before Run.
func New(p Params) *Relay {
	return &Relay{p: p}
}

// Name is the service's name.
func (r *Relay) Name() string { return "relay" }

// Run leads whenever it can until ctx ends. It returns an error only when the position in Kafka does not fit the outbox.
func (r *Relay) Run(ctx context.Context) error {
	return postgres.WithSlot(ctx, r.p.Pool, checkpoint.Lease(r.p.Kafka), 1, r.p.Log, func(ctx context.Context, _ string) error { return r.keepLeading(ctx) })
}

// keepLeading works until leadership is lost, session after session. A leader that has not noticed the loss yet does no
// harm: its successor's producer fences it.
func (r *Relay) keepLeading(ctx context.Context) error {
	delay, failing := retryFirst, false
	for ctx.Err() == nil {
		progress, err := r.lead(ctx)
		if ctx.Err() != nil {
			return nil
		}
		failures.Inc()
		r.failure.Store(&err)
		if errors.Is(err, checkpoint.ErrMismatch) {
			return err // the process stops, and says why
		}
		if progress {
			delay, failing = retryFirst, false
		}
		if !failing {
			r.p.Log.Warn("relay interrupted; it keeps trying", "error", err)
		}
		failing = true
		pause.For(ctx, delay)
		delay = min(2*delay, retryLast)
	}
	return nil
}

// lead works until leadership is lost or something fails. It reports whether a batch was committed.
func (r *Relay) lead(ctx context.Context) (progress bool, err error) {
	s, err := openSession(ctx, r.p)
	if err != nil {
		return false, err
	}
	defer s.close(ctx)
	r.p.Log.Info("relay leads", "last_id", s.last.LastID, "timeline", s.server.Timeline)
	r.failure.Store(nil)
	leader.Set(1)
	defer leader.Set(0)
	err = s.run(ctx)
	return s.committed, fmt.Errorf("relaying after id %d: %w", s.last.LastID, err)
}
