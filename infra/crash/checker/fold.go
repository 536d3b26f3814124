package checker

import (
	"cmp"
	"strings"
	"time"
)

// row is a row of vendor_erp_sync as it must be. A column is int64, string, time.Time or nil.
type row map[string]any

// stamp decides which of two facts sets a column.
type stamp struct {
	version version
	at      time.Time
}

func (f *fact) stamp() stamp { return stamp{f.sync.Version, f.at} }

func (s stamp) compare(o stamp) int {
	return cmp.Or(cmp.Compare(s.version, o.version), s.at.Compare(o.at))
}

// fold returns the row that the facts of one sync make, whatever their order; nil: they make none. The attempt columns come
// from the highest fact that is no callback, and status and error from the highest of all. The reference comes from the
// highest fact that has one. Payload and response belong to the attempt in the attempt columns.
//
// fold says what holds at the end. The product says how to get there, fact by fact. So one mistake is not made in both.
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

// highest returns the fact with the highest stamp among those that the rule accepts.
func highest(facts []*fact, rule func(*fact) bool) *fact {
	var top *fact
	for _, f := range facts {
		if rule(f) && (top == nil || f.stamp().compare(top.stamp()) >= 0) {
			top = f
		}
	}
	return top
}

// timesOf returns the first and the last time of the facts.
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

// exchanged returns what was sent and answered in the attempt of a version. Should copies differ, the greatest text counts,
// so that the order of arrival does not.
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

// greater returns the greater one of two texts.
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

// storable returns a text as Postgres can store it: without zero bytes.
func storable(text string) string { return strings.ReplaceAll(text, "\x00", "\uFFFD") }

// textOrNil returns the text, or nil for a column that is null.
func textOrNil(text *string) any {
	if text == nil {
		return nil
	}
	return storable(*text)
}

// timeOrNil returns the time, or nil for a column that is null.
func timeOrNil(t *time.Time) any {
	if t == nil {
		return nil
	}
	return *t
}
