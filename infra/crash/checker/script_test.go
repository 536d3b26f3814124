package checker

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

var began = time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)

const base = time.Second

// script writes a history as the product would have made it. Each order runs on a time of its own; what they leave behind
// is put in order at the end. The table is made by applying facts one after the other, which is another way to say what
// the checker's fold says.
type script struct {
	h       history.History
	orders  []*actor
	records []history.Record
	rows    []outboxRow
	syncs   int64
}

type outboxRow struct {
	history.OutboxRow
	at time.Time
}

func newScript() *script {
	return &script{h: history.History{
		Seed: 1, Broker: "none", Partitions: 3, Began: began, Ended: began.Add(time.Hour),
		Policy: history.Policy{MaxAttempts: 5, BaseDelay: base, GiveUpAfter: 5 * time.Minute},
		Limits: history.Limits{Stall: 2 * time.Second, TakeOver: 10 * time.Second},
	}}
}

// actor is one order.
type actor struct {
	*script
	source, id string
	at         time.Time

	syncID     int64
	generation int
	attempts   int
	requests   int // of the generation
	callbacks  int
	key        string
	keys       int
	answered   bool
	gate       string // state
	closedBy   string
	next       time.Time // of a parked retry
	lastAt     *time.Time
	created    time.Time
	booked     map[string]bool
	facts      []applied
	synced     bool
	found      bool // by a look-up
	short      bool // the planted mistake: an order fails with attempts left
}

// applied is a fact as the table takes it.
type applied struct {
	topic string
	sync  map[string]any
	at    time.Time
	extra map[string]any
}

func (s *script) order(source, id string) *actor {
	o := &actor{script: s, source: source, id: id, at: began.Add(time.Duration(len(s.orders)) * 37 * time.Millisecond), gate: "none", booked: map[string]bool{}}
	s.orders = append(s.orders, o)
	return o
}

func (o *actor) orderKey() string { return orderKey(o.source, o.id) }

func (o *actor) wait(d time.Duration) *actor {
	o.at = o.at.Add(d)
	return o
}

