// Package commerce publishes the events of a shop that is written in Go. It writes them to the commerce outbox in the shop's
// own transaction: an event exists if and only if the change that it reports has committed. It calls no service of the
// connector and takes none of its locks. The connector accepts a published event within about 50 ms, after a quiet minute within 250 ms.
//
//	err := commerce.Outbox{}.Publish(ctx, tx, commerce.Event{ID: "inv-45", Type: commerce.InvoiceCreated, …})
package commerce

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// The parts of an event. Amounts are decimals and keep the digits they are given (see ParseAmount).
type (
	// Order is the order as the shop knows it now.
	Order = domain.Order
	// Item is one line of an order; a child of a configurable item names its parent.
	Item = domain.Item
	// ParentID is the ItemID of a line's parent; the zero value means that there is no parent.
	ParentID = domain.ParentID
	// Totals are the order's sums.
	Totals = domain.Totals
	// Adjustment is a signed part of the grand total beyond the usual ones: a gift card, a fee.
	Adjustment = domain.Adjustment
	// Address is a billing or shipping address.
	Address = domain.Address
	// Amount is a decimal; the zero value is an amount that is left out.
	Amount = domain.Amount
	// Invoice is the part of an InvoiceCreated about the invoice itself.
	Invoice = event.Invoice
	// Type is what happened.
	Type = event.Type
)

// The types of events.
const (
	OrderPlaced    = event.OrderPlaced    // keeps the order as it is now
	OrderUpdated   = event.OrderUpdated   // the same
	InvoiceCreated = event.InvoiceCreated // starts the sync of the order to the ERP
)

// ParseAmount reads a decimal such as "99.90": at most 14 digits before and 8 after the point.
func ParseAmount(decimal string) (Amount, error) { return domain.ParseAmount(decimal) }

// Event is one thing that happened in a shop. Either the fields are filled, or JSON.
type Event struct {
	// ID stays the same when the event is published again, at most 255 bytes; an id is taken once per source.
	ID   string
	Type Type
	// Source is the shop, 1 to 63 of a-z, 0-9, '.', '_' and '-'; empty means "default".
	Source     string
	OccurredAt time.Time // when it happened; zero leaves it out
	Invoice    *Invoice  // of InvoiceCreated
	// Order may be left out of an InvoiceCreated whose Invoice.OrderIncrementID names an order published before.
	Order *Order

	// JSON is the event in the form of POST /rest/V1/erpconnector/events. It is published unchanged, and the fields above are
	// ignored.
	JSON json.RawMessage

	// Traceparent continues a trace (W3C Trace Context) through the connector; empty starts a new one.
	Traceparent string
}

// ErrIncomplete means an event without id, type or order, or more events than one statement can carry. Nothing was published,
// and the transaction can go on. The connector finds all other errors later, and puts the event into the quarantine with the
// reason.
var ErrIncomplete = errors.New("the event cannot be published")

// row is an event as a row of the outbox.
type row struct {
	source, traceparent string
	payload             []byte
}

// row checks the event and returns its row. JSON that is empty but not nil is checked as JSON: an empty body of a caller must
// not become an event of empty fields.
func (e Event) row() (row, error) {
	body := []byte(e.JSON)
	if body == nil {
		var err error
		if body, err = e.encode(); err != nil {
			return row{}, fmt.Errorf("%w: event %q: %w", ErrIncomplete, e.ID, err)
		}
	}
	return newRow(body, e.Traceparent)
}

func (e Event) encode() ([]byte, error) {
	c := event.Commerce{EventID: e.ID, Type: e.Type, Source: e.Source, Invoice: e.Invoice}
	if !e.OccurredAt.IsZero() {
		c.OccurredAt = e.OccurredAt.UTC().Format(time.RFC3339Nano)
	}
	if e.Order != nil {
		order, err := domain.EncodeJSON(e.Order)
		if err != nil {
			return nil, err
		}
		c.Order = order
	}
	return domain.EncodeJSON(c)
}

// newRow checks the one rule that may fail a shop's transaction: an event has an id, a type and an order. The SQL function
// erp_publish checks the same.
func newRow(body []byte, traceparent string) (row, error) {
	var e map[string]json.RawMessage
	if err := json.Unmarshal(body, &e); err != nil {
		return row{}, fmt.Errorf("%w: it is not a JSON object: %w", ErrIncomplete, err)
	}
	var invoice map[string]json.RawMessage
	_ = json.Unmarshal(e["invoice"], &invoice) // an invoice that is not an object names no order
	switch {
	case !given(e["event_id"]):
		return row{}, fmt.Errorf("%w: it has no event_id: give an id that stays the same when it is published again", ErrIncomplete)
	case !given(e["type"]):
		return row{}, fmt.Errorf("%w: event %s has no type: give order.placed, order.updated or invoice.created", ErrIncomplete, e["event_id"])
	case !given(e["order"]) && !given(invoice["order_increment_id"]):
		return row{}, fmt.Errorf("%w: event %s has no order: give order, or invoice.order_increment_id when the order was published before",
			ErrIncomplete, e["event_id"])
	}
	if !event.ValidTrace(traceparent) {
		traceparent = "" // a new trace is started
	}
	return row{source: sourceOf(e["source"]), traceparent: traceparent, payload: body}, nil
}

// given reports whether a member is there: null and the empty text count as left out.
func given(value json.RawMessage) bool {
	return len(value) > 0 && string(value) != "null" && string(value) != `""`
}

// sourceOf returns the shop. The column only makes the drainer fair between shops. An invalid source is refused when the event
// is accepted; here it becomes empty, so that it does not fail the shop's transaction and brings no comma into the statement.
func sourceOf(value json.RawMessage) string {
	source := domain.DefaultSource
	if given(value) && (json.Unmarshal(value, &source) != nil || domain.ValidateSource(source) != nil) {
		return ""
	}
	return source
}
