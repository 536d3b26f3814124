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

// DefaultRows is the default of Limits.Rows.
const DefaultRows = 1000

// Limits are the maximum of one read. A single row may be larger than Bytes.
type Limits struct {
	Rows  int // default DefaultRows
	Bytes int // of payload, default 4 MiB
}

// Querier is a connection, a transaction or a pool.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Reader reads erp_outbox in the order of ids. Each statement is a transaction of its own, and writes nothing. It is
// for one goroutine.
//
// Ids come from a sequence, so their order is not the order of commits: row 8 may be visible while the transaction that
// got 7 is open. Reading past 7 would lose it. Reader stops at such a gap until it is dead (see gap).
type Reader struct {
	on     Querier
	limits Limits
	gap    gap
}

// NewReader returns a reader; zero limits mean their defaults. It must read from one server all the time, so on must be
// a connection: a pool may connect to another server between two statements.
func NewReader(on Querier, limits Limits) *Reader {
	if limits.Rows <= 0 {
		limits.Rows = DefaultRows
	}
	if limits.Bytes <= 0 {
		limits.Bytes = 4 << 20
	}
	return &Reader{on: on, limits: limits}
}

// Batch is the result of one read.
type Batch struct {
	Rows    []Row
	Blocked bool // there are rows after a gap that is not dead yet
	Full    bool // it is as large as the limits let it be, so more rows may wait

	Scanned bool   // the table was read; it is not while the reader waits for a gap
	After   string // if scanned: the uuid of the row with the id given to Next; empty when there is no such row
}

// Next returns the rows after the given id that may be relayed now. After an empty batch, and after an error, call it
// again later.
func (r *Reader) Next(ctx context.Context, after int64) (Batch, error) {
	if r.gap.isOpenAt(after) {
		blocked, err := r.isStillBlocked(ctx, after)
		if err != nil || blocked {
			return Batch{Blocked: blocked}, err
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
	if err := r.watchGap(ctx, last); err != nil {
		return Batch{}, err
	}
	if n == 0 && !r.gap.isOpenAt(after) {
		return r.Next(ctx, after) // nobody holds the lock: the gap is dead for the next snapshot
	}
	b.Rows, b.Blocked, b.Full = rows[:n], r.gap.isOpenAt(last), false
	return b, nil
}

// The row with the given id comes first, without its payload: it shows the relay that the last row it relayed is still
// there. The bytes are summed before any payload is fetched; octet_length of a toasted value reads only its header.
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
	b := Batch{Rows: rows, Scanned: true}
	if len(rows) > 0 && rows[0].ID == after {
		b.Rows, b.After = rows[1:], rows[0].Message.UUID
	}
	b.Rows = b.Rows[:min(len(b.Rows), r.limits.Rows)] // one too many came if there is no row with the given id
	size := 0
	for _, row := range b.Rows {
		size += len(row.Message.Payload)
	}
	b.Full = len(b.Rows) == r.limits.Rows || size >= r.limits.Bytes
	return b, nil
}

// Key names a row without its content.
type Key struct {
	ID         int64
	Topic, Key string
}

// Keys reads the rows after one id up to another, limit at most, without their contents. Next must have returned the
// rows up to there already, so that no gap among them is open.
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

// Rows reads the rows with the ids: the first of them up to the limits, but at least one.
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

// The sequence is read first, by a statement of its own. So every id up to its value was allotted before the locks are
// listed. A writer may name a partition of erp_outbox, so locks on partitions count too. Prepared transactions are
// among the holders.
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

// watchGap starts watching the gap after the given id, or updates the watch that covers it.
func (r *Reader) watchGap(ctx context.Context, after int64) error {
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

// isStillBlocked reads the locks again. It does not fetch the waiting rows.
func (r *Reader) isStillBlocked(ctx context.Context, after int64) (bool, error) {
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

// holders lists the transactions that hold the writers' lock.
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

// LastID returns the highest id that was ever allotted, or 0.
func LastID(ctx context.Context, on Querier) (int64, error) {
	var id int64
	if err := on.QueryRow(ctx, lastIDQuery).Scan(&id); err != nil {
		return 0, fmt.Errorf("reading the outbox's sequence: %w", err)
	}
	return id, nil
}
