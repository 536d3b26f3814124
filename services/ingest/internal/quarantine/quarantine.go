// Package quarantine keeps events that accept refuses, with the reason: those of the commerce outbox, where nobody waits for an answer,
// and those of HTTP, where the answer may have been lost on somebody who could not do anything about it.
//
//	erpconnector quarantine list                             what waits, and why
//	erpconnector quarantine send 17                          once more: the cause is gone
//	erpconnector quarantine send 17 --event corrected.json   a correction in its place
//	erpconnector quarantine discard 17 --reason "a test"     it is not needed
//
// An entry of the outbox is the only copy of its event. So it stays until somebody decides about it. An entry of HTTP is a second copy,
// as the shop was told that its event is not taken. So it is one for each event however often it is repeated, it leaves when an event of
// its id is accepted, and it expires. ADR 0028 says more.
//
// An invoice that came through the outbox before its order waits here too. accept sends it back by itself when the order comes.
package quarantine

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

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

// Door is the way by which an event came.
type Door string

// The doors.
const (
	Outbox Door = "outbox" // the commerce outbox
	HTTP   Door = "http"
)

// Doors are all doors.
var Doors = []Door{HTTP, Outbox}

// State says whether somebody has to decide about an entry.
type State string

// The states of an entry. One that is accepted is no longer there.
const (
	Open      State = "open"
	Discarded State = "discarded" // nothing is to be done about it; it expires
)

// Entry is one event in the quarantine.
type Entry struct {
	ID            int64
	Door          Door
	State         State
	Source        string
	EventID       string // empty when the event has none
	OrderKey      string // of UnknownOrder in the outbox: the order that it waits for
	AboutOrder    string // the key of the order that it is about; empty when it names none
	Code          Code
	Problems      []problem.FieldError
	Traceparent   string
	Payload       []byte
	Bytes         int // of the payload, which List leaves out
	Tries         int // times it was refused
	PublishedAt   time.Time
	QuarantinedAt time.Time // of the last try

	DiscardedAt   *time.Time // the last time; nil: never
	DiscardedBy   *string
	DiscardReason *string
}

// With is the entry with the reason why it was refused.
func (e Entry) With(r accept.Result) Entry {
	e.EventID, e.OrderKey, e.Problems, e.Code = r.EventID, r.UnknownOrder, r.Errors, Code(r.Code())
	e.AboutOrder = aboutOrder(r)
	return e
}

// aboutOrder is the key of the order that an event names; empty: it names none that could be asked for.
func aboutOrder(r accept.Result) string {
	ref := domain.OrderRef{Source: r.Source, IncrementID: r.OrderIncrementID}
	if ref.Validate() != nil {
		return ""
	}
	return ref.Key()
}

// rows are columns of entries, for unnest.
type rows struct {
	sources, eventIDs, orders, about, codes, problems, traces []string
	payloads                                                  [][]byte
	published                                                 []time.Time
}

func columnsOf(entries []Entry) (r rows, err error) {
	for _, e := range entries {
		encoded, err := domain.EncodeJSON(e.Problems)
		if err != nil {
			return r, fmt.Errorf("encoding the reasons of event %s: %w", e.EventID, err)
		}
		r.sources, r.eventIDs, r.orders = append(r.sources, e.Source), append(r.eventIDs, e.EventID), append(r.orders, e.OrderKey)
		r.about, r.codes = append(r.about, e.AboutOrder), append(r.codes, string(e.Code))
		r.problems, r.traces = append(r.problems, string(encoded)), append(r.traces, e.Traceparent)
		r.payloads, r.published = append(r.payloads, e.Payload), append(r.published, e.PublishedAt)
	}
	return r, nil
}

// Add stores new entries of the outbox, with one statement of tx.
func Add(ctx context.Context, tx pgx.Tx, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	r, err := columnsOf(entries)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO commerce_quarantine (source, event_id, order_key, about_order, code, problems, traceparent, payload, published_at, quarantined_at)
		SELECT s, nullif(i, ''), nullif(o, ''), nullif(k, ''), c, p::json, nullif(t, ''), b, a, now()
		FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[], $9::timestamptz[])
			WITH ORDINALITY AS n (s, i, o, k, c, p, t, b, a, position) ORDER BY position`,
		r.sources, r.eventIDs, r.orders, r.about, r.codes, r.problems, r.traces, r.payloads, r.published)
	if err != nil {
		return fmt.Errorf("quarantining %d events: %w", len(entries), err)
	}
	return nil
}
