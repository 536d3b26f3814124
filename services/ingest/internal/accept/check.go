package accept

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
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
	order    *domain.Order  // nil: the stored snapshot is meant
	body     []byte         // compacted
	remarks  domain.Remarks // on the order
	warnings []string       // beside them
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
	if problems := decode("", raw, &c.event); len(problems) > 0 {
		return c, problems
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
	default:
		if char, found := domain.ControlCharacter(e.EventID); found {
			add("/event_id", "contains %s: give an id that a person can read", domain.CharacterName(char))
		}
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
	if err := checkTime(e.OccurredAt); err != nil {
		add("/occurred_at", "%s", err)
	}
	if e.Type == event.InvoiceCreated && (e.Invoice == nil || e.Invoice.IncrementID == "") {
		add("/invoice/increment_id", "is required for %s", event.InvoiceCreated)
	}
	if e.Invoice != nil {
		if err := checkTime(e.Invoice.CreatedAt); err != nil { // it is sent nowhere, so it keeps no order from the ERP
			c.warnings = append(c.warnings, "/invoice/created_at "+err.Error())
		}
	}
	return problems
}

// checkTime takes a time, and what says that there is none.
func checkTime(text string) error {
	if domain.NoTime(text) {
		return nil
	}
	_, err := domain.ParseTime(text)
	return err
}

func checkOrder(c *checked, refuseBadTotals bool) []Problem {
	e := c.event
	c.ref = domain.OrderRef{Source: e.Source}
	if len(e.Order) == 0 || bytes.Equal(e.Order, []byte("null")) {
		return checkOrderNamed(c)
	}
	c.order = &domain.Order{}
	if problems := decode("/order", e.Order, c.order); len(problems) > 0 {
		return problems
	}
	c.ref.IncrementID = c.order.IncrementID
	var problems []Problem
	if e.Invoice != nil && e.Invoice.OrderIncrementID != "" && e.Invoice.OrderIncrementID != c.order.IncrementID {
		problems = append(problems, Problem{
			"/invoice/order_increment_id",
			fmt.Sprintf("is %q, but the order that came with it is %q", e.Invoice.OrderIncrementID, c.order.IncrementID),
		})
	}
	problems = append(problems, checkFields(c.order)...)
	return append(problems, checkAmounts(c, refuseBadTotals)...)
}

// checkOrderNamed is for an invoice that names its order instead of bringing it.
func checkOrderNamed(c *checked) []Problem {
	c.event.Order = nil
	if invoice := c.event.Invoice; c.event.Type == event.InvoiceCreated && invoice != nil {
		c.ref.IncrementID = invoice.OrderIncrementID
	}
	if c.ref.IncrementID == "" {
		return []Problem{{"/order", "is required; an invoice of an order sent before may name it in invoice.order_increment_id instead"}}
	}
	if err := domain.ValidateIncrementID(c.ref.IncrementID); err != nil {
		return []Problem{{"/invoice/order_increment_id", err.Error()}}
	}
	return nil
}

func checkFields(o *domain.Order) []Problem {
	var problems []Problem
	add := func(pointer, detail string) { problems = append(problems, Problem{"/order" + pointer, detail}) }
	if err := domain.ValidateIncrementID(o.IncrementID); err != nil {
		add("/order_increment_id", err.Error())
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
	for _, flaw := range domain.CheckLines(o.Items) {
		problems = append(problems, Problem(flaw))
	}
	for _, date := range []struct{ pointer, text string }{{"/created_at", o.CreatedAt}, {"/updated_at", o.UpdatedAt}} {
		if err := checkTime(date.text); err != nil {
			add(date.pointer, err.Error())
		}
	}
	return problems
}

// checkAmounts finds amounts that are missing, quantities that are none, and totals that do not add up. Where they are
// not refused they are remarks on the order.
func checkAmounts(c *checked, refuse bool) []Problem {
	if c.order.Totals.GrandTotal.IsZero() {
		return []Problem{{"/order/totals/grand_total", "is required"}}
	}
	c.remarks = c.order.Remarks()
	if !refuse || len(c.remarks.Warnings) == 0 {
		return nil
	}
	var problems []Problem
	for _, flaw := range c.order.CheckAmounts() {
		problems = append(problems, Problem(flaw))
	}
	if err := c.order.Totals.CheckTotals(); err != nil {
		problems = append(problems, Problem{"/order/totals", err.Error()})
	}
	return problems
}

// decode reads raw into v and says of everything that does not fit where it stands.
func decode(base string, raw []byte, v any) []Problem {
	err := json.Unmarshal(raw, v)
	if err == nil {
		return nil
	}
	if problems := misfits(base, raw, reflect.TypeOf(v)); len(problems) > 0 {
		return problems
	}
	return []Problem{{base, err.Error()}} // a name in other letters, or one given twice
}

const maxDepth = 64

// checkText refuses what Postgres cannot keep as text (invalid UTF-8, U+0000 and lone surrogates, in keys and values),
// and names of ours in another case or twice.
func checkText(raw []byte) []Problem {
	if !utf8.Valid(raw) {
		return []Problem{{"", "the event is not valid UTF-8"}}
	}
	w := textWalker{dec: json.NewDecoder(bytes.NewReader(raw)), raw: raw}
	w.dec.UseNumber()
	if err := w.value(place{}, 0); err != nil {
		return []Problem{{"", "the event " + err.Error()}}
	}
	return w.problems
}

// pointerToken escapes a name for a JSON pointer (RFC 6901, section 3).
var pointerToken = strings.NewReplacer("~", "~0", "/", "~1")

type textWalker struct {
	dec      *json.Decoder
	raw      []byte
	problems []Problem
}

// place is where a value stands: its JSON pointer, and the same with * for each position in a list.
type place struct{ pointer, kind string }

func (p place) member(name string) place {
	token := "/" + pointerToken.Replace(name)
	return place{p.pointer + token, p.kind + token}
}

func (p place) element(i int) place {
	return place{p.pointer + "/" + strconv.Itoa(i), p.kind + "/*"}
}

func (w *textWalker) value(at place, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("is nested deeper than %d levels", maxDepth)
	}
	start := w.dec.InputOffset()
	token, err := w.dec.Token()
	if err != nil {
		return fmt.Errorf("is not valid JSON: %w", err)
	}
	switch token := token.(type) {
	case json.Delim:
		return w.children(token, at, depth)
	case string:
		w.text(at.pointer, w.raw[start:w.dec.InputOffset()])
	}
	return nil
}

func (w *textWalker) children(open json.Delim, at place, depth int) error {
	var seen map[string]bool
	for i := 0; w.dec.More(); i++ {
		var child place
		if open == '{' {
			start := w.dec.InputOffset()
			token, err := w.dec.Token()
			if err != nil {
				return fmt.Errorf("is not valid JSON: %w", err)
			}
			name, _ := token.(string) // the decoder has checked that it is one
			child = at.member(name)
			w.text(child.pointer, w.raw[start:w.dec.InputOffset()])
			if seen == nil {
				seen = map[string]bool{}
			}
			w.problems = append(w.problems, checkName(at.kind, child.pointer, name, seen)...)
		} else {
			child = at.element(i)
		}
		if err := w.value(child, depth+1); err != nil {
			return err
		}
	}
	if _, err := w.dec.Token(); err != nil {
		return fmt.Errorf("is not valid JSON: %w", err)
	}
	return nil
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
