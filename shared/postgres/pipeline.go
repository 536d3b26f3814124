package postgres

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Pipeline sends batches of statements without waiting for answers: Postgres works on one while the caller makes the next. (pgx makes all
// statements of a batch before it sends the first.) The connection is for nothing else until Close.
type Pipeline struct {
	tx      pgx.Tx
	conn    *pgx.Conn
	pipe    *pgconn.Pipeline
	queries []*pgx.QueuedQuery
	commits bool
	room    *[]byte // for the parameters of one statement
	err     error
}

// StartPipeline starts a pipeline in the transaction. Its statements must be among those that are named here.
func StartPipeline(ctx context.Context, tx pgx.Tx, statements ...string) (*Pipeline, error) {
	if late, ok := tx.(*lateTx); ok { // its statements would be in no transaction
		if _, err := late.begun(ctx); err != nil {
			return nil, fmt.Errorf("beginning a transaction: %w", err)
		}
	}
	conn := tx.Conn()
	for _, sql := range append(statements, commit) {
		if _, err := conn.Prepare(ctx, sql, sql); err != nil { // once for a connection
			return nil, fmt.Errorf("preparing a statement: %w", err)
		}
	}
	return &Pipeline{tx: tx, conn: conn, pipe: conn.PgConn().StartPipeline(ctx), room: rooms.Get().(*[]byte)}, nil //nolint:forcetypeassert // it holds nothing else
}

// Send sends a batch. Its callbacks, which may be those of Query and Exec, are called by Close. So are errors returned.
func (p *Pipeline) Send(ctx context.Context, b *pgx.Batch) {
	for _, q := range b.QueuedQueries {
		if p.err == nil {
			p.err = p.queue(ctx, q)
		}
	}
	if p.err == nil {
		p.err = p.pipe.Flush()
	}
}

// commit is the statement of Commit.
const commit = "commit"

// Commit has the transaction, which must be one of InTx, commit after what was sent, in the same round trip. If a statement fails, it does
// not commit. Callbacks come too late to prevent it: none of them may find an error that Postgres has not. Nothing else may be sent.
func (p *Pipeline) Commit(ctx context.Context) {
	var last pgx.Batch
	last.Queue(commit).Exec(func(tag pgconn.CommandTag) error {
		if tag.String() == "ROLLBACK" { // an earlier statement of the transaction has failed
			return pgx.ErrTxCommitRollback
		}
		return nil
	})
	p.commits = true
	p.Send(ctx, &last)
}

func (p *Pipeline) queue(ctx context.Context, q *pgx.QueuedQuery) error {
	statement, err := p.conn.Prepare(ctx, q.SQL, q.SQL)
	if err != nil {
		return fmt.Errorf("preparing a statement: %w", err)
	}
	if len(q.Arguments) != len(statement.ParamOIDs) {
		return fmt.Errorf("the statement has %d parameters and %d arguments", len(statement.ParamOIDs), len(q.Arguments))
	}
	*p.room = (*p.room)[:0]
	values, formats := make([][]byte, len(q.Arguments)), make([]int16, len(q.Arguments))
	for i, argument := range q.Arguments {
		if values[i], err = p.encode(statement.ParamOIDs[i], argument); err != nil {
			return fmt.Errorf("writing argument %d: %w", i+1, err)
		}
		formats[i] = pgx.BinaryFormatCode
	}
	var results []int16
	for _, field := range statement.Fields {
		results = append(results, p.conn.TypeMap().FormatCodeForOID(field.DataTypeOID))
	}
	p.pipe.SendQueryStatement(statement, values, formats, results)
	p.queries = append(p.queries, q)
	return nil
}

// encode writes an argument in Postgres's binary form; NULL is nil.
func (p *Pipeline) encode(oid uint32, argument any) ([]byte, error) {
	begin := len(*p.room)
	out, err := p.conn.TypeMap().Encode(oid, pgx.BinaryFormatCode, argument, *p.room)
	if err != nil || out == nil {
		return nil, err
	}
	*p.room = out
	return out[begin:], nil
}

// rooms keeps room for parameters for the next pipeline.
var rooms = sync.Pool{New: func() any {
	room := make([]byte, 0, 4096) // not nil: the encoding of an empty text at its beginning would be
	return &room
}}

// maxKeptRoom is how much room is kept: that of a usual batch.
const maxKeptRoom = 1 << 20

// Close waits for the results, and calls the callbacks in the order of the statements.
func (p *Pipeline) Close() error {
	if err := p.pipe.Sync(); p.err == nil {
		p.err = err
	}
	for _, q := range p.queries {
		if p.err != nil {
			break
		}
		if q.Fn != nil {
			p.err = q.Fn(results{p: p})
		} else {
			_, p.err = results{p: p}.Exec()
		}
	}
	if cap(*p.room) <= maxKeptRoom {
		rooms.Put(p.room)
	}
	if err := p.pipe.Close(); p.err == nil {
		p.err = err
	}
	if late, ok := p.tx.(*lateTx); ok && p.commits && p.err == nil {
		late.ended = true
	}
	return p.err
}

// results gives a callback the result of its statement.
type results struct {
	pgx.BatchResults // nil: what callbacks of Query and Exec do not use

	p *Pipeline
}

func (r results) Query() (pgx.Rows, error) {
	result, err := r.p.pipe.GetResults()
	if err != nil {
		return failed{err: err}, err
	}
	reader, ok := result.(*pgconn.ResultReader)
	if !ok {
		err = fmt.Errorf("the statement has %T as its result", result)
		return failed{err: err}, err
	}
	return pgx.RowsFromResultReader(r.p.conn.TypeMap(), reader), nil
}

func (r results) Exec() (pgconn.CommandTag, error) {
	rows, err := r.Query()
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	rows.Close()
	return rows.CommandTag(), rows.Err()
}

// failed are the rows of a statement that failed. A callback of Query is called with them.
type failed struct {
	pgx.Rows // nil: what is not used of rows without any

	err error
}

func (failed) Close()                                       {}
func (failed) Next() bool                                   { return false }
func (f failed) Err() error                                 { return f.err }
func (failed) CommandTag() pgconn.CommandTag                { return pgconn.CommandTag{} }
func (failed) FieldDescriptions() []pgconn.FieldDescription { return nil }
