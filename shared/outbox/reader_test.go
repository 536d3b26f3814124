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

// reading goes on with each batch where the one before has ended.
type reading struct {
	t      *testing.T
	reader *outbox.Reader
	at     outbox.Cursor
	batch  outbox.Batch
}

func (r *reading) next() []string {
	r.t.Helper()
	var err error
	r.batch, err = r.reader.Next(r.t.Context(), r.at)
	require.NoError(r.t, err)
	r.at = r.batch.Next
	return uuids(r.batch)
}

func uuids(b outbox.Batch) []string {
	ids := []string{}
	for _, row := range b.Rows {
		ids = append(ids, string(row.UUID))
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
		batch, err := outbox.NewReader(pool, outbox.Limits{}).Next(ctx, outbox.Cursor{})
		require.NoError(t, err)
		got := []event.Record{}
		for _, row := range batch.Rows {
			got = append(got, outbox.FromMessage(row.Topic, row.Message()))
		}
		require.Equal(t, recs, got)
	})
	t.Run("rows_behind_an_open_writer_do_not_wait_for_it", func(t *testing.T) {
		pool := database(t)
		r := &reading{t: t, reader: outbox.NewReader(pool, outbox.Limits{})}
		first, slow, last := begin(t, pool), begin(t, pool), begin(t, pool)
		write(t, first, "u1")
		write(t, slow, "u2")
		write(t, last, "u3")
		require.NoError(t, first.Commit(r.t.Context()))
		require.NoError(t, last.Commit(r.t.Context()))
		require.Equal(t, []string{"u1", "u3"}, r.next())
		require.Equal(t, outbox.Cursor{After: 3, Open: outbox.Gaps{{First: 2, Last: 2}}}, r.at)
		for range 3 {
			require.Empty(t, r.next())
		}
		require.NoError(t, slow.Commit(r.t.Context()))
		require.Equal(t, []string{"u2"}, r.next())
		require.Equal(t, outbox.Cursor{After: 3}, r.at)
	})
	t.Run("a_thousand_rollbacks_are_gaps_that_end_by_one_look_while_others_hold_no_lock", func(t *testing.T) {
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
		r := &reading{t: t, reader: outbox.NewReader(pool, outbox.Limits{})}
		require.Len(t, r.next(), 100)
		require.Len(t, r.at.Open, 100)
		require.Empty(t, r.next()) // looks
		require.Empty(t, r.next())
		require.Empty(t, r.at.Open)
	})
	t.Run("a_prepared_transaction_is_waited_for", func(t *testing.T) {
		ctx, pool := ctxOf(t), database(t)
		r := &reading{t: t, reader: outbox.NewReader(pool, outbox.Limits{})}
		name := fmt.Sprintf("p%d", time.Now().UnixNano())
		slow, last := begin(t, pool), begin(t, pool)
		write(t, slow, "u1")
		write(t, last, "u2")
		require.NoError(t, last.Commit(ctx))
		require.Equal(t, []string{"u2"}, r.next())
		require.Empty(t, r.next()) // sees the transaction before it is prepared
		_, err := slow.Exec(ctx, "PREPARE TRANSACTION '"+name+"'")
		require.NoError(t, err)
		for range 3 {
			require.Empty(t, r.next())
			require.Equal(t, outbox.Gaps{{First: 1, Last: 1}}, r.at.Open)
		}
		_, err = pool.Exec(ctx, "COMMIT PREPARED '"+name+"'")
		require.NoError(t, err)
		require.Equal(t, []string{"u1"}, r.next())
		require.Empty(t, r.at.Open)
	})
	t.Run("rows_wait_behind_a_gap_too_many", func(t *testing.T) {
		ctx, pool := ctxOf(t), database(t)
		slow := begin(t, pool)
		write(t, slow, "slow")
		for i := range outbox.MaxGaps + 2 {
			_, err := pool.Exec(ctx, "SELECT nextval('erp_outbox_id_seq')")
			require.NoError(t, err)
			tx := begin(t, pool)
			write(t, tx, fmt.Sprint(i))
			require.NoError(t, tx.Commit(ctx))
		}
		r := &reading{t: t, reader: outbox.NewReader(pool, outbox.Limits{Rows: 2 * outbox.MaxGaps})}
		require.Len(t, r.next(), outbox.MaxGaps)
		require.True(t, r.batch.Blocked)
		for range 3 {
			require.Empty(t, r.next())
			require.True(t, r.batch.Blocked)
		}
		require.NoError(t, slow.Commit(ctx))
		require.Equal(t, []string{"slow"}, r.next())
		require.Len(t, append(r.next(), r.next()...), 2)
		require.False(t, r.batch.Blocked)
	})
	t.Run("a_gap_with_more_rows_than_a_batch_comes_in_parts", func(t *testing.T) {
		ctx, pool := ctxOf(t), database(t)
		r := &reading{t: t, reader: outbox.NewReader(pool, outbox.Limits{Rows: 2})}
		slow, last := begin(t, pool), begin(t, pool)
		write(t, slow, "u1", "u2", "u3", "u4", "u5")
		write(t, last, "u6")
		require.NoError(t, last.Commit(ctx))
		require.Equal(t, []string{"u6"}, r.next())
		require.NoError(t, slow.Commit(ctx))
		require.Equal(t, []string{"u1", "u2"}, r.next())
		require.True(t, r.batch.Full)
		require.Equal(t, []string{"u3", "u4"}, r.next())
		require.Equal(t, []string{"u5"}, r.next())
		require.Equal(t, outbox.Cursor{After: 6}, r.at)
	})
	t.Run("a_gap_is_settled_when_its_writer_has_ended", func(t *testing.T) {
		ctx, pool := ctxOf(t), database(t)
		reader, gaps := outbox.NewReader(pool, outbox.Limits{}), outbox.Gaps{{First: 1, Last: 1}}
		require.NoError(t, reader.Settle(ctx, nil))
		slow := begin(t, pool)
		write(t, slow, "u1")
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, reader.Settle(short, gaps), context.DeadlineExceeded)
		require.NoError(t, slow.Commit(ctx))
		require.NoError(t, reader.Settle(ctx, gaps))
	})
	t.Run("a_batch_ends_at_its_bytes_but_has_a_row", func(t *testing.T) {
		ctx, pool := ctxOf(t), database(t)
		tx := begin(t, pool)
		write(t, tx, "u1", "u2", "u3")
		require.NoError(t, tx.Commit(ctx))
		batch, err := outbox.NewReader(pool, outbox.Limits{Bytes: 1}).Next(ctx, outbox.Cursor{})
		require.NoError(t, err)
		require.Equal(t, []string{"u1"}, uuids(batch))
	})
}

// Writers commit out of order, roll back, hang and prepare, while another transaction stays open. Every committed row
// must be read once.
func TestReaderLosesNothing(t *testing.T) {
	t.Parallel()
	ctx, pool := ctxOf(t), database(t)
	foreign := begin(t, pool)
	_, err := foreign.Exec(ctx, "CREATE TABLE elsewhere (id int)")
	require.NoError(t, err)

	committed := map[string]bool{}
	done := writeConcurrently(ctx, t, pool, committed)
	r, seen := &reading{t: t, reader: outbox.NewReader(pool, outbox.Limits{Rows: 50})}, map[string]bool{}
	for finished := false; ; {
		none := true
		for _, id := range r.next() {
			require.False(t, seen[id])
			seen[id], none = true, false
		}
		if finished && none && len(r.at.Open) == 0 {
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
