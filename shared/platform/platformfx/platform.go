package platformfx

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/shared/platform"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// Platform provides what every service stands on, runs the loops and serves the routes.
func Platform(cfg platform.Config, log *slog.Logger) fx.Option {
	return fx.Options(
		fx.Supply(cfg, log),
		fx.Supply(cfg.Kafka()),
		fx.Provide(
			newPool,
			func(pool *pgxpool.Pool) *setting.Store { return setting.NewStore(pool, cfg.Settings, nil) },
			newWatcher,
			func(w *setting.Watcher) setting.Reader { return w },
			AsLoop(func(w *setting.Watcher) *setting.Watcher { return w }),
			fx.Annotate(platform.NewServer, fx.ParamTags(``, `group:"routes"`, `group:"probes"`)),
			AsProbe(postgresProbe),
		),
		fx.Invoke(platform.FollowDebug),
		Loops,
		fx.Invoke(func(lc fx.Lifecycle, s *platform.Server, sd fx.Shutdowner) { lc.Append(serving(s, sd, log)) }),
	)
}

func newPool(lc fx.Lifecycle, cfg platform.Config) (*pgxpool.Pool, error) {
	c, err := postgres.ParseConfig(cfg.DatabaseURL)
	if err != nil {
		return nil, err
	}
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

// newWatcher loads the settings before any loop starts: the loops' hooks stand behind this one.
func newWatcher(lc fx.Lifecycle, store *setting.Store, log *slog.Logger) *setting.Watcher {
	w := setting.NewWatcher(store, log)
	lc.Append(fx.StartHook(w.Load))
	return w
}

func postgresProbe(pool *pgxpool.Pool) platform.Probe {
	return platform.Probe{Name: "postgres", Check: func(ctx context.Context) error { return pool.Ping(ctx) }}
}
