package checker

import (
	"cmp"
	"strings"
	"time"
)

// row is a row of vendor_erp_sync as it must be: int64, string, time.Time or nil by column.
type row map[string]any

// stamp orders facts that claim the same columns.
type stamp struct {
	version version
	at      time.Time
}

func (f *fact) stamp() stamp { return stamp{f.sync.Version, f.at} }

func (s stamp) compare(o stamp) int {
	return cmp.Or(cmp.Compare(s.version, o.version), s.at.Compare(o.at))
}

// fold is the row that the facts of one sync make, whatever their order: the attempt columns are those of the highest
// fact that is no callback, status and error those of the highest of all, the reference that of the highest that names
// one, and payload and response those of the attempt that the attempt columns show. nil: the facts make no row.
//
// It says what holds at the end and not how to get there, which is how the product says it.
func fold(facts []*fact) row {
	top := highest(facts, func(*fact) bool { return true })
	attempt := highest(facts, func(f *fact) bool { return f.sync.Version.class() != classCallback })
	if attempt == nil {
		return nil
	}
	reference := highest(facts, func(f *fact) bool { return f.sync.Reference != nil })
	a, s := attempt.sync, top.sync
	r := row{
		"sync_id": s.SyncID, "source": s.Source, "order_increment_id": s.Order,
		"attempts": int64(a.Attempts), "max_attempts": int64(a.MaxAttempts), "generation": int64(a.Generation),
		"idempotency_key": a.IdempotencyKey, "last_attempt_at": timeOrNil(a.LastAttemptAt), "next_attempt_at": nil,
		"attempt_version": int64(a.Version), "attempt_version_at": attempt.at,
		"status": s.Status, "last_error": textOrNil(top.err), "version": int64(s.Version), "version_at": top.at,
		"erp_reference": nil, "reference_version": int64(0), "reference_version_at": nil,
		"payload": nil, "response": nil,
	}
	if s.Status == "queued" {
		r["next_attempt_at"] = timeOrNil(a.NextAttemptAt)
	}
	if reference != nil {
		r["erp_reference"] = textOrNil(reference.sync.Reference)
		r["reference_version"], r["reference_version_at"] = int64(reference.sync.Version), reference.at
	}
	r["created_at"], r["updated_at"] = timesOf(facts)
	r["payload"], r["response"] = exchanged(facts, a.Version)
	return r
}

// highest is the fact with the highest stamp of those that the rule holds for.
func highest(facts []*fact, rule func(*fact) bool) *fact {
	var top *fact
	for _, f := range facts {
		if rule(f) && (top == nil || f.stamp().compare(top.stamp()) >= 0) {
			top = f
		}
	}
	return top
}

func timesOf(facts []*fact) (first, last time.Time) {
	first, last = facts[0].at, facts[0].at
	for _, f := range facts {
		if f.at.Before(first) {
			first = f.at
		}
		if f.at.After(last) {
			last = f.at
		}
	}
	return first, last
}

// exchanged is what was sent and answered in the attempt of a version: the greatest text of each, should they differ.
func exchanged(facts []*fact, v version) (payload, answer any) {
	for _, f := range facts {
		o := f.sync.Version
		if o.class() == classCallback || o.generation() != v.generation() || o.attempt() != v.attempt() {
			continue
		}
		payload = greater(payload, f.payload)
		if f.response != nil && f.Topic != topicCallback {
			answer = greater(answer, &f.response.Body)
		}
	}
	return payload, answer
}

func greater(have any, text *string) any {
	if text == nil {
		return have
	}
	next := storable(*text)
	if have, ok := have.(string); ok && have >= next {
		return have
	}
	return next
}

// storable is a text as Postgres can keep it.
func storable(text string) string { return strings.ReplaceAll(text, "\x00", "\uFFFD") }

func textOrNil(text *string) any {
	if text == nil {
		return nil
	}
	return storable(*text)
}

func timeOrNil(t *time.Time) any {
	if t == nil {
		return nil
	}
	return *t
}
