package postgres_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

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
