package timeline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// putSync puts the row of an order's sync, as the projector does.
func putSync(t *testing.T, pool *pgxpool.Pool, syncID int64, status domain.Status, updated time.Time) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `
		INSERT INTO vendor_erp_sync (sync_id, order_increment_id, status, attempts, max_attempts, idempotency_key, created_at, updated_at,
			source, generation, attempt_version, attempt_version_at, version, version_at)
		VALUES ($1, $2, $3, 1, 5, 'ERP', $4, $4, 'default', 1, 1, $4, 1, $4)`, syncID, fmt.Sprint(syncID), status, updated)
	require.NoError(t, err)
}

// left are the syncs that have lines, with how many.
func left(t *testing.T, pool *pgxpool.Pool) map[int64]int {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT sync_id, count(*) FROM vendor_erp_sync_event GROUP BY sync_id`)
	require.NoError(t, err)
	out := map[int64]int{}
	var id int64
	var n int
	_, err = pgx.ForEachRow(rows, []any{&id, &n}, func() error {
		out[id] = n
		return nil
	})
	require.NoError(t, err)
	return out
}

func TestCleanDeletesWholeTimelinesOfOrdersThatHaveEnded(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	cut := day.AddDate(0, 0, 100)
	for _, s := range []struct {
		id     int64
		status domain.Status
		days   []int // of its lines, after day
	}{
		{1, domain.Success, []int{0, 99}},
		{2, domain.Failed, []int{0}},
		{3, domain.Success, []int{0, 101}}, // it was sent once more lately
		{4, domain.Queued, []int{0, 1}},
		{5, domain.InProgress, []int{0}},
		{6, domain.Pending, []int{0}},
		{7, domain.Success, []int{101}},
	} {
		for i, after := range s.days {
			putFact(t, pool, s.id, Fact{OccurredAt: day.AddDate(0, 0, after), Topic: "any", Partition: int32(s.id), Offset: int64(i), Status: s.status}, nil, nil)
		}
		putSync(t, pool, s.id, s.status, day.AddDate(0, 0, s.days[len(s.days)-1]))
	}
	putFact(t, pool, 8, Fact{OccurredAt: day, Topic: "any", Partition: 8, Status: domain.Success}, nil, nil) // its row is to come
	floor, err := Floor(t.Context(), pool)
	require.NoError(t, err)
	require.Zero(t, floor)

	deleted, err := Clean(t.Context(), pool, day, 100)
	require.NoError(t, err)
	require.Zero(t, deleted)
	floor, err = Floor(t.Context(), pool)
	require.NoError(t, err)
	require.Zero(t, floor, "nothing was deleted")

	deleted, err = Clean(t.Context(), pool, cut, 2)
	require.NoError(t, err)
	require.Equal(t, 2, deleted, "as many as were asked for")
	deleted, err = Clean(t.Context(), pool, cut, 2)
	require.NoError(t, err)
	require.Equal(t, 1, deleted)
	require.Equal(t, map[int64]int{3: 2, 4: 2, 5: 1, 6: 1, 7: 1, 8: 1}, left(t, pool))
	floor, err = Floor(t.Context(), pool)
	require.NoError(t, err)
	require.Equal(t, cut, floor)

	// A shorter retention was set, and a longer one again: what is gone stays gone.
	_, err = Clean(t.Context(), pool, cut.AddDate(0, 0, 5), 100)
	require.NoError(t, err)
	_, err = Clean(t.Context(), pool, cut, 100)
	require.NoError(t, err)
	require.Equal(t, map[int64]int{4: 2, 5: 1, 6: 1, 8: 1}, left(t, pool))
	floor, err = Floor(t.Context(), pool)
	require.NoError(t, err)
	require.Equal(t, cut.AddDate(0, 0, 5), floor)
}

func TestAPageSaysWhatMayBeMissing(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	putGate(t, pool, ref, 7)
	putSync(t, pool, 7, domain.Success, day)
	putFact(t, pool, 7, Fact{OccurredAt: day, Topic: "any", Status: domain.Success}, nil, nil)
	require.Zero(t, read(t, pool, ref, 10).KeptFrom)
	cut := day.Add(time.Hour)
	_, err := Clean(t.Context(), pool, cut, 100)
	require.NoError(t, err)
	page := read(t, pool, ref, 10)
	require.Empty(t, page.Facts)
	require.Equal(t, cut, page.KeptFrom)
}

// TestOldLinesAreFoundByTheIndex guards that a look with nothing to do does not read the whole table.
func TestOldLinesAreFoundByTheIndex(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	_, err := pool.Exec(t.Context(), `
		INSERT INTO vendor_erp_sync_event (occurred_at, topic, partition, "offset", sync_id, version, type, status, attempts)
		SELECT now(), 'any', 0, i, i, 1, 'any', 'success', 1 FROM generate_series(1, 50000) AS i;
		SELECT brin_summarize_new_values('vendor_erp_sync_event_default_at')`)
	require.NoError(t, err)
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(t.Context()) }()
	_, err = tx.Exec(t.Context(), postgres.BitmapsOnly)
	require.NoError(t, err)
	rows, err := tx.Query(t.Context(), `EXPLAIN (ANALYZE, BUFFERS, TIMING off, SUMMARY off) `+cleanQuery, time.Now().AddDate(0, 0, -1), 100)
	require.NoError(t, err)
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Regexp(t, `CTE old\s.*Bitmap Index Scan on vendor_erp_sync_event_default_at .*CTE deleted`, strings.Join(plan, " "))
}
