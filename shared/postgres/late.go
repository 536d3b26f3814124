package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// lateTx is a transaction whose BEGIN goes to Postgres together with its first batch, and whose COMMIT can go with a Pipeline: each saves a
// round trip. What begins with another statement, begins as usual.
type lateTx struct {
	conn  *pgxpool.Conn
	tx    pgx.Tx // nil: not begun
	ended bool   // it was committed by a Pipeline
}

// inLateTx runs work in a transaction, as pgx.BeginFunc does.
func inLateTx(ctx context.Context, pool *pgxpool.Pool, work func(tx pgx.Tx) error) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release() // which closes it if a transaction is open
	t := &lateTx{conn: conn}
	defer func() { _ = t.Rollback(ctx) }()
	if err := work(t); err != nil {
		return err
	}
	return t.Commit(ctx)
}

// begun is the transaction, begun by now.
func (t *lateTx) begun(ctx context.Context) (pgx.Tx, error) {
	if t.tx != nil {
		return t.tx, nil
	}
	tx, err := t.conn.Begin(ctx)
	if err == nil {
		t.tx = tx
	}
	return tx, err
}

// SendBatch sends a batch; the first one begins the transaction. Its results are those of the batch.
func (t *lateTx) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if t.tx != nil {
		return t.tx.SendBatch(ctx, b)
	}
	var first pgx.Batch
	first.BeginTx(pgx.TxOptions{})
	first.QueuedQueries = append(first.QueuedQueries, b.QueuedQueries...)
	results := t.conn.SendBatch(ctx, &first)
	t.tx = results.Tx()
	_, _ = results.Exec() // of BEGIN; after an error, the others have the same one
	return results
}

func (t *lateTx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	tx, err := t.begun(ctx)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	return tx.Exec(ctx, sql, args...)
}

func (t *lateTx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	tx, err := t.begun(ctx)
	if err != nil {
		return failed{err: err}, err
	}
	return tx.Query(ctx, sql, args...)
}

func (t *lateTx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	tx, err := t.begun(ctx)
	if err != nil {
		return noRow{err}
	}
	return tx.QueryRow(ctx, sql, args...)
}

func (t *lateTx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	tx, err := t.begun(ctx)
	if err != nil {
		return 0, err
	}
	return tx.CopyFrom(ctx, table, columns, rows)
}

func (t *lateTx) Begin(ctx context.Context) (pgx.Tx, error) {
	tx, err := t.begun(ctx)
	if err != nil {
		return nil, err
	}
	return tx.Begin(ctx)
}

func (t *lateTx) Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	return t.conn.Conn().Prepare(ctx, name, sql)
}

func (t *lateTx) LargeObjects() pgx.LargeObjects { return pgx.LargeObjects{} } // there are none here

func (t *lateTx) Conn() *pgx.Conn { return t.conn.Conn() }

func (t *lateTx) Commit(ctx context.Context) error {
	if t.tx == nil || t.ended {
		return nil
	}
	return t.tx.Commit(ctx)
}

func (t *lateTx) Rollback(ctx context.Context) error {
	if t.tx == nil || t.ended {
		return nil
	}
	err := t.tx.Rollback(ctx)
	if errors.Is(err, pgx.ErrTxClosed) {
		return nil
	}
	return err
}

// noRow is a row that could not be read.
type noRow struct{ err error }

func (r noRow) Scan(...any) error { return r.err }
