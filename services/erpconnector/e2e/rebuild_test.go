package e2e

import (
	"context"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/projector"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// shape is what a swap must leave as it is: the table's indexes, constraints, owner, rights and storage, and no table beside it.
func (p *product) shape() []string {
	p.t.Helper()
	conn, err := pgx.Connect(p.t.Context(), p.cfg.DatabaseURL)
	require.NoError(p.t, err)
	defer func() { _ = conn.Close(p.t.Context()) }()
	rows, err := conn.Query(p.t.Context(), `
		SELECT 'index ' || indexdef AS line FROM pg_indexes WHERE tablename = 'vendor_erp_sync'
		UNION ALL SELECT conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'vendor_erp_sync'::regclass
		UNION ALL SELECT 'rights ' || relowner || ' ' || acl::text FROM pg_class, unnest(relacl) acl WHERE oid = 'vendor_erp_sync'::regclass
		UNION ALL SELECT 'rights on ' || attname || ' ' || acl::text FROM pg_attribute, unnest(attacl) acl WHERE attrelid = 'vendor_erp_sync'::regclass
		UNION ALL SELECT 'storage ' || reloptions::text FROM pg_class WHERE oid = 'vendor_erp_sync'::regclass AND reloptions IS NOT NULL
		UNION ALL SELECT 'table ' || relname || ' ' || relpersistence::text FROM pg_class WHERE relname LIKE 'vendor_erp_sync%' AND relkind IN ('r', 'p')
		ORDER BY line`)
	require.NoError(p.t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(p.t, err)
	return lines
}

func TestRebuildUnderLoadAfterAnInterruption(t *testing.T) {
	t.Parallel()
	testkit.OnApacheFirst(t, func(t *testing.T, brokers kafka.Config) {
		t.Helper()
		p := startWithOrders(t, brokers)
		p.sql(`GRANT SELECT ON vendor_erp_sync TO PUBLIC`)
		p.sql(`GRANT SELECT (status, order_id), UPDATE (last_error) ON vendor_erp_sync TO pg_monitor WITH GRANT OPTION`)
		p.sql(`ALTER TABLE vendor_erp_sync SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05)`)
		p.sql(`ALTER DEFAULT PRIVILEGES GRANT DELETE ON TABLES TO pg_monitor`) // the swap does not bring them in
		shape := p.shape()
		p.sql(`UPDATE vendor_erp_sync SET status = 'failed' WHERE order_increment_id = '1'`)
		p.spoilRows()
		stop := p.load()
		defer stop()

		p.interruptedRebuild(brokers)
		p.sql(`INSERT INTO vendor_erp_sync_rebuild SELECT (json_populate_record(v, '{"sync_id": -1, "order_increment_id": "mark"}')).* FROM vendor_erp_sync v WHERE order_increment_id = '4'`)
		out, err := p.command("rebuild")
		require.ErrorIs(t, err, projector.ErrUnknownRows)
		require.Contains(t, out, "default none (sync 0): only in the live table\n")
		require.Contains(t, out, "default mark (sync -1): only in the log\n", "it did not go on where it was")
		p.sql(`DELETE FROM vendor_erp_sync_rebuild WHERE sync_id = -1`)
		out, err = p.command("rebuild", "--drop-unknown")
		require.NoError(t, err, out)
		require.Contains(t, out, "1 rows differed, 1 were added, 1 dropped\n")
		require.Equal(t, shape, p.shape())

		p.publish(invoice("after", "after"))
		p.becomes("after", ended("success"))
		require.Greater(t, stop(), 10)
		out, err = p.command("verify")
		require.NoError(t, err, out)
	})
}

// interruptedRebuild ends with the first batch that it has applied.
func (p *product) interruptedRebuild(brokers kafka.Config) {
	p.t.Helper()
	pool, err := pgxpool.New(p.t.Context(), p.cfg.DatabaseURL)
	require.NoError(p.t, err)
	defer pool.Close()
	ctx, cancel := context.WithCancel(p.t.Context())
	defer cancel()
	_, err = projector.Rebuild(ctx, brokers, pool, slog.New(slog.DiscardHandler), projector.Rebuilding{
		OnProgress: func(projector.Progress) { cancel() }, Found: func(projector.Difference) {},
	})
	require.ErrorIs(p.t, err, context.Canceled)
	var at int64
	require.NoError(p.t, pool.QueryRow(p.t.Context(), `SELECT sum(next_offset)::bigint FROM vendor_erp_sync_rebuild_position`).Scan(&at))
	require.Positive(p.t, at)
}
