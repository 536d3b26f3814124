// Package relay moves the rows of erp_outbox to Kafka, each exactly once, those of one order in the order of their ids.
//
// One relay leads at a time. It reads a batch, writes the records and its own position in one Kafka transaction, and
// reads on. The position is only in Kafka (topic vendor_erp_sync_position, key "relay"). So it commits with the records
// or not at all, and the relay writes nothing to Postgres. A new leader first opens its producer. The transactional ids
// are always the same, so this fences the former leader and decides its open transaction. Only then does it read the
// position.
//
// A partition that takes no records holds up only its own rows. They are passed over, and the position says up to which
// row their lane has come. Once the partition takes records again, these rows are read again, in their order. Then the
// lane goes on with the others.
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
	busyPollInterval  = 10 * time.Millisecond  // while the position has gaps
	busyFor           = time.Second            // after the last row; a gap that is open for longer is looked at as below
	idlePollInterval  = 50 * time.Millisecond  // for rows of writers that do not wake the relay
	quietPollInterval = 500 * time.Millisecond // the same after quietAfter without rows
	quietAfter        = time.Minute

	measureInterval      = time.Second      // between two readings of the sequence, for the lag's metric
	quietMeasureInterval = 10 * time.Second // the same while no row comes

	// manyRows in one batch: the relay does not rest, and reads the next ones while these commit.
	manyRows = 1000

	minRetryWait = 100 * time.Millisecond
	maxRetryWait = 5 * time.Second

	// stopTimeout is how long a transaction in flight may take when the process stops. Then it is aborted.
	stopTimeout = 4 * time.Second
)

// Params describes a Relay.
type Params struct {
	Pool   *pgxpool.Pool
	Kafka  kafka.Config
	Log    *slog.Logger
	Limits outbox.Limits // of one batch
}

// Relay is the worker. Any number of processes may run one; one of them works.
type Relay struct {
	p      Params
	outage run.Outage

	failure atomic.Pointer[error] // why it does not work now; nil while it leads or stands by

	// What a leader keeps from one session to the next.
	producer        *txn.Producer
	lanes           *txn.Lanes[string] // knows which partitions take no records at the moment
	waitedForFormer bool               // a former leader that could not be fenced has had its time
	rows            int                // maximum of a batch; smaller after the brokers have refused one
	refused         map[int64]string   // the reasons of rows that the brokers refuse, by id
}

// check is the health check. It returns nil while the relay leads or stands by.
func (r *Relay) check(context.Context) error {
	if err := r.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// New prepares a relay. It does nothing before Run.
func New(p Params) *Relay {
	return &Relay{
		p: p, rows: cmp.Or(p.Limits.Rows, outbox.DefaultRows), refused: map[int64]string{},
		outage: run.Outage{Began: "relay interrupted; it keeps trying", Ended: "relay works again"},
	}
}

// Name returns the service's name.
func (r *Relay) Name() string { return "relay" }

// Run leads whenever it can, until ctx ends. It returns an error only when no retry helps: the position in Kafka does
// not fit the outbox, or a topic is missing.
func (r *Relay) Run(ctx context.Context) error {
	lead := func(ctx context.Context, _ string) error { return r.keepLeading(ctx) }
	return postgres.WithLease(ctx, r.p.Pool, checkpoint.Lease(r.p.Kafka), 1, r.p.Log, lead)
}

// keepLeading runs session after session, until the lease is lost. A leader that has not noticed the loss yet does no
// harm: the next leader's producer fences it.
func (r *Relay) keepLeading(ctx context.Context) error {
	r.producer = txn.NewProducer(r.p.Kafka, checkpoint.TransactionalID)
	r.lanes, r.waitedForFormer = txn.NewLanes[string](r.p.Log), false
	wait := run.Backoff{Min: minRetryWait, Max: maxRetryWait}
	for ctx.Err() == nil {
		progress, err := r.lead(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errRestart):
			continue
		}
		failures.Inc()
		r.failure.Store(&err)
		if errors.Is(err, checkpoint.ErrMismatch) || errors.Is(err, errTopicMissing) {
			return err // the process stops with this error
		}
		if progress {
			wait.Reset()
		}
		r.outage.Report(r.p.Log, err)
		wait.Sleep(ctx)
	}
	return nil
}

// lead runs one session, until the lease is lost or something fails. It reports whether a batch was committed.
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
