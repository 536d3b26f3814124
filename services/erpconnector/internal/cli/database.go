package cli

import (
	"context"
	"fmt"
	"os"
	"os/user"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// withDatabase is for commands that work on DATABASE_URL directly.
func withDatabase(ctx context.Context, use func(cfg config.Config, pool *pgxpool.Pool) error) error {
	cfg, err := config.FromEnv(environment(ctx))
	if err != nil {
		return err
	}
	if err := RequireMigrated(ctx, cfg); err != nil {
		return err
	}
	pool, err := openPool(ctx, cfg.DatabaseURL)
	if err != nil {
		return err
	}
	defer pool.Close()
	return use(cfg, pool)
}

func openPool(ctx context.Context, url string) (*pgxpool.Pool, error) {
	poolConfig, err := postgres.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, poolConfig)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	return pool, nil
}

// osUser is who runs the command; a container may have no names for its users.
func osUser() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return domain.WhoText.Fit(u.Username)
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}
