package pace

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// Follower is a member that goes by the state.
type Follower struct {
	Member  func() domain.Member // as it is now
	Tell    <-chan struct{}      // a value: tell the others now, and read
	Deliver func(View)           // called after each reading
	Poll    func() time.Duration // how long to wait for the next reading, at most; nil: PollInterval
}

// Wait is how long to wait for the next reading, at most.
func (f Follower) Wait() time.Duration {
	if f.Poll == nil {
		return PollInterval
	}
	return f.Poll()
}

// Follow tells that a member lives, and delivers the state after each change that the others notify of, each time that it is asked to,
// and when its wait is over. It ends with ctx, or with an error when Postgres does not answer.
//
// It has a connection of its own, so that no load on the pool delays it.
func (s *Store) Follow(ctx context.Context, f Follower) error {
	conn, err := s.listen(ctx)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing) // it listens: nobody else is to have it
	}()
	for {
		v, err := beat(ctx, conn, f.Member())
		if err != nil {
			return err
		}
		f.Deliver(v)
		if err := wait(ctx, conn, f); err != nil {
			return err
		}
	}
}

// listen gives a connection of the pool's kind that nobody else uses.
func (s *Store) listen(ctx context.Context) (*pgx.Conn, error) {
	dial, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	pooled, err := s.pool.Acquire(dial)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	conn := pooled.Hijack()
	// That a member lives is worth nothing after a crash, so its writes need not wait for the disk.
	_, err = conn.Exec(dial, "SET synchronous_commit = off; LISTEN "+Channel+"; DELETE FROM erp_member WHERE seen_at < now() - interval '1 hour'")
	if err != nil {
		_ = conn.Close(dial)
		return nil, fmt.Errorf("listening: %w", err)
	}
	return conn, nil
}

// wait returns when a notification came, when the member is to tell, or when it is time to poll.
func wait(ctx context.Context, conn *pgx.Conn, f Follower) error {
	quiet, cancel := context.WithTimeout(ctx, f.Wait())
	defer cancel()
	go func() {
		select {
		case <-f.Tell:
			cancel()
		case <-quiet.Done():
		}
	}()
	if _, err := conn.WaitForNotification(quiet); err != nil && (quiet.Err() == nil || ctx.Err() != nil) {
		return fmt.Errorf("waiting for a change: %w", err)
	}
	return nil
}
