package shop

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// step is an event, sent when the shops have so many orders.
type step struct {
	Event

	at int
}

// scenario is what becomes of one order.
type scenario struct {
	*sale

	seed   uint64
	n      int
	ref    domain.OrderRef
	number int
	now    time.Time // in the shop
	steps  []step
}

// tell tells the story of the n-th order; it begins with order.placed.
func tell(seed uint64, n int) []step {
	d := newDice(seed, n)
	shop, number := turn(n)
	id := fmt.Sprintf("%d%05d", seed, number)
	t := &scenario{sale: d.sell(shop, n, number, id), seed: seed, n: n, ref: domain.OrderRef{Source: shop.source, IncrementID: id}, number: number}
	t.now, _ = domain.ParseTime(t.order.CreatedAt) // as sell wrote it
	t.send(0, "placed", event.Commerce{Type: event.OrderPlaced, Order: t.snapshot()})
	t.maybeAgain(10)
	if t.chance(6) {
		t.send(t.between(1, 3), "mistake", t.mistake())
		t.last().Kind = Mistake
	}
	if t.chance(15) {
		t.update()
	}
	if t.chance(88) {
		t.invoice()
	}
	return t.steps
}

func (t *scenario) last() *step { return &t.steps[len(t.steps)-1] }

// send adds an event; after is how many orders later than the one before.
func (t *scenario) send(after int, what string, e event.Commerce) {
	at := t.n + after
	if len(t.steps) > 0 {
		at = t.last().at + after
		t.now = t.now.Add(time.Duration(t.between(60, 3_600)) * time.Second)
	}
	if e.Invoice != nil {
		e.Invoice.CreatedAt = t.now.Format(domain.ModuleTime)
	}
	e.EventID = fmt.Sprintf("demo-%d-%d-%s", t.seed, t.number, what)
	e.Source, e.OccurredAt = t.ref.Source, t.now.Format(time.RFC3339)
	t.steps = append(t.steps, step{Event: Event{ID: e.EventID, Ref: t.ref, Type: e.Type, Body: encode(e)}, at: at})
}

// maybeAgain sends the last event once more, unchanged.
func (t *scenario) maybeAgain(percent int) {
	if !t.chance(percent) {
		return
	}
	again := *t.last()
	again.Kind, again.Fault = Again, Fault{}
	again.at++
	t.steps = append(t.steps, again)
}

// update is a customer who corrects the order.
func (t *scenario) update() {
	t.order.BillingAddress = t.addressOf(pick(t.rng, t.market.people))
	t.order.UpdatedAt = t.now.Add(time.Minute).Format(domain.ModuleTime)
	t.send(t.between(1, 2), "updated", event.Commerce{Type: event.OrderUpdated, Order: t.snapshot()})
}

// invoice bills the order, sometimes in two parts. Most invoices name the order, some bring it along as it is now.
func (t *scenario) invoice() {
	first, rest := t.total, money(0)
	if t.total > 1 && len(t.order.Items) > 2 && t.chance(20) {
		first = t.total.share(money(t.between(2, 8)) * 1_000)
		rest = t.total - first
	}
	e := t.invoiceOf(1, first)
	if t.chance(25) {
		e.Order = t.snapshot()
	}
	t.send(t.between(1, 4), "invoice-1", e)
	t.last().Fault = t.fault()
	t.maybeAgain(10)
	if rest > 0 {
		t.send(t.between(1, 4), "invoice-2", t.invoiceOf(2, rest))
	}
}

// invoiceOf names the order and leaves it out, as most shops do.
func (t *scenario) invoiceOf(part int, total money) event.Commerce {
	return event.Commerce{Type: event.InvoiceCreated, Invoice: &event.Invoice{
		IncrementID: fmt.Sprintf("%s-%d", t.ref.IncrementID, part), OrderIncrementID: t.ref.IncrementID,
		GrandTotal: t.market.currency.amount(total),
	}}
}

// mistake is an update as a shop with a bug would send it.
func (t *scenario) mistake() event.Commerce {
	e, o := event.Commerce{Type: event.OrderUpdated}, t.order
	o.Items = append([]domain.Item(nil), o.Items...)
	switch t.IntN(5) {
	case 0:
		o.Items[0].SKU = ""
	case 1:
		o.CreatedAt = t.now.Format("02.01.2006 15:04")
	case 2:
		e.Type = "order.deleted"
	case 3: // an amount as people write it
		total := t.order.Totals.GrandTotal.String()
		written := strings.Replace(total, ".", ",", 1)
		if written == total {
			written = "¥" + total
		}
		e.Order = json.RawMessage(strings.Replace(string(encode(o)), `"grand_total":`+total, `"grand_total":"`+written+`"`, 1))
		return e
	case 4: // billed before it was placed
		unknown := t.invoiceOf(1, t.total)
		unknown.Invoice.OrderIncrementID += "X"
		return unknown
	}
	e.Order = encode(o)
	return e
}

func (t *scenario) snapshot() json.RawMessage { return encode(t.order) }

// encode is how a shop writes JSON: < and & stay as they are.
func encode(v any) []byte {
	b, err := domain.EncodeJSON(v)
	if err != nil {
		panic(err) // values of this package's own making
	}
	return b
}
