package drain

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// feed finds the rows of commerce_outbox that have committed and were not given out yet. Each row comes once. The events of an order
// come in the order of their ids, as far as their transactions did not overlap. A feed is for one goroutine; after an error, make a
// new one.
//
// The table is a queue, and queues in Postgres have a known problem: while any transaction stays open, deleted rows cannot be cleaned
// up, and reading from the front means to read all of them again. So feed reads behind a mark, the watermark, which only moves on.
// Two kinds of rows are below it:
//
//   - Rows that commit late. The transaction that owns an id has its xid before it is given the id (see the migration). So
//     the owner of an invisible row below the watermark was in progress when the watermark was moved: the snapshot of that scan
//     names it (xip), or has a xmax that is not above it. Once no snapshot names it, its rows are read by xid. Rows of an open
//     transaction are not read, even if there are a million.
//   - Rows of an isolated shop: one that fills a scan alone is read from then on behind a mark of its own, so that its backlog
//     delays nobody else's.
//
// Within a shop, all visible rows come in the order of their ids. sweep finds rows that the marks have missed, as when somebody has
// restored rows or given ids by hand.
type feed struct {
	conn  *pgx.Conn
	limit int // rows of one scan

	watermark int64            // rows up to here were seen, except those of open, isolated and retryIDs
	open      map[int64]bool   // xids in progress at the last scan: their rows below the marks are still to come
	xmax      int64            // so are those of xids from here on
	isolated  map[string]int64 // by shop: seen up to this id
	retryIDs  map[int64]bool   // ids that somebody held, or that sweep found
}

// row is the place of an event.
type row struct {
	id     int64
	source string
	bytes  int
}

// newFeed takes a connection for itself. Its plans must not depend on statistics, as a queue's are always wrong.
func newFeed(ctx context.Context, conn *pgx.Conn, limit int) (*feed, error) {
	if _, err := conn.Exec(ctx, `SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off`); err != nil {
		return nil, fmt.Errorf("preparing to read the commerce outbox: %w", err)
	}
	return &feed{conn: conn, limit: limit, xmax: math.MaxInt64, open: map[int64]bool{}, isolated: map[string]int64{}, retryIDs: map[int64]bool{}}, nil
}

// The sequence is read before the snapshot is taken: each id up to it was allotted before, so its owner's xid too.
const lastIDQuery = `SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM commerce_outbox_id_seq`

// All kinds of rows come by one statement, so from one snapshot, and that snapshot's list of open transactions.
const scanQuery = `
WITH head AS (
    SELECT id, source, octet_length(payload) AS bytes FROM commerce_outbox
    WHERE id > $1 AND source <> ALL($3::text[]) ORDER BY id LIMIT $2
),
apart AS (
    SELECT r.* FROM unnest($3::text[], $4::bigint[]) AS a (source, seen) CROSS JOIN LATERAL (
        SELECT o.id, o.source, octet_length(o.payload) AS bytes FROM commerce_outbox o
        WHERE o.source = a.source AND o.id > a.seen ORDER BY o.id LIMIT $2
    ) r
),
ended AS (
    SELECT r.* FROM unnest($5::bigint[]) AS l (xact) CROSS JOIN LATERAL (
        SELECT o.id, o.source, octet_length(o.payload) AS bytes FROM commerce_outbox o
        WHERE o.xact = l.xact::text::xid8
          AND o.id <= coalesce((SELECT a.seen FROM unnest($3::text[], $4::bigint[]) AS a (source, seen) WHERE a.source = o.source), $1)
        ORDER BY o.id LIMIT $2
    ) r
    WHERE l.xact NOT IN (SELECT x::text::bigint FROM pg_snapshot_xip(pg_current_snapshot()) x)
),
young AS (
    SELECT o.id, o.source, octet_length(o.payload) AS bytes
    FROM (SELECT * FROM commerce_outbox WHERE xact >= $7::bigint::text::xid8 OFFSET 0) o -- OFFSET: by the index of xact, not of id
    WHERE o.id <= coalesce((SELECT a.seen FROM unnest($3::text[], $4::bigint[]) AS a (source, seen) WHERE a.source = o.source), $1)
    ORDER BY o.id LIMIT $2
),
again AS (
    SELECT id, source, octet_length(payload) AS bytes FROM commerce_outbox WHERE id = ANY($6::bigint[])
)
SELECT 'head', id, source, bytes FROM head
UNION ALL SELECT 'apart', id, source, bytes FROM apart
UNION ALL SELECT 'late', id, source, bytes FROM ended
UNION ALL SELECT 'late', id, source, bytes FROM young
UNION ALL SELECT 'again', id, source, bytes FROM again
UNION ALL SELECT 'open', x::text::bigint, '', 0 FROM pg_snapshot_xip(pg_current_snapshot()) x
UNION ALL SELECT 'xmax', pg_snapshot_xmax(pg_current_snapshot())::text::bigint, '', 0`

