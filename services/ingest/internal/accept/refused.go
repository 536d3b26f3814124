package accept

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// Code names the kind of refusal, for programs: refused, unknown_order or conflict.
func (r Result) Code() string {
	if r.UnknownOrder != "" {
		return "unknown_order"
	}
	return string(r.Result)
}

// refused is the answer to an event that cannot be accepted. It names the event and its order, unless just these names are wrong.
func refused(raw []byte, problems []problem.FieldError) Result {
	n := namesOf(raw)
	r := Result{Result: Refused, Errors: problems, claims: n}
	if anyAt(problems, "") {
		return r
	}
	if !anyAt(problems, "/event_id") {
		r.EventID = n.eventID
	}
	if !anyAt(problems, "/source") && domain.ValidateSource(n.source) == nil {
		r.Source = n.source
	}
	if !anyAt(problems, "/order", "/order/order_increment_id", "/invoice/order_increment_id") {
		r.OrderIncrementID = n.order
	}
	return r
}

func anyAt(problems []problem.FieldError, pointers ...string) bool {
	return slices.ContainsFunc(problems, func(p problem.FieldError) bool { return slices.Contains(pointers, p.Pointer) })
}

// claims is what an event says of itself. It may say anything.
type claims struct{ eventID, source, order string }

// namesOf reads the names out of an event that may be wrong in any other part. A shop finds the event by them.
func namesOf(raw []byte) (c claims) {
	var e struct {
		EventID json.RawMessage `json:"event_id"`
		Source  json.RawMessage `json:"source"`
		Order   json.RawMessage `json:"order"`
		Invoice json.RawMessage `json:"invoice"`
	}
	_ = json.Unmarshal(raw, &e) // what cannot be read stays empty
	var order, invoice struct {
		ID json.RawMessage `json:"order_increment_id"`
	}
	_ = json.Unmarshal(e.Order, &order)
	_ = json.Unmarshal(e.Invoice, &invoice)
	if c.order = text(order.ID); c.order == "" {
		c.order = text(invoice.ID)
	}
	c.eventID, c.source = text(e.EventID), text(e.Source)
	if c.source == "" {
		c.source = domain.DefaultSource
	}
	return c
}

func text(raw json.RawMessage) (s string) {
	_ = json.Unmarshal(raw, &s) // a body of another form names nothing
	return s
}

// Claims is what an event that is not taken says of itself, for the log. It leaves out texts that are too long for their field, and
// invalid sources: they may hold anything, also the data of a customer.
func (r Result) Claims() (eventID, source, order string) {
	if domain.ValidateSource(r.claims.source) == nil {
		source = r.claims.source
	}
	return loggable(r.claims.eventID, event.MaxEventIDBytes), source, loggable(r.claims.order, domain.MaxIncrementIDBytes)
}

// FirstPointer is the place of the first problem in an event that is not taken, for the log.
func (r Result) FirstPointer() string {
	if len(r.Errors) == 0 {
		return ""
	}
	return loggable(domain.Truncate(r.Errors[0].Pointer, maxPointerBytes), maxPointerBytes)
}

// maxPointerBytes bounds a pointer, as it may name members of the shop's own, of any length.
const maxPointerBytes = 256

func (r Result) refusedFields() []any {
	eventID, source, order := r.Claims()
	return []any{
		"event_id", eventID, "order_increment_id", order, "source", source, "code", r.Code(), "first_pointer", r.FirstPointer(), "problems", len(r.Errors),
	}
}

// loggable is a text for the log: quoted when it has characters that nobody sees, empty when it is too long.
func loggable(s string, maxBytes int) string {
	if len(s) > maxBytes {
		return ""
	}
	if _, hidden := domain.HiddenCharacter(s); hidden != "" {
		return strconv.QuoteToASCII(s)
	}
	return s
}
