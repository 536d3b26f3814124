package outbox

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/run"
)

// DefaultRows is the default of Limits.Rows.
const DefaultRows = 4000

// Limits are the maximum of one read. A single row may be larger than Bytes.
type Limits struct {
	Rows  int // default DefaultRows
	Bytes int // of payload, default 4 MiB
}

// largeRow is a payload with which a page may have many more bytes than the limit, so that Postgres must sum them up before it sends
// them.
const largeRow = 16 << 10

// Cursor says which rows were given: those up to After, except for those whose ids are Open. No row of these was visible
// yet, as the transactions that were given the ids were open, or have left no row. The zero value is before the first row.
type Cursor struct {
	After int64
	Open  Gaps
}

// MaxGaps is how many gaps a Cursor may have. They are written down with the relay's position in each transaction.
const MaxGaps = 1000

// Reader reads erp_outbox in the order in which rows become visible; rows that become visible together come in the order
// of their ids. Each statement is a transaction of its own, and writes nothing. It is for one goroutine.
//
// Ids come from a sequence, so their order is not the order of commits: row 8 may be visible while the transaction that
// got 7 is open. Reader goes on past 7, remembers it as a gap, and gives it when it is there. A gap ends without a row
// once it is proven dead (see writers). Rows of one order are written under its gate's lock, so the next one gets its id
// when the one before is committed: their ids are in the order of their commits.
type Reader struct {
	on      postgres.Querier
	limits  Limits
	scanner *scanner
	writers writers
	blocked bool // the last read ended at one gap too many
	large   bool // the last read met a large row
	page    int  // rows that are about as many bytes as the limit, by the last read
	lately  int  // rows that the last read gave
}

// NewReader returns a reader; zero limits mean their defaults. It must read from one server all the time, so on must be
// a connection: a pool may connect to another server between two statements.
func NewReader(on postgres.Querier, limits Limits) *Reader {
	if limits.Rows <= 0 {
		limits.Rows = DefaultRows
	}
	if limits.Bytes <= 0 {
		limits.Bytes = 4 << 20
	}
	return &Reader{on: on, limits: limits, scanner: newScanner(), page: limits.Rows}
}

// Batch is the result of one read.
type Batch struct {
	Rows []Row
	Next Cursor // after these rows

	Full    bool   // it is as large as the limits let it be, so more rows may wait
	Blocked bool   // there are rows after MaxGaps gaps; they wait until one of them has ended
	Last    string // the uuid of the row Cursor.After that was given to Next; empty when there is no such row
}

// Next returns rows after the cursor. After an empty batch, and after an error, call it again later.
func (r *Reader) Next(ctx context.Context, at Cursor) (Batch, error) {
	settled := r.writers.settled // before the snapshot
	b, err := r.read(ctx, at)
	if err != nil {
		return Batch{}, err
	}
	b.pass(at, settled)
	r.blocked = b.Blocked
	if len(b.Next.Open) > 0 && len(at.Open) > 0 { // a gap that is new may be gone by the next read
		err = r.look(ctx)
	}
	return b, err
}

// pass finds the cursor after the rows, or after those before one gap too many.
func (b *Batch) pass(at Cursor, settled int64) {
	late, readUpTo := b.late(at.After), int64(math.MaxInt64)
	if n := len(b.Rows); b.Full && n > 0 {
		readUpTo = b.Rows[n-1].ID
	}
	open := at.Open.Without(at.Open.UpTo(min(settled, readUpTo))).Without(GapsOf(late...))
	n, after, fresh := len(late), at.After, Gaps{}
	for _, row := range b.Rows[n:] {
		if first := max(after, settled) + 1; first < row.ID {
			if len(open)+len(fresh) >= MaxGaps {
				b.Blocked, b.Full = true, false
				break
			}
			fresh = append(fresh, Range{first, row.ID - 1})
		}
		n, after = n+1, row.ID
	}
	b.Rows, b.Next = b.Rows[:n], Cursor{after, open.And(fresh)}
}

// late returns the ids of the rows that were in gaps. They come first.
func (b *Batch) late(after int64) (ids []int64) {
	for _, row := range b.Rows {
		if row.ID < after {
			ids = append(ids, row.ID)
		}
	}
	return ids
}

// The row with the given id comes without its payload: it shows the relay that the last row it relayed is still there.
//
// Most rows are small. readSmall fetches so many of them as are about the limit, and leaves out the payload of large ones. Where these
// are, or rows in gaps, the bytes are summed before any payload is fetched; octet_length of a toasted value reads only its header.
const (
	readSmall = `
SELECT id, topic, key, uuid, metadata, CASE WHEN id <> $1 AND octet_length(payload) < $3 THEN payload END, created_at
FROM erp_outbox WHERE id >= $1 ORDER BY id LIMIT $2 + 1`
	pageQuery = `SELECT * FROM erp_outbox WHERE id >= $1 ORDER BY id LIMIT $2 + 1`
	lateQuery = `
    SELECT late.* FROM unnest($5::bigint[], $6::bigint[]) AS gap (first, last)
        CROSS JOIN LATERAL (SELECT * FROM erp_outbox WHERE id BETWEEN gap.first AND gap.last ORDER BY id LIMIT $4) AS late
    UNION ALL (` + pageQuery + `)`
	readQuery = `
SELECT id, topic, key, uuid, metadata, CASE WHEN id <> $1 THEN payload END, created_at
FROM (
    SELECT *, sum(octet_length(payload)) FILTER (WHERE id <> $1) OVER (ORDER BY id) - octet_length(payload) AS bytes_before
    FROM (%s) AS found
) AS sized
WHERE id = $1 OR bytes_before < $3
ORDER BY id
LIMIT $4 + 1`
)