// scan is what one reading of the table found.
type scan struct {
	lastID                              int64
	watermark, isolated, late, retryIDs []row
	open                                map[int64]bool
	xmax                                int64
}

// next returns the rows to accept now, in the order of the ids, about as many as the limit; more says that there may be more.
// The rows must have left the table before the next call, except those given back by returned.
func (f *feed) next(ctx context.Context) (rows []row, more bool, err error) {
	quota := f.quota()
	found, err := f.scan(ctx, quota)
	if err != nil {
		return nil, false, err
	}
	watermark, open, xmax := f.watermark, f.open, f.xmax
	clear(f.retryIDs)
	more = f.moveIsolated(found, quota)
	more = f.moveWatermark(found, quota) || more
	f.open, f.xmax = found.open, found.xmax
	rows = found.all()
	if len(found.late) >= quota { // there may be more of them
		more = true
		rows, err = f.isolateLate(ctx, rows, watermark, open, xmax)
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.id, b.id) })
	return rows, more, err
}

// quota is how many rows of each kind one scan reads. While there is a backlog, the events of other shops wait for a batch of it. So
// batches are smaller then.
func (f *feed) quota() int {
	if len(f.isolated) == 0 {
		return f.limit
	}
	return max(f.limit/(2+2*len(f.isolated)), f.limit/20, 1)
}

// all are the rows of every kind, each once.
func (l *scan) all() []row {
	rows := slices.Concat(l.watermark, l.isolated, l.late, l.retryIDs)
	seen := make(map[int64]bool, len(rows))
	return slices.DeleteFunc(rows, func(r row) bool {
		double := seen[r.id]
		seen[r.id] = true
		return double
	})
}

// isolateLate isolates the shops of transactions that ended late, with marks before all that is to come. It leaves their rows of this
// scan for later: otherwise a row that another transaction wrote afterwards would come before one of theirs.
func (f *feed) isolateLate(ctx context.Context, rows []row, watermark int64, open map[int64]bool, xmax int64) ([]row, error) {
	found, err := f.conn.Query(ctx, `
		SELECT source, min(id) FROM (
			SELECT source, id FROM commerce_outbox WHERE xact = ANY($1::text[]::xid8[])
			UNION ALL SELECT source, id FROM commerce_outbox WHERE xact >= $2::bigint::text::xid8
		) late GROUP BY source`, texts(open), xmax)
	if err != nil {
		return nil, fmt.Errorf("reading the shops of late transactions: %w", err)
	}
	marks := map[string]int64{}
	var source string
	var first int64
	if _, err = pgx.ForEachRow(found, []any{&source, &first}, func() error {
		marks[source] = min(first-1, watermark)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("reading the shops of late transactions: %w", err)
	}
	rows = slices.DeleteFunc(rows, func(r row) bool {
		mark, late := marks[r.source]
		if late {
			marks[r.source] = min(mark, r.id-1)
		}
		return late
	})
	maps.Copy(f.isolated, marks)
	return rows, nil
}

func (f *feed) scan(ctx context.Context, quota int) (scan, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, scanTimeout, fmt.Errorf("no answer within %s", scanTimeout))
	defer cancel()
	sources, marks := []string{}, []int64{}
	for source, mark := range f.isolated {
		sources, marks = append(sources, source), append(marks, mark)
	}
	found := scan{open: map[int64]bool{}}
	batch := &pgx.Batch{}
	batch.Queue(lastIDQuery).QueryRow(func(r pgx.Row) error { return r.Scan(&found.lastID) })
	batch.Queue(scanQuery, f.watermark, quota, sources, marks, keys(f.open), keys(f.retryIDs), f.xmax).Query(found.read)
	began := time.Now()
	if err := f.conn.SendBatch(ctx, batch).Close(); err != nil {
		return scan{}, fmt.Errorf("reading the commerce outbox after id %d: %w", f.watermark, causeOf(ctx, err))
	}
	if time.Since(began) > slowScan {
		// When a large open transaction is the youngest of the server, its xid is one of those from xmax on, and each scan reads
		// past its rows, until a younger transaction has ended. This is such a younger one.
		if _, err := f.conn.Exec(ctx, `SELECT pg_current_xact_id()`); err != nil {
			return scan{}, fmt.Errorf("reading the commerce outbox: %w", causeOf(ctx, err))
		}
	}
	return found, nil
}

