package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

const (
	insertNotes = `INSERT INTO note SELECT * FROM unnest($1::text[], $2::bytea[])`
	countNotes  = `SELECT count(*) FROM note WHERE text <> $1`
)

// notes begins a transaction, in a database with a table of texts and bytes.
func notes(t *testing.T) pgx.Tx {
	t.Helper()
	pool := testkit.Postgres(t).Pool
	_, err := pool.Exec(t.Context(), `CREATE TABLE note (text text, bytes bytea); CREATE UNIQUE INDEX ON note (md5(text))`)
	require.NoError(t, err)
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(t.Context()) })
	return tx
}

func startNotes(t *testing.T, tx pgx.Tx) *postgres.Pipeline {
	t.Helper()
	p, err := postgres.StartPipeline(t.Context(), tx, insertNotes, countNotes)
	require.NoError(t, err)
	return p
}

// batch is a batch of one statement, whose callback is given with it.
func batch(sql string, args []any, with func(q *pgx.QueuedQuery)) *pgx.Batch {
	var b pgx.Batch
	with(b.Queue(sql, args...))
	return &b
}

func TestAPipelineRunsItsStatementsInOrder(t *testing.T) {
	t.Parallel()
	tx := notes(t)
	p := startNotes(t, tx)
	texts := []string{"", "a", "ü\n", strings.Repeat("long ", 100_000)}
	bytes := [][]byte{{}, {0}, {0xff, 1}, make([]byte, 300_000)}
	var counts []int
	count := func(q *pgx.QueuedQuery) {
		q.Query(func(rows pgx.Rows) error {
			n, err := pgx.CollectOneRow(rows, pgx.RowTo[int])
			counts = append(counts, n)
			return err
		})
	}
	p.Send(t.Context(), batch(countNotes, []any{"x"}, count))
	p.Send(t.Context(), batch(insertNotes, []any{texts, bytes}, func(q *pgx.QueuedQuery) {
		q.Exec(func(tag pgconn.CommandTag) error {
			counts = append(counts, int(tag.RowsAffected()))
			return nil
		})
	}))
	p.Send(t.Context(), batch(insertNotes, []any{[]string{}, [][]byte(nil)}, func(*pgx.QueuedQuery) {}))
	p.Send(t.Context(), batch(countNotes, []any{"a"}, count))
	require.NoError(t, p.Close())
	require.Equal(t, []int{0, 4, 3}, counts)
	for i, text := range texts {
		var got []byte
		require.NoError(t, tx.QueryRow(t.Context(), `SELECT bytes FROM note WHERE text = $1`, text).Scan(&got))
		require.Equal(t, bytes[i], got)
	}
}

// The first error is the one that is told. Later statements and callbacks do not run, and the connection can roll back.
func TestAnErrorEndsAPipeline(t *testing.T) {
	t.Parallel()
	tx := notes(t)
	never := func(q *pgx.QueuedQuery) {
		q.Query(func(rows pgx.Rows) error {
			defer rows.Close()
			require.False(t, rows.Next(), "a statement after a failed one has no rows")
			return rows.Err()
		})
	}
	own := errors.New("of the callback")
	for name, c := range map[string]struct {
		send func(p *postgres.Pipeline)
		want string
	}{
		"of_postgres": {func(p *postgres.Pipeline) {
			p.Send(t.Context(), batch(insertNotes, []any{[]string{"a", "a"}, [][]byte{nil, nil}}, never))
			p.Send(t.Context(), batch(countNotes, []any{"a"}, never))
		}, "23505"},
		"of_a_callback": {func(p *postgres.Pipeline) {
			p.Send(t.Context(), batch(insertNotes, []any{[]string{"b"}, [][]byte{nil}}, func(q *pgx.QueuedQuery) {
				q.Exec(func(pgconn.CommandTag) error { return own })
			}))
			p.Send(t.Context(), batch(countNotes, []any{"a"}, never))
		}, own.Error()},
		"too_few_arguments": {func(p *postgres.Pipeline) { p.Send(t.Context(), batch(insertNotes, []any{"a"}, never)) }, "2 parameters and 1 arguments"},
		"wrong_argument":    {func(p *postgres.Pipeline) { p.Send(t.Context(), batch(countNotes, []any{struct{}{}}, never)) }, "writing argument 1"},
	} {
		t.Run(name, func(t *testing.T) {
			sub, err := tx.Begin(t.Context())
			require.NoError(t, err)
			p := startNotes(t, sub)
			c.send(p)
			require.ErrorContains(t, p.Close(), c.want)
			require.NoError(t, sub.Rollback(t.Context()))
			var n int
			require.NoError(t, tx.QueryRow(t.Context(), countNotes, "").Scan(&n))
			require.Zero(t, n)
		})
	}
}
