package postgres_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// A scan that nothing could replace was so dear on paper that Postgres compiled it first: 30 to 140 ms for an empty table.
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
