package delayer

import (
	"context"
	"log/slog"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/topics"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/wiring"
)

// slots bounds how many delayers can work at once; each holds one transactional id.
const slots = 16

// Module runs one delayer in the process.
var Module = fx.Module("delayer", fx.Provide(wiring.AsWorker(newWorker)))

type worker struct {
	pool *pgxpool.Pool
	cfg  kafka.Config
	log  *slog.Logger
}

func newWorker(pool *pgxpool.Pool, cfg kafka.Config, log *slog.Logger) *worker {
	return &worker{pool: pool, cfg: cfg, log: log.With("service", "delayer")}
}

// Name is the service's name.
func (l *worker) Name() string { return "delayer" }

// Run works while the process holds a slot; a slot lost with its Postgres session is acquired anew. Beside that it ends
// what others left open when they died, and deletes what the retry topics no longer need.
func (l *worker) Run(ctx context.Context) error {
	var sweeping sync.WaitGroup
	defer sweeping.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sweeping.Go(func() { topics.Trim(ctx, l.cfg, l.log) })
	sweeping.Go(func() { txn.EndAbandoned(ctx, l.cfg, "delayer", l.lease, l.log) })
	return postgres.WithLease(ctx, l.pool, "delayer", slots, l.log, func(ctx context.Context, slotID string) error {
		return New(Params{Kafka: l.cfg, LeaseID: slotID, Log: l.log}).Run(ctx)
	})
}

func (l *worker) lease(ctx context.Context, id string) (func(), bool, error) {
	return postgres.TryLease(ctx, l.pool, id)
}
