package app

import (
	"log/slog"
	"net/http"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/dig"
	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/services/api"
	"github.com/erpconnector/erpconnector/services/ingest"
	"github.com/erpconnector/erpconnector/shared/access"
	"github.com/erpconnector/erpconnector/shared/access/issuer"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// Handler serves the routes of api and ingest to one who is known, from this process and on the stores: no server listens, and no worker
// runs. So a command does the same with a database as with a connector over HTTP. The settings are those in force.
func Handler(cfg config.Config, pool *pgxpool.Pool, settings setting.Reader, who httpapi.Identity, log *slog.Logger) (http.Handler, error) {
	var found struct {
		fx.In

		Routes []httpapi.Route `group:"routes"`
	}
	built := fx.New(fx.NopLogger,
		fx.Supply(log, cfg.HTTP, cfg.ERP, cfg.Mail, cfg.Kafka(), pool),
		fx.Provide(func() setting.Reader { return settings }, func() *setting.Store { return setting.NewStore(pool, cfg.Settings, nil) }, access.NewStore),
		fx.Supply((*issuer.Issuer)(nil)), // nobody signs in
		api.Module, ingest.Module,
		fx.Populate(&found),
	)
	if err := built.Err(); err != nil {
		return nil, dig.RootCause(err)
	}
	return httpapi.KnownHandler(who, found.Routes), nil
}