const slowScan = 20 * time.Millisecond

// scanTimeout is far more than any scan takes: a scan reads no more rows than it returns, except for the first one.
const scanTimeout = 30 * time.Second

func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func (l *scan) read(rows pgx.Rows) error {
	var (
		kind string
		r    row
	)
	of := map[string]*[]row{"head": &l.watermark, "apart": &l.isolated, "late": &l.late, "again": &l.retryIDs}
	_, err := pgx.ForEachRow(rows, []any{&kind, &r.id, &r.source, &r.bytes}, func() error {
		switch kind {
		case "open":
			l.open[r.id] = true
		case "xmax":
			l.xmax = r.id
		default:
			*of[kind] = append(*of[kind], r)
		}
		return nil
	})
	return err
}

// moveIsolated moves the marks of isolated shops. A shop whose backlog has ended is read with the others again.
func (f *feed) moveIsolated(found scan, quota int) (more bool) {
	counts, last := map[string]int{}, map[string]int64{}
	for _, r := range found.isolated {
		counts[r.source]++
		last[r.source] = r.id
	}
	for source := range f.isolated {
		if counts[source] < quota {
			delete(f.isolated, source)
			continue
		}
		f.isolated[source], more = last[source], true
	}
	return more
}

// moveWatermark moves the watermark to the last row seen, or past every id that was allotted when there is no more. Shops that
// fill a scan are isolated.
func (f *feed) moveWatermark(found scan, quota int) (more bool) {
	rows := found.watermark
	if len(rows) > 0 {
		f.watermark = max(f.watermark, rows[len(rows)-1].id)
	}
	if len(rows) < quota {
		f.watermark = max(f.watermark, found.lastID)
		return false
	}
	counts := map[string]int{}
	for _, r := range rows {
		if counts[r.source]++; counts[r.source] > quota/4 {
			f.isolated[r.source] = f.watermark
		}
	}
	return true
}

// returned takes back rows that somebody else holds locked.
func (f *feed) returned(ids []int64) {
	for _, id := range ids {
		f.retryIDs[id] = true
	}
}

const sweepQuery = `
SELECT count(*), min(created_at), array_agg(id) FILTER (
    WHERE id <= $1 AND source <> ALL($2::text[]) AND xact::text::bigint <> ALL($3::bigint[]) AND xact < $5::bigint::text::xid8
    AND id <> ALL($4::bigint[]))
FROM commerce_outbox`

// sweep counts what waits, and finds what the marks have missed. Its cost grows with the table, dead rows included.
func (f *feed) sweep(ctx context.Context) (waiting int64, oldest *time.Time, overlooked []int64, err error) {
	err = f.conn.QueryRow(ctx, sweepQuery, f.watermark, keys(f.isolated), keys(f.open), keys(f.retryIDs), f.xmax).
		Scan(&waiting, &oldest, &overlooked)
	if err != nil {
		return 0, nil, nil, fmt.Errorf("counting the commerce outbox: %w", err)
	}
	f.returned(overlooked)
	return waiting, oldest, overlooked, nil
}

// keys is never nil, as Postgres would take nil for NULL.
func keys[K comparable, V any](m map[K]V) []K { return slices.AppendSeq([]K{}, maps.Keys(m)) }

func texts(xids map[int64]bool) []string {
	out := []string{}
	for xid := range xids {
		out = append(out, strconv.FormatInt(xid, 10))
	}
	return out
}
