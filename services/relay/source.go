package relay

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// source is the connection on which a session reads the outbox. It gets the wake-ups: those of other processes are notifications on the
// connection, those of this process are calls.
type source struct {
	conn     *pgx.Conn
	stopWake func()

	mu      sync.Mutex
	woken   bool // perhaps while a query was under way; the session resets it
	endWait context.CancelFunc
}

func openSource(ctx context.Context, pool *pgxpool.Pool) (*source, error) {
	s := &source{stopWake: func() {}}
	config, err := postgres.SessionConfig(ctx, pool)
	if err != nil {
		return nil, err
	}
	config.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { s.setWoken(true) }
	if s.conn, err = pgx.ConnectConfig(ctx, config); err != nil {
		return nil, fmt.Errorf("connecting to Postgres: %w", err)
	}
	if _, err := s.conn.Exec(ctx, "LISTEN "+outbox.Channel); err != nil {
		s.close(ctx)
		return nil, fmt.Errorf("listening for new rows: %w", err)
	}
	s.stopWake = outbox.OnWake(pool, s.wake)
	return s, nil
}

// wake is called by writers of this process.
func (s *source) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.woken = true
	if s.endWait != nil {
		s.endWait()
	}
}

func (s *source) setWoken(woken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.woken = woken
}

// beginWait lets wake-ups call end. It is false when one has come before.
func (s *source) beginWait(end context.CancelFunc) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endWait = end
	return !s.woken
}

// wait waits for a wake-up, for at most d. An error means that the connection or ctx has ended.
func (s *source) wait(ctx context.Context, d time.Duration) error {
	timeout, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	if !s.beginWait(cancel) {
		return ctx.Err()
	}
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
	s.stopWake()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = s.conn.Close(ctx)
}
