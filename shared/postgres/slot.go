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
	slotPoll  = 200 * time.Millisecond // a freed slot is taken within this
	slotCheck = time.Second
	slotWait  = 3 * time.Second // an unanswered check after this means that the session, and so the slot, is gone
)

// WithSlot runs work while this process holds one of the n slots of the name: a session advisory lock on a connection
// of its own, which a killed process frees at once. The slot's id ("name-3") is a transactional id that nobody else
// uses meanwhile; whoever takes a freed slot fences what its former holder left open. The context of work ends when
// the slot is lost; then another is acquired and work begins anew. WithSlot returns when ctx ends or work fails.
func WithSlot(ctx context.Context, pool *pgxpool.Pool, name string, n int, log *slog.Logger, work func(ctx context.Context, slotID string) error) error {
	waiting := false
	for ctx.Err() == nil {
		s, err := acquire(ctx, pool, name, n)
		if err != nil {
			switch {
			case waiting || ctx.Err() != nil:
			case errors.Is(err, errHeld):
				log.Info("standing by; another process holds the slot", "slot", name, "slots", n)
			case errors.Is(err, ErrStandby):
				log.Warn("waiting for a slot: only a primary gives one, and none answers at DATABASE_URL; its advisory locks are the ones that all share",
					"slot", name, "slots", n, "error", err)
			default:
				log.Warn("waiting for a slot", "slot", name, "slots", n, "error", err)
			}
			waiting = true
			run.Sleep(ctx, slotPoll)
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

// SlotID is the id of a slot of WithSlot, for Claim.
func SlotID(name string, number int) string { return fmt.Sprintf("%s-%d", name, number) }

type slot struct {
	id   string
	conn *pgx.Conn
}

var errHeld = errors.New("all slots are held")

// acquire takes the first free slot, or says that none is.
func acquire(ctx context.Context, pool *pgxpool.Pool, name string, n int) (*slot, error) {
	dial, cancel := context.WithTimeout(ctx, slotWait)
	defer cancel()
	conn, err := pgx.ConnectConfig(dial, pool.Config().ConnConfig.Copy())
	if err != nil {
		return nil, fmt.Errorf("connecting to Postgres: %w", err)
	}
	for i := range n {
		id := SlotID(name, i)
		var got bool
		got, err = try(dial, conn, id)
		if err != nil {
			break
		}
		if got {
			return &slot{id: id, conn: conn}, nil
		}
	}
	_ = conn.Close(context.WithoutCancel(dial))
	if err != nil {
		return nil, fmt.Errorf("taking a slot: %w", err)
	}
	return nil, errHeld
}

func (s *slot) hold(ctx context.Context, work func(ctx context.Context, slotID string) error) error {
	held, lose := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		defer lose()
		s.watch(held)
	}()
	err := work(held, s.id)
	lose()
	<-watched
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), slotWait)
	defer cancel()
	_ = s.conn.Close(closing)
	return err
}

// watch returns when the session has ended. Waiting for a message notices that at once, the ping notices a network
// that is gone.
func (s *slot) watch(ctx context.Context) {
	for ctx.Err() == nil {
		wait, cancel := context.WithTimeout(ctx, slotCheck)
		err := s.conn.PgConn().WaitForNotification(wait)
		quiet := wait.Err() != nil
		cancel()
		if err != nil && !quiet {
			return
		}
		ping, cancel := context.WithTimeout(context.WithoutCancel(ctx), slotWait)
		err = s.conn.Ping(ping)
		cancel()
		if err != nil {
			return
		}
	}
}
