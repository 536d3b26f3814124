package projector

import (
	"context"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/wiring"
)

// Module runs a projector in the process.
var Module = fx.Module("projector", fx.Provide(wiring.AsWorker(newWorker)))

// worker waits for the lease, and then works as the projector.
type worker struct {
	pool *pgxpool.Pool
	cfg  kafka.Config
	log  *slog.Logger
}

func newWorker(pool *pgxpool.Pool, cfg kafka.Config, log *slog.Logger) *worker {
	return &worker{pool: pool, cfg: cfg, log: log.With("service", "projector")}
}

// Name is the service's name.
func (l *worker) Name() string { return "projector" }

// Run works while the process holds the one slot; another instance stands by.
func (l *worker) Run(ctx context.Context) error {
	return postgres.WithLease(ctx, l.pool, "projector", 1, l.log, func(ctx context.Context, _ string) error {
		return New(l.cfg, l.pool, l.log).Run(ctx)
	})
}
