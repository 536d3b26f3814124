package audit

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/outbox"
)

// snapshot is what one snapshot of Postgres says, by Kafka partition, packed: some 90 bytes an order, whatever the size of its
// payloads. What a partition's orders need beyond that lives as long as their partition is audited.
type snapshot struct {
	at         time.Time // of the snapshot, by the clock of Postgres
	partitions int32
	packed     [][]byte
	keptFrom   int64     // the first id that the outbox still holds; below it retention has dropped rows
	keptSince  time.Time // facts of this time or later have rows at keptFrom or above; zero: no row was dropped
}

// The kinds of packed entries.
const (
	entryEvent byte = iota // an accepted event: its message uuid
	entryRow               // a row of the outbox: id, topic and message uuid
	entryGate
)

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
func readSnapshot(ctx context.Context, p Params, partitions int32) (*snapshot, error) {
	c := &snapshot{partitions: partitions, packed: make([][]byte, partitions)}
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
			err = c.readTables(ctx, tx, p)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading gates, events and outbox: %w", err)
	}
	return c, nil
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
		c.add(entryEvent, key, func(b []byte) []byte { return appendHash(b, event.MessageUUID(event.CommerceID(source, id))) })
		return nil
	})
	if err != nil {
		return err
	}
	if rows, err = tx.Query(ctx, chosen+`SELECT id, topic, key, uuid FROM erp_outbox `+of("key"), asked...); err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, []any{&row, &topic, &key, &uuid}, func() error {
		if at, ours := relayed[topic]; ours {
			c.add(entryRow, key, func(b []byte) []byte {
				return appendHash(append(binary.AppendUvarint(b, uint64(row)), at), uuid) //nolint:gosec // ids are positive
			})
		}
		return nil
	})
	if err != nil {
		return err
	}
	if rows, err = tx.Query(ctx, chosen+`SELECT `+gateColumns+` FROM erp_sync_gate g `+of("g.order_key"), asked...); err != nil {
		return err
	}
	return eachGate(rows, func(key string, g gateRow) { c.add(entryGate, key, g.append) })
}

// eachGate gives each gate to do. The snapshot and the second look read gates by it, so that they compare the same columns.
func eachGate(rows pgx.Rows, do func(key string, g gateRow)) error {
	var key, idempotencyKey string
	var g gateRow
	_, err := pgx.ForEachRow(rows, []any{
		&key, &g.syncID, &g.generation, &g.state, &g.closedBy, &idempotencyKey, &g.requests, &g.settling,
	}, func() error {
		g.key = hash(idempotencyKey)
		do(key, g)
		return nil
	})
	return err
}

// add packs an entry: its kind, the order's key, and what more there is.
func (c *snapshot) add(kind byte, key string, more func([]byte) []byte) {
	n := partitionOf(key, c.partitions)
	c.packed[n] = more(appendText(append(c.packed[n], kind), key))
}

// orders unpacks one partition, whose packed form is given up.
func (c *snapshot) orders(number int32) map[string]*order {
	orders := map[string]*order{}
	u := unpacker(c.packed[number])
	for len(u) > 0 {
		kind, key := u.byte(), u.text()
		o := orders[key]
		if o == nil {
			o = &order{key: key}
			orders[key] = o
		}
		switch kind {
		case entryEvent:
			o.events = append(o.events, u.hash())
		case entryRow:
			o.rows = append(o.rows, row{id: u.number(), fact: fact{topic: u.byte(), uuid: u.hash()}})
		default:
			g := u.gate()
			o.gate = &g
		}
	}
	return orders
}

var (
	gateStates = []domain.GateState{domain.GateNone, domain.GateHeld, domain.GateOpen, domain.GateClosed}
	closedBys  = []domain.ClosedBy{
		"", domain.ClosedByAnswer, domain.ClosedByFailure, domain.ClosedByWebhook, domain.ClosedByHand, domain.ClosedByRejected,
		domain.ClosedByCancelled, domain.ClosedBySuperseded, domain.ClosedByDeadLetter,
	}
)

// append packs a gate; unpacker.gate is its inverse.
func (g gateRow) append(b []byte) []byte {
	for _, n := range []int64{g.syncID, int64(g.generation), int64(g.requests), int64(g.settling)} {
		b = binary.AppendUvarint(b, uint64(n)) //nolint:gosec // none is negative
	}
	return binary.LittleEndian.AppendUint64(append(b, indexOf(gateStates, g.state), indexOf(closedBys, g.closedBy)), g.key)
}

func (u *unpacker) gate() gateRow {
	g := gateRow{syncID: u.number(), generation: int(u.number()), requests: int(u.number()), settling: int(u.number())}
	g.state, g.closedBy, g.key = gateStates[u.byte()], closedBys[u.byte()], u.hash()
	return g
}

// indexOf is a state's number in the packed form. An unknown one, of a newer release, counts as the first, which is none.
func indexOf[T comparable](all []T, one T) byte {
	for i, x := range all {
		if x == one {
			return byte(i)
		}
	}
	return 0
}

// unpacker takes what add has packed off its front.
type unpacker []byte

func (u *unpacker) byte() byte {
	b := (*u)[0]
	*u = (*u)[1:]
	return b
}

func (u *unpacker) number() int64 {
	n, size := binary.Uvarint(*u)
	*u = (*u)[size:]
	return int64(n) //nolint:gosec // what add packed was not negative
}

func (u *unpacker) text() string {
	n := u.number()
	s := string((*u)[:n])
	*u = (*u)[n:]
	return s
}

func (u *unpacker) hash() uint64 {
	h := binary.LittleEndian.Uint64(*u)
	*u = (*u)[8:]
	return h
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendHash(b []byte, s string) []byte { return binary.LittleEndian.AppendUint64(b, hash(s)) }

// seed is of the hashes of one run.
var seed = maphash.MakeSeed()

// hash stands for a uuid or a key among those of one order, so that no two of a hundred are ever the same.
func hash(s string) uint64 { return maphash.String(seed, s) }

// partitioner is the one that all writers of keyed topics have in common (kafka.Config.Options).
var partitioner = kgo.StickyKeyPartitioner(nil)

// partitionOf is where all records of an order must be.
func partitionOf(key string, partitions int32) int32 {
	return int32(partitioner.ForTopic("").Partition(&kgo.Record{Key: []byte(key)}, int(partitions))) //nolint:gosec // below partitions
}
