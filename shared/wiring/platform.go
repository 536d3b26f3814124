package wiring

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/shared/access"
	"github.com/erpconnector/erpconnector/shared/access/issuer"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/contracts"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/logging"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// Platform provides what every service needs, runs the workers and serves the routes.
func Platform(cfg config.Config, log *slog.Logger) fx.Option {
	cfg.ReportSecrets(logging.Secrets(log))
	return fx.Options(
		fx.Supply(log, cfg.HTTP, cfg.ERP, cfg.Mail),
		fx.Supply(cfg.Kafka()),
		fx.Provide(
			func(lc fx.Lifecycle) (*pgxpool.Pool, error) { return newPool(lc, cfg) },
			func(pool *pgxpool.Pool) *setting.Store { return setting.NewStore(pool, cfg.Settings, nil) },
			newWatcher,
			func(w *setting.Watcher) setting.Reader { return w },
			AsWorker(func(w *setting.Watcher) *setting.Watcher { return w }),
			fx.Annotate(httpapi.NewServer, fx.ParamTags(``, ``, `group:"routes"`, `group:"probes"`)),
			access.NewStore,
			access.NewVerifier,
			newIssuer,
			newIdentifier,
			AsWorker(func(v *access.Verifier) *access.Verifier { return v }),
			AsProbe(postgresProbe),
			AsRoutes(contracts.Routes),
		),
		fx.Invoke(logging.FollowDebug),
		Workers,
		fx.Invoke(func(lc fx.Lifecycle, s *httpapi.Server, sd fx.Shutdowner) { lc.Append(serving(s, sd, log)) }),
	)
}

func newPool(lc fx.Lifecycle, cfg config.Config) (*pgxpool.Pool, error) {
	c, err := postgres.ParseConfig(cfg.DatabaseURL)
	if err != nil {
		return nil, err
	}
	postgres.FollowLogin(c, cfg.CurrentDatabaseURL)
	c.MaxConns = max(c.MaxConns, 16)
	pool, err := pgxpool.NewWithConfig(context.Background(), c)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	lc.Append(fx.Hook{OnStop: func(context.Context) error {
		pool.Close()
		return nil
	}})
	return pool, nil
}

// newWatcher loads the settings before any worker starts: the workers' hooks come after this one.
func newWatcher(lc fx.Lifecycle, store *setting.Store, log *slog.Logger) *setting.Watcher {
	w := setting.NewWatcher(store, log)
	lc.Append(fx.StartHook(w.Load))
	return w
}

// newIssuer is the identity provider; nil: there is none.
func newIssuer(cfg config.HTTP, log *slog.Logger) (*issuer.Issuer, error) {
	if cfg.OIDC.Issuer == "" {
		return nil, nil //nolint:nilnil // it is optional
	}
	return issuer.New(cfg.OIDC, log)
}

// newIdentifier asks for tokens in the table, then at the issuer's if there is one.
func newIdentifier(i *issuer.Issuer, v *access.Verifier) httpapi.Identifier {
	if i == nil {
		return v
	}
	return httpapi.Identifiers{v, i}
}

func postgresProbe(pool *pgxpool.Pool) httpapi.Probe {
	return httpapi.Probe{Name: "postgres", Check: func(ctx context.Context) error { return pool.Ping(ctx) }}
}
