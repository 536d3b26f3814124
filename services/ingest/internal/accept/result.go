package accept

import (
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// Verdict is what became of an event.
type Verdict string

// The verdicts.
const (
	Accepted  Verdict = "accepted"
	Duplicate Verdict = "duplicate"
	Refused   Verdict = "refused"
	Conflict  Verdict = "conflict" // it contradicts what was accepted before: another event has its id, or another order has its order's number
)

// Taken reports whether the event is ours, now or before.
func (v Verdict) Taken() bool { return v == Accepted || v == Duplicate }

// Result is the answer to one event.
type Result struct {
	Result           Verdict              `json:"result"`
	EventID          string               `json:"event_id"`
	SyncID           *int64               `json:"sync_id,omitempty"`
	Source           string               `json:"source,omitempty"` // empty when the event names no valid one
	OrderIncrementID string               `json:"order_increment_id,omitempty"`
	Status           domain.Status        `json:"status,omitempty"`
	Differs          bool                 `json:"differs,omitempty"`           // a duplicate with other content than the first one
	Older            bool                 `json:"older,omitempty"`             // a newer state of the order is known; it stays
	AlreadyRequested bool                 `json:"already_requested,omitempty"` // the event sends nothing more
	Note             string               `json:"note,omitempty"`              // the same in words
	Warnings         []string             `json:"warnings,omitempty"`
	NotSent          []string             `json:"not_sent,omitempty"` // what of the order the ERP is not sent, and why
	Errors           []problem.FieldError `json:"errors,omitempty"`
	UnknownOrder     string               `json:"-"` // the key of the order that an invoice names and nobody has published yet
	Released         int                  `json:"-"` // invoices that waited in the quarantine for this order and went back to the outbox

	claims claims // what an event that is not taken says of itself, for the log
}
