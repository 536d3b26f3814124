package projector

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// An answer's number may stand behind what its record keeps of it; older records have it in their body only.
func TestTheReferenceOfARecord(t *testing.T) {
	t.Parallel()
	require.Equal(t, new("ERP-2"), referenceOf(&event.Response{Body: `{"id":"7","echo":"x`, Truncated: true, Reference: new("ERP-2")}))
	require.Equal(t, new("ERP-1"), referenceOf(&event.Response{Body: `{"erp_reference":"ERP-1"}`}))
	require.Nil(t, referenceOf(&event.Response{Body: `{"id":"7","echo":"x`, Truncated: true}))
}

// What the gate needs to know: ends, answered keys, and what the ERP calls the order, also when the answer came too late.
func TestWhatAFactTellsTheGate(t *testing.T) {
	t.Parallel()
	sync := domain.Sync{
		Source: "default", OrderIncrementID: "1", Generation: 2, IdempotencyKey: "ERP_a", Version: domain.AttemptVersion(2, 1, domain.PhaseAfter),
		Status: domain.InProgress,
	}
	with := func(change func(s *domain.Sync)) domain.Sync {
		s := sync
		change(&s)
		return s
	}
	ends := func(change func(e *gate.GenerationEnd)) *gate.GenerationEnd {
		e := gate.GenerationEnd{Key: "1", Generation: 2, IdempotencyKey: "ERP_a", Version: sync.Version}
		change(&e)
		return &e
	}
	for name, c := range map[string]struct {
		topic  string
		sync   domain.Sync
		status int
		body   string
		want   *gate.GenerationEnd
	}{
		"an_answer": {event.TopicAfterSend, sync, 201, `{"erp_reference":"ERP-1"}`, ends(func(e *gate.GenerationEnd) {
			e.Answered, e.Reference = true, new("ERP-1")
		})},
		"an_answer_that_a_setting_calls_booked": {event.TopicAfterSend, sync, 409, `{"code":"ALREADY_BOOKED","id":7}`, ends(func(e *gate.GenerationEnd) {
			e.Answered, e.Reference = true, new("7")
		})},
		"an_answer_without_a_reference": {event.TopicAfterSend, sync, 204, ``, ends(func(e *gate.GenerationEnd) { e.Answered = true })},
		"a_refusal":                     {event.TopicAfterSend, with(func(s *domain.Sync) { s.ErrorCode = domain.ErrorRejected }), 422, `{"id":7}`, nil},
		"no_answer":                     {event.TopicAfterSend, with(func(s *domain.Sync) { s.ErrorCode = domain.ErrorTimeout }), 0, ``, nil},
		"a_success": {event.TopicSuccess, with(func(s *domain.Sync) { s.Status, s.ErpReference = domain.Success, new("ERP-1") }), 201, ``, ends(func(e *gate.GenerationEnd) {
			e.By, e.Reference = domain.ClosedByAnswer, new("ERP-1")
		})},
		"superseded": {event.TopicFailed, with(func(s *domain.Sync) { s.Status, s.ClosedBy = domain.Failed, domain.ClosedBySuperseded }), 0, ``, ends(func(e *gate.GenerationEnd) {
			e.By = domain.ClosedBySuperseded
		})},
		"settled_by_hand": {event.TopicCallback, with(func(s *domain.Sync) { s.Status, s.ErpReference = domain.Success, new("HAND-1") }), 0, ``, ends(func(e *gate.GenerationEnd) {
			e.Reference = new("HAND-1")
		})},
		"a_callback_without_a_reference": {event.TopicCallback, sync, 0, ``, nil},
		"a_request":                      {event.TopicRequested, sync, 0, ``, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fact{at: kafka.TopicPartition{Topic: c.topic}, Fact: domain.Fact{Sync: c.sync}}
			if c.status != 0 {
				f.httpStatus, f.Response, f.reference = &c.status, &c.body, referenceOf(&event.Response{Body: c.body})
			}
			got, ok := generationEndOf(f)
			require.Equal(t, c.want != nil, ok)
			if c.want != nil {
				require.Equal(t, *c.want, got)
			}
		})
	}
}
