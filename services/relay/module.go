package relay

import (
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/wiring"
)

// Module runs a relay in the process.
var Module = fx.Module("relay",
	fx.Provide(newRelay, fx.Private),
	fx.Provide(wiring.AsWorker(func(r *Relay) *Relay { return r }), wiring.AsProbe((*Relay).Probe)),
)

func newRelay(pool *pgxpool.Pool, brokers kafka.Config, log *slog.Logger) *Relay {
	return New(Params{
		Pool: pool, Kafka: brokers.As("erpconnector-relay"), Log: log.With("service", "relay"),
	})
}

// Probe reports whether the relay leads, or stands by for a leader that works.
func (r *Relay) Probe() httpapi.Probe {
	return httpapi.Probe{Name: r.Name(), Check: r.check}
}
