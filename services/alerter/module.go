package alerter

import (
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/wiring"
)

// Module runs an alerter in the process.
var Module = fx.Module("alerter", fx.Provide(wiring.AsWorker(
	func(pool *pgxpool.Pool, erp config.ERP, mail config.Mail, settings setting.Reader, log *slog.Logger) *Alerter {
		return New(pool, erp, mail, settings, log.With("service", "alerter"))
	},
)))