func ms3(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// record appends a record; those of relayed topics have an outbox row.
func (o *actor) record(topic, kind, id string, value map[string]any, headers map[string]string) {
	raw, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	at := o.at.Truncate(time.Millisecond)
	all := map[string]string{
		"ce_id": id, "ce_type": kind, "ce_subject": o.orderKey(), "ce_time": ms3(at), "_watermill_message_uuid": "uuid of " + id,
	}
	for name, v := range headers {
		all[name] = v
	}
	if relayed(topic) {
		o.rows = append(o.rows, outboxRow{history.OutboxRow{Topic: topic, Key: o.orderKey(), UUID: all["_watermill_message_uuid"], EventID: id}, o.at})
		o.wait(4 * time.Millisecond)
	}
	o.records = append(o.records, history.Record{
		Topic: topic, Partition: int32(len(o.id) % 3), Timestamp: o.at.Truncate(time.Millisecond), Key: o.orderKey(), Headers: all, Value: raw, //nolint:gosec // below 3
	})
	o.wait(time.Millisecond)
}

func (o *actor) sync(status string, v int64, more map[string]any) map[string]any {
	s := map[string]any{
		"sync_id": o.syncID, "source": o.source, "order_id": 7, "order_increment_id": o.id, "status": status, "attempts": o.attempts,
		"max_attempts": 5, "last_attempt_at": nil, "next_attempt_at": nil, "erp_reference": nil, "idempotency_key": o.key,
		"generation": o.generation, "version": int64(o.generation)<<28 | v, "created_at": ms3(o.created), "updated_at": ms3(o.at),
	}
	if o.lastAt != nil {
		s["last_attempt_at"] = ms3(*o.lastAt)
	}
	for name, value := range more {
		s[name] = value
	}
	return s
}

func request(n int) int64          { return int64(n) }
func attempt(n int, p int64) int64 { return 1<<24 | int64(n)<<3 | p }
func callbackVersion(n int) int64  { return 2<<24 | int64(n) }
func (o *actor) value(s map[string]any, more map[string]any) map[string]any {
	v := map[string]any{"sync": s, "order": map[string]any{"order_increment_id": o.id}}
	for name, value := range more {
		v[name] = value
	}
	return v
}

// fact writes a fact of the sync.
func (o *actor) fact(topic string, s map[string]any, more map[string]any) {
	at := o.at.Truncate(time.Millisecond)
	o.facts = append(o.facts, applied{topic, s, at, more})
	o.record(topic, topic, fmt.Sprintf("%s/%d/%s", o.orderKey(), s["version"], topic), o.value(s, more), nil)
	if s["status"] == "success" {
		o.synced = true
	}
}

// publishes hands over an event; one that is refused leaves nothing.
func (o *actor) publishes(kind string, known history.Outcome, stored bool) *actor {
	id := fmt.Sprintf("evt-%s-%d", o.id, len(o.h.Publications))
	o.h.Publications = append(o.h.Publications, history.Publication{
		Door: "http", EventID: id, Type: kind, Source: o.source, Order: o.id, First: o.at, Last: o.at.Add(9 * time.Millisecond), Outcome: known,
	})
	if stored {
		o.record(topicEvent, kind, o.source+":"+id, map[string]any{"event_id": id, "type": kind}, nil)
	}
	return o
}

// invoiced makes the first generation, held or let go.
func (o *actor) invoiced(held bool) *actor {
	o.publishes(invoiceCreated, history.Accepted, true)
	o.wait(-4 * time.Millisecond) // the same transaction
	o.first(held)
	return o
}

func (o *actor) first(held bool) {
	o.syncs++
	o.syncID, o.generation, o.created, o.gate = o.syncs, 1, o.at, "open"
	o.newKey()
	if held {
		o.gate = "held"
	}
	o.requested(!held)
}

func (o *actor) newKey() {
	o.keys++
	o.key, o.answered = fmt.Sprintf("ERP_%016x%016x", len(o.orders)*1000+int(o.syncID), o.keys), false
}

func (o *actor) requested(released bool) {
	status := map[bool]string{true: "queued", false: "pending"}[released]
	o.fact(topicRequested, o.sync(status, request(o.requests), map[string]any{"released": released, "cause": "test", "last_attempt_at": nil}), nil)
}

func (o *actor) releases() *actor {
	o.requests++
	o.gate = "open"
	o.requested(true)
	return o.wait(5 * time.Millisecond)
}

func (o *actor) sendsRequest(what string, code int) {
	o.h.Requests = append(o.h.Requests, history.Request{
		Kind: what, Source: o.source, Order: o.id, Began: o.at, Ended: o.at.Add(7 * time.Millisecond), Outcome: history.Accepted, HTTPCode: code,
	})
	o.wait(time.Millisecond)
}

// intends states the next attempt.
func (o *actor) intends() *actor {
	o.wait(2 * time.Millisecond)
	o.fact(topicBefore, o.sync("in_progress", attempt(o.attempts+1, phaseBefore), nil), map[string]any{"payload": `{"order":"` + o.id + `"}`})
	return o.wait(time.Millisecond + 300*time.Microsecond)
}

// calls is a call that the ERP answers with the status, 0: not at all. It books what it answers with success, and what it
// the test lets it book.
func (o *actor) calls(status int, books bool, took time.Duration) *actor {
	call := history.Call{
		Number: len(o.h.Calls), Source: o.source, Order: o.id, Key: o.key, Began: o.at, Ended: o.at.Add(took), Behaviour: "test", Status: status,
	}
	if o.source == defaultSource {
		call.Source = ""
	}
	if (books || status/100 == 2) && !o.booked[o.key] {
		call.Booked, o.booked[o.key] = true, true
	}
	if o.booked[o.key] {
		call.Reference = "REF " + o.key
	}
	o.h.Calls = append(o.h.Calls, call)
	return o.wait(took + 400*time.Microsecond)
}

// concludes writes what the answer came to: a retry, or the end.
func (o *actor) concludes(status int, headers map[string]any) *actor {
	o.attempts++
	at := o.at.Truncate(time.Millisecond)
	o.lastAt = &at
	more := map[string]any{}
	if status != 0 {
		more["response"] = map[string]any{"status": status, "headers": headers, "body": "body " + strconv.Itoa(status)}
	}
	success := status/100 == 2
	if !success {
		more["error"] = "it says no"
	}
	retry, code := !success && (status == 0 || status == 429 || status >= 500) && o.attempts < 5, "erp_rejected"
	if seconds, _ := headers["retry-after"].(string); retry && seconds == "400" {
		retry, code = false, "given_up"
	}
	if retry && !o.short {
		o.parks(more, headers)
		return o
	}
	lookedUp := map[string]any{}
	if o.found {
		lookedUp["lookup"] = "found"
	}
	o.fact(topicAfter, o.sync("in_progress", attempt(o.attempts, phaseAfter), lookedUp), more)
	if success {
		o.answered = true
		o.ends("success", map[string]any{"erp_reference": "REF " + o.key}, more, "answer")
	} else {
		o.ends("failed", map[string]any{"error_code": code}, more, "failure")
	}
	return o
}

// givesUp ends a retry whose time is over.
func (o *actor) givesUp() {
	o.fact(topicFailed, o.sync("failed", attempt(o.attempts+1, phaseTerminal), map[string]any{"error_code": "given_up"}), nil)
	o.gate, o.closedBy = "closed", "failure"
}

func (o *actor) parks(more map[string]any, headers map[string]any) {
	o.next = o.at.Truncate(time.Millisecond).Add(base<<o.attempts + time.Millisecond)
	if seconds, ok := headers["retry-after"].(string); ok {
		n, _ := strconv.Atoi(seconds)
		o.next = o.at.Truncate(time.Millisecond).Add(time.Duration(n) * time.Second)
	}
	s := o.sync("queued", attempt(o.attempts, phaseAfter), map[string]any{"next_attempt_at": ms3(o.next), "error_code": "erp_unavailable"})
	o.fact(topicAfter, s, more)
	id := fmt.Sprintf("%s/%d/%s", o.orderKey(), s["version"], topicRetry)
	due := map[string]string{"due": strconv.FormatInt(o.next.UnixMilli(), 10), "ce_time": ms3(*o.lastAt)}
	o.wait(-time.Millisecond) // the same transaction
	o.record(topicRetry+"_1s", topicRetry, id, o.value(s, nil), due)
	o.wait(time.Second)
	o.record(topicRetry+"_1s", topicRetry, id, o.value(s, nil), due)
	o.at = o.next.Add(2 * time.Millisecond)
	o.record(topicDue, topicRetry, id, o.value(s, nil), due)
}

// finds is an attempt that ends by a look-up.
func (o *actor) finds() {
	o.intends()
	o.found = true
	o.concludes(200, nil)
}

// postpones is a look-up without an answer: the record is parked again, and no attempt is counted.
func (o *actor) postpones() *actor {
	s := o.sync("queued", request(0), map[string]any{"next_attempt_at": ms3(o.at.Add(time.Second)), "error_code": "erp_in_doubt", "in_doubt": true})
	id := fmt.Sprintf("%s/%d/%s", o.orderKey(), s["version"], topicRetry)
	due := map[string]string{"due": strconv.FormatInt(o.at.Add(time.Second).UnixMilli(), 10)}
	o.record(topicRetry+"_1s", topicRetry, id, o.value(s, nil), due)
	o.wait(time.Second)
	o.record(topicDue, topicRetry, id, o.value(s, nil), due)
	return o
}

func (o *actor) ends(status string, more, extra map[string]any, by string) {
	o.wait(-time.Millisecond)
	topic := map[string]string{"success": topicSuccess, "failed": topicFailed}[status]
	o.fact(topic, o.sync(status, attempt(o.attempts, phaseTerminal), more), extra)
	if o.gate == "open" {
		o.gate, o.closedBy = "closed", by
	}
}

// sends is one attempt from intent to outcome.
func (o *actor) sends(status int) *actor {
	return o.intends().calls(status, false, 20*time.Millisecond).concludes(status, nil)
}

// closes ends the generation without a call, as the gate says.
func (o *actor) closes() {
	o.wait(3 * time.Millisecond)
	if o.closedBy == "webhook" || o.closedBy == "hand" {
		o.ends("success", map[string]any{"closed_by": o.closedBy}, nil, o.closedBy)
	} else {
		o.ends("failed", map[string]any{"closed_by": o.closedBy, "error_code": "closed"}, nil, o.closedBy)
	}
}

// settled is a webhook or a hand that settles the current generation.
func (o *actor) settled(what string) *actor {
	by := map[string]string{"webhook-accepted": "webhook", "webhook-rejected": "rejected", "cancel": "cancelled", "settle": "hand"}[what]
	o.sendsRequest(what, 200)
	if o.gate == "held" {
		o.releases()
	}
	o.callbacks++
	o.gate, o.closedBy = "closed", by
	more := map[string]any{"closed_by": by, "last_attempt_at": nil, "attempts": 0}
	status := "failed"
	if by == "webhook" || by == "hand" {
		status = "success"
		more["erp_reference"] = "REF " + by
	}
	o.answered = o.answered || by == "webhook"
	o.says(status, more, fmt.Sprintf(`{"idempotencyKey": %q, "at": %q}`, o.key, o.at))
	return o
}

// says writes the fact of a settlement with this body.
func (o *actor) says(status string, more map[string]any, body string) {
	o.fact(topicCallback, o.sync(status, callbackVersion(o.callbacks), more), map[string]any{"response": map[string]any{"status": 0, "body": body}})
}

// calledBack is an accepting callback that carries the key and names the reference; empty: it does not.
func (o *actor) calledBack(key, reference string) *actor {
	o.sendsRequest("webhook-accepted", 200)
	o.callbacks++
	o.gate, o.closedBy = "closed", "webhook"
	more := map[string]any{"closed_by": "webhook", "last_attempt_at": nil, "attempts": 0}
	if reference != "" {
		more["erp_reference"] = reference
	}
	o.says("success", more, fmt.Sprintf(`{"idempotencyKey": %q, "erpReference": %q, "at": %q}`, key, reference, o.at))
	return o
}

// noted is a callback that settles nothing.
func (o *actor) noted() *actor {
	s := o.sync("queued", request(o.requests), map[string]any{"attempts": 0, "last_attempt_at": nil})
	at := o.at.Truncate(time.Millisecond)
	o.facts = append(o.facts, applied{topicCallback, s, at, nil})
	o.record(topicCallback, topicCallback, fmt.Sprintf("%s/%d/%s/abcd", o.orderKey(), s["version"], topicCallback), o.value(s, nil), nil)
	return o
}

// resyncs makes a new generation; an older record that is still parked ends as superseded by supersedes.
func (o *actor) resyncs(what string) *actor {
	o.sendsRequest(what, 202)
	if o.answered || what == "resync-new-key" {
		o.newKey()
	}
	o.generation++
	o.attempts, o.requests, o.callbacks, o.lastAt, o.gate, o.closedBy = 0, 0, 0, nil, "open", ""
	o.requested(true)
	return o.wait(5 * time.Millisecond)
}

// killed is the death of a syncer, and the others take over.
func (o *actor) killed(took time.Duration) *actor {
	o.h.Disturbances = append(o.h.Disturbances, history.Disturbance{
		Kind: "kill", Target: "syncer-1", Service: "syncer", Survivors: 1, At: o.at, Restarted: o.at.Add(time.Second), Ready: o.at.Add(2 * time.Second),
	})
	return o.wait(took)
}

// history puts everything in order.
func (s *script) history() *history.History {
	h := s.h
	slices.SortStableFunc(s.rows, func(a, b outboxRow) int { return a.at.Compare(b.at) })
	for i, r := range s.rows {
		r.ID = int64(i + 1)
		h.Outbox = append(h.Outbox, r.OutboxRow)
	}
	records := slices.Clone(s.records)
	slices.SortStableFunc(records, func(a, b history.Record) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), a.Timestamp.Compare(b.Timestamp))
	})
	for i := range records {
		if i > 0 && records[i].Topic == records[i-1].Topic && records[i].Partition == records[i-1].Partition {
			records[i].Offset = records[i-1].Offset + 1
		}
		r := records[i]
		h.Sightings = append(h.Sightings, history.Sighting{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, At: r.Timestamp.Add(6 * time.Millisecond)})
	}
	h.Records = records
	for _, o := range s.orders {
		if len(o.facts) > 0 {
			h.Table = append(h.Table, o.row())
		}
		h.Gates = append(h.Gates, o.gateRow())
	}
	return &h
}

