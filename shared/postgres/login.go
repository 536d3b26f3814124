package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// FollowLogin takes user and password of each new session from the URL that is current then. The rest of the URL counts as it was at the
// start: another server would be another database.
func FollowLogin(c *pgxpool.Config, current func() string) {
	c.BeforeConnect = func(_ context.Context, session *pgx.ConnConfig) error {
		now, err := pgx.ParseConfig(current())
		if err != nil {
			return fmt.Errorf("DATABASE_URL: %w", err)
		}
		session.User, session.Password = now.User, now.Password
		return nil
	}
}

// SessionConfig is how a session is made that is like those of the pool, and is not one of them.
func SessionConfig(ctx context.Context, pool *pgxpool.Pool) (*pgx.ConnConfig, error) {
	c := pool.Config()
	if c.BeforeConnect == nil {
		return c.ConnConfig, nil
	}
	return c.ConnConfig, c.BeforeConnect(ctx, c.ConnConfig)
}

// Connect makes a session like those of the pool, beside it.
func Connect(ctx context.Context, pool *pgxpool.Pool) (*pgx.Conn, error) {
	c, err := SessionConfig(ctx, pool)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, c)
}
