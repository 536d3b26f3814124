package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

var errSlotLost = errors.New("the leader's Postgres session has ended")

// slotCheck is how often the leader makes sure that its session, and so its lock, is there.
const (
	slotCheck   = time.Second
	slotTimeout = 3 * time.Second
)

// slot is leadership: a session advisory lock, held by a connection of its own. ctx ends when it is lost. A leader that
// has not noticed yet does no harm: its successor's producer fences it.
type slot struct {
	ctx    context.Context //nolint:containedctx // its end is the message
	cancel context.CancelFunc
	conn   *pgx.Conn
	done   chan struct{}
}

func acquireSlot(ctx context.Context, pool *pgxpool.Pool, name string) (*slot, error) {
	conn, err := pgx.ConnectConfig(ctx, pool.Config().ConnConfig.Copy())
	if err != nil {
		return nil, fmt.Errorf("connecting for leadership: %w", err)
	}
	for {
		var got bool
		err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtextextended('erpconnector:' || $1, 0))`, name).Scan(&got)
		if err != nil {
			_ = conn.Close(context.WithoutCancel(ctx))
			return nil, fmt.Errorf("waiting for leadership: %w", err)
		}
		if got {
			break
		}
		pause(ctx, 200*time.Millisecond, nil)
	}
	s := &slot{conn: conn, done: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	go s.watch()
	return s, nil
}

func (s *slot) watch() {
	defer close(s.done)
	defer s.cancel()
	for s.ctx.Err() == nil {
		// Waiting for a message sees the end of the session at once; the ping sees a network that is gone.
		wait, cancel := context.WithTimeout(s.ctx, slotCheck)
		err := s.conn.PgConn().WaitForNotification(wait)
		timedOut := wait.Err() != nil
		cancel()
		if err != nil && !timedOut {
			return
		}
		ping, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), slotTimeout)
		err = s.conn.Ping(ping)
		cancel()
		if err != nil {
			return
		}
	}
}

// Release gives leadership up.
func (s *slot) Release() {
	s.cancel()
	<-s.done
	ctx, cancel := context.WithTimeout(context.Background(), slotTimeout)
	defer cancel()
	_ = s.conn.Close(ctx)
}
