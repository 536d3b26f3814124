package audit

import (
	"context"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/outbox"
)

// snapshot is what one snapshot of Postgres says, packed: some 95 bytes an order. It is kept by Kafka partition, and there in buckets.
type snapshot struct {
	at        time.Time // of the snapshot, by the clock of Postgres
	keptFrom  int64     // the first id that the outbox still holds; below it retention has dropped rows
	keptSince time.Time // facts of this time or later have rows at keptFrom or above; zero: no row was dropped

	partitions int32
	buckets    int // of each partition
	packed     *spill
	entry      []byte // the last one that was packed
}

// gateRow is what is compared with the log. The rest of a gate, like why a request is held, has no trace in the log.
type gateRow struct {
	syncID             int64
	generation         int
	state              domain.GateState
	closedBy           domain.ClosedBy
	key                uint64 // hash of the idempotency key
	requests, settling int    // numbers of its last request and its last settling callback
}

// chosen are the orders that were asked for: by the time of their first event. One without an event, which cannot be, counts
// by its gate.
const chosen = `
WITH first AS (
	SELECT order_key, min(accepted_at) AS at FROM accepted_event WHERE $1 = '' OR source = $1 GROUP BY order_key
), chosen AS (
	SELECT order_key FROM first WHERE at >= $2 AND at < $3
	UNION ALL
	SELECT g.order_key FROM erp_sync_gate g LEFT JOIN first f USING (order_key)
	WHERE f.order_key IS NULL AND ($1 = '' OR g.source = $1) AND coalesce(g.requested_at, g.updated_at) >= $2
		AND coalesce(g.requested_at, g.updated_at) < $3
)`

const gateColumns = `g.order_key, coalesce(g.sync_id, 0), g.generation, g.state, coalesce(g.closed_by, ''), coalesce(g.idempotency_key, ''),
	g.request_number, g.callback_number`

