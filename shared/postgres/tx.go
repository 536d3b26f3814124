package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/run"
)

const maxTxTries = 8

// InTx runs work in a transaction. It runs it again, from the start, after a serialization failure or a deadlock
// (40001, 40P01), and when another transaction was first with a unique key (23505). BEGIN goes to Postgres together with the first batch, if
// work begins with one.
func InTx(ctx context.Context, pool *pgxpool.Pool, work func(tx pgx.Tx) error) error {
	for try := 1; ; try++ {
		err := inLateTx(ctx, pool, work)
		var pgErr *pgconn.PgError
		if err == nil || try == maxTxTries || !errors.As(err, &pgErr) || (pgErr.Code != "40001" && pgErr.Code != "40P01" && pgErr.Code != "23505") {
			return err
		}
		run.Sleep(ctx, time.Duration(rand.Int64N(int64(try)*int64(10*time.Millisecond)))) //nolint:gosec // jitter needs no secrecy
	}
}

// IsAboutData reports whether the same statement with the same values will fail again: SQLSTATE classes 22 (data), 23
// (constraints) and 54 (limits). A row for which there is no partition is a check violation without a constraint, and not about
// its data.
func IsAboutData(err error) bool {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code == "23514" && pgErr.ConstraintName == "" {
		return false
	}
	return slices.Contains([]string{"22", "23", "54"}, pgErr.Code[:2])
}

// LogFields returns the code and the constraint of a Postgres error, for the log. Its text is left out, as it may quote
// customers' data.
func LogFields(err error) []any {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return nil
	}
	return []any{"sqlstate", pgErr.Code, "table", pgErr.TableName, "constraint", pgErr.ConstraintName}
}

// BitmapsOnly leaves the planner bitmap scans for the rest of the transaction. Whoever looks for old rows by a BRIN index needs it: the
// planner would walk through a whole primary key, in the hope to find enough rows soon.
const BitmapsOnly = `SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off`

// Querier is a pool, a connection or a transaction that is read by.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Execer is a pool or a transaction that a statement runs on.
type Execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}
