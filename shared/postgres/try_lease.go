package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// TryLease takes a lease by its id for a moment, when nobody holds it; release gives it back.
func TryLease(ctx context.Context, pool *pgxpool.Pool, id string) (release func(), ok bool, err error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("taking lease %s: %w", id, err)
	}
	if ok, err = try(ctx, conn, id); err != nil || !ok {
		conn.Release()
		return nil, false, err
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if _, err := conn.Exec(ctx, unlock, id); err != nil {
			_ = conn.Conn().Close(ctx) // the lock ends with its session
		}
		conn.Release()
	}, true, nil
}

// try takes the advisory lock of a lease, if nobody has it and the server is no standby: there it would be taken beside
// the one on the primary.
func try(ctx context.Context, q rower, id string) (ok bool, err error) {
	var got *bool
	if err := q.QueryRow(ctx, tryLock, id).Scan(&got); err != nil {
		return false, fmt.Errorf("taking lease %s: %w", id, err)
	}
	if got == nil {
		return false, fmt.Errorf("taking lease %s: %w", id, ErrStandby)
	}
	return *got, nil
}

// rower is a connection.
type rower interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

const (
	tryLock = `SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_try_advisory_lock(hashtextextended('erpconnector/' || $1, 0)) END`
	unlock  = `SELECT pg_advisory_unlock(hashtextextended('erpconnector/' || $1, 0))`
)
