// Package relay moves the rows of erp_outbox to Kafka, each exactly once, in the order of their ids.
//
// One relay leads at a time. It reads a batch, writes it and its own position with one Kafka transaction, and reads on.
// The position lives in Kafka only (topic vendor_erp_sync_position, key "relay"), so it commits with the records or not
// at all, and nothing is written to Postgres. A new leader first opens its producer, whose fixed transactional ids
// fence the one before and decide its open transaction, and only then reads the position.
//
// A partition that takes no records holds up its own rows only: they are passed over, and the position says up to which row
// their lane has come. Once it takes records again, they are read anew, in their order, before the lane goes on with the others.
package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/run"
)

const (
	pollBusy = 10 * time.Millisecond // while rows come, or wait behind a hole
	pollIdle = 50 * time.Millisecond // what others than our services wrote without a wake-up waits no longer

	retryMin = 100 * time.Millisecond
	retryMax = 5 * time.Second

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

// Relay is the worker. Any number may run; one works.
type Relay struct {
	p Params

	failure atomic.Pointer[error] // why it does not work now; nil while it leads or waits to

	// What a leader learns, and takes from one session to the next.
	producer *txn.Producer
	lanes    *txn.Lanes[string] // those of which partitions take no records at the moment
	awaited  bool               // a former leader that could not be fenced has had its time
	rows     int                // of a batch; fewer once the brokers have refused one
	refused  map[int64]string   // rows that the brokers take nowhere, by id, and why
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
	return &Relay{p: p, rows: cmp.Or(p.Limits.Rows, outbox.DefaultRows), refused: map[int64]string{}}
}

// Name is the service's name.
func (r *Relay) Name() string { return "relay" }

// Run leads whenever it can until ctx ends. It returns an error only for what no retry mends: the position in Kafka does not fit
// the outbox, or a topic is missing.
func (r *Relay) Run(ctx context.Context) error {
	return postgres.WithLease(ctx, r.p.Pool, checkpoint.Lease(r.p.Kafka), 1, r.p.Log, func(ctx context.Context, _ string) error { return r.keepLeading(ctx) })
}

// keepLeading works until leadership is lost, session after session. A leader that has not noticed the loss yet does no
// harm: its successor's producer fences it.
func (r *Relay) keepLeading(ctx context.Context) error {
	r.producer = txn.NewProducer(r.p.Kafka, checkpoint.TransactionalID)
	r.lanes, r.awaited = txn.NewLanes[string](r.p.Log), false
	wait, failing := run.Backoff{Min: retryMin, Max: retryMax}, false
	for ctx.Err() == nil {
		progress, err := r.lead(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errLearned):
			continue
		}
		failures.Inc()
		r.failure.Store(&err)
		if errors.Is(err, checkpoint.ErrMismatch) || errors.Is(err, errTopicMissing) {
			return err // the process stops, and says why
		}
		if progress {
			wait.Reset()
			failing = false
		}
		if !failing {
			r.p.Log.Warn("relay interrupted; it keeps trying", "error", err)
		}
		failing = true
		wait.Sleep(ctx)
	}
	return nil
}

// lead works until leadership is lost or something fails. It reports whether a batch was committed.
func (r *Relay) lead(ctx context.Context) (progress bool, err error) {
	s, err := openSession(ctx, r)
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