func (o *actor) gateRow() history.Gate {
	g := history.Gate{"order_key": o.orderKey(), "source": o.source, "increment_id": o.id, "state": o.gate, "generation": int32(o.generation), "idempotency_key": nil} //nolint:gosec // small
	if o.key != "" {
		g["idempotency_key"] = o.key
	}
	return g
}

// row applies the facts by their versions, the lowest first.
func (o *actor) row() history.SyncRow {
	facts := slices.Clone(o.facts)
	slices.SortStableFunc(facts, func(a, b applied) int {
		return cmp.Or(cmp.Compare(a.sync["version"].(int64), b.sync["version"].(int64)), a.at.Compare(b.at))
	})
	micro := func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }
	r := history.SyncRow{
		"sync_id": o.syncID, "source": o.source, "order_increment_id": o.id, "order_id": int64(7), "erp_reference": nil,
		"reference_version": int64(0), "reference_version_at": nil, "payload": nil, "response": nil, "erp_synced": int16(0),
	}
	if o.synced {
		r["erp_synced"] = int16(1)
	}
	first, last := facts[0].at, facts[0].at
	var shown [2]int64
	for _, f := range facts {
		v := f.sync["version"].(int64)
		if f.at.Before(first) {
			first = f.at
		}
		if f.at.After(last) {
			last = f.at
		}
		if v>>24&15 != classCallback {
			if of := [2]int64{v >> 28, int64(version(v).attempt())}; of != shown {
				r["payload"], r["response"], shown = nil, nil, of
			}
			for _, column := range []string{"attempts", "max_attempts", "generation", "idempotency_key", "last_attempt_at", "next_attempt_at"} {
				r[column] = f.sync[column]
			}
			r["attempt_version"], r["attempt_version_at"] = v, micro(f.at)
			if f.extra["payload"] != nil {
				r["payload"] = f.extra["payload"]
			}
			if answer, ok := f.extra["response"].(map[string]any); ok {
				r["response"] = answer["body"]
			}
		}
		r["status"], r["last_error"], r["version"], r["version_at"] = f.sync["status"], f.extra["error"], v, micro(f.at)
		if f.sync["erp_reference"] != nil {
			r["erp_reference"], r["reference_version"], r["reference_version_at"] = f.sync["erp_reference"], v, micro(f.at)
		}
	}
	if r["status"] != "queued" {
		r["next_attempt_at"] = nil
	}
	r["created_at"], r["updated_at"] = micro(first), micro(last)
	return r
}
