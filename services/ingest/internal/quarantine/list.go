package quarantine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Filter selects entries. What is empty selects all, also of State.
type Filter struct {
	Door     Door
	State    State
	Source   string
	Code     Code
	EventID  string
	OrderKey string    // of the order that the event is about
	Text     string    // a part of what is wrong, in small or capital letters
	Since    time.Time // refused last then or later
	Until    time.Time // and before this
	After    int64     // entries with a greater id
	Limit    int       // 0: all that one search looks at
}

// Page is a stretch of the quarantine, oldest first.
type Page struct {
	Entries  []Entry
	Selected int64 // how many match among those that were looked at, with those that the limit left out
	Next     int64 // the id to go on after; 0: there is nothing more
}

const (
	maxCandidates = 10_000 // entries that one search looks at; one beyond goes on where it stopped
	readTimeout   = 10 * time.Second
)

const columns = `id, door, state, source, coalesce(event_id, ''), coalesce(order_key, ''), coalesce(about_order, ''), code, problems, coalesce(traceparent, ''),
	octet_length(payload), tries, published_at, quarantined_at, discarded_at, discarded_by, discard_reason`

func (e *Entry) fields() []any {
	return []any{
		&e.ID, &e.Door, &e.State, &e.Source, &e.EventID, &e.OrderKey, &e.AboutOrder, &e.Code, &e.Problems, &e.Traceparent,
		&e.Bytes, &e.Tries, &e.PublishedAt, &e.QuarantinedAt, &e.DiscardedAt, &e.DiscardedBy, &e.DiscardReason,
	}
}

// found is what a search has found: at most limit ids, how many matched among those it looked at, and where to go on.
type found struct {
	ids     []int64
	matched int64
	next    int64
}

// query makes the statement of a search. It walks along one index, the first that the filter allows, in the order of the ids, and looks
// at maxCandidates entries at most: so what it costs does not grow with the quarantine. What the index does not decide is checked entry
// by entry. The bounds are written as rows, not as equalities: only the index of both columns has their order, so it is the one that is
// taken.
func (f Filter) query() (sql string, args []any) {
	const along = `%[1]s IS NOT NULL AND (%[1]s, id) > (%[2]s, $1) AND (%[1]s, id) <= (%[2]s, 9223372036854775807) ORDER BY %[1]s, id`
	walk := `id > $1 ORDER BY id`
	switch {
	case f.EventID != "":
		walk = fmt.Sprintf(along, "event_id", "$3")
	case f.OrderKey != "":
		walk = fmt.Sprintf(along, "about_order", "$4")
	case f.Source != "":
		walk = fmt.Sprintf(along, "source", "$5")
	}
	return `WITH candidates AS MATERIALIZED (
			SELECT id, door, state, source, code, event_id, about_order, problems, quarantined_at FROM commerce_quarantine
			WHERE ` + walk + ` LIMIT $2),
		matching AS MATERIALIZED (
			SELECT id FROM candidates WHERE ($3 = '' OR event_id = $3) AND ($4 = '' OR about_order = $4) AND ($5 = '' OR source = $5)
				AND ($6 = '' OR door = $6) AND ($7 = '' OR state = $7) AND ($8 = '' OR code = $8)
				AND ($9 = '' OR position(lower($9) IN lower(problems::text)) > 0)
				AND ($10::timestamptz IS NULL OR quarantined_at >= $10) AND ($11::timestamptz IS NULL OR quarantined_at < $11))
		SELECT (SELECT count(*) FROM candidates), (SELECT coalesce(max(id), 0) FROM candidates), (SELECT count(*) FROM matching),
			ARRAY(SELECT id FROM matching ORDER BY id LIMIT $12)`,
		[]any{f.After, maxCandidates, f.EventID, f.OrderKey, f.Source, f.Door, f.State, f.Code, f.Text, given(f.Since), given(f.Until), f.Limit + 1}
}

