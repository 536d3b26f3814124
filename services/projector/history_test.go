package projector

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", "20") // each writes to Postgres; the command line wins
	testkit.Main(m)
}

const partitions = 2

var began = time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)

// drawnLog is a log as the services write it, in the order they write it.
type drawnLog struct {
	t     *rapid.T
	now   time.Time
	next  map[kafka.TopicPartition]int64
	facts []fact
}

func drawHistory(t *rapid.T) *drawnLog {
	h := &drawnLog{t: t, now: began, next: map[kafka.TopicPartition]int64{}}
	for order := range rapid.IntRange(1, 4).Draw(t, "orders") {
		for generation := range rapid.IntRange(1, 3).Draw(t, "generations") {
			h.generation(order, generation+1)
		}
	}
	return h
}

func (h *drawnLog) write(topic string, s domain.Sync, f fact) {
	h.now = h.now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(h.t, "ms")) * time.Millisecond)
	s.UpdatedAt = h.now
	f.Sync, f.Time = s, h.now
	f.at = kafka.TopicPartition{Topic: topic, Partition: int32(s.SyncID % partitions)}
	f.offset = h.next[f.at]
	h.next[f.at]++
	h.facts = append(h.facts, f)
}

func ref(order int) domain.OrderRef {
	return domain.OrderRef{Source: []string{"default", "shop-b"}[order%2], IncrementID: fmt.Sprint(1 + order)}
}

// openGate is the gate of a generation that was released at once.
func openGate(order, generation int) domain.Gate {
	return domain.Gate{
		Ref: ref(order), SyncID: int64(order + 1), Generation: generation, State: domain.GateOpen, MaxAttempts: 4,
		IdempotencyKey: domain.IdempotencyKey(ref(order), generation), KeyNumber: generation, RequestedAt: began, UpdatedAt: began,
	}
}

// generation writes one effort: held or not, attempts whose before_send repeats, callbacks between, an end or none.
func (h *drawnLog) generation(order, generation int) {
	g := openGate(order, generation)
	if rapid.Bool().Draw(h.t, "held") {
		g.State = domain.GateHeld
		h.write(event.TopicRequested, g.RequestedSync(nil, "evt"), fact{})
		g.State, g.RequestNumber = domain.GateOpen, 1
	}
	sync := g.RequestedSync(ptr(int64(order+70)), "evt")
	h.write(event.TopicRequested, sync, fact{
		warnings: rapid.SampledFrom([][]string{nil, {"/order/items/0/price is missing"}, {"a", "b"}}).Draw(h.t, "warnings"),
		notSent:  rapid.SampledFrom([][]string{nil, {"/order/items/1 is part of /order/items/0"}}).Draw(h.t, "not_sent"),
	})
	callbacks := 0
	for range rapid.IntRange(0, 4).Draw(h.t, "attempts") {
		for range rapid.IntRange(1, 3).Draw(h.t, "before_sends") {
			h.write(event.TopicBeforeSend, domain.Sending(sync, h.now), fact{Fact: domain.Fact{Payload: ptr(`{"größe":"1.00"}`)}})
		}
		if rapid.IntRange(0, 3).Draw(h.t, "callback") == 0 {
			callbacks++
			h.callback(sync, callbacks)
		}
		next, ended := h.answer(sync)
		if ended {
			return
		}
		sync = next
	}
	if rapid.Bool().Draw(h.t, "closed") {
		h.write(event.TopicFailed, domain.Closed(sync, domain.ClosedByRejected, h.now), fact{})
	}
}

func (h *drawnLog) callback(s domain.Sync, n int) {
	s.Version = domain.CallbackVersion(s.Generation, n)
	s.Status, s.ErpReference = domain.Success, ptr("CB")
	f := fact{}
	if rapid.Bool().Draw(h.t, "rejects") {
		s.Status, s.ErpReference, f.Error = domain.Failed, nil, ptr("rejected")
	}
	h.write(event.TopicCallback, s, f)
}

// answers are bodies of the ERP's answers.
var answers = []string{
	"busy", `{"error": "busy"}`, `{"code": "E1", "message": "busy", "field": "items[0].sku"}`, `{"code": "E1", "message": "busy", "field": "items[7].sku"}`,
	`{"error": {"code": "E2", "message": "busy"}}`, `{"errors": [{"source": {"pointer": "/items/0/qty"}}]}`,
}

// answer writes what came of one call, and the terminal event if it was the last.
func (h *drawnLog) answer(s domain.Sync) (next domain.Sync, ended bool) {
	o := domain.Outcome{Kind: domain.OutcomeKind(rapid.IntRange(1, 3).Draw(h.t, "outcome")), Code: domain.ErrorUnavailable, Error: "busy"}
	status, f := 503, fact{Fact: domain.Fact{Error: ptr("busy")}}
	if o.Kind == domain.OutcomeSuccess {
		o, f, status = domain.Outcome{Kind: o.Kind, Reference: ptr("ERP")}, fact{}, 200
	}
	d := domain.Decide(s, o, domain.RetryPolicy{BaseDelay: time.Second}, h.now, 0)
	f.Response, f.httpStatus = ptr(rapid.SampledFrom(answers).Draw(h.t, "response")), &status
	h.write(event.TopicAfterSend, d.After, f)
	if d.Terminal == nil {
		return d.After, false
	}
	topic := event.TopicFailed
	if d.Terminal.Status == domain.Success {
		topic = event.TopicSuccess
	}
	h.write(topic, *d.Terminal, f)
	return d.After, true
}

func ptr[T any](v T) *T { return &v }
