package accept

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// Problem is one thing wrong with an event: where (RFC 6901) and what to do about it.
type Problem struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

// checked is an event that may be accepted.
type checked struct {
	event    event.Commerce
	ref      domain.OrderRef
	order    *domain.Order // nil: the stored snapshot is meant
	body     []byte        // compacted
	warnings []string
}

// check reads an event and reports everything that is wrong with it at once.
func check(raw []byte, refuseBadTotals bool) (checked, []Problem) {
	var c checked
	if len(raw) > event.MaxEventBytes {
		return c, []Problem{{"", fmt.Sprintf("the event has %d bytes; at most %d are taken", len(raw), event.MaxEventBytes)}}
	}
	if problems := checkText(raw); len(problems) > 0 {
		return c, problems
	}
	if err := json.Unmarshal(raw, &c.event); err != nil {
		return c, []Problem{problem("", err)}
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return c, []Problem{{"", err.Error()}}
	}
	c.body = compact.Bytes()
	problems := checkEnvelope(&c)
	problems = append(problems, checkOrder(&c, refuseBadTotals)...)
	return c, problems
}

func checkEnvelope(c *checked) []Problem {
	var problems []Problem
	add := func(pointer, format string, args ...any) {
		problems = append(problems, Problem{pointer, fmt.Sprintf(format, args...)})
	}
	e := &c.event
	switch {
	case e.EventID == "":
		add("/event_id", "is required: an id that stays the same when the event is sent again")
	case len(e.EventID) > event.MaxEventIDBytes:
		add("/event_id", "has %d bytes; at most %d are taken", len(e.EventID), event.MaxEventIDBytes)
	}
	switch e.Type {
	case event.OrderPlaced, event.OrderUpdated, event.InvoiceCreated:
	default:
		add("/type", "is %q; it must be %s, %s or %s", e.Type, event.OrderPlaced, event.OrderUpdated, event.InvoiceCreated)
	}
	if e.Source == "" {
		e.Source = domain.DefaultSource
	}
	if err := domain.ValidateSource(e.Source); err != nil {
		add("/source", "%s", err)
	}
	if e.OccurredAt != "" {
		if _, err := domain.ParseTime(e.OccurredAt); err != nil {
			add("/occurred_at", "%s", err)
		}
	}
	if e.Type == event.InvoiceCreated && (e.Invoice == nil || e.Invoice.IncrementID == "") {
		add("/invoice/increment_id", "is required for %s", event.InvoiceCreated)
	}
	return problems
}

func checkOrder(c *checked, refuseBadTotals bool) []Problem {
	e := c.event
	c.ref = domain.OrderRef{Source: e.Source}
	if len(e.Order) == 0 || bytes.Equal(e.Order, []byte("null")) {
		c.event.Order = nil
		if e.Type != event.InvoiceCreated || e.Invoice == nil || e.Invoice.OrderIncrementID == "" {
			return []Problem{{"/order", "is required; an invoice of an order sent before may name it in invoice.order_increment_id instead"}}
		}
		c.ref.IncrementID = e.Invoice.OrderIncrementID
		if err := domain.ValidateIncrementID(c.ref.IncrementID); err != nil {
			return []Problem{{"/invoice/order_increment_id", err.Error()}}
		}
		return nil
	}
	var o domain.Order
	if err := json.Unmarshal(e.Order, &o); err != nil {
		return []Problem{problem("/order", err)}
	}
	c.order, c.ref.IncrementID = &o, o.IncrementID
	var problems []Problem
	add := func(pointer, format string, args ...any) {
		problems = append(problems, Problem{"/order" + pointer, fmt.Sprintf(format, args...)})
	}
	if err := domain.ValidateIncrementID(o.IncrementID); err != nil {
		add("/order_increment_id", "%s", err)
	}
	if len(o.Items) == 0 {
		add("/items", "is empty; an order has at least one item")
	}
	for i, item := range o.Items {
		if item.SKU == "" {
			add(fmt.Sprintf("/items/%d/sku", i), "is required")
		}
		if item.Qty.IsZero() {
			add(fmt.Sprintf("/items/%d/qty", i), "is required")
		}
	}
	if o.Totals.GrandTotal.IsZero() {
		add("/totals/grand_total", "is required")
	} else if err := o.Totals.CheckTotals(); err != nil {
		if refuseBadTotals {
			add("/totals", "%s", err)
		} else {
			c.warnings = append(c.warnings, err.Error())
		}
	}
	for pointer, date := range map[string]string{"/created_at": o.CreatedAt, "/updated_at": o.UpdatedAt} {
		if _, err := domain.ParseTime(date); date != "" && err != nil {
			add(pointer, "%s", err)
		}
	}
	return problems
}

