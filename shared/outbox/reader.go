package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
)

// Row is one row of erp_outbox.
type Row struct {
	ID        int64
	Topic     string
	CreatedAt time.Time
	Message   *message.Message
}

// DefaultRows is how many rows a read returns at most, unless it is told otherwise.
const DefaultRows = 1000

// Limits bound what one read returns. A single row may be larger than Bytes.
type Limits struct {
	Rows  int // default DefaultRows
	Bytes int // of payload, default 4 MiB
}

// Querier is a connection, a transaction or a pool.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Reader reads erp_outbox in the order of ids, each statement on its own: it never keeps a transaction open and writes
// nothing. It is for one goroutine.
//
// Ids come from a sequence, so their order is not the order of commits: row 8 may be visible while the transaction that
// was given 7 is open. Reading past 7 would lose it. Reader stops at such a hole until it is dead (see hole).
type Reader struct {
	on     Querier
	limits Limits
	gap    gap
}

// NewReader makes a reader; zero limits mean their defaults. What it reads on must be one server all the time, as a
// connection is: a pool may come to another one between two statements.
func NewReader(on Querier, limits Limits) *Reader {
	if limits.Rows <= 0 {
		limits.Rows = DefaultRows
	}
	if limits.Bytes <= 0 {
		limits.Bytes = 4 << 20
	}
	return &Reader{on: on, limits: limits}
}

// Batch is what one read found.
type Batch struct {
	Rows    []Row
	Blocked bool // rows exist behind a hole that is still alive

	Looked bool   // whether rows were read at all: not while a hole is waited for
	After  string // then: the uuid of the row with the id that was read after; empty when there is none
}

// Next returns the rows after the given id that may be relayed now. After an empty batch call it again later; after an
// error too.
func (r *Reader) Next(ctx context.Context, after int64) (Batch, error) {
	if r.gap.isOpenAt(after) {
		alive, err := r.stillBlocked(ctx, after)
		if err != nil || alive {
			return Batch{Blocked: alive}, err
		}
	}
	b, err := r.read(ctx, after)
	if err != nil {
		return Batch{}, err
	}
	rows := b.Rows
	n := r.gap.passable(after, rows)
	if n == len(rows) {
		return b, nil
	}
	last := after
	if n > 0 {
		last = rows[n-1].ID
	}
	if err := r.look(ctx, last); err != nil {
		return Batch{}, err
	}
	if n == 0 && !r.gap.isOpenAt(after) {
		return r.Next(ctx, after) // nobody holds the table: the hole is dead, and the next snapshot is late enough
	}
	b.Rows, b.Blocked = rows[:n], r.gap.isOpenAt(last)
	return b, nil
}

// The row that is read after comes first, without its payload: whoever has relayed it may see that it is still there. The
// bytes are summed before any payload is fetched: octet_length of a toasted value reads only its header.
const readQuery = `
SELECT id, topic, key, uuid, metadata, CASE WHEN id > $1 THEN payload END, created_at
FROM (
    SELECT *, sum(octet_length(payload)) FILTER (WHERE id > $1) OVER (ORDER BY id) - octet_length(payload) AS bytes_before
    FROM (SELECT * FROM erp_outbox WHERE id >= $1 ORDER BY id LIMIT $2 + 1) AS page
) AS sized
WHERE id = $1 OR bytes_before < $3
ORDER BY id
LIMIT $2 + 1`

func (r *Reader) read(ctx context.Context, after int64) (Batch, error) {
	found, err := r.on.Query(ctx, readQuery, after, r.limits.Rows, r.limits.Bytes)
	if err != nil {
		return Batch{}, fmt.Errorf("reading the outbox after id %d: %w", after, err)
	}
	rows, err := pgx.CollectRows(found, scanRow)
	if err != nil {
		return Batch{}, fmt.Errorf("reading the outbox after id %d: %w", after, err)
	}
	b := Batch{Rows: rows, Looked: true}
	if len(rows) > 0 && rows[0].ID == after {
		b.Rows, b.After = rows[1:], rows[0].Message.UUID
	}
	b.Rows = b.Rows[:min(len(b.Rows), r.limits.Rows)] // one more was asked for, in the place of the one that is not there
	return b, nil
}

// Key names a row without its content.
type Key struct {
	ID         int64
	Topic, Key string
}

