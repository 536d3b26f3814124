package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/postgres"
)

// State says what became of a dead letter.
type State string

// The states of a dead letter.
const (
	Open      State = "open"
	Redriven  State = "redriven"  // its record went back to its topic
	Discarded State = "discarded" // nothing more is to be done about it
)

// Entry is a row of the table: a dead letter, and what became of it.
type Entry struct {
	Letter

	Generation *int // the one of its order that it has stopped; nil: none
	Redrives   int  // how often its record was sent back before, and came back; only of one that has stopped a generation
	State      State
	DecidedBy  *string
	DecidedAt  *time.Time
	Decision   *string // why
}

// ErrUnknown means that the table has no such dead letter.
var ErrUnknown = errors.New("there is no such dead letter; erpconnector deadletter list shows them")

const readTimeout = 10 * time.Second

// letterColumns are the columns that follow from the topic alone.
const letterColumns = `id, written_at, written_by, topic, partition, "offset", order_key, ce_id, record_at, due_at, bytes, reason, ended`

// fields are where the letterColumns are scanned to.
func (l *Letter) fields() []any {
	return []any{
		&l.ID, &l.WrittenAt, &l.By, &l.Topic, &l.Partition, &l.Offset, &l.OrderKey, &l.CeID, &l.RecordAt, &l.DueAt, &l.Bytes, &l.Reason, &l.Ended,
	}
}

// utc sets all times to UTC, so that those of the table equal those of the topic.
func (l *Letter) utc() {
	l.WrittenAt = l.WrittenAt.UTC()
	for _, t := range []*time.Time{l.RecordAt, l.DueAt} {
		if t != nil {
			*t = t.UTC()
		}
	}
}

// Judging says whether dead letters that are added may stop their orders.
type Judging bool

// The two ways to add dead letters.
const (
	ToJudge       Judging = true  // see Unjudged
	WithoutEffect Judging = false // a rebuild: they stopped their orders when they came first
)

