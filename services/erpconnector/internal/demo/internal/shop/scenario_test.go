package shop

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// firstOf are the first events of some orders that are wanted.
func firstOf(t *testing.T, orders int, wanted func(e Event) bool) []Event {
	t.Helper()
	var found []Event
	for e := range Stream(11, orders) {
		if wanted(e) {
			found = append(found, e)
		}
	}
	require.NotEmpty(t, found)
	return found
}

// Every kind of a shop's bug comes, and each is one that a shop really makes: the event is whole but for that.
func TestMistakes(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, e := range firstOf(t, 600, func(e Event) bool { return e.Kind == Mistake }) {
		require.True(t, json.Valid(e.Body))
		require.Zero(t, e.Fault, "what is refused meets no ERP")
		var c struct {
			Type    event.Type `json:"type"`
			Invoice *struct {
				Order string `json:"order_increment_id"`
			} `json:"invoice"`
			Order struct {
				CreatedAt string                     `json:"created_at"`
				Items     []struct{ SKU string }     `json:"items"`
				Totals    map[string]json.RawMessage `json:"totals"`
			} `json:"order"`
		}
		require.NoError(t, json.Unmarshal(e.Body, &c))
		_, timeErr := time.Parse(domain.ModuleTime, c.Order.CreatedAt)
		kinds := 0
		for kind, is := range map[string]bool{
			"an_item_without_sku":  len(c.Order.Items) > 0 && c.Order.Items[0].SKU == "",
			"a_time_for_people":    len(c.Order.Items) > 0 && timeErr != nil,
			"a_type_of_its_own":    c.Type == "order.deleted",
			"an_amount_for_people": strings.ContainsAny(string(c.Order.Totals["grand_total"]), ",¥"),
			"billed_before_placed": c.Invoice != nil && c.Invoice.Order == e.Ref.IncrementID+"X",
		} {
			if is {
				kinds++
				seen[kind] = true
			}
		}
		require.Equal(t, 1, kinds, "one thing is wrong: %s", e.Body)
	}
	require.Len(t, seen, 5, "%v", seen)
}

// What is sent again is the event before it, byte for byte, and brings no second fault.
func TestRepetitionsAreTheSame(t *testing.T) {
	t.Parallel()
	before := map[string]Event{}
	again := 0
	for e := range Stream(11, 300) {
		id := e.Ref.Source + e.ID
		if e.Kind == Again {
			again++
			require.Equal(t, string(before[id].Body), string(e.Body))
			require.Equal(t, before[id].Type, e.Type)
			require.Zero(t, e.Fault)
		}
		before[id] = e
	}
	require.Positive(t, again)
}

// A fault comes with the first invoice, as that sends the order; and with every one, so that its share is the caller's to say.
func TestFaultsComeWithTheFirstInvoice(t *testing.T) {
	t.Parallel()
	kinds := map[FaultKind]int{}
	for _, e := range firstOf(t, 1_000, func(e Event) bool { return e.Kind == New }) {
		first := e.Type == event.InvoiceCreated && strings.HasSuffix(e.ID, "-invoice-1")
		require.Equal(t, first, e.Fault.Kind != 0, e.ID)
		if !first {
			continue
		}
		kinds[e.Fault.Kind]++
		require.GreaterOrEqual(t, e.Fault.Luck, 0.0)
		require.Less(t, e.Fault.Luck, 1.0)
		require.Contains(t, []int{1, 2, 3}, e.Fault.Size)
	}
	require.Len(t, kinds, 6)
	require.Greater(t, kinds[Unavailable], kinds[Rejected], "what a retry mends comes more often")
}

// Events of an order follow each other in the shop's time, and what is told of it is what the shop knew then.
func TestTimesOfAnOrder(t *testing.T) {
	t.Parallel()
	last := map[domain.OrderRef]time.Time{}
	for _, e := range firstOf(t, 200, func(e Event) bool { return e.Kind != Again }) {
		var c event.Commerce
		if json.Unmarshal(e.Body, &c) != nil { // a mistake
			continue
		}
		at, err := time.Parse(time.RFC3339, c.OccurredAt)
		require.NoError(t, err)
		require.False(t, at.Before(last[e.Ref]), e.ID)
		last[e.Ref] = at
		if c.Invoice != nil {
			require.Equal(t, at.Format(domain.ModuleTime), c.Invoice.CreatedAt)
		}
		if e.Type == event.OrderUpdated && e.Kind == New {
			var o domain.Order
			require.NoError(t, json.Unmarshal(c.Order, &o))
			require.Greater(t, o.UpdatedAt, o.CreatedAt)
		}
	}
}

// However many are asked for, a number has room for its order; none are none.
func TestHowManyOrders(t *testing.T) {
	t.Parallel()
	for range Stream(1, 0) {
		require.Fail(t, "no order, no event")
	}
	placed := 0
	for e := range Stream(1, 17) {
		if e.Type == event.OrderPlaced && e.Kind == New {
			placed++
		}
	}
	require.Equal(t, 17, placed)
}

// Most invoices name their order, some bring it along; two parts come to the whole, the second after the first.
func TestInvoices(t *testing.T) {
	t.Parallel()
	withOrder, parts := 0, map[domain.OrderRef][]event.Commerce{}
	for _, e := range firstOf(t, 400, func(e Event) bool { return e.Kind == New && e.Type == event.InvoiceCreated }) {
		var c event.Commerce
		require.NoError(t, json.Unmarshal(e.Body, &c))
		parts[e.Ref] = append(parts[e.Ref], c)
		require.Equal(t, e.Ref.IncrementID+"-"+string(rune('0'+len(parts[e.Ref]))), c.Invoice.IncrementID)
		require.Positive(t, c.Invoice.GrandTotal.Rat().Sign()+1, "never below zero")
		if len(c.Order) > 0 {
			withOrder++
		}
	}
	two := 0
	for _, invoices := range parts {
		require.LessOrEqual(t, len(invoices), 2)
		if len(invoices) == 2 {
			two++
			require.Empty(t, invoices[1].Order, "it is known by then")
			require.Positive(t, invoices[0].Invoice.GrandTotal.Rat().Sign())
			require.Positive(t, invoices[1].Invoice.GrandTotal.Rat().Sign())
		}
	}
	require.Positive(t, two)
	require.Greater(t, withOrder, len(parts)/8)
	require.Less(t, withOrder, len(parts)/2)
	require.Greater(t, len(parts), 300, "some orders are never invoiced")
	require.Less(t, len(parts), 400)
}

// Addresses are of the customer's country, and a customer's names fit the shop's columns.
func TestAddresses(t *testing.T) {
	t.Parallel()
	countries, others, updated := map[string]bool{}, 0, 0
	for _, e := range firstOf(t, 300, func(e Event) bool { return e.Kind == New && e.Type != event.InvoiceCreated }) {
		var c event.Commerce
		require.NoError(t, json.Unmarshal(e.Body, &c))
		var o domain.Order
		require.NoError(t, json.Unmarshal(c.Order, &o))
		countries[*o.BillingAddress.CountryID] = true
		if o.ShippingAddress != nil {
			require.Equal(t, o.BillingAddress.CountryID, o.ShippingAddress.CountryID)
			if *o.ShippingAddress.Lastname != *o.BillingAddress.Lastname {
				others++
			}
		}
		require.LessOrEqual(t, len(o.BillingAddress.Street), 3)
		require.NotContains(t, string(c.Order), "%!", "every number has found its place")
		if e.Type == event.OrderUpdated {
			updated++
		}
	}
	require.Greater(t, len(countries), 8)
	require.Positive(t, others, "a present")
	require.Positive(t, updated)
}
