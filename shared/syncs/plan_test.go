package syncs

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// fill writes that many syncs of two shops: one in fifty has failed, half of these with one kind of error.
const fill = `
WITH n AS (SELECT i, CASE WHEN i % 10 = 0 THEN 'outlet' ELSE 'default' END AS source, timestamptz '2024-01-15' + i * interval '1 second' AS at
	FROM generate_series(1, $1::bigint) AS i
), rows AS (
	INSERT INTO vendor_erp_sync (sync_id, order_id, source, order_increment_id, status, attempts, max_attempts, last_error, erp_reference, idempotency_key,
		created_at, updated_at, generation, attempt_version, attempt_version_at, version, version_at)
	SELECT i, i, source, (1000000000 + i)::text, CASE WHEN i % 50 = 0 THEN 'failed' ELSE 'success' END, 1, 5, CASE WHEN i % 50 = 0 THEN 'no such sku' END,
		CASE WHEN i % 50 <> 0 THEN 'ERP-' || i END, 'ERP_' || md5(i::text), at, at + interval '1 second', 1, 0, at, 0, at FROM n
), orders AS (
	INSERT INTO sales_order (order_key, source, increment_id, snapshot, created_at, updated_at)
	SELECT source || '/' || i, source, (1000000000 + i)::text, json_build_object('customer_email', 'c' || i / 3 || '@example.test'), at, at FROM n
), groups AS (
	INSERT INTO vendor_erp_sync_error_group SELECT g, 422, 'erp_rejected', 'no such sku ' || g, '2024-01-15', '2024-01-15' FROM generate_series(1, 50) AS g
)
INSERT INTO vendor_erp_sync_error SELECT i, CASE WHEN i % 100 = 0 THEN 1 ELSE 2 + i / 50 % 49 END, at + interval '1 second' FROM n WHERE i % 50 = 0`

var eight = time.Date(2024, 1, 15, 8, 0, 0, 0, time.UTC)

// searches are the walks, each with the index that it goes along.
var searches = map[string]struct {
	filter Filter
	index  string
}{
	"all":                   {Filter{}, "vendor_erp_sync_source_status"},
	"by_creation":           {Filter{Sort: ByCreation, CreatedSince: eight}, "vendor_erp_sync_created"},
	"a_shops_failures":      {Filter{Source: "outlet", Statuses: []domain.Status{domain.Failed}}, "vendor_erp_sync_source_status"},
	"a_status_that_is_rare": {Filter{Statuses: []domain.Status{domain.Queued}}, "vendor_erp_sync_source_status"},
	"changed_since":         {Filter{UpdatedSince: eight, UpdatedUntil: eight.Add(time.Hour)}, "vendor_erp_sync_source_status"},
	"what_nothing_matches":  {Filter{AttemptsFrom: 7}, "vendor_erp_sync_source_status"},
	"an_order":              {Filter{Order: "1000000007"}, "vendor_erp_sync_source_order_increment_id_key"},
	"a_shops_order":         {Filter{Order: "1000000010", Source: "outlet"}, "vendor_erp_sync_source_order_increment_id_key"},
	"a_number":              {Filter{OrderID: 7}, "vendor_erp_sync_order_id"},
	"a_key":                 {Filter{Key: "ERP_1"}, "vendor_erp_sync_key"},
	"a_reference":           {Filter{ErpReference: "ERP-7"}, "vendor_erp_sync_reference"},
	"a_customer":            {Filter{Email: "C7@example.test"}, "sales_order_personal_email"},
	"an_error":              {Filter{Error: "no such sku", HTTPStatus: 422}, "vendor_erp_sync_error_of_group"},
	"an_error_by_creation":  {Filter{ErrorGroup: 1, Sort: ByCreationDown}, "vendor_erp_sync_created"},
	"errors_of_a_shop":      {Filter{ErrorGroup: 1, Source: "default"}, "vendor_erp_sync_error_of_group"},
	"the_next_page":         {Filter{After: Cursor{eight.UnixMicro(), 7, "u"}}, "vendor_erp_sync_source_status"},
}

