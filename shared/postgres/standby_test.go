package postgres_test

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// Symptom: with postgres://standby,primary/… a pool took the standby, which answers first. A process with an advisory
// lock there led at the same time as the one with the primary's lock.
func TestOfSeveralServersTheOneThatTakesWritesIsTaken(t *testing.T) {
	t.Parallel()
	primary := testkit.OwnPostgres(t)
	standby := primary.Standby(t)
	pool := testkit.PoolOf(t, standby.Both(t, primary))
	require.False(t, inRecovery(t, pool))

	release, ok, err := postgres.TryLease(t.Context(), pool, "one")
	require.NoError(t, err)
	require.True(t, ok)
	defer release()
	_, ok, err = postgres.TryLease(t.Context(), primary.Pool(t), "one")
	require.NoError(t, err)
	require.False(t, ok, "the lease is the primary's")

	require.ErrorIs(t, standby.Pool(t).Ping(t.Context()), postgres.ErrStandby)
	standby.Follows(t, primary)
	primary.Kill(t)
	standby.Promote(t)
	testkit.Eventually(t, func() bool { return pool.Ping(t.Context()) == nil }, "the pool finds the new primary")
	require.False(t, inRecovery(t, pool))
}

func inRecovery(t *testing.T, pool *pgxpool.Pool) (standby bool) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT pg_is_in_recovery()`).Scan(&standby))
	return standby
}

// A standby gives no lease, however the connection was made. That is logged once when it begins and once when it ends,
// and the process leads once the server is the primary.
func TestNobodyLeadsOnAStandby(t *testing.T) {
	t.Parallel()
	primary := testkit.OwnPostgres(t)
	standby := primary.Standby(t)
	pool, err := pgxpool.New(t.Context(), standby.URL) // asks for nothing
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	require.True(t, inRecovery(t, pool))

	_, ok, err := postgres.TryLease(t.Context(), pool, "one")
	require.ErrorIs(t, err, postgres.ErrStandby)
	require.False(t, ok)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var lines testkit.Log
	leads, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- postgres.WithLease(ctx, pool, "one", 1, slog.New(slog.NewTextHandler(&lines, nil)), func(ctx context.Context, _ string) error {
			close(leads)
			<-ctx.Done()
			return nil
		})
	}()
	testkit.Eventually(t, func() bool { return strings.Contains(lines.String(), "standby") }, "the log names the standby")
	select {
	case <-leads:
		require.Fail(t, "it leads on a standby")
	default:
	}
	standby.Promote(t)
	testkit.Await(t, leads)
	require.Len(t, lines.Lines(), 2, "%s", &lines)
	require.Contains(t, lines.Lines()[0], `level=WARN msg="waiting for a lease: Postgres gives none"`)
	require.Contains(t, lines.Lines()[1], `level=INFO msg="Postgres gives leases again"`)
	cancel()
	require.NoError(t, <-ended)
}

func TestAURLThatAsksForAStandbyIsRefused(t *testing.T) {
	t.Parallel()
	for asked, refused := range map[string]bool{
		"": false, "any": false, "read-write": false, "primary": false,
		"read-only": true, "standby": true, "prefer-standby": true,
	} {
		at := url.URL{Scheme: "postgres", Host: "127.0.0.1", Path: "/erp"}
		if asked != "" {
			at.RawQuery = "target_session_attrs=" + asked
		}
		_, err := postgres.ParseConfig(at.String())
		if refused {
			require.ErrorContains(t, err, "target_session_attrs", asked)
		} else {
			require.NoError(t, err, asked)
		}
	}
}