// readSnapshot reads all that is audited in one transaction, S. It must be one: rows and gates of two moments contradict each other
// while the product runs.
func readSnapshot(ctx context.Context, p Params, partitions int32, tuned tuning, into *store) (*snapshot, error) {
	c := &snapshot{partitions: partitions}
	err := pgx.BeginTxFunc(ctx, p.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		// The plans of our services find single rows; here whole tables are read.
		_, err := tx.Exec(ctx, `SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL enable_seqscan = on;
			SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on`)
		if err == nil {
			err = tx.QueryRow(ctx, `SELECT now()`).Scan(&c.at)
		}
		if err == nil {
			err = c.readKept(ctx, tx)
		}
		if err == nil {
			err = c.divide(ctx, tx, tuned, into)
		}
		if err == nil {
			err = c.readTables(ctx, tx, p)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading gates, events and outbox: %w", err)
	}
	return c, nil
}

// divide decides how many buckets there are. Each takes memory, so there is a limit to their number; a bucket that becomes too large is
// split later on.
func (c *snapshot) divide(ctx context.Context, tx pgx.Tx, tuned tuning, into *store) error {
	var orders int
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM erp_sync_gate`).Scan(&orders); err != nil {
		return err
	}
	c.buckets = min(1+orders/(int(c.partitions)*tuned.bucketOrders), max(1, maxBuckets/int(c.partitions)))
	c.packed = newSpill(into, int(c.partitions)*c.buckets)
	return nil
}

// readKept finds the first row that retention has left in the outbox. Retention drops whole partitions of the table, from the first.
func (c *snapshot) readKept(ctx context.Context, tx pgx.Tx) error {
	partitions, err := outbox.Partitions(ctx, tx)
	if err != nil {
		return err
	}
	if partitions[0].From <= 1 {
		c.keptFrom = 1
		return nil
	}
	const margin = time.Minute // an id is given, and a row is written, a moment after the fact's time was taken
	var since time.Time
	err = tx.QueryRow(ctx, `SELECT coalesce(min(id), (SELECT last_value + 1 FROM erp_outbox_id_seq)), coalesce(min(created_at), now())
		FROM (SELECT id, created_at FROM erp_outbox ORDER BY id LIMIT 1000) AS first`).Scan(&c.keptFrom, &since)
	c.keptSince = since.Add(margin)
	return err
}

// readTables reads events, rows and gates, and packs each as it comes. Whole tables are read when all orders are asked for; otherwise the
// orders are chosen first, by the time and the shop of their first event.
func (c *snapshot) readTables(ctx context.Context, tx pgx.Tx, p Params) error {
	from, to := p.From, p.To
	if from.IsZero() {
		from = time.Unix(0, 0)
	}
	if to.IsZero() {
		to = c.at.AddDate(1, 0, 0)
	}
	asked := []any{p.Source, from, to}
	var key, source, id, uuid, topic string
	var row int64
	all := p.From.IsZero() && p.To.IsZero() && p.Source == ""
	of := func(key string) string {
		if all {
			return `WHERE $1 = '' AND $2::timestamptz < $3::timestamptz`
		}
		return `WHERE ` + key + ` IN (SELECT order_key FROM chosen)`
	}
	rows, err := tx.Query(ctx, chosen+`SELECT order_key, source, event_id FROM accepted_event `+of("order_key"), asked...)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, []any{&key, &source, &id}, func() error {
		return c.add(entryEvent, key, func(b []byte) []byte { return appendHash(b, event.MessageUUID(event.CommerceID(source, id))) })
	})
	if err != nil {
		return err
	}
	if rows, err = tx.Query(ctx, chosen+`SELECT id, topic, key, uuid FROM erp_outbox `+of("key"), asked...); err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, []any{&row, &topic, &key, &uuid}, func() error {
		at, ours := relayed[topic]
		if !ours {
			return nil
		}
		return c.add(entryRow, key, func(b []byte) []byte { return appendHash(append(appendNumber(b, row), at), uuid) })
	})
	if err != nil {
		return err
	}
	if rows, err = tx.Query(ctx, chosen+`SELECT `+gateColumns+` FROM erp_sync_gate g `+of("g.order_key"), asked...); err != nil {
		return err
	}
	return eachGate(rows, func(key string, g gateRow) error { return c.add(entryGate, key, g.append) })
}

// eachGate gives each gate to do. The snapshot and the second look read gates by it, so that they compare the same columns.
func eachGate(rows pgx.Rows, do func(key string, g gateRow) error) error {
	var key, idempotencyKey string
	var g gateRow
	_, err := pgx.ForEachRow(rows, []any{
		&key, &g.syncID, &g.generation, &g.state, &g.closedBy, &idempotencyKey, &g.requests, &g.settling,
	}, func() error {
		g.key = hash(idempotencyKey)
		return do(key, g)
	})
	return err
}

// add packs an entry into the bucket of its order.
func (c *snapshot) add(kind byte, key string, more func([]byte) []byte) error {
	c.entry = more(append(appendText(c.entry[:0], key), kind))
	return c.packed.add(int(partitionOf(key, c.partitions))*c.buckets+bucketOf(key, c.buckets), c.entry)
}

// part is a bucket of a partition.
func (c *snapshot) part(partition int32, bucket int) part {
	return part{c.packed, int(partition)*c.buckets + bucket}
}

// partitionOf is where all records of an order must be.
func partitionOf(key string, partitions int32) int32 {
	return kafka.PartitionOfKey([]byte(key), int(partitions))
}

// bucketOf is the bucket of an order in its partition.
func bucketOf(key string, buckets int) int {
	return int(hash(key) % uint64(buckets)) //nolint:gosec // at most maxBuckets
}

// splitOf is where an order goes when its bucket is split for the nth time, from 1: orders that were together are spread by other bits.
func splitOf(key []byte, n int) int {
	return int(maphash.Bytes(seed, key) >> (64 - n*splitBits) % (1 << splitBits)) //nolint:gosec // below 1 << splitBits
}
