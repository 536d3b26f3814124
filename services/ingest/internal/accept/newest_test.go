package accept

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/event"
)

// state is an event that brings the order as it was at a time: by the order's own updated_at, or by the event's
// occurred_at; empty is none.
type state struct{ updatedAt, occurredAt string }

func (s state) event(t *testing.T, id string, ofType event.Type, currency string) Incoming {
	t.Helper()
	text := func(s string) string {
		if s == "" {
			return ""
		}
		return quoted(s)
	}
	return incoming(t, id, ofType, "1", change{
		"order.updated_at": text(s.updatedAt), "occurred_at": text(s.occurredAt), "order.currency": quoted(currency),
	})
}

const (
	ten    = "2024-01-15 10:00:00"
	eleven = "2024-01-15T12:00:00+01:00"
	twelve = "2024-01-15T12:00:00.000001Z"
)

// Seen: an update of 12:00, then one of 11:00, then an invoice: what was sent was the order of 11:00.
func TestAnOlderStateOfAnOrderDoesNotReplaceANewerOne(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first, second state
		older         bool // the second is, so that the first stays
	}{
		"newer":                              {state{updatedAt: eleven}, state{updatedAt: twelve}, false},
		"older":                              {state{updatedAt: twelve}, state{updatedAt: eleven}, true},
		"equal":                              {state{updatedAt: eleven}, state{updatedAt: "2024-01-15 11:00:00"}, false},
		"without_times":                      {state{}, state{}, false},
		"by_the_event":                       {state{occurredAt: twelve}, state{occurredAt: eleven}, true},
		"the_order_says_more_than_its_event": {state{updatedAt: ten, occurredAt: twelve}, state{updatedAt: eleven, occurredAt: eleven}, false},
		"one_by_the_order_one_by_the_event":  {state{updatedAt: twelve}, state{occurredAt: eleven}, true},
		"only_the_first_has_a_time":          {state{updatedAt: twelve}, state{}, false},
		"only_the_second_has_a_time":         {state{}, state{updatedAt: ten}, false},
		"a_time_of_tomorrows_tomorrow":       {state{updatedAt: "9999-12-31 23:59:59"}, state{updatedAt: ten}, false},
	} {
		for how, together := range map[string]bool{"in_one_batch": true, "one_by_one": false} {
			t.Run(name+"/"+how, func(t *testing.T) {
				t.Parallel()
				b := setup(t, nil)
				events := []Incoming{c.first.event(t, "e1", event.OrderPlaced, "EUR"), c.second.event(t, "e2", event.OrderUpdated, "USD")}
				var results []Result
				if together {
					results = b.accept(t, events...)
				} else {
					results = append(b.accept(t, events[0]), b.accept(t, events[1])...)
				}
				require.Equal(t, []bool{false, c.older}, []bool{results[0].Older, results[1].Older})
				require.Equal(t, Accepted, results[1].Result)
				want := "USD"
				if c.older {
					want = "EUR"
				}
				require.Equal(t, []string{want}, b.strings(t, `SELECT snapshot ->> 'currency' FROM sales_order`))
				require.Len(t, b.strings(t, `SELECT key FROM erp_outbox WHERE topic = $1`, event.TopicSalesOrder), 2, "the log has both")
			})
		}
	}
}

// A state without a time cannot be compared, so it replaces; what was known of the order's times stays known.
func TestAStateWithoutATimeForgetsNoTime(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.accept(t, state{updatedAt: twelve}.event(t, "e1", event.OrderPlaced, "EUR"))
	b.accept(t, state{}.event(t, "e2", event.OrderUpdated, "USD"))
	require.True(t, b.accept(t, state{updatedAt: eleven}.event(t, "e3", event.OrderUpdated, "CHF"))[0].Older)
	require.Equal(t, []string{"USD"}, b.strings(t, `SELECT snapshot ->> 'currency' FROM sales_order`))
}

// An order that was stored before times were kept is as old as it says itself.
func TestTheTimeOfASnapshotThatWasStoredBefore(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.accept(t, state{updatedAt: twelve}.event(t, "e1", event.OrderPlaced, "EUR"))
	_, err := b.pool.Exec(t.Context(), `UPDATE sales_order SET snapshot_at = NULL`)
	require.NoError(t, err)
	require.True(t, b.accept(t, state{updatedAt: eleven}.event(t, "e2", event.OrderUpdated, "USD"))[0].Older)
}

// An invoice that brings an older order than the one known is sent with the newest.
func TestAnInvoiceIsSentWithTheNewestState(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.accept(t, state{updatedAt: twelve}.event(t, "e1", event.OrderPlaced, "EUR"))
	require.True(t, b.accept(t, state{updatedAt: eleven}.event(t, "e2", event.InvoiceCreated, "USD"))[0].Older)
	require.Equal(t, []string{"EUR"}, b.strings(t,
		`SELECT convert_from(payload, 'utf8')::json -> 'order' ->> 'currency' FROM erp_outbox WHERE topic = $1`, event.TopicRequested))
}

// An older state may still bring the order's id.
func TestAnOlderStateBringsTheOrderID(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.accept(t, incoming(t, "e1", event.OrderPlaced, "1", change{"order.updated_at": quoted(twelve), "order.order_id": "", "order.currency": `"EUR"`}))
	require.True(t, b.accept(t, incoming(t, "e2", event.OrderUpdated, "1", change{"order.updated_at": quoted(eleven)}))[0].Older)
	require.Equal(t, []string{"EUR 123"}, b.strings(t, `SELECT (snapshot ->> 'currency') || ' ' || order_id FROM sales_order`))
}

// Whatever the order in which states come, in whatever batches, the newest is kept.
func TestTheNewestStateIsKeptInAnyOrder(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	const states = 40
	var events []Incoming
	for _, n := range rand.Perm(states) { //nolint:gosec // a test
		events = append(events, state{updatedAt: fmt.Sprintf("2024-01-15 10:00:%02d", n)}.event(t, fmt.Sprint("e", n), event.OrderUpdated, fmt.Sprint(n)))
	}
	for len(events) > 0 {
		n := 1 + rand.IntN(len(events)) //nolint:gosec // a test
		b.accept(t, events[:n]...)
		events = events[n:]
	}
	require.Equal(t, []string{fmt.Sprint(states - 1)}, b.strings(t, `SELECT snapshot ->> 'currency' FROM sales_order`))
}
