package event

import (
	"encoding/json"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// Type is what happened in the shop.
type Type string

// The types of commerce events.
const (
	OrderPlaced    Type = "order.placed"    // keeps the snapshot
	OrderUpdated   Type = "order.updated"   // keeps the snapshot
	InvoiceCreated Type = "invoice.created" // starts the sync
)

// Commerce is a commerce event as a shop publishes it.
type Commerce struct {
	EventID    string          `json:"event_id"`
	Type       Type            `json:"type"`
	Source     string          `json:"source,omitempty"` // domain.DefaultSource unless given
	OccurredAt string          `json:"occurred_at,omitempty"`
	Invoice    *Invoice        `json:"invoice,omitempty"`
	Order      json.RawMessage `json:"order,omitempty"` // a domain.Order, kept as it was sent
}

// Invoice is what an invoice.created says about the invoice itself.
type Invoice struct {
	IncrementID      string        `json:"increment_id"`
	OrderIncrementID string        `json:"order_increment_id,omitempty"` // needed when order is left out
	CreatedAt        string        `json:"created_at,omitempty"`
	GrandTotal       domain.Amount `json:"grand_total,omitzero"`
}

// NewCommerce is the record of an accepted commerce event; body is the event as the shop sent it.
func NewCommerce(e Commerce, ref domain.OrderRef, body []byte, at time.Time, traceparent string) Record {
	return newRecord(TopicSalesOrder, ref.Key(), CommerceID(ref.Source, e.EventID), string(e.Type), "/shops/"+ref.Source, at, traceparent, body)
}
