package scheduler

import (
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/shared/audits"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/wiring"
)

// Module runs a scheduler in the process.
var Module = fx.Module("scheduler", fx.Provide(wiring.AsWorker(
	func(pool *pgxpool.Pool, cfg kafka.Config, settings setting.Reader, works audits.Works, log *slog.Logger) *Scheduler {
		return New(pool, cfg, settings, works, log.With("service", "scheduler"))
	},
)))