// Keys are the rows after one id up to another, at most so many, without their contents. Every id up to there must be settled.
func (r *Reader) Keys(ctx context.Context, after, upTo int64, limit int) ([]Key, error) {
	found, err := r.on.Query(ctx, `SELECT id, topic, key FROM erp_outbox WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3`, after, upTo, limit)
	if err != nil {
		return nil, fmt.Errorf("reading the keys of the outbox after id %d: %w", after, err)
	}
	keys, err := pgx.CollectRows(found, pgx.RowToStructByPos[Key])
	if err != nil {
		return nil, fmt.Errorf("reading the keys of the outbox after id %d: %w", after, err)
	}
	return keys, nil
}

const rowsQuery = `
SELECT id, topic, key, uuid, metadata, payload, created_at
FROM (
    SELECT *, sum(octet_length(payload)) OVER (ORDER BY id) - octet_length(payload) AS bytes_before
    FROM erp_outbox WHERE id = ANY($1)
) AS sized
WHERE bytes_before < $2
ORDER BY id`

// Rows are those of the ids, the first ones as far as the limits go, and at least one.
func (r *Reader) Rows(ctx context.Context, ids []int64) ([]Row, error) {
	ids = ids[:min(len(ids), r.limits.Rows)]
	found, err := r.on.Query(ctx, rowsQuery, ids, r.limits.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading %d rows of the outbox: %w", len(ids), err)
	}
	rows, err := pgx.CollectRows(found, scanRow)
	if err != nil {
		return nil, fmt.Errorf("reading %d rows of the outbox: %w", len(ids), err)
	}
	return rows, nil
}

func scanRow(found pgx.CollectableRow) (Row, error) {
	var (
		row               Row
		key, uuid         string
		metadata, payload []byte
	)
	if err := found.Scan(&row.ID, &row.Topic, &key, &uuid, &metadata, &payload, &row.CreatedAt); err != nil {
		return Row{}, err
	}
	msg, err := newMessage(uuid, key, metadata, payload)
	if err != nil {
		return Row{}, fmt.Errorf("outbox row %d: %w", row.ID, err)
	}
	row.Message = msg
	return row, nil
}

// The sequence is read first, by a statement of its own: every id up to it was allotted before the locks are listed.
// erp_outbox has partitions, and a writer may name one: parent and partitions count. Prepared transactions are listed too.
const (
	lastIDQuery  = `SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END AS id FROM erp_outbox_id_seq`
	holdersQuery = `
SELECT DISTINCT virtualtransaction
FROM pg_locks
WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND relation IN (SELECT relid FROM pg_partition_tree('erp_outbox'))`
	nextIDQuery = `SELECT min(id) FROM erp_outbox WHERE id > $1`
)

// look starts watching the hole after the given id, or goes on with the watch that covers it.
func (r *Reader) look(ctx context.Context, after int64) error {
	if r.gap.covers(after + 1) {
		r.gap.at = after
		holders, err := r.holders(ctx)
		if err == nil {
			r.gap.update(holders)
		}
		return err
	}
	lastID, err := LastID(ctx, r.on)
	if err != nil {
		return err
	}
	holders, err := r.holders(ctx)
	if err != nil {
		return err
	}
	r.gap.watch(after, lastID, holders)
	return nil
}

// stillBlocked looks at the locks again, without fetching the rows that wait.
func (r *Reader) stillBlocked(ctx context.Context, after int64) (bool, error) {
	holders, err := r.holders(ctx)
	if err != nil {
		return false, err
	}
	r.gap.update(holders)
	if !r.gap.isOpenAt(after) {
		return false, nil
	}
	var next *int64
	if err := r.on.QueryRow(ctx, nextIDQuery, after).Scan(&next); err != nil {
		return false, fmt.Errorf("looking for outbox id %d: %w", after+1, err)
	}
	return next != nil && *next > after+1, nil
}

func (r *Reader) holders(ctx context.Context) ([]string, error) {
	found, err := r.on.Query(ctx, holdersQuery)
	if err != nil {
		return nil, fmt.Errorf("listing the transactions that write to the outbox: %w", err)
	}
	holders, err := pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("listing the transactions that write to the outbox: %w", err)
	}
	return holders, nil
}

// LastID is the highest id ever allotted, 0 when none was.
func LastID(ctx context.Context, on Querier) (int64, error) {
	var id int64
	if err := on.QueryRow(ctx, lastIDQuery).Scan(&id); err != nil {
		return 0, fmt.Errorf("reading the outbox's sequence: %w", err)
	}
	return id, nil
}
