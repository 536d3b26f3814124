// Package manyorders fills the tables of an installation with very many orders in little time.
package manyorders

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// Fill writes orders into an empty database, table beside table. No log has facts of them. Indexes that forbid nothing are made afterwards,
// which takes a third of the time.
func Fill(t *testing.T, pool *pgxpool.Pool, orders int) {
	t.Helper()
	began := time.Now()
	indexes := dropIndexes(t, pool)
	const chunk = 250_000
	var filling errgroup.Group
	filling.SetLimit(3)
	for table, statement := range tables {
		filling.Go(func() error {
			for first := 1; first <= orders; first += chunk {
				if _, err := pool.Exec(t.Context(), statement, first, min(first+chunk-1, orders)); err != nil {
					return fmt.Errorf("%s: %w", table, err)
				}
			}
			t.Logf("%s is filled after %s", table, time.Since(began).Round(time.Second))
			return nil
		})
	}
	require.NoError(t, filling.Wait())
	for _, index := range indexes {
		filling.Go(func() error { return asReport(t.Context(), pool, index) })
	}
	filling.Go(func() error { return asReport(t.Context(), pool, beside...) })
	require.NoError(t, filling.Wait())
	t.Logf("%d orders are written after %s", orders, time.Since(began).Round(time.Second))
}

// asReport executes statements in a transaction that reads whole tables as it likes.
func asReport(ctx context.Context, pool *pgxpool.Pool, statements ...string) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		for _, statement := range append([]string{`SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL maintenance_work_mem = '512MB'`}, statements...) {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%.60s: %w", statement, err)
			}
		}
		return nil
	})
}

// dropIndexes drops the indexes of the large tables that are not unique, and returns the statements that make them again.
func dropIndexes(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
		WHERE indrelid::regclass::text IN ('sales_order', 'erp_sync_gate', 'vendor_erp_sync', 'vendor_erp_sync_error') AND NOT indisunique`)
	require.NoError(t, err)
	var name, definition string
	var names, definitions []string
	_, err = pgx.ForEachRow(rows, []any{&name, &definition}, func() error {
		names, definitions = append(names, name), append(definitions, definition)
		return nil
	})
	require.NoError(t, err)
	for _, name := range names {
		_, err := pool.Exec(t.Context(), `DROP INDEX `+name)
		require.NoError(t, err)
	}
	return definitions
}
