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

// maxDelayers is how many delayers can work at once. Each holds a lease, whose id is its transactional id.
const maxDelayers = 16

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

// Name returns the service's name.
func (l *worker) Name() string { return "delayer" }

// Run runs a Delayer while the process holds a lease. At the same time it ends transactions that other processes left
// open when they died, and deletes consumed records of the retry topics.
func (l *worker) Run(ctx context.Context) error {
	var sweeping sync.WaitGroup
	defer sweeping.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sweeping.Go(func() { topics.Trim(ctx, l.cfg, l.log) })
	activity := new(txn.Activity)
	sweeping.Go(func() { txn.EndAbandoned(ctx, l.cfg, "delayer", activity, l.lease, l.log) })
	return postgres.WithLease(ctx, l.pool, "delayer", maxDelayers, l.log, func(ctx context.Context, leaseID string) error {
		return New(Params{Kafka: l.cfg, LeaseID: leaseID, Activity: activity, Log: l.log}).Run(ctx)
	})
}

func (l *worker) lease(ctx context.Context, id string) (func(), bool, error) {
	return postgres.TryLease(ctx, l.pool, id)
}
