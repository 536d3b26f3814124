package syncer

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/services/syncer/internal/erphttp"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
	"github.com/erpconnector/erpconnector/shared/logging"
	pacestore "github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/wiring"
)

// maxSyncers is how many syncers can work at once. Each holds a lease, whose id is its transactional id.
const maxSyncers = 64

// Module runs one syncer in the process.
var Module = fx.Module("syncer", fx.Provide(wiring.AsWorker(newWorker), wiring.AsProbe(erpProbe)))

// worker takes a lease, and then works as a syncer under its id.
type worker struct {
	pool   *pgxpool.Pool
	params Params
}

func newWorker(pool *pgxpool.Pool, erp config.ERP, brokers kafka.Config, settings setting.Reader, log *slog.Logger) (*worker, error) {
	log = log.With("service", "syncer")
	encryption, err := erp.TLS.Config(logging.Secrets(log))
	if err != nil {
		return nil, fmt.Errorf("reading ERP_TLS_*_FILE: %w", err)
	}
	client := erphttp.New(erphttp.Config{
		Secrets: erp.Secrets(logging.Secrets(log)), BasicUser: erp.Basic.User, OAuth: erp.OAuth, TLS: encryption,
		InFlight: erp.InFlight, Settings: settings, UseProxy: erp.Proxy,
	})
	for _, w := range client.Warnings() {
		log.Warn("the ERP connection needs attention", "warning", w)
	}
	return &worker{pool: pool, params: Params{
		Kafka: brokers, Pace: pacestore.NewStore(pool), Gates: gate.NewStore(pool), ERP: client, Settings: settings,
		Log:        log,
		CloseGates: func(ctx context.Context, ends []GenerationEnd) error { return closeGates(ctx, pool, ends) },
	}}, nil
}

// erpProbe tells whether calls go out to the ERP. The service is ready in any case: what it does not send waits.
func erpProbe(pool *pgxpool.Pool, settings setting.Reader) httpapi.Probe {
	store := pacestore.NewStore(pool)
	return httpapi.Probe{
		Name: "erp", Check: func(context.Context) error { return nil },
		Detail: func(ctx context.Context) string {
			v, err := store.Load(ctx)
			if err != nil {
				return "" // the probe of Postgres says so
			}
			if waits := pacestore.StatusOf(v, settings.Current()).WaitsFor; waits != "" {
				return "each order " + waits
			}
			return ""
		},
	}
}

// Name returns the service's name.
func (l *worker) Name() string { return "syncer" }

// Run runs a Syncer while the process holds a lease. At the same time it ends transactions that other processes left
// open when they died.
func (l *worker) Run(ctx context.Context) error {
	var sweeping sync.WaitGroup
	defer sweeping.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	activity := new(txn.Activity)
	sweeping.Go(func() { txn.EndAbandoned(ctx, l.params.Kafka, "syncer", activity, l.lease, l.params.Log) })
	return postgres.WithLease(ctx, l.pool, "syncer", maxSyncers, l.params.Log, func(ctx context.Context, leaseID string) error {
		p := l.params
		p.LeaseID, p.Activity = leaseID, activity
		return New(p).Run(ctx)
	})
}

// closeGates tells the gates of these generations that they have ended, as far as nobody holds them locked.
func closeGates(ctx context.Context, pool *pgxpool.Pool, ends []GenerationEnd) error {
	ended := make([]gate.GenerationEnd, 0, len(ends))
	for _, e := range ends {
		ended = append(ended, gate.GenerationEnd{
			Key: e.Sync.Ref().Key(), Generation: e.Sync.Generation, Version: e.Sync.Version, By: e.By,
			IdempotencyKey: e.Sync.IdempotencyKey, Answered: e.Answered, Reference: e.Sync.ErpReference,
		})
	}
	if _, err := gate.Close(ctx, pool, ended); err != nil {
		return fmt.Errorf("closing %d gates: %w", len(ended), err)
	}
	return nil
}

func (l *worker) lease(ctx context.Context, id string) (func(), bool, error) {
	return postgres.TryLease(ctx, l.pool, id)
}
