package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// manyOrders writes orders of two shops, each with a sync and a timeline; one in ten has failed with the same error.
const manyOrders = `
WITH o AS (
	SELECT i, source, CASE source WHEN 'default' THEN '' ELSE source || '/' END || i AS order_key, i::text AS increment_id,
		timestamptz '2024-01-15' + i * interval '1 second' AS at,
		CASE WHEN i % 10 = 0 THEN 'failed' ELSE 'success' END AS status
	FROM (SELECT i, CASE WHEN i % 3 = 0 THEN 'outlet' ELSE 'default' END AS source FROM generate_series(1, 8000) AS i) n
), orders AS (
	INSERT INTO sales_order (order_key, source, increment_id, order_id, snapshot, created_at, updated_at)
	SELECT order_key, source, increment_id, i, '{"currency": "EUR", "totals": {"grand_total": "10.00"}}', at, at FROM o
), gates AS (
	INSERT INTO erp_sync_gate (order_key, source, increment_id, sync_id, generation, state, closed_by, idempotency_key, version, requested_at, updated_at)
	SELECT order_key, source, increment_id, i, 1, 'closed', CASE status WHEN 'failed' THEN 'failure' ELSE 'answer' END, 'key', 1 << 28, at, at FROM o
), events AS (
	INSERT INTO vendor_erp_sync_event (occurred_at, topic, partition, "offset", sync_id, version, type, status, attempts)
	SELECT at, 'vendor_erp_sync_' || type, 0, i, i, (1 << 28) + n, 'vendor_erp_sync_' || type, status, n
	FROM o CROSS JOIN (VALUES (0, 'requested'), (1, 'before_send'), (2, 'after_send')) AS t (n, type)
), kinds AS (
	INSERT INTO vendor_erp_sync_error_group VALUES (1, 422, 'erp_rejected', 'no such sku', '2024-01-15', '2024-01-15')
), errors AS (
	INSERT INTO vendor_erp_sync_error SELECT i, 1, at FROM o WHERE status = 'failed'
), counts AS (
	INSERT INTO vendor_erp_sync_count VALUES ('default', 'failed', 1, 534), ('outlet', 'failed', 1, 266),
		('default', 'success', 0, 4800), ('outlet', 'success', 0, 2400)
), refused AS (
	INSERT INTO commerce_quarantine (source, event_id, code, problems, payload, about_order, published_at, quarantined_at)
	SELECT source, 'q' || i, 'refused', '[]', '{}', 'other' || i, at, at FROM o
)
INSERT INTO vendor_erp_sync (sync_id, order_id, source, order_increment_id, status, attempts, max_attempts, idempotency_key, created_at, updated_at, generation,
	attempt_version, attempt_version_at, version, version_at)
SELECT i, i, source, increment_id, status, 2, 5, 'key', at, at, 1, 1 << 28, at, (1 << 28) + 2, at FROM o`

// TestAnswersLookAtABoundedNumberOfRows guards that no question about orders reads a table, or an index of one, as a whole: neither what is
// asked of one order, nor a preview. The statistics of the tables are those of empty ones.
func TestAnswersLookAtABoundedNumberOfRows(t *testing.T) {
	t.Parallel()
	database := testkit.Postgres(t)
	_, err := database.Pool.Exec(t.Context(), manyOrders)
	require.NoError(t, err)
	single := database.Pool.Config()
	single.MaxConns = 1 // so that its counters can be told
	pool, err := pgxpool.NewWithConfig(t.Context(), single)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	asked := serve(t, pool)
	looked := func() (read, scanned int) {
		_, err := pool.Exec(t.Context(), `SELECT pg_stat_force_next_flush()`)
		require.NoError(t, err)
		require.NoError(t, database.Pool.QueryRow(t.Context(), `
			SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = ANY($1)),
				(SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname = ANY($1))`,
			[]string{"sales_order", "erp_sync_gate", "vendor_erp_sync", "vendor_erp_sync_event_default", "vendor_erp_sync_error", "commerce_quarantine"},
		).Scan(&read, &scanned))
		return read, scanned
	}
	for _, c := range []struct {
		method, path, body string
		status, most       int // rows, through indexes
	}{
		{http.MethodGet, "sync-status/100", "", http.StatusOK, 10},
		{http.MethodGet, "sync-status/absent", "", http.StatusNotFound, 20},
		{http.MethodGet, "timeline/100", "", http.StatusOK, 20},
		{http.MethodGet, "syncs/100", "", http.StatusOK, 10},
		{http.MethodGet, "syncs/100?as_of=2030-01-01", "", http.StatusOK, 20},
		{http.MethodGet, "syncs/100/events", "", http.StatusOK, 20},
		{http.MethodGet, "syncs/counts", "", http.StatusOK, 0},
		{http.MethodGet, "syncs/errors?trend=days", "", http.StatusOK, 3_000}, // of 800 orders
		{http.MethodPost, "bulk/resync", `{"filter": {"error_group": 1}, "reason": "it is mended"}`, http.StatusOK, 8_000},
		{http.MethodPost, "bulk/settle", `{"sync_ids": [10, 20, 30], "reason": "booked by hand"}`, http.StatusOK, 60},
	} {
		before, scannedBefore := looked()
		answer := httptest.NewRecorder()
		asked.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), c.method, "/rest/V1/erpconnector/"+c.path, strings.NewReader(c.body)))
		require.Equal(t, c.status, answer.Code, "%s: %s", c.path, answer.Body)
		read, scanned := looked()
		require.LessOrEqual(t, read-before, c.most, c.path)
		require.Equal(t, scannedBefore, scanned, "%s reads a table as a whole", c.path)
	}
}
