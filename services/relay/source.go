package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/outbox"
)

// source is the connection that a session reads the outbox on, and is woken on.
type source struct {
	conn  *pgx.Conn
	woken bool // a notification came since this was set to false; it may have come with the answer to a query
}

func openSource(ctx context.Context, pool *pgxpool.Pool) (*source, error) {
	s := &source{}
	config := pool.Config().ConnConfig.Copy()
	config.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { s.woken = true }
	var err error
	if s.conn, err = pgx.ConnectConfig(ctx, config); err != nil {
		return nil, fmt.Errorf("connecting to Postgres: %w", err)
	}
	if _, err := s.conn.Exec(ctx, "LISTEN "+outbox.Channel); err != nil {
		s.close(ctx)
		return nil, fmt.Errorf("listening for new rows: %w", err)
	}
	return s, nil
}

// wait waits for the time or a wake-up. An error says that the connection, or ctx, has ended.
func (s *source) wait(ctx context.Context, d time.Duration) error {
	if s.woken {
		return ctx.Err()
	}
	within, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	err := s.conn.PgConn().WaitForNotification(within)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && within.Err() == nil:
		return fmt.Errorf("waiting for new rows: %w", err)
	}
	return nil
}

func (s *source) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = s.conn.Close(ctx)
}
