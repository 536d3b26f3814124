package e2e

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

const (
	factsOfAnOrder = 4
	firstLogged    = 1 << 40 // the first sync id in a log that a test wrote; a product's begin at 1
)

// fillLog writes the facts of orders that went through at once, as the services write them, from the given number on.
func fillLog(t *testing.T, brokers kafka.Config, first, orders int) {
	t.Helper()
	const atOnce = 1000
	client, err := kgo.NewClient(brokers.Options()...)
	require.NoError(t, err)
	defer client.Close()
	for ; orders > 0; first, orders = first+atOnce, orders-atOnce {
		var records []*kgo.Record
		for order := range min(atOnce, orders) {
			for _, r := range recordsOfAnOrder(t, first+order) {
				records = append(records, brokers.Record(r))
			}
		}
		require.NoError(t, client.ProduceSync(t.Context(), records...).FirstErr())
	}
}

func recordsOfAnOrder(t *testing.T, order int) (records []event.Record) {
	t.Helper()
	ref := domain.OrderRef{Source: domain.DefaultSource, IncrementID: fmt.Sprintf("%09d", order)}
	began := time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC).Add(time.Duration(order) * time.Second)
	gate := domain.Gate{
		Ref: ref, SyncID: int64(firstLogged + order), Generation: 1, State: domain.GateOpen, MaxAttempts: 5,
		IdempotencyKey: domain.IdempotencyKey(ref, 1), KeyNumber: 1, RequestedAt: began, UpdatedAt: began,
	}
	snapshot, err := json.Marshal(invoice("e", ref.IncrementID)["order"])
	require.NoError(t, err)
	id, payload, reference := int64(order), string(snapshot), "ERP-"+ref.IncrementID
	answer := &event.Response{Status: 200, Headers: map[string]string{"Content-Type": "application/json"}, Body: `{"erp_reference":"` + reference + `"}`}
	requested := gate.RequestedSync(&id, "e"+ref.IncrementID)
	d := domain.Decide(requested, domain.Outcome{Kind: domain.OutcomeSuccess, Reference: &reference}, domain.RetryPolicy{}, began, 0)
	for i, step := range []struct {
		topic string
		value event.Sync
	}{
		{event.TopicRequested, event.Sync{Sync: requested, Order: snapshot}},
		{event.TopicBeforeSend, event.Sync{Sync: domain.Sending(requested, began), Order: snapshot, Payload: &payload}},
		{event.TopicAfterSend, event.Sync{Sync: d.After, Order: snapshot, Response: answer}},
		{event.TopicSuccess, event.Sync{Sync: *d.Terminal, Order: snapshot}},
	} {
		r, err := event.NewSync(step.topic, step.value, event.Context{At: began.Add(time.Duration(i) * time.Millisecond)})
		require.NoError(t, err)
		records = append(records, r)
	}
	return records
}