// find searches for entries.
func find(ctx context.Context, pool *pgxpool.Pool, f Filter) (r found, err error) {
	if f.Limit == 0 {
		f.Limit = maxCandidates
	}
	var seen, last int64
	sql, args := f.query()
	err = pool.QueryRow(ctx, sql, args...).Scan(&seen, &last, &r.matched, &r.ids)
	switch {
	case err != nil:
		return r, err
	case len(r.ids) > f.Limit:
		r.ids = r.ids[:f.Limit]
		r.next = r.ids[f.Limit-1]
	case seen == maxCandidates:
		r.next = last
	}
	return r, nil
}

func given(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// List reads entries without their payloads, oldest first. A page may have fewer than the limit, or none, and a next one all the same.
func List(ctx context.Context, pool *pgxpool.Pool, f Filter) (p Page, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	r, err := find(ctx, pool, f)
	if err == nil {
		p.Selected, p.Next = r.matched, r.next
		p.Entries, err = read(ctx, pool, r.ids)
	}
	if err != nil {
		return Page{}, fmt.Errorf("listing the quarantine: %w", err)
	}
	return p, nil
}

// read reads entries without their payloads. Those that left meanwhile are left out.
func read(ctx context.Context, pool *pgxpool.Pool, ids []int64) ([]Entry, error) {
	rows, err := pool.Query(ctx, `SELECT `+columns+` FROM commerce_quarantine WHERE id = ANY($1::bigint[]) ORDER BY id`, ids)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e Entry, err error) {
		err = row.Scan(e.fields()...)
		return e, err
	})
}

// ErrNotThere means that an id is not in the quarantine.
var ErrNotThere = errors.New("there is no such entry in the quarantine; it may have been sent already")

// Get reads one entry with its payload, unless that has more than so many bytes. source limits it to entries of one shop; empty: of any.
func Get(ctx context.Context, pool *pgxpool.Pool, id int64, source string, maxBytes int) (e Entry, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	err = pool.QueryRow(ctx, `SELECT `+columns+`, CASE WHEN octet_length(payload) <= $3 THEN payload END
		FROM commerce_quarantine WHERE id = $1 AND ($2 = '' OR source = $2)`, id, source, maxBytes).
		Scan(append(e.fields(), &e.Payload)...)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Entry{}, fmt.Errorf("%d: %w", id, ErrNotThere)
	case err != nil:
		return Entry{}, fmt.Errorf("reading entry %d of the quarantine: %w", id, err)
	}
	return e, nil
}

// partBytes are read of a large event at once.
const partBytes = 4 << 20

// PartOf reads the bytes of an entry's event from an offset on, some of them. An entry that is gone meanwhile is ErrNotThere.
func PartOf(ctx context.Context, pool *pgxpool.Pool, id int64, from int) (part []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	err = pool.QueryRow(ctx, `SELECT substring(payload FROM $2 + 1 FOR $3) FROM commerce_quarantine WHERE id = $1 AND octet_length(payload) > $2`, id, from, partBytes).
		Scan(&part)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, fmt.Errorf("%d: %w", id, ErrNotThere)
	case err != nil:
		return nil, fmt.Errorf("reading the event of entry %d of the quarantine: %w", id, err)
	}
	return part, nil
}

// Counted is a number of entries of one kind.
type Counted struct {
	Door    Door
	Code    Code
	Entries int64
}

// Counts counts the entries in a state by door and code, of one shop or of all (""). It reads one index.
func Counts(ctx context.Context, pool *pgxpool.Pool, state State, source string) (counts []Counted, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	sql, args := countQuery(state, source)
	rows, err := pool.Query(ctx, sql, args...)
	if err == nil {
		counts, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Counted])
	}
	if err != nil {
		return nil, fmt.Errorf("counting the quarantine: %w", err)
	}
	return counts, nil
}

func countQuery(state State, source string) (sql string, args []any) {
	where, args := `state = $1`, []any{state}
	if source != "" {
		where, args = where+` AND source = $2`, append(args, source)
	}
	return `SELECT door, code, count(*) FROM commerce_quarantine WHERE ` + where + ` GROUP BY door, code ORDER BY door, code`, args
}
