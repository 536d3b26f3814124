package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// source is the connection on which a session reads the outbox and gets its wake-ups.
type source struct {
	conn  *pgx.Conn
	woken bool // a notification has come, perhaps with the answer to a query; the session resets it
}

func openSource(ctx context.Context, pool *pgxpool.Pool) (*source, error) {
	s := &source{}
	config, err := postgres.SessionConfig(ctx, pool)
	if err != nil {
		return nil, err
	}
	config.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { s.woken = true }
	if s.conn, err = pgx.ConnectConfig(ctx, config); err != nil {
		return nil, fmt.Errorf("connecting to Postgres: %w", err)
	}
	if _, err := s.conn.Exec(ctx, "LISTEN "+outbox.Channel); err != nil {
		s.close(ctx)
		return nil, fmt.Errorf("listening for new rows: %w", err)
	}
	return s, nil
}

// wait waits for a wake-up, for at most d. An error means that the connection or ctx has ended.
func (s *source) wait(ctx context.Context, d time.Duration) error {
	if s.woken {
		return ctx.Err()
	}
	timeout, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	err := s.conn.PgConn().WaitForNotification(timeout)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && timeout.Err() == nil:
		return fmt.Errorf("waiting for new rows: %w", err)
	}
	return nil
}

func (s *source) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = s.conn.Close(ctx)
}
