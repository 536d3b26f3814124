package cli

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/api"
	"github.com/erpconnector/erpconnector/shared/bulk"
	"github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// failedOrders writes n orders that have failed: gates, snapshots and rows.
func failedOrders(t *testing.T, database testkit.Database, n int) {
	t.Helper()
	for _, sql := range []string{
		`INSERT INTO erp_sync_gate (order_key, source, increment_id, sync_id, generation, state, closed_by, idempotency_key, key_number, max_attempts, version, requested_at, updated_at)
			SELECT i::text, 'default', i::text, i, 1, 'closed', 'failure', 'ERP_' || i, 1, 5, 268435456, now(), now() FROM generate_series(1, $1::int) AS i`,
		`INSERT INTO sales_order (order_key, source, increment_id, snapshot, created_at, updated_at)
			SELECT i::text, 'default', i::text, '{"currency": "EUR", "totals": {"grand_total": 19.90}}', now(), now() FROM generate_series(1, $1::int) AS i`,
		`INSERT INTO vendor_erp_sync (sync_id, source, order_increment_id, status, attempts, max_attempts, last_error, idempotency_key, created_at, updated_at, generation,
				attempt_version, attempt_version_at, version, version_at)
			SELECT i, 'default', i::text, 'failed', 1, 5, 'no such sku A1', 'ERP_' || i, now(), now(), 1, 268435456, now(), 268435456, now() FROM generate_series(1, $1::int) AS i`,
	} {
		_, err := database.Pool.Exec(t.Context(), sql, n)
		require.NoError(t, err)
	}
}

// scheduled carries bulk jobs out while the test runs, as the scheduler does.
func scheduled(t *testing.T, database testkit.Database) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	runner := bulk.NewRunner(database.Pool, setting.Fixed(setting.Defaults()), slog.New(slog.DiscardHandler), func(bulk.Command, bulk.Result, int) {})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			_, _ = runner.Step(ctx)
			run.Sleep(ctx, 5*time.Millisecond)
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
}

// An operator sees what a bulk command would do, starts it, watches it, and reads what became of each order.
func testBulk(t *testing.T, database testkit.Database, env variables) {
	failedOrders(t, database, 12)
	asked := invoke(t, env, "bulk", "resync", "--status", "failed", "--canary", "2")
	require.EqualError(t, asked.err, "nothing was done, as nobody answers: give --yes", "nobody said yes")
	require.Contains(t, asked.out, "12 orders, 238.80 EUR\n2 orders must succeed before the others go out\n  1   default  1   failed  no such sku A1\n")
	require.Contains(t, asked.out, "  … and 2 more\n")
	require.Equal(t, "Start? [y/N] \n", asked.stderr)
	require.Equal(t, "there are no such bulk jobs\n", does(t, env, "bulk", "list"))
	require.ErrorContains(t, invoke(t, env, "bulk", "resync", "--status", "success", "--yes").err, "no order matches")

	require.Contains(t, does(t, env, "bulk", "resync", "--attempts-from", "1", "--canary", "1", "--yes", "--background"), "bulk job 1 is started")
	require.Contains(t, does(t, env, "bulk", "pause", "1", "--reason", "the ERP's people ask us to"), "paused since")
	require.Regexp(t, `why +the ERP.s people ask us to\n`, does(t, env, "bulk", "show", "1"))
	require.ErrorContains(t, invoke(t, env, "bulk", "show", "1", "--follow").err, "bulk job 1 is paused")
	require.Contains(t, does(t, env, "bulk", "resume", "1"), "selecting since")
	require.Contains(t, does(t, env, "bulk", "stop", "1"), "stopped since")
	require.ErrorContains(t, invoke(t, env, "bulk", "resume", "1").err, "bulk job 1 is stopped already")
	require.ErrorContains(t, invoke(t, env, "bulk", "show", "9").err, "bulk job 9: there is no such bulk job")

	scheduled(t, database)
	out := does(t, env, "bulk", "settle", "--id", "1,2,3,99", "--reason", "booked by hand", "--yes")
	require.Contains(t, out, "3 orders, 59.70 EUR\n1 id of no known order\n")
	require.True(t, strings.HasSuffix(out, "done: 3 of 3 done (3 succeeded, 0 failed, 0 refused), 0 under way: all orders have come to their end\n"), out)
	refused := invoke(t, env, "bulk", "cancel", "--id", "3,4", "--reason", "a test", "--yes")
	require.Contains(t, refused.out, "1 order would be refused: their state is success\n1 order would be refused: their state is failed\n")
	require.EqualError(t, refused.err, "0 orders failed and 2 were refused: erpconnector bulk results 3")
	require.Equal(t, "1  3  default  3  refused  failed  order_success  no such sku A1\n2  4  default  4  refused  failed  order_failed  no such sku A1\n", does(t, env, "bulk", "results", "3"))
	require.Equal(t, "2  4  default  4  refused  failed  order_failed  no such sku A1\n", does(t, env, "bulk", "results", "3", "--after", "1", "--result", "refused"))
	require.Regexp(t, `3 +cancel +done .*\n2 +settle +done .*booked by hand\nthere are more: erpconnector bulk list --limit 2 --after 2\n`, does(t, env, "bulk", "list", "--limit", "2"))
}

func TestEachWordOfABulkCommandIsExplained(t *testing.T) {
	t.Parallel()
	for _, name := range api.BulkWords {
		require.NotEmpty(t, bulkWordMeanings[name], name)
	}
	require.Len(t, bulkWordMeanings, len(api.BulkWords))
}
