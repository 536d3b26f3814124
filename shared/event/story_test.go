package event_test

import (
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// commerceEvent is an invoice as a shop sends it. Its personal data is told apart from everything else by being Zoë's.
const commerceEvent = `{"event_id":"evt-77","type":"invoice.created","occurred_at":"2024-01-15T10:29:59Z",` +
	`"invoice":{"increment_id":"000000045","created_at":"2024-01-15 10:29:58","grand_total":"229.98"},` +
	`"order":{"order_increment_id":"000000123","order_id":123,"currency":"EUR","is_virtual":false,` +
	`"customer_email":"zoe@example.com","customer_firstname":"Zoë","customer_lastname":"Zoller & <Söhne>",` +
	`"items":[{"item_id":1,"parent_item_id":null,"sku":"PROD-001","name":"Scooter","qty":"2","price":"99.99","row_total":"199.98"}],` +
	`"totals":{"subtotal":"199.98","tax":"20.00","shipping":"10.00","discount":"0.00","grand_total":229.98},` +
	`"billing_address":{"firstname":"Zoë","lastname":"Zoller","street":["Zoostraße 1"],"city":"Zossen","region":null,"postcode":"15806","country_id":"DE","telephone":"+49 3377 1"},` +
	`"shipping_address":null,"created_at":"2024-01-15 10:00:00","updated_at":"2024-01-15 10:29:58","shops_own":{"gift":true}}}`

const parentTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// accepted is when the story begins; times in it are told from here.
var accepted = time.Date(2024, 1, 15, 10, 30, 0, 123_456_789, time.UTC)

// policy is the default one.
var policy = domain.RetryPolicy{BaseDelay: time.Minute}

// step is a record of the story with the name of its golden file.
type step struct {
	name   string
	record event.Record
}

// teller builds the records with the rules the services use.
type teller struct {
	t     *testing.T
	order json.RawMessage
	gate  domain.Gate
	steps []step
}

// story is one order, record by record: busy once and then accepted, and what else may become of it.
func story(t *testing.T) []step {
	t.Helper()
	s := newTeller(t)
	parked := s.invoiceAccepted()
	s.webhookWhileParked(parked)
	s.unreadable(parked)
	s.resyncOfFailed(parked)
	s.held()
	s.remarkable()
	s.lookedUp()
	return s.steps
}

func newTeller(t *testing.T) *teller {
	t.Helper()
	var e event.Commerce
	require.NoError(t, json.Unmarshal([]byte(commerceEvent), &e))
	ref := domain.OrderRef{Source: domain.DefaultSource, IncrementID: "000000123"}
	return &teller{t: t, order: e.Order, gate: domain.Gate{Ref: ref, State: domain.GateNone}}
}

// invoiceAccepted tells of an ERP that is busy once, and returns the retry as it was parked.
func (s *teller) invoiceAccepted() event.Sync {
	requested := s.request()
	busy := s.call(requested, "invoice_3_before_send", accepted.Add(time.Second))
	now := accepted.Add(2 * time.Second)
	refusal := &event.Response{Status: 503, Headers: map[string]string{"Content-Type": "application/json"}, Body: `{"error":"Zoller is locked"}`}
	d, text := s.decide(busy, refusal, now)
	s.add("invoice_4_after_send", event.TopicAfterSend, event.Sync{Sync: d.After, Order: s.order, Response: refusal, Error: &text}, now)
	parked := event.Sync{Sync: d.After, Order: s.order, Error: &text}
	due := s.park(parked, *d.Retry, now)

	second, err := event.DecodeSync(due.Value)
	require.NoError(s.t, err)
	now = d.Retry.Add(time.Second)
	sent := s.call(second.Sync, "invoice_7_before_send", now)
	now = now.Add(250 * time.Millisecond)
	booked := &event.Response{Status: 201, Headers: map[string]string{"Content-Type": "application/json"}, Body: `{"erp_reference":"ERP-123"}`}
	d, _ = s.decide(sent, booked, now)
	s.add("invoice_8_after_send", event.TopicAfterSend, event.Sync{Sync: d.After, Order: s.order, Response: booked, TookMS: new(int64(250))}, now)
	s.add("invoice_9_success", event.TopicSuccess, event.Sync{Sync: *d.Terminal, Order: s.order, Response: booked}, now)
	return parked
}

// request tells of the acceptance: the event and the request it makes.
func (s *teller) request() domain.Sync {
	gate, ok := s.gate.Request(1, domain.RequestPolicy{Enabled: true, ImmediateSync: true, MaxAttempts: 5}, accepted)
	require.True(s.t, ok)
	s.gate = gate
	e := event.Commerce{EventID: "evt-77", Type: event.InvoiceCreated, Source: domain.DefaultSource}
	s.steps = append(s.steps, step{
		"invoice_1_sales_order_event",
		event.NewCommerce(e, gate.Ref, []byte(commerceEvent), accepted, parentTrace),
	})
	requested := gate.RequestedSync(orderID(), "evt-77")
	s.add("invoice_2_requested", event.TopicRequested, event.Sync{Sync: requested, Order: s.order}, accepted)
	return requested
}

// call tells of the intent to call; the sync is still the one before it, as in the service.
func (s *teller) call(v domain.Sync, name string, now time.Time) domain.Sync {
	var order domain.Order
	require.NoError(s.t, json.Unmarshal(s.order, &order))
	payload, err := domain.BuildPayload(v.Ref(), order)
	require.NoError(s.t, err)
	text := string(payload)
	s.add(name, event.TopicBeforeSend, event.Sync{Sync: domain.Sending(v, now), Order: s.order, Payload: &text}, now)
	return v
}

func (s *teller) decide(v domain.Sync, r *event.Response, now time.Time) (domain.Decision, string) {
	o := domain.Classify(domain.Answer{StatusCode: r.Status, Body: domain.AnswerBodyOf([]byte(r.Body))}, policy.AnswerPolicy, v.KeySentBefore(), now)
	return domain.Decide(v, o, policy, now, 0), o.Error
}

// park writes the retry in its first tier and, once the delayer has forwarded it, in _due.
func (s *teller) park(v event.Sync, due, now time.Time) event.Record {
	parked, err := event.NewRetry(v, due, event.Context{Traceparent: parentTrace, At: now})
	require.NoError(s.t, err)
	s.steps = append(s.steps, step{"invoice_5_parked", parked})
	last := parked
	last.Headers = maps.Clone(parked.Headers)
	last.Topic = event.RetryTierFor(due, due)
	s.steps = append(s.steps, step{"invoice_6_due", last})
	return last
}

// webhookWhileParked tells of a callback, and of the parked retry's end when it is due.
func (s *teller) webhookWhileParked(parked event.Sync) {
	now := accepted.Add(30 * time.Second)
	reference := "ERP-123"
	settled := s.gate.RequestedSync(orderID(), "")
	settled.Status, settled.ErpReference, settled.Released = domain.Success, &reference, nil
	settled.Version, settled.UpdatedAt = domain.CallbackVersion(1, 1), domain.NormalizeTime(now)
	callback := &event.Response{Body: `{"order_increment_id":"000000123","status":"success","erp_reference":"ERP-123"}`}
	s.add("webhook_1_callback", event.TopicCallback, event.Sync{Sync: settled, Response: callback}, now)
	now = parked.Sync.NextAttemptAt.Add(time.Second)
	s.add("webhook_2_success", event.TopicSuccess, s.closed(parked, domain.ClosedByWebhook, now), now)
}

// unreadable tells that nobody could read the parked retry, and that it was sent back.
func (s *teller) unreadable(parked event.Sync) {
	letter := domain.DeadLetter{Version: parked.Sync.Version, At: parked.Sync.UpdatedAt, NextAttemptAt: parked.Sync.NextAttemptAt}
	say := func(name string, gate domain.Gate, cause string, text *string) domain.Gate {
		sync := gate.DeadLetterSync(letter, orderID(), cause)
		r, err := event.NewDeadLetter(event.Sync{Sync: sync, Error: text}, cause, event.Context{Traceparent: parentTrace, At: sync.UpdatedAt})
		require.NoError(s.t, err)
		s.steps = append(s.steps, step{name, r})
		return gate
	}
	gate, ok := s.gate.SetAside(letter, parked.Sync.Version, *parked.Sync.NextAttemptAt)
	require.True(s.t, ok)
	text := domain.DeadLetterText(gate.Ref)
	gate, ok = say("dead_letter_1_failed", gate, "dead letter 17", &text).Redrive(letter, parked.Sync.NextAttemptAt.Add(time.Hour))
	require.True(s.t, ok)
	say("dead_letter_2_redriven", gate, "redrive of dead letter 17 by api: the decoder was mended", nil)
}

// resyncOfFailed tells of a second generation, and of a record of the first that was still alive.
func (s *teller) resyncOfFailed(parked event.Sync) {
	now := accepted.Add(time.Minute)
	gate := s.gate
	gate.Generation, gate.State, gate.UpdatedAt = 2, domain.GateOpen, domain.NormalizeTime(now)
	requested := gate.RequestedSync(orderID(), "resync")
	s.add("resync_1_requested", event.TopicRequested, event.Sync{Sync: requested, Order: s.order}, now)
	advice := domain.Advise(&gate, parked.Sync)
	require.True(s.t, advice.Stop)
	now = parked.Sync.NextAttemptAt.Add(time.Second)
	s.add("resync_2_superseded", event.TopicFailed, s.closed(parked, advice.ClosedBy, now), now)
}

func (s *teller) closed(parked event.Sync, by domain.ClosedBy, now time.Time) event.Sync {
	return event.Sync{Sync: domain.Closed(parked.Sync, by, now), Order: s.order}
}

// held tells of an invoice that came while the connector was off, and of its release.
func (s *teller) held() {
	none := domain.Gate{Ref: s.gate.Ref, State: domain.GateNone}
	gate, ok := none.Request(1, domain.RequestPolicy{ImmediateSync: true, MaxAttempts: 5}, accepted)
	require.True(s.t, ok)
	s.add("held_1_requested", event.TopicRequested, event.Sync{Sync: gate.RequestedSync(orderID(), "evt-77"), Order: s.order}, accepted)
	now := accepted.Add(time.Hour)
	gate.State, gate.HeldBy, gate.RequestNumber, gate.UpdatedAt = domain.GateOpen, "", 1, domain.NormalizeTime(now)
	s.add("held_2_released", event.TopicRequested, event.Sync{Sync: gate.RequestedSync(orderID(), "release"), Order: s.order}, now)
}

// remarkable tells of a request of an order with a line that is part of another one and an amount that is missing.
func (s *teller) remarkable() {
	requested := s.gate.RequestedSync(orderID(), "evt-77")
	order := json.RawMessage(`{"order_increment_id":"000000123","customer_firstname":"Zoë","items":[` +
		`{"item_id":1,"sku":"PROD-001","name":"Scooter for Zoë","qty":2,"row_total":"199.98"},{"item_id":2,"parent_item_id":1,"sku":"PROD-001-RED","qty":2}],` +
		`"totals":{"subtotal":"199.98","tax":"20.00","shipping":"10.00","discount":0,"grand_total":"230.00"}}`)
	r, err := event.NewRequest(requested, order, domain.RemarksOf(order), event.Context{Traceparent: parentTrace, At: accepted})
	require.NoError(s.t, err)
	s.steps = append(s.steps, step{"remarks_1_requested", r})
}

// lookedUp tells of an answer that was lost, of an ERP that did not say whether it had the order, and of the same ERP that did.
func (s *teller) lookedUp() {
	asking := policy
	asking.LookUp = "/orders/{idempotency_key}"
	gate, ok := domain.Gate{Ref: s.gate.Ref, State: domain.GateNone}.Request(1, domain.RequestPolicy{Enabled: true, ImmediateSync: true, MaxAttempts: 5}, accepted)
	require.True(s.t, ok)
	now := accepted.Add(31 * time.Second)
	o := domain.Classify(domain.Answer{Failure: domain.ErrorTimeout, Cause: "no answer for Zoë"}, asking.AnswerPolicy, false, now)
	lost := domain.Decide(gate.RequestedSync(orderID(), "evt-77"), o, asking, now, 0).After
	s.add("lookup_1_after_send", event.TopicAfterSend, event.Sync{Sync: lost, Order: s.order, Error: &o.Error}, now)

	now = lost.NextAttemptAt.Add(time.Second)
	busy := domain.Answer{StatusCode: 503, Body: domain.AnswerBodyOf([]byte("busy, Zoë"))}
	why := domain.ReadLookup(busy, lost, asking.AnswerPolicy).Why
	later, at := domain.Postponed(lost, busy, asking, now, 0)
	due := *at
	parked, err := event.NewRetry(event.Sync{Sync: later, Order: s.order, Error: &why}, due, event.Context{Traceparent: parentTrace, At: now})
	require.NoError(s.t, err)
	s.steps = append(s.steps, step{"lookup_2_postponed", parked})

	now = due.Add(time.Second)
	booked := &event.Response{Status: 200, Body: `{"erp_reference":"ERP-123","name":"Zoë"}`}
	d := domain.Found(later, domain.ReadLookup(domain.Answer{StatusCode: 200, Body: domain.AnswerBodyOf([]byte(booked.Body))}, later, asking.AnswerPolicy), now)
	booked.Reference = d.Terminal.ErpReference
	s.add("lookup_3_after_send", event.TopicAfterSend, event.Sync{Sync: d.After, Order: s.order, Response: booked}, now)
	s.add("lookup_4_success", event.TopicSuccess, event.Sync{Sync: *d.Terminal, Order: s.order, Response: booked}, now)
}

func (s *teller) add(name, topic string, v event.Sync, at time.Time) {
	r, err := event.NewSync(topic, v, event.Context{Traceparent: parentTrace, At: at})
	require.NoError(s.t, err)
	s.steps = append(s.steps, step{name, r})
}

func orderID() *int64 {
	id := int64(123)
	return &id
}