// problem places a decoder's error.
func problem(base string, err error) Problem {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		pointer := base
		if wrongType.Field != "" {
			pointer += "/" + strings.ReplaceAll(wrongType.Field, ".", "/")
		}
		return Problem{pointer, fmt.Sprintf("is a JSON %s, which does not fit here", wrongType.Value)}
	}
	return Problem{base, err.Error()}
}

const maxDepth = 64

// checkText refuses what Postgres cannot keep as text: invalid UTF-8, U+0000 and lone surrogates, in keys and values.
func checkText(raw []byte) []Problem {
	if !utf8.Valid(raw) {
		return []Problem{{"", "the event is not valid UTF-8"}}
	}
	w := textWalker{dec: json.NewDecoder(bytes.NewReader(raw)), raw: raw}
	w.dec.UseNumber()
	if err := w.value("", 0); err != nil {
		return []Problem{{"", "the event is not valid JSON: " + err.Error()}}
	}
	return w.problems
}

type textWalker struct {
	dec      *json.Decoder
	raw      []byte
	problems []Problem
}

func (w *textWalker) value(pointer string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("it is nested deeper than %d levels", maxDepth)
	}
	start := w.dec.InputOffset()
	token, err := w.dec.Token()
	if err != nil {
		return err
	}
	switch token := token.(type) {
	case json.Delim:
		return w.children(token, pointer, depth)
	case string:
		w.text(pointer, w.raw[start:w.dec.InputOffset()])
	}
	return nil
}

func (w *textWalker) children(open json.Delim, pointer string, depth int) error {
	for i := 0; w.dec.More(); i++ {
		child := fmt.Sprintf("%s/%d", pointer, i)
		if open == '{' {
			start := w.dec.InputOffset()
			name, err := w.dec.Token()
			if err != nil {
				return err
			}
			child = pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(fmt.Sprint(name))
			w.text(child, w.raw[start:w.dec.InputOffset()])
		}
		if err := w.value(child, depth+1); err != nil {
			return err
		}
	}
	_, err := w.dec.Token()
	return err
}

// text looks at the escapes of one JSON string as it was written; decoding would replace a lone surrogate silently.
func (w *textWalker) text(pointer string, literal []byte) {
	for i := 0; i+1 < len(literal); i++ {
		if literal[i] != '\\' {
			continue
		}
		if literal[i+1] != 'u' {
			i++
			continue
		}
		unit := hex4(literal, i+2)
		switch {
		case unit == 0:
			w.problems = append(w.problems, Problem{pointer, "contains U+0000, which cannot be stored; remove it"})
			return
		case unit >= 0xD800 && unit < 0xDC00 && low(literal, i+6):
			i += 11
			continue
		case unit >= 0xD800 && unit < 0xE000:
			w.problems = append(w.problems, Problem{pointer, fmt.Sprintf("contains the lone surrogate \\u%04x; send whole characters", unit)})
			return
		}
		i += 5
	}
}

func low(literal []byte, at int) bool {
	if at+6 > len(literal) || literal[at] != '\\' || literal[at+1] != 'u' {
		return false
	}
	unit := hex4(literal, at+2)
	return unit >= 0xDC00 && unit < 0xE000
}

func hex4(literal []byte, at int) int {
	n := 0
	for _, c := range literal[at : at+4] { // the decoder has checked that four digits follow
		n <<= 4
		switch {
		case c >= '0' && c <= '9':
			n |= int(c - '0')
		case c >= 'a' && c <= 'f':
			n |= int(c-'a') + 10
		case c >= 'A' && c <= 'F':
			n |= int(c-'A') + 10
		}
	}
	return n
}
