package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// Symptom: a scan of an empty table took 30 to 140 ms, as Postgres estimated it as very expensive and compiled it first.
func TestNothingIsCompiledForAScan(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	_, err := pool.Exec(t.Context(), `CREATE TABLE without_index (n int)`)
	require.NoError(t, err)
	rows, err := pool.Query(t.Context(), `EXPLAIN (ANALYZE) SELECT count(*) FROM without_index`)
	require.NoError(t, err)
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.NotContains(t, strings.Join(plan, "\n"), "JIT", "the plan")
}

// Symptom: connect_timeout of DATABASE_URL had no effect.
func TestTheURLSaysHowLongToWaitForASession(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]time.Duration{
		"postgres://h/d": 5 * time.Second, "postgres://h/d?connect_timeout=7": 7 * time.Second, "host=h connect_timeout=60": time.Minute,
	} {
		c, err := postgres.ParseConfig(url)
		require.NoError(t, err)
		require.Equal(t, want, c.ConnConfig.ConnectTimeout, url)
	}
}