// TestEachSearchWalksAlongItsIndex guards that a search reads a few pages of the tables, whatever it asks for, and never a whole one.
func TestEachSearchWalksAlongItsIndex(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	_, err := pool.Exec(t.Context(), fill, 30_000)
	require.NoError(t, err)
	for name, c := range searches {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := c.filter
			f.Limit = 100
			if f.groups() {
				ids, err := groupIDs(t.Context(), pool, f)
				require.NoError(t, err)
				f.ofGroups = ids
			}
			sql, args, _ := f.query()
			rows, err := pool.Query(t.Context(), `EXPLAIN (ANALYZE, BUFFERS, COSTS off, TIMING off, SUMMARY off) `+sql, args...)
			require.NoError(t, err)
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err)
			plan := strings.Join(lines, "\n")
			require.Contains(t, plan, c.index, plan)
			require.NotRegexp(t, `Seq Scan on (vendor_erp_sync|sales_order)\b`, plan)
			require.Less(t, blocks(t, lines), 16_000, plan) // each of 2,000 rows is read twice, with its error
		})
	}
}

// TestValuesAndTrendsLookAtABoundedNumber guards the same of what is said of kinds of errors.
func TestValuesAndTrendsLookAtABoundedNumber(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	_, err := pool.Exec(t.Context(), fill, 30_000)
	require.NoError(t, err)
	var groups []Group
	for id := range int64(50) {
		groups = append(groups, Group{ID: id + 1})
	}
	spans := Spans(day.Add(8*time.Hour), time.Hour, 9)
	for name, f := range map[string]Filter{"of_all": {}, "of_a_shop": {Source: "default", Statuses: []domain.Status{domain.Failed}}} {
		values, args := valuesQuery(f, groups)
		trends, trendArgs, _ := trendsQuery(f, groups, spans)
		for _, c := range []struct {
			sql  string
			args []any
		}{{values, args}, {trends, trendArgs}} {
			rows, err := pool.Query(t.Context(), `EXPLAIN (ANALYZE, BUFFERS, COSTS off, TIMING off, SUMMARY off) `+c.sql, c.args...)
			require.NoError(t, err)
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err)
			plan := strings.Join(lines, "\n")
			require.Contains(t, plan, "vendor_erp_sync_error_of_group", name)
			require.NotRegexp(t, `Seq Scan on (vendor_erp_sync|vendor_erp_sync_error|sales_order)\b`, plan)
			require.Less(t, blocks(t, lines), 12_000, plan) // of 600 syncs, and as many orders
		}
	}
	all, err := Values(t.Context(), pool, Filter{}, groups)
	require.NoError(t, err)
	require.EqualValues(t, MaxValuedInAll/50, all[1].Orders, "of 300")
	points, err := Trends(t.Context(), pool, Filter{}, groups, spans)
	require.NoError(t, err)
	require.Equal(t, Point{Since: day, Until: day.Add(time.Hour), Syncs: 35, AtLeast: false}, points[1][0])
	points, err = Trends(t.Context(), pool, Filter{}, groups, Spans(day.Add(8*time.Hour), 24*time.Hour, 14))
	require.NoError(t, err)
	require.Equal(t, Point{Since: day, Until: day.Add(24 * time.Hour), Syncs: MaxTrendInAll / (50 * 14), AtLeast: true}, points[1][13])
}

// blocks is how many pages the whole plan has read: the first line that names them counts those below.
func blocks(t *testing.T, plan []string) (n int) {
	t.Helper()
	for _, line := range plan {
		if at := strings.Index(line, "shared hit="); at >= 0 {
			_, rest, _ := strings.Cut(line, "hit=")
			for _, digit := range rest {
				if digit < '0' || digit > '9' {
					return n
				}
				n = n*10 + int(digit-'0')
			}
			return n
		}
	}
	t.Fatal("the plan names no pages")
	return 0
}