var (
	readSized = fmt.Sprintf(readQuery, pageQuery)
	readBoth  = fmt.Sprintf(readQuery, lateQuery)
)

// read reads the rows in the gaps and those after them, in one snapshot.
func (r *Reader) read(ctx context.Context, at Cursor) (Batch, error) {
	rows := r.limits.Rows
	if r.blocked {
		rows = 1 // what waits is not fetched again and again
	}
	switch {
	case len(at.Open) > 0:
		firsts, lasts := at.Open.columns()
		return r.readPage(ctx, at, r.limits.Rows, readBoth, at.After, rows, r.limits.Bytes, r.limits.Rows, firsts, lasts)
	case !r.large:
		page := min(rows, r.page)
		b, err := r.readPage(ctx, at, page, readSmall, at.After, page, largeRow)
		if len(b.Rows) > 0 || !r.large {
			return b, err
		}
	}
	return r.readPage(ctx, at, r.limits.Rows, readSized, at.After, rows, r.limits.Bytes, r.limits.Rows)
}

// readPage reads the rows of a query up to the limits. Those beyond them are passed by without being kept.
func (r *Reader) readPage(ctx context.Context, at Cursor, most int, query string, args ...any) (b Batch, err error) {
	found, err := r.on.Query(ctx, query, args...)
	if err != nil {
		return Batch{}, fmt.Errorf("reading the outbox after id %d: %w", at.After, err)
	}
	defer found.Close()
	b.Rows, r.large = make([]Row, 0, min(r.lately, most)), false
	size := 0
	for !b.Full && found.Next() {
		row, err := r.scanner.scan(found)
		if err != nil {
			return Batch{}, fmt.Errorf("reading the outbox after id %d: %w", at.After, err)
		}
		if row.ID == at.After {
			b.Last = string(row.UUID)
			continue
		}
		r.large = r.large || row.Payload == nil || len(row.Payload) >= largeRow
		if row.Payload == nil { // readSmall
			b.Full = true
			break
		}
		b.Rows, size = append(b.Rows, row), size+len(row.Payload)
		b.Full = len(b.Rows) == most || size >= r.limits.Bytes
	}
	if found.Close(); found.Err() != nil {
		return Batch{}, fmt.Errorf("reading the outbox after id %d: %w", at.After, found.Err())
	}
	r.lately, r.page = len(b.Rows), min(2*r.page, r.limits.Rows)
	if size >= r.limits.Bytes {
		r.page = min(len(b.Rows)+len(b.Rows)/4+1, r.limits.Rows)
	}
	b.Full = b.Full || r.blocked && len(b.Rows) > 0
	return b, nil
}

// Key names a row without its content.
type Key struct {
	ID         int64
	Topic, Key string
}

const keysQuery = `
SELECT found.id, found.topic, found.key FROM unnest($1::bigint[], $2::bigint[]) AS part (first, last)
    CROSS JOIN LATERAL (SELECT id, topic, key FROM erp_outbox WHERE id BETWEEN part.first AND part.last ORDER BY id LIMIT $3) AS found
ORDER BY found.id LIMIT $3`

// Keys reads the rows with ids in the ranges, limit at most, without their contents.
func (r *Reader) Keys(ctx context.Context, in Gaps, limit int) ([]Key, error) {
	firsts, lasts := in.columns()
	found, err := r.on.Query(ctx, keysQuery, firsts, lasts, limit)
	if err != nil {
		return nil, fmt.Errorf("reading the keys of the outbox: %w", err)
	}
	keys, err := pgx.CollectRows(found, pgx.RowToStructByPos[Key])
	if err != nil {
		return nil, fmt.Errorf("reading the keys of the outbox: %w", err)
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
	rows, err := pgx.CollectRows(found, r.scanner.scan)
	if err != nil {
		return nil, fmt.Errorf("reading %d rows of the outbox: %w", len(ids), err)
	}
	return rows, nil
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
)

// look finds out which gaps are dead. The next snapshot shows the rows in the others.
func (r *Reader) look(ctx context.Context) error {
	lastID, err := LastID(ctx, r.on)
	if err != nil {
		return err
	}
	found, err := r.on.Query(ctx, holdersQuery)
	if err != nil {
		return fmt.Errorf("listing the transactions that write to the outbox: %w", err)
	}
	holders, err := pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("listing the transactions that write to the outbox: %w", err)
	}
	r.writers.saw(lastID, holders)
	return nil
}

// settleInterval is how often Settle looks.
const settleInterval = 20 * time.Millisecond

// Settle returns when each id in the gaps has its row, or will never have one: the transactions that may write there have
// ended.
func (r *Reader) Settle(ctx context.Context, gaps Gaps) error {
	for len(gaps) > 0 && gaps[len(gaps)-1].Last > r.writers.settled {
		if err := r.look(ctx); err != nil {
			return err
		}
		if !run.Sleep(ctx, settleInterval) {
			return ctx.Err()
		}
	}
	return nil
}

// LastID returns the highest id that was ever allotted, or 0.
func LastID(ctx context.Context, on postgres.Querier) (int64, error) {
	var id int64
	if err := on.QueryRow(ctx, lastIDQuery).Scan(&id); err != nil {
		return 0, fmt.Errorf("reading the outbox's sequence: %w", err)
	}
	return id, nil
}
