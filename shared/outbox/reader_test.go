package outbox_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/outbox"
)

func begin(t *testing.T, pool *pgxpool.Pool) pgx.Tx {
	t.Helper()
	tx, err := pool.Begin(context.Background())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

func write(t *testing.T, tx pgx.Tx, ids ...string) {
	t.Helper()
	var recs []event.Record
	for _, id := range ids {
		recs = append(recs, record("a", "k", id))
	}
	require.NoError(t, outbox.Publish(context.Background(), tx, recs))
}

func uuids(b outbox.Batch) []string {
	ids := []string{}
	for _, row := range b.Rows {
		ids = append(ids, row.Message.UUID)
	}
	return ids
}

func TestReader(t *testing.T) {
	t.Parallel()
	t.Run("rows_come_back_as_published_in_order", func(t *testing.T) {
		ctx, pool := ctxOf(t), database(t)
		tx := begin(t, pool)
		recs := []event.Record{record("a", "1", "u1"), record("a", "2", "u2"), record("b", "1", "u3"), record("a", "1", "u4")}
		require.NoError(t, outbox.Publish(ctx, tx, recs))
		require.NoError(t, tx.Commit(ctx))
		batch, err := outbox.NewReader(pool, outbox.Limits{}).Next(ctx, 0)
		require.NoError(t, err)
		got := []event.Record{}
		for _, row := range batch.Rows {
			got = append(got, outbox.FromMessage(row.Topic, row.Message))
		}
		require.Equal(t, []event.Record{recs[0], recs[1], recs[3], recs[2]}, got)
	})
	t.Run("rows_before_an_open_writer_are_given_rows_behind_it_wait", func(t *testing.T) {
		ctx, pool := ctxOf(t), database(t)
		reader := outbox.NewReader(pool, outbox.Limits{})
		first, slow, last := begin(t, pool), begin(t, pool), begin(t, pool)
		write(t, first, "u1")
		write(t, slow, "u2")
		write(t, last, "u3")
		require.NoError(t, first.Commit(ctx))
		require.NoError(t, last.Commit(ctx))
		batch, err := reader.Next(ctx, 0)
		require.NoError(t, err)
		require.Equal(t, []string{"u1"}, uuids(batch))
		for range 3 {
			batch, err = reader.Next(ctx, 1)
			require.NoError(t, err)
			require.Empty(t, batch.Rows)
			require.True(t, batch.Blocked)
		}
		require.NoError(t, slow.Commit(ctx))
		batch, err = reader.Next(ctx, 1)
		require.NoError(t, err)
		require.Equal(t, []string{"u2", "u3"}, uuids(batch))
	})
	t.Run("a_thousand_rollbacks_cost_one_look_while_others_hold_no_lock", func(t *testing.T) {
		ctx, pool := ctxOf(t), database(t)
		foreign := begin(t, pool)
		_, err := foreign.Exec(ctx, "CREATE TABLE elsewhere (id int); SELECT pg_current_xact_id(); SELECT count(*) FROM erp_outbox")
		require.NoError(t, err)
		for i := range 1000 {
			_, err := pool.Exec(ctx, "SELECT nextval('erp_outbox_id_seq')")
			require.NoError(t, err)
			if i%10 == 0 {
				tx := begin(t, pool)
				write(t, tx, fmt.Sprint(i))
				require.NoError(t, tx.Commit(ctx))
			}
		}
		batch, err := outbox.NewReader(pool, outbox.Limits{}).Next(ctx, 0)
		require.NoError(t, err)
		require.Len(t, batch.Rows, 100)
	})
	t.Run("a_prepared_transaction_is_waited_for", func(t *testing.T) {
		ctx, pool := ctxOf(t), database(t)
		reader := outbox.NewReader(pool, outbox.Limits{})
		name := fmt.Sprintf("p%d", time.Now().UnixNano())
		slow, last := begin(t, pool), begin(t, pool)
		write(t, slow, "u1")
		write(t, last, "u2")
		require.NoError(t, last.Commit(ctx))
		batch, err := reader.Next(ctx, 0) // watches the transaction before it is prepared
		require.NoError(t, err)
		require.True(t, batch.Blocked)
		_, err = slow.Exec(ctx, "PREPARE TRANSACTION '"+name+"'")
		require.NoError(t, err)
		for range 3 {
			batch, err = reader.Next(ctx, 0)
			require.NoError(t, err)
			require.True(t, batch.Blocked)
		}
		_, err = pool.Exec(ctx, "COMMIT PREPARED '"+name+"'")
		require.NoError(t, err)
		batch, err = reader.Next(ctx, 0)
		require.NoError(t, err)
		require.Equal(t, []string{"u1", "u2"}, uuids(batch))
	})
	t.Run("a_batch_ends_at_its_bytes_but_has_a_row", func(t *testing.T) {
		ctx, pool := ctxOf(t), database(t)
		tx := begin(t, pool)
		write(t, tx, "u1", "u2", "u3")
		require.NoError(t, tx.Commit(ctx))
		batch, err := outbox.NewReader(pool, outbox.Limits{Bytes: 1}).Next(ctx, 0)
		require.NoError(t, err)
		require.Equal(t, []string{"u1"}, uuids(batch))
	})
}

// Writers commit out of order, roll back, hang and prepare, while another transaction stays open. Every committed row
// must be read once, in the order of ids.
func TestReaderLosesNothing(t *testing.T) {
	t.Parallel()
	ctx, pool := ctxOf(t), database(t)
	foreign := begin(t, pool)
	_, err := foreign.Exec(ctx, "CREATE TABLE elsewhere (id int)")
	require.NoError(t, err)

	committed := map[string]bool{}
	done := writeConcurrently(ctx, t, pool, committed)
	reader, after, seen := outbox.NewReader(pool, outbox.Limits{Rows: 50}), int64(0), map[string]bool{}
	for finished := false; ; {
		batch, err := reader.Next(ctx, after)
		require.NoError(t, err)
		for _, row := range batch.Rows {
			require.Greater(t, row.ID, after)
			require.False(t, seen[row.Message.UUID])
			after, seen[row.Message.UUID] = row.ID, true
		}
		if finished && len(batch.Rows) == 0 && !batch.Blocked {
			break
		}
		select {
		case <-done:
			finished = true
		default:
		}
	}
	require.Equal(t, committed, seen)
}

// writeConcurrently fills committed until the returned channel is closed.
func writeConcurrently(ctx context.Context, t *testing.T, pool *pgxpool.Pool, committed map[string]bool) (done <-chan struct{}) {
	t.Helper()
	var (
		writers  sync.WaitGroup
		mu       sync.Mutex
		finished = make(chan struct{})
	)
	for w := range 12 {
		writers.Go(func() {
			for i := range 150 {
				id := fmt.Sprintf("%d-%d", w, i)
				if writeSomehow(ctx, t, pool, id) {
					mu.Lock()
					committed[id] = true
					mu.Unlock()
				}
			}
		})
	}
	go func() { writers.Wait(); close(finished) }()
	return finished
}

func writeSomehow(ctx context.Context, t *testing.T, pool *pgxpool.Pool, id string) bool {
	tx, err := pool.Begin(ctx)
	if err != nil {
		t.Error(err)
		return false
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if err := outbox.Publish(ctx, tx, []event.Record{record("a", "k", id)}); err != nil {
		t.Error(err)
		return false
	}
	hang := func() { _, _ = tx.Exec(ctx, "SELECT pg_sleep($1)", rand.Float64()/50) } // what is tested: a slow writer
	switch rand.IntN(6) {
	case 0:
		return false
	case 1:
		hang()
		return false
	case 2:
		name := fmt.Sprintf("%s-%d", id, rand.Int64())
		if _, err := tx.Exec(ctx, "PREPARE TRANSACTION '"+name+"'"); err != nil {
			t.Error(err)
			return false
		}
		end := []string{"COMMIT", "ROLLBACK"}[rand.IntN(2)]
		if _, err := pool.Exec(ctx, end+" PREPARED '"+name+"'"); err != nil {
			t.Error(err)
		}
		return end == "COMMIT"
	case 3:
		hang()
	}
	if err := tx.Commit(ctx); err != nil {
		t.Error(err)
		return false
	}
	return true
}