// Add adds dead letters as open ones. Those that the table has already stay as they are. Of two that one consumer wrote of one
// record, the first stays, and the second is not added.
func Add(ctx context.Context, tx postgres.Execer, letters []Letter, judging Judging) error {
	if len(letters) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO erp_dead_letter (`+letterColumns+`, judged)
		SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[], $5::int[], $6::bigint[], $7::text[], $8::text[],
			$9::timestamptz[], $10::timestamptz[], $11::int[], $12::text[], $13::bool[], $14::bool[]) AS l (`+letterColumns+`, judged) ORDER BY id
		ON CONFLICT DO NOTHING`,
		column(letters, func(l Letter) int64 { return l.ID }), column(letters, func(l Letter) time.Time { return l.WrittenAt }),
		column(letters, func(l Letter) string { return string(l.By) }), column(letters, func(l Letter) string { return l.Topic }),
		column(letters, func(l Letter) int32 { return l.Partition }), column(letters, func(l Letter) int64 { return l.Offset }),
		column(letters, func(l Letter) string { return l.OrderKey }), column(letters, func(l Letter) string { return l.CeID }),
		column(letters, func(l Letter) *time.Time { return l.RecordAt }), column(letters, func(l Letter) *time.Time { return l.DueAt }),
		column(letters, func(l Letter) int { return l.Bytes }), column(letters, func(l Letter) string { return l.Reason }),
		column(letters, func(l Letter) bool { return l.Ended }), column(letters, func(l Letter) bool { return judging == WithoutEffect || !l.mayStop() }))
	if err != nil {
		return fmt.Errorf("listing %d dead letters: %w", len(letters), err)
	}
	return nil
}

// column is one field of all letters, for unnest.
func column[T any](letters []Letter, of func(Letter) T) []T {
	out := make([]T, len(letters))
	for i, l := range letters {
		out[i] = of(l)
	}
	return out
}

// entryColumns are those of an Entry. A record that is sent back keeps its ce_id. Only those of letters that have stopped an order are
// counted: anybody may write many others under one key.
const entryColumns = letterColumns + `, generation, CASE WHEN generation IS NULL THEN 0 ELSE (
	SELECT count(*) FROM erp_dead_letter b
	WHERE b.order_key = d.order_key AND b.ce_id = d.ce_id AND b.state = 'redriven' AND b.id < d.id) END, state, decided_by, decided_at, decision`

func scanEntry(row pgx.CollectableRow) (e Entry, err error) {
	err = row.Scan(append(e.fields(), &e.Generation, &e.Redrives, &e.State, &e.DecidedBy, &e.DecidedAt, &e.Decision)...)
	e.utc()
	if e.DecidedAt != nil {
		*e.DecidedAt = e.DecidedAt.UTC()
	}
	return e, err
}

// List reads dead letters, the oldest first; more reports whether there are others after them.
func List(ctx context.Context, q postgres.Querier, f Filter) (entries []Entry, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	where, args := f.condition()
	rows, err := q.Query(ctx, `SELECT `+entryColumns+` FROM erp_dead_letter d WHERE `+where+` ORDER BY id LIMIT $10`, append(args, f.Limit+1)...)
	if err == nil {
		entries, err = pgx.CollectRows(rows, scanEntry)
	}
	if err != nil {
		return nil, false, fmt.Errorf("listing dead letters: %w", err)
	}
	if len(entries) > f.Limit {
		return entries[:f.Limit], true, nil
	}
	return entries, false, nil
}

// Count counts the dead letters that the filter selects, whatever its limit.
func Count(ctx context.Context, q postgres.Querier, f Filter) (n int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	where, args := f.condition()
	rows, err := q.Query(ctx, `SELECT count(*) FROM erp_dead_letter WHERE `+where, args...)
	if err == nil {
		n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
	}
	if err != nil {
		return 0, fmt.Errorf("counting dead letters: %w", err)
	}
	return n, nil
}

// CountOpen counts the dead letters that nobody has decided about. It reads only the index of these.
func CountOpen(ctx context.Context, q postgres.Querier) (n int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rows, err := q.Query(ctx, `SELECT count(*) FROM erp_dead_letter WHERE state = 'open'`)
	if err == nil {
		n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
	}
	if err != nil {
		return 0, fmt.Errorf("counting open dead letters: %w", err)
	}
	return n, nil
}

// Get reads one dead letter; the error is ErrUnknown when there is none.
func Get(ctx context.Context, q postgres.Querier, id int64) (Entry, error) {
	return get(ctx, q, id, "")
}

// Lock reads one dead letter and locks it until the transaction ends. Lock the gate of its order first, as everybody does.
func Lock(ctx context.Context, tx pgx.Tx, id int64) (Entry, error) {
	return get(ctx, tx, id, " FOR UPDATE")
}

func get(ctx context.Context, q postgres.Querier, id int64, lock string) (e Entry, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rows, err := q.Query(ctx, `SELECT `+entryColumns+` FROM erp_dead_letter d WHERE id = $1`+lock, id)
	if err == nil {
		e, err = pgx.CollectExactlyOneRow(rows, scanEntry)
	}
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return e, fmt.Errorf("dead letter %d: %w", id, ErrUnknown)
	case err != nil:
		return e, fmt.Errorf("reading dead letter %d: %w", id, err)
	}
	return e, nil
}

// Decision is what an operator has decided about dead letters.
type Decision struct {
	State   State // Redriven or Discarded
	By, Why string
	At      time.Time
}

// Decide notes a decision about a dead letter that is open and locked.
func Decide(ctx context.Context, tx pgx.Tx, id int64, d Decision) error {
	_, err := tx.Exec(ctx, `UPDATE erp_dead_letter SET state = $2, decided_by = $3, decided_at = $4, decision = $5 WHERE id = $1 AND state = 'open'`,
		id, string(d.State), d.By, d.At, d.Why)
	if err != nil {
		return fmt.Errorf("noting a decision about dead letter %d: %w", id, err)
	}
	return nil
}

// DiscardOf discards the open dead letters that have stopped a generation of an order, when somebody has decided otherwise about
// the order.
func DiscardOf(ctx context.Context, tx pgx.Tx, orderKey string, generation int, d Decision) error {
	_, err := tx.Exec(ctx, `UPDATE erp_dead_letter SET state = 'discarded', decided_by = $3, decided_at = $4, decision = $5
		WHERE order_key = $1 AND generation = $2 AND state = 'open'`, orderKey, generation, d.By, d.At, d.Why)
	if err != nil {
		return fmt.Errorf("discarding the dead letters of order %s: %w", orderKey, err)
	}
	return nil
}

// Unjudged reads dead letters that nobody has judged: it is not known yet whether they stop their orders.
func Unjudged(ctx context.Context, q postgres.Querier, after int64, limit int) ([]Letter, error) {
	return collect(q.Query(ctx, `SELECT `+letterColumns+` FROM erp_dead_letter WHERE NOT judged AND id > $1 ORDER BY id LIMIT $2`, after, limit))
}

// collect reads all rows.
func collect(rows pgx.Rows, err error) (letters []Letter, _ error) {
	if err == nil {
		letters, err = pgx.CollectRows(rows, scanLetter)
	}
	if err != nil {
		return nil, fmt.Errorf("reading dead letters: %w", err)
	}
	return letters, nil
}

func scanLetter(row pgx.CollectableRow) (l Letter, err error) {
	err = row.Scan(l.fields()...)
	l.utc()
	return l, err
}

// Between reads the dead letters of a stretch of the topic, in its order.
func Between(ctx context.Context, q postgres.Querier, first, next int64) ([]Letter, error) {
	return collect(q.Query(ctx, `SELECT `+letterColumns+` FROM erp_dead_letter WHERE id >= $1 AND id < $2 ORDER BY id`, first, next))
}

// Judged notes that the dead letter was judged, and which generation it has stopped. It is false when somebody else was first.
func Judged(ctx context.Context, tx pgx.Tx, id int64, generation *int) (bool, error) {
	tag, err := tx.Exec(ctx, `UPDATE erp_dead_letter SET judged = true, generation = $2 WHERE id = $1 AND NOT judged`, id, generation)
	if err != nil {
		return false, fmt.Errorf("judging dead letter %d: %w", id, err)
	}
	return tag.RowsAffected() == 1, nil
}

// WithoutKnown leaves out those of which the table has an earlier dead letter, of the same record and by the same consumer: Add would
// not add them.
func WithoutKnown(ctx context.Context, q postgres.Querier, letters []Letter) ([]Letter, error) {
	if len(letters) == 0 {
		return nil, nil
	}
	rows, err := q.Query(ctx, `
		SELECT l.id FROM unnest($1::bigint[], $2::text[], $3::int[], $4::bigint[], $5::text[]) AS l (id, topic, partition, "offset", written_by)
		JOIN erp_dead_letter d USING (topic, partition, "offset", written_by) WHERE d.id < l.id`,
		column(letters, func(l Letter) int64 { return l.ID }), column(letters, func(l Letter) string { return l.Topic }),
		column(letters, func(l Letter) int32 { return l.Partition }), column(letters, func(l Letter) int64 { return l.Offset }),
		column(letters, func(l Letter) string { return string(l.By) }))
	var known []int64
	if err == nil {
		known, err = pgx.CollectRows(rows, pgx.RowTo[int64])
	}
	if err != nil {
		return nil, fmt.Errorf("looking for %d dead letters: %w", len(letters), err)
	}
	return slices.DeleteFunc(slices.Clone(letters), func(l Letter) bool { return slices.Contains(known, l.ID) }), nil
}

// Mend writes dead letters as the topic has them, also over what the table says. Decisions about them stay.
func Mend(ctx context.Context, tx pgx.Tx, letters []Letter) error {
	for _, l := range letters {
		_, err := tx.Exec(ctx, `UPDATE erp_dead_letter SET written_at = $2, written_by = $3, topic = $4, partition = $5, "offset" = $6, order_key = $7,
			ce_id = $8, record_at = $9, due_at = $10, bytes = $11, reason = $12, ended = $13 WHERE id = $1`,
			l.ID, l.WrittenAt, string(l.By), l.Topic, l.Partition, l.Offset, l.OrderKey, l.CeID, l.RecordAt, l.DueAt, l.Bytes, l.Reason, l.Ended)
		if err != nil {
			return fmt.Errorf("correcting dead letter %d: %w", l.ID, err)
		}
	}
	return Add(ctx, tx, letters, WithoutEffect)
}

// Recheck lets the projector judge the dead letters since then once more. Their gates may have been missing, or behind, the first
// time, as after a restore. Those that have stopped an order, or that somebody has decided about, stay as they are.
func Recheck(ctx context.Context, pool *pgxpool.Pool, since time.Time) error {
	letters, err := collect(pool.Query(ctx, `SELECT `+letterColumns+` FROM erp_dead_letter
		WHERE state = 'open' AND generation IS NULL AND judged AND written_at >= $1 ORDER BY id`, since))
	if err != nil {
		return err
	}
	letters = slices.DeleteFunc(letters, func(l Letter) bool { return !l.mayStop() })
	_, err = pool.Exec(ctx, `UPDATE erp_dead_letter SET judged = false WHERE id = ANY($1) AND state = 'open' AND generation IS NULL`,
		column(letters, func(l Letter) int64 { return l.ID }))
	if err != nil {
		return fmt.Errorf("having %d dead letters judged again: %w", len(letters), err)
	}
	return nil
}
