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

// TestAStatementIsPlannedOnce guards that no call of a prepared statement is planned for its own values.
func TestAStatementIsPlannedOnce(t *testing.T) {
	t.Parallel()
	conn, err := testkit.Postgres(t).Pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	for range 3 {
		_, err := conn.Exec(t.Context(), `SELECT relname FROM pg_class WHERE relname = ANY($1)`, []string{"pg_class"})
		require.NoError(t, err)
	}
	var generic, custom int
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%relname = ANY%' AND statement NOT LIKE '%prepared%'`).Scan(&generic, &custom))
	require.Equal(t, []int{3, 0}, []int{generic, custom})
}
