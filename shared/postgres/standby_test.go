package postgres_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// Symptom: with postgres://standby,primary/… a pool took the standby, which answers first; its holder of an advisory lock
// led beside the one on the primary.
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
	require.Eventually(t, func() bool { return pool.Ping(t.Context()) == nil }, 30*time.Second, 10*time.Millisecond)
	require.False(t, inRecovery(t, pool))
}

func inRecovery(t *testing.T, pool *pgxpool.Pool) (standby bool) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT pg_is_in_recovery()`).Scan(&standby))
	return standby
}

// Who leads refuses a standby however the connection was made, says so once, and leads once the server is the primary.
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
	var lines buffer
	leads, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- postgres.WithLease(ctx, pool, "one", 1, slog.New(slog.NewTextHandler(&lines, nil)), func(ctx context.Context, _ string) error {
			close(leads)
			<-ctx.Done()
			return nil
		})
	}()
	require.Eventually(t, func() bool { return strings.Contains(lines.String(), "standby") }, 30*time.Second, 10*time.Millisecond)
	select {
	case <-leads:
		require.Fail(t, "it leads on a standby")
	default:
	}
	standby.Promote(t)
	testkit.Await(t, leads)
	require.Equal(t, 1, strings.Count(lines.String(), "level="), "%s", lines.String())
	cancel()
	require.NoError(t, <-ended)
}

// buffer is a log that can be read meanwhile.
type buffer struct {
	mu    sync.Mutex
	bytes bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes.String()
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
