package outbox_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// epochOf returns the epoch of an id; see migrations/0006.
func epochOf(id int64) int64 { return id >> 40 }

// beginner is a pool or a connection.
type beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// allot writes n rows, one a transaction, and takes n sync ids.
func allot(t *testing.T, on beginner, n int) (rows, syncs []int64) {
	t.Helper()
	for range n {
		require.NoError(t, pgx.BeginFunc(t.Context(), on, func(tx pgx.Tx) error {
			var sync, row int64
			if err := tx.QueryRow(t.Context(), `SELECT erp_sync_ids(1)`).Scan(&sync); err != nil {
				return err
			}
			if err := outbox.Publish(t.Context(), tx, []event.Record{record("a", "k", "1")}); err != nil {
				return err
			}
			err := tx.QueryRow(t.Context(), `SELECT currval('erp_outbox_id_seq')`).Scan(&row)
			rows, syncs = append(rows, row), append(syncs, sync)
			return err
		}))
	}
	return rows, syncs
}

// Symptom: a standby that lagged was promoted, and allotted ids of rows and syncs that the primary had allotted before.
func TestIdsAreUniqueAfterAFailover(t *testing.T) {
	t.Parallel()
	primary := testkit.OwnPostgres(t)
	old := primary.Pool(t)
	rows, syncs := allot(t, old, 3)
	require.Equal(t, []int64{1, 2, 3}, rows, "a fresh database begins at 1")
	require.Equal(t, []int64{1, 2, 3}, syncs)

	first, second := primary.Standby(t), primary.Standby(t)
	first.Follows(t, primary)
	second.Follows(t, primary)
	first.StopReceiving(t)
	second.StopReceiving(t)
	waiting, err := pgx.Connect(t.Context(), first.URL) // a session that was there before
	require.NoError(t, err)
	defer func() { _ = waiting.Close(context.WithoutCancel(t.Context())) }()
	var seen int
	require.NoError(t, waiting.QueryRow(t.Context(), `SELECT count(*) FROM erp_outbox`).Scan(&seen))

	given := map[string][]int64{}
	keep := func(rows, syncs []int64) {
		given["rows"], given["syncs"] = append(given["rows"], rows...), append(given["syncs"], syncs...)
	}
	keep(rows, syncs)
	keep(allot(t, old, 50)) // more than the 32 by which a standby's sequence may be ahead
	primary.Kill(t)
	first.Promote(t)
	keep(allot(t, waiting, 5))
	keep(allot(t, first.Pool(t), 50))
	first.Kill(t)
	second.Promote(t) // it knows nothing of the first one
	keep(allot(t, second.Pool(t), 50))
	for what, ids := range given {
		slices.Sort(ids)
		require.Len(t, slices.Compact(slices.Clone(ids)), len(ids), "%s were given twice", what)
		require.Equal(t, int64(1), epochOf(ids[len(ids)-1]), what)
		require.Less(t, ids[len(ids)-1], int64(1)<<53, "JSON readers that keep numbers as doubles see it exactly")
	}
}

// The first writers after a failover come at the same time. The ids move once, whether or not the first one commits.
func TestAMoveOfTheIdsIsMadeOnceAndForGood(t *testing.T) {
	t.Parallel()
	primary := testkit.OwnPostgres(t)
	standby := primary.Standby(t)
	standby.Follows(t, primary)
	primary.Kill(t)
	standby.Promote(t)
	pool := standby.Pool(t)
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, outbox.Publish(t.Context(), tx, []event.Record{record("a", "k", "1")}))
	var moved int64
	require.NoError(t, tx.QueryRow(t.Context(), `SELECT currval('erp_outbox_id_seq')`).Scan(&moved))

	var many sync.WaitGroup
	ids := make([][]int64, 8) // while that one is open
	for i := range ids {
		many.Go(func() { ids[i], _ = allot(t, standby.Pool(t), 20) })
	}
	many.Wait()
	require.NoError(t, tx.Rollback(t.Context()))
	rows, _ := allot(t, standby.Pool(t), 1)
	all := append(slices.Concat(ids...), moved, rows[0])
	slices.Sort(all)
	require.Len(t, all, 162)
	for i, id := range all {
		require.Equal(t, all[0]+int64(i), id, "there was a second move")
	}
}

// A copy of the database allots ids of its own. The same server after a crash goes on with its ids.
func TestTheIdsMoveWithTheDatabase(t *testing.T) {
	t.Parallel()
	server := testkit.OwnPostgres(t)
	rows, _ := allot(t, server.Pool(t), 3)
	require.Equal(t, int64(3), rows[2])
	server.Restart(t)
	pool := server.Pool(t)
	rows, _ = allot(t, pool, 1)
	require.Zero(t, epochOf(rows[0]))
	require.Less(t, rows[0], int64(100))
	pool.Close()

	config, err := pgxpool.ParseConfig(server.URL)
	require.NoError(t, err)
	copied := server.Copy(t, config.ConnConfig.Database, "copied")
	rows, syncs := allot(t, testkit.PoolOf(t, copied), 1)
	require.Equal(t, "1 1", fmt.Sprint(epochOf(rows[0]), epochOf(syncs[0])))
}

// A role that may only insert moves the ids too.
func TestAnyoneWhoInsertsMovesTheIds(t *testing.T) {
	t.Parallel()
	pool := database(t)
	_, err := pool.Exec(t.Context(), `SELECT setval('erp_server_seq', 0)`) // as on another server
	require.NoError(t, err)
	var id int64
	require.NoError(t, pool.QueryRow(t.Context(),
		`INSERT INTO erp_outbox (topic, key, uuid, metadata, payload) VALUES ('t', '', '', '{}', '') RETURNING id`).Scan(&id))
	require.Equal(t, int64(1), epochOf(id))
}
