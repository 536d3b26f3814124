package postgres_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

const (
	insertNote = `INSERT INTO note (text) VALUES ($1)`
	outside    = byte('I') // of a transaction
	inside     = byte('T')
)

// notePool is a pool of one connection, so that each transaction gets it as the last one left it, and a table of notes, each of which may
// be there once.
func notePool(t *testing.T) (one, others *pgxpool.Pool) {
	t.Helper()
	others = testkit.Postgres(t).Pool
	_, err := others.Exec(t.Context(), `CREATE TABLE note (text text UNIQUE)`)
	require.NoError(t, err)
	config := others.Config()
	config.MaxConns = 1
	one, err = pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(one.Close)
	return one, others
}

// noted are the notes that others see.
func noted(t *testing.T, others *pgxpool.Pool) []string {
	t.Helper()
	rows, err := others.Query(t.Context(), `SELECT text FROM note ORDER BY text`)
	require.NoError(t, err)
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return texts
}

func state(tx pgx.Tx) byte { return tx.Conn().PgConn().TxStatus() }

func sendNote(t *testing.T, tx pgx.Tx, texts ...string) error {
	t.Helper()
	var b pgx.Batch
	for _, text := range texts {
		b.Queue(insertNote, text)
	}
	return tx.SendBatch(t.Context(), &b).Close()
}

func TestATransactionBeginsWithItsFirstBatch(t *testing.T) {
	t.Parallel()
	one, others := notePool(t)
	require.NoError(t, postgres.InTx(t.Context(), one, func(tx pgx.Tx) error {
		require.Equal(t, outside, state(tx), "nothing was sent")
		require.NoError(t, sendNote(t, tx, "a"))
		require.Equal(t, inside, state(tx))
		require.Empty(t, noted(t, others))
		return sendNote(t, tx, "b")
	}))
	require.Equal(t, []string{"a", "b"}, noted(t, others))

	own := errors.New("of the work")
	require.ErrorIs(t, postgres.InTx(t.Context(), one, func(tx pgx.Tx) error {
		require.NoError(t, sendNote(t, tx, "c"))
		return own
	}), own)
	require.ErrorContains(t, postgres.InTx(t.Context(), one, func(tx pgx.Tx) error { return sendNote(t, tx, "c", "a") }), "23505")
	require.NoError(t, postgres.InTx(t.Context(), one, func(pgx.Tx) error { return nil }), "it never begins")
	require.Equal(t, []string{"a", "b"}, noted(t, others))
}

// Whoever reads a batch's results one by one gets those of its statements, not BEGIN's.
func TestTheResultsOfTheFirstBatchAreItsOwn(t *testing.T) {
	t.Parallel()
	one, _ := notePool(t)
	require.NoError(t, postgres.InTx(t.Context(), one, func(tx pgx.Tx) error {
		var b pgx.Batch
		b.Queue(insertNote, "a")
		b.Queue(`SELECT text FROM note`)
		results := tx.SendBatch(t.Context(), &b)
		tag, err := results.Exec()
		require.NoError(t, err)
		require.Equal(t, int64(1), tag.RowsAffected())
		var text string
		require.NoError(t, results.QueryRow().Scan(&text))
		require.Equal(t, "a", text)
		return results.Close()
	}))
}

func TestATransactionBeginsWithAnyStatement(t *testing.T) {
	t.Parallel()
	one, others := notePool(t)
	own := errors.New("of the work")
	for name, first := range map[string]func(tx pgx.Tx) error{
		"exec": func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), insertNote, "a")
			return err
		},
		"query": func(tx pgx.Tx) error {
			rows, err := tx.Query(t.Context(), insertNote+` RETURNING text`, "a")
			rows.Close()
			return err
		},
		"query_row": func(tx pgx.Tx) error {
			var text string
			return tx.QueryRow(t.Context(), insertNote+` RETURNING text`, "a").Scan(&text)
		},
		"copy": func(tx pgx.Tx) error {
			_, err := tx.CopyFrom(t.Context(), pgx.Identifier{"note"}, []string{"text"}, pgx.CopyFromRows([][]any{{"a"}}))
			return err
		},
		"pipeline": func(tx pgx.Tx) error {
			p, err := postgres.StartPipeline(t.Context(), tx, insertNote)
			require.NoError(t, err)
			var b pgx.Batch
			b.Queue(insertNote, "a")
			p.Send(t.Context(), &b)
			return p.Close()
		},
		"savepoint": func(tx pgx.Tx) error {
			sub, err := tx.Begin(t.Context())
			require.NoError(t, err)
			require.NoError(t, sendNote(t, sub, "a"))
			return sub.Commit(t.Context())
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, postgres.InTx(t.Context(), one, func(tx pgx.Tx) error {
				require.NoError(t, first(tx))
				require.Equal(t, inside, state(tx))
				return own
			}), own)
			require.Empty(t, noted(t, others))
		})
	}
}

// With Commit there is nothing left to do at the end. If a statement fails, nothing is committed.
func TestAPipelineCommits(t *testing.T) {
	t.Parallel()
	one, others := notePool(t)
	write := func(texts ...string) error {
		return postgres.InTx(t.Context(), one, func(tx pgx.Tx) error {
			var first, second pgx.Batch
			first.Queue(`SELECT count(*) FROM note`)
			require.NoError(t, tx.SendBatch(t.Context(), &first).Close())
			p, err := postgres.StartPipeline(t.Context(), tx, insertNote)
			require.NoError(t, err)
			for _, text := range texts {
				second.Queue(insertNote, text)
			}
			p.Send(t.Context(), &second)
			p.Commit(t.Context())
			err = p.Close()
			if err == nil {
				require.Equal(t, outside, state(tx))
				require.Contains(t, noted(t, others), texts[0])
			}
			return err
		})
	}
	require.NoError(t, write("a", "b"))
	require.ErrorContains(t, write("c", "a"), "23505")
	require.NoError(t, write("d"))
	require.Equal(t, []string{"a", "b", "d"}, noted(t, others))
}
