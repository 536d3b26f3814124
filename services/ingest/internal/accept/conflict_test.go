package accept

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// Seen: one event id with two contents was answered "duplicate", and the second order never arrived; another order under a
// known number was answered 202 and success, and never sent.
func TestWhatContradictsWhatWasAcceptedIsAConflict(t *testing.T) {
	t.Parallel()
	named := func(id, order string) Incoming {
		return Incoming{Body: []byte(`{"event_id": "` + id + `", "type": "invoice.created", "invoice": {"increment_id": "9", "order_increment_id": "` + order + `"}}`)}
	}
	for name, c := range map[string]struct {
		first, second Incoming
		want          Result
	}{
		"the_id_with_another_order": {
			incoming(t, "e1", event.OrderPlaced, "1", nil), incoming(t, "e1", event.OrderPlaced, "2", nil),
			Result{Result: Conflict, EventID: "e1", Source: "default", OrderIncrementID: "2", Errors: []problem.FieldError{{
				Pointer: "/event_id", Code: problem.CodeContradicts,
				Detail: "was accepted before for order 1 (order.placed), and comes now for order 2 (order.placed): give each event an id of its own",
			}}},
		},
		"the_id_with_another_type": {
			incoming(t, "e1", event.OrderPlaced, "1", nil), incoming(t, "e1", event.InvoiceCreated, "1", nil),
			Result{Result: Conflict, EventID: "e1", Source: "default", OrderIncrementID: "1", Errors: []problem.FieldError{{
				Pointer: "/event_id", Code: problem.CodeContradicts,
				Detail: "was accepted before for order 1 (order.placed), and comes now for order 1 (invoice.created): give each event an id of its own",
			}}},
		},
		"the_id_with_an_order_that_nobody_knows": {
			incoming(t, "e1", event.OrderPlaced, "1", nil), named("e1", "2"),
			Result{Result: Conflict, EventID: "e1", Source: "default", OrderIncrementID: "2", Errors: []problem.FieldError{{
				Pointer: "/event_id", Code: problem.CodeContradicts,
				Detail: "was accepted before for order 1 (order.placed), and comes now for order 2 (invoice.created): give each event an id of its own",
			}}},
		},
		"another_shops_id": {
			incoming(t, "e1", event.OrderPlaced, "1", nil), incoming(t, "e1", event.OrderPlaced, "2", change{"source": `"shop-b"`}),
			Result{Result: Accepted, EventID: "e1", Source: "shop-b", OrderIncrementID: "2", Status: "not_synced"},
		},
		"other_content": {
			incoming(t, "e1", event.OrderPlaced, "1", nil), incoming(t, "e1", event.OrderPlaced, "1", change{"order.currency": `"EUR"`}),
			Result{Result: Duplicate, EventID: "e1", Source: "default", OrderIncrementID: "1", Status: "not_synced", Differs: true},
		},
		"another_order_under_the_number": {
			incoming(t, "e1", event.OrderPlaced, "1", nil), incoming(t, "e2", event.OrderUpdated, "1", change{"order.order_id": "456"}),
			Result{Result: Conflict, EventID: "e2", Source: "default", OrderIncrementID: "1", Errors: []problem.FieldError{{
				Pointer: "/order/order_id", Code: problem.CodeContradicts,
				Detail: "is 456, but order 1 is known with order_id 123: two orders cannot share a number; give the other one a number, or a source, of its own",
			}}},
		},
		"another_order_under_the_number_of_another_shop": {
			incoming(t, "e1", event.OrderPlaced, "1", nil), incoming(t, "e2", event.OrderPlaced, "1", change{"order.order_id": "456", "source": `"shop-b"`}),
			Result{Result: Accepted, EventID: "e2", Source: "shop-b", OrderIncrementID: "1", Status: "not_synced"},
		},
		"an_order_id_that_was_not_known": {
			incoming(t, "e1", event.OrderPlaced, "1", change{"order.order_id": ""}), incoming(t, "e2", event.OrderUpdated, "1", nil),
			Result{Result: Accepted, EventID: "e2", Source: "default", OrderIncrementID: "1", Status: "not_synced"},
		},
	} {
		for how, together := range map[string]bool{"in_one_batch": true, "one_by_one": false} {
			t.Run(name+"/"+how, func(t *testing.T) {
				t.Parallel()
				b := setup(t, nil)
				var got []Result
				if together {
					got = b.accept(t, c.first, c.second)
				} else {
					got = append(b.accept(t, c.first), b.accept(t, c.second)...)
				}
				require.Equal(t, Accepted, got[0].Result)
				want := c.want
				if want.Result == Conflict {
					want.claims = claims{want.EventID, "default", want.OrderIncrementID} // for the log
				}
				require.Equal(t, want, got[1])
				traces := 1
				if want.Result == Accepted {
					traces = 2
				}
				require.Len(t, b.strings(t, `SELECT key FROM erp_outbox`), traces, "a conflict leaves no trace")
				require.Len(t, b.strings(t, `SELECT event_id FROM accepted_event`), traces)
			})
		}
	}
}

// Of an event that was accepted before types were kept, only the order can be compared.
func TestAnEventThatWasAcceptedWithoutAType(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.accept(t, incoming(t, "e1", event.OrderPlaced, "1", nil))
	_, err := b.pool.Exec(t.Context(), `UPDATE accepted_event SET type = NULL`)
	require.NoError(t, err)
	require.Equal(t, Duplicate, b.accept(t, incoming(t, "e1", event.OrderUpdated, "1", nil))[0].Result)
	got := b.accept(t, incoming(t, "e1", event.OrderPlaced, "2", nil))[0]
	require.Equal(t, Conflict, got.Result)
	require.Equal(t, "was accepted before for order 1, and comes now for order 2 (order.placed): give each event an id of its own", got.Errors[0].Detail)
}

// event_retention forgets events of orders that have ended. Who sends one again must not get the order booked again.
func TestAForgottenEventRequestsNothingMore(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	invoice := incoming(t, "e1", event.InvoiceCreated, "7", nil)
	require.False(t, b.accept(t, invoice)[0].AlreadyRequested)
	_, err := b.pool.Exec(t.Context(), `DELETE FROM accepted_event; UPDATE erp_sync_gate SET state = 'closed', closed_by = 'answer'`)
	require.NoError(t, err)
	again := b.accept(t, invoice)[0]
	require.Equal(t, Accepted, again.Result)
	require.True(t, again.AlreadyRequested)
	require.Len(t, b.requests(t), 1)
}
