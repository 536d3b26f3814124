package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// TryLease takes a lease by its id, if it is free, for a short time. release gives it back.
func TryLease(ctx context.Context, pool *pgxpool.Pool, id string) (release func(), ok bool, err error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("taking lease %s: %w", id, err)
	}
	if ok, err = tryLock(ctx, conn, id); err != nil || !ok {
		conn.Release()
		return nil, false, err
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if _, err := conn.Exec(ctx, unlockQuery, id); err != nil {
			_ = conn.Conn().Close(ctx) // the lock ends with its session
		}
		conn.Release()
	}, true, nil
}

// tryLock takes the advisory lock of a lease, if it is free. On a standby it returns ErrStandby: a standby's locks are
// its own, so the primary might give the same lease to another process.
func tryLock(ctx context.Context, q rowQuerier, id string) (ok bool, err error) {
	var got *bool
	if err := q.QueryRow(ctx, tryLockQuery, id).Scan(&got); err != nil {
		return false, fmt.Errorf("taking lease %s: %w", id, err)
	}
	if got == nil {
		return false, fmt.Errorf("taking lease %s: only a primary gives one, so let DATABASE_URL name it: %w", id, ErrStandby)
	}
	return *got, nil
}

// rowQuerier is a connection, of a pool or not.
type rowQuerier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

const (
	tryLockQuery = `SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_try_advisory_lock(hashtextextended('erpconnector/' || $1, 0)) END`
	unlockQuery  = `SELECT pg_advisory_unlock(hashtextextended('erpconnector/' || $1, 0))`
)
