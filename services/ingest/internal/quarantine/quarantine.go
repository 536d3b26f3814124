// Package quarantine keeps the events of the commerce outbox that accept refuses. Nobody waits for an answer there. So the event stays,
// with the reason, until an operator sends it again.
//
//	erpconnector quarantine list                             what waits, and why
//	erpconnector quarantine send 17                          once more: the cause is gone
//	erpconnector quarantine send 17 --event corrected.json   a correction in its place
//
// An invoice that came before its order waits here too. accept sends it back by itself when the order comes.
package quarantine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// Code is the kind of reason.
type Code string

// The kinds of reasons.
const (
	Refused      Code = "refused"       // the event is wrong: correct it
	UnknownOrder Code = "unknown_order" // an invoice of an order that nobody has published: publish the order first
	TooLarge     Code = "too_large"     // larger than event.MaxEventBytes
	Failed       Code = "failed"        // the database refuses it: the detail is its error
	Conflict     Code = "conflict"      // it contradicts what was accepted before: give it an id, or its order a number, of its own
)

// Codes are all kinds of reasons.
var Codes = []Code{Refused, UnknownOrder, TooLarge, Failed, Conflict}

// SizeError is the error of an event that is too large to be read.
func SizeError() problem.FieldError {
	return problem.FieldError{Code: problem.CodeTooLarge, Detail: fmt.Sprintf("the event has more than %d bytes, which is the most that is taken", event.MaxEventBytes)}
}

// Entry is one event in the quarantine.
type Entry struct {
	ID            int64
	Source        string
	EventID       string // empty when the event has none
	OrderKey      string // of UnknownOrder
	Code          Code
	Problems      []problem.FieldError
	Traceparent   string
	Payload       []byte
	Bytes         int // of the payload, which List leaves out
	Tries         int // times it was refused
	PublishedAt   time.Time
	QuarantinedAt time.Time // of the last try
}

// With is the entry with the reason why it was refused.
func (e Entry) With(r accept.Result) Entry {
	e.EventID, e.OrderKey, e.Problems, e.Code = r.EventID, r.UnknownOrder, r.Errors, Code(r.Code())
	return e
}

// Add stores new entries, with one statement of tx.
func Add(ctx context.Context, tx pgx.Tx, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	var sources, eventIDs, orders, codes, problems, traces []string
	var payloads [][]byte
	var published []time.Time
	for _, e := range entries {
		encoded, err := domain.EncodeJSON(e.Problems)
		if err != nil {
			return fmt.Errorf("encoding the reasons of event %s: %w", e.EventID, err)
		}
		sources, eventIDs, orders = append(sources, e.Source), append(eventIDs, e.EventID), append(orders, e.OrderKey)
		codes, problems, traces = append(codes, string(e.Code)), append(problems, string(encoded)), append(traces, e.Traceparent)
		payloads, published = append(payloads, e.Payload), append(published, e.PublishedAt)
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO commerce_quarantine (source, event_id, order_key, code, problems, traceparent, payload, published_at, quarantined_at)
		SELECT s, nullif(i, ''), nullif(o, ''), c, p::json, nullif(t, ''), b, a, now()
		FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::timestamptz[])
			WITH ORDINALITY AS n (s, i, o, c, p, t, b, a, position) ORDER BY position`,
		sources, eventIDs, orders, codes, problems, traces, payloads, published)
	if err != nil {
		return fmt.Errorf("quarantining %d events: %w", len(entries), err)
	}
	return nil
}

// Count is the number of entries.
func Count(ctx context.Context, pool *pgxpool.Pool) (n int64, err error) {
	err = pool.QueryRow(ctx, `SELECT count(*) FROM commerce_quarantine`).Scan(&n)
	return n, err
}

// Filter selects entries; the zero value selects all.
type Filter struct {
	Source string
	Code   Code
	After  int64 // entries with a greater id
	Limit  int   // 0: no limit
}

const columns = `id, source, coalesce(event_id, ''), coalesce(order_key, ''), code, problems, coalesce(traceparent, ''),
	octet_length(payload), tries, published_at, quarantined_at`

func (e *Entry) fields() []any {
	return []any{
		&e.ID, &e.Source, &e.EventID, &e.OrderKey, &e.Code, &e.Problems, &e.Traceparent, &e.Bytes, &e.Tries, &e.PublishedAt, &e.QuarantinedAt,
	}
}

// List reads entries without their payloads, oldest first.
func List(ctx context.Context, pool *pgxpool.Pool, f Filter) ([]Entry, error) {
	rows, err := pool.Query(ctx, `SELECT `+columns+` FROM commerce_quarantine
		WHERE id > $1 AND ($2 = '' OR source = $2) AND ($3 = '' OR code = $3) ORDER BY id LIMIT nullif($4, 0)`, f.After, f.Source, f.Code, f.Limit)
	if err != nil {
		return nil, fmt.Errorf("listing the quarantine: %w", err)
	}
	entries, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e Entry, err error) {
		err = row.Scan(e.fields()...)
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the quarantine: %w", err)
	}
	return entries, nil
}

// ErrNotThere means that an id is not in the quarantine.
var ErrNotThere = errors.New("there is no such entry in the quarantine; it may have been sent already")

// Get reads one entry with its payload.
func Get(ctx context.Context, pool *pgxpool.Pool, id int64) (e Entry, err error) {
	err = pool.QueryRow(ctx, `SELECT `+columns+`, payload FROM commerce_quarantine WHERE id = $1`, id).Scan(append(e.fields(), &e.Payload)...)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Entry{}, fmt.Errorf("%d: %w", id, ErrNotThere)
	case err != nil:
		return Entry{}, fmt.Errorf("reading entry %d of the quarantine: %w", id, err)
	}
	return e, nil
}
