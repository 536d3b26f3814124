package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Claim takes a slot by its id for a moment, when nobody holds it; release gives it back.
func Claim(ctx context.Context, pool *pgxpool.Pool, id string) (release func(), ok bool, err error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("claiming slot %s: %w", id, err)
	}
	if err := conn.QueryRow(ctx, tryLock, id).Scan(&ok); err != nil || !ok {
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

const (
	tryLock = `SELECT pg_try_advisory_lock(hashtextextended('erpconnector/' || $1, 0))`
	unlock  = `SELECT pg_advisory_unlock(hashtextextended('erpconnector/' || $1, 0))`
)
