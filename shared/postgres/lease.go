// Package postgres is the connector's Postgres plumbing.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/run"
)

const (
	leasePoll  = 200 * time.Millisecond // a freed lease is taken within this
	leaseCheck = time.Second
	leaseWait  = 3 * time.Second // an unanswered check after this means that the session, and so the lease, is gone
)

// WithLease runs work while this process holds one of the n leases of the name: a session advisory lock on a connection
// of its own, which a killed process frees at once. The lease's id ("name-3") is a transactional id that nobody else
// uses meanwhile; whoever takes a freed lease fences what its former holder left open. The context of work ends when
// the lease is lost; then another is acquired and work begins anew. WithLease returns when ctx ends or work fails.
func WithLease(ctx context.Context, pool *pgxpool.Pool, name string, n int, log *slog.Logger, work func(ctx context.Context, leaseID string) error) error {
	waiting := false
	for ctx.Err() == nil {
		s, err := acquire(ctx, pool, name, n)
		if err != nil {
			switch {
			case waiting || ctx.Err() != nil:
			case errors.Is(err, errHeld):
				log.Info("standing by; another process holds the lease", "lease", name, "leases", n)
			case errors.Is(err, ErrStandby):
				log.Warn("waiting for a lease: only a primary gives one, and none answers at DATABASE_URL; its advisory locks are the ones that all share",
					"lease", name, "leases", n, "error", err)
			default:
				log.Warn("waiting for a lease", "lease", name, "leases", n, "error", err)
			}
			waiting = true
			run.Sleep(ctx, leasePoll)
			continue
		}
		waiting = false
		err = s.hold(ctx, work)
		if err != nil {
			return err
		}
	}
	return nil
}

// LeaseID is the id of a lease of WithLease, for TryLease.
func LeaseID(name string, number int) string { return fmt.Sprintf("%s-%d", name, number) }

type lease struct {
	id   string
	conn *pgx.Conn
}

var errHeld = errors.New("all leases are held")

// acquire takes the first free lease, or says that none is.
func acquire(ctx context.Context, pool *pgxpool.Pool, name string, n int) (*lease, error) {
	dial, cancel := context.WithTimeout(ctx, leaseWait)
	defer cancel()
	conn, err := pgx.ConnectConfig(dial, pool.Config().ConnConfig.Copy())
	if err != nil {
		return nil, fmt.Errorf("connecting to Postgres: %w", err)
	}
	for i := range n {
		id := LeaseID(name, i)
		var got bool
		got, err = try(dial, conn, id)
		if err != nil {
			break
		}
		if got {
			return &lease{id: id, conn: conn}, nil
		}
	}
	_ = conn.Close(context.WithoutCancel(dial))
	if err != nil {
		return nil, fmt.Errorf("taking a lease: %w", err)
	}
	return nil, errHeld
}

func (l *lease) hold(ctx context.Context, work func(ctx context.Context, leaseID string) error) error {
	held, lose := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		defer lose()
		l.watch(held)
	}()
	err := work(held, l.id)
	lose()
	<-watched
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseWait)
	defer cancel()
	_ = l.conn.Close(closing)
	return err
}

// watch returns when the session has ended. Waiting for a message notices that at once, the ping notices a network
// that is gone.
func (l *lease) watch(ctx context.Context) {
	for ctx.Err() == nil {
		wait, cancel := context.WithTimeout(ctx, leaseCheck)
		err := l.conn.PgConn().WaitForNotification(wait)
		quiet := wait.Err() != nil
		cancel()
		if err != nil && !quiet {
			return
		}
		ping, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseWait)
		err = l.conn.Ping(ping)
		cancel()
		if err != nil {
			return
		}
	}
}
