package postgres_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// Symptom: a process that stood by made a connection for each of its seven leases five times a second.
func TestAProcessThatStandsByAsksOnOneConnection(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	leads := make(chan struct{}, 2)
	lead := func(ctx context.Context) <-chan struct{} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = postgres.WithLease(ctx, pool, "one", 1, slog.New(slog.DiscardHandler), func(ctx context.Context, _ string) error {
				leads <- struct{}{}
				<-ctx.Done()
				return nil
			})
		}()
		return done
	}
	firstCtx, endFirst := context.WithCancel(t.Context())
	first := lead(firstCtx)
	testkit.Await(t, leads)

	secondCtx, endSecond := context.WithCancel(t.Context())
	second := lead(secondCtx)
	pid, at := asks(t, pool, time.Now())
	again, _ := asks(t, pool, at)
	require.Equal(t, pid, again)

	endFirst()
	testkit.Await(t, first)
	testkit.Await(t, leads)
	endSecond()
	testkit.Await(t, second)
}

// asks returns the session that asks for a lease after that, and when it did.
func asks(t *testing.T, pool *pgxpool.Pool, after time.Time) (pid int32, at time.Time) {
	t.Helper()
	testkit.Eventually(t, func() bool {
		return pool.QueryRow(t.Context(), `SELECT pid, query_start FROM pg_stat_activity
			WHERE datname = current_database() AND query LIKE '%pg_try_advisory_lock%' AND pid <> pg_backend_pid() AND query_start > $1
			ORDER BY query_start DESC LIMIT 1`, after).Scan(&pid, &at) == nil
	}, "a process asks for the lease")
	return pid, at
}
