package accept

import (
	"bytes"
	"fmt"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

// shape lists the known members of an event. A shop may send others too; subscribers get the event as it was sent.
var shape = strictjson.ShapeOf[event.Commerce]().With("order", strictjson.ShapeOf[domain.Order]())

// wrong is one thing that is wrong with an event.
func wrong(pointer, code, format string, args ...any) problem.FieldError {
	return problem.FieldError{Pointer: pointer, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// checked is an event that may be accepted.
type checked struct {
	event    event.Commerce
	ref      domain.OrderRef
	order    *domain.Order  // nil: the event names an order whose snapshot is stored
	body     []byte         // compacted
	remarks  domain.Remarks // on the order
	warnings []string       // in addition to the remarks
}

// check reads an event and reports everything that is wrong with it at once.
func check(raw []byte, refuseBadTotals bool) (checked, []problem.FieldError) {
	var c checked
	if len(raw) > event.MaxEventBytes {
		return c, []problem.FieldError{tooLarge(len(raw))}
	}
	if problems := shape.Check(raw); len(problems) > 0 {
		return c, problems
	}
	if problems := strictjson.Decode("", raw, &c.event); len(problems) > 0 {
		return c, problems
	}
	c.body = strictjson.Compact(raw)
	problems := checkEnvelope(&c)
	problems = append(problems, checkOrder(&c, refuseBadTotals)...)
	return c, problems
}

// tooLarge refuses an event of so many bytes.
func tooLarge(size int) problem.FieldError {
	return wrong("", problem.CodeTooLarge, "the event has %d bytes; at most %d are taken", size, event.MaxEventBytes)
}

// checkEnvelope checks what every event has: its id, its type, its shop and its time.
func checkEnvelope(c *checked) []problem.FieldError {
	var problems []problem.FieldError
	add := func(pointer, code, format string, args ...any) {
		problems = append(problems, wrong(pointer, code, format, args...))
	}
	e := &c.event
	switch {
	case e.EventID == "":
		add("/event_id", problem.CodeRequired, "is required: an id that stays the same when the event is sent again")
	case len(e.EventID) > event.MaxEventIDBytes:
		add("/event_id", problem.CodeTooLong, "has %d bytes; at most %d are taken", len(e.EventID), event.MaxEventIDBytes)
	default:
		if char, found := domain.ControlCharacter(e.EventID); found {
			add("/event_id", problem.CodeInvalid, "contains %s: give an id that a person can read", domain.CharacterName(char))
		}
	}
	switch e.Type {
	case event.OrderPlaced, event.OrderUpdated, event.InvoiceCreated:
	default:
		add("/type", problem.CodeInvalid, "is %q; it must be %s, %s or %s", e.Type, event.OrderPlaced, event.OrderUpdated, event.InvoiceCreated)
	}
	if e.Source == "" {
		e.Source = domain.DefaultSource
	}
	if err := domain.ValidateSource(e.Source); err != nil {
		add("/source", problem.CodeInvalid, "%s", err)
	}
	if err := checkTime(e.OccurredAt); err != nil {
		add("/occurred_at", problem.CodeInvalid, "%s", err)
	}
	if e.Type == event.InvoiceCreated && (e.Invoice == nil || e.Invoice.IncrementID == "") {
		add("/invoice/increment_id", problem.CodeRequired, "is required for %s", event.InvoiceCreated)
	}
	if e.Invoice != nil {
		if err := checkTime(e.Invoice.CreatedAt); err != nil { // it is sent nowhere, so a wrong one only makes a warning
			c.warnings = append(c.warnings, "/invoice/created_at "+err.Error())
		}
	}
	return problems
}

// checkTime takes a time, and a text that means that there is none.
func checkTime(text string) error {
	if domain.NoTime(text) {
		return nil
	}
	_, err := domain.ParseTime(text)
	return err
}

// checkOrder checks an order that comes with its event.
func checkOrder(c *checked, refuseBadTotals bool) []problem.FieldError {
	e := c.event
	c.ref = domain.OrderRef{Source: e.Source}
	if len(e.Order) == 0 || bytes.Equal(e.Order, []byte("null")) {
		return checkOrderNamed(c)
	}
	c.order = &domain.Order{}
	if problems := strictjson.Decode("/order", e.Order, c.order); len(problems) > 0 {
		return problems
	}
	c.ref.IncrementID = c.order.IncrementID
	var problems []problem.FieldError
	if e.Invoice != nil && e.Invoice.OrderIncrementID != "" && e.Invoice.OrderIncrementID != c.order.IncrementID {
		problems = append(problems, wrong("/invoice/order_increment_id", problem.CodeContradicts,
			"is %q, but the order that came with it is %q", e.Invoice.OrderIncrementID, c.order.IncrementID))
	}
	problems = append(problems, checkFields(c.order)...)
	return append(problems, checkAmounts(c, refuseBadTotals)...)
}

// checkOrderNamed checks an invoice that names its order instead of carrying it.
func checkOrderNamed(c *checked) []problem.FieldError {
	c.event.Order = nil
	if invoice := c.event.Invoice; c.event.Type == event.InvoiceCreated && invoice != nil {
		c.ref.IncrementID = invoice.OrderIncrementID
	}
	if c.ref.IncrementID == "" {
		return []problem.FieldError{wrong("/order", problem.CodeRequired, "is required; an invoice of an order sent before may name it in invoice.order_increment_id instead")}
	}
	if err := domain.ValidateIncrementID(c.ref.IncrementID); err != nil {
		return []problem.FieldError{wrong("/invoice/order_increment_id", problem.CodeInvalid, "%s", err)}
	}
	return nil
}

// checkFields checks what the payload for the ERP is built from, so that an order that is accepted can be sent.
func checkFields(o *domain.Order) []problem.FieldError {
	var problems []problem.FieldError
	add := func(pointer, code, detail string) {
		problems = append(problems, wrong("/order"+pointer, code, "%s", detail))
	}
	if err := domain.ValidateIncrementID(o.IncrementID); err != nil {
		add("/order_increment_id", problem.CodeInvalid, err.Error())
	}
	if len(o.Items) == 0 {
		add("/items", problem.CodeRequired, "is empty; an order has at least one item")
	}
	for i, item := range o.Items {
		if item.SKU == "" {
			add(fmt.Sprintf("/items/%d/sku", i), problem.CodeRequired, "is required")
		}
		if item.Qty.IsZero() {
			add(fmt.Sprintf("/items/%d/qty", i), problem.CodeRequired, "is required")
		}
	}
	for _, flaw := range domain.CheckLines(o.Items) {
		problems = append(problems, wrong(flaw.Pointer, problem.CodeContradicts, "%s", flaw.Detail))
	}
	for _, date := range []struct{ pointer, text string }{{"/created_at", o.CreatedAt}, {"/updated_at", o.UpdatedAt}} {
		if err := checkTime(date.text); err != nil {
			add(date.pointer, problem.CodeInvalid, err.Error())
		}
	}
	return problems
}

// checkAmounts finds amounts that are missing, quantities that are not above 0, and totals that do not add up. When they are not
// refused, they become remarks on the order.
func checkAmounts(c *checked, refuse bool) []problem.FieldError {
	if c.order.Totals.GrandTotal.IsZero() {
		return []problem.FieldError{wrong("/order/totals/grand_total", problem.CodeRequired, "is required")}
	}
	c.remarks = c.order.Remarks()
	if !refuse || len(c.remarks.Warnings) == 0 {
		return nil
	}
	var problems []problem.FieldError
	for _, flaw := range c.order.CheckAmounts() {
		problems = append(problems, wrong(flaw.Pointer, problem.CodeInvalid, "%s", flaw.Detail))
	}
	if err := c.order.Totals.CheckTotals(); err != nil {
		problems = append(problems, wrong("/order/totals", problem.CodeContradicts, "%s", err))
	}
	return problems
}
