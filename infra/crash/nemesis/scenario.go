package nemesis

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// The doors: the ways to hand an event to the connector.
const (
	HTTP      = "http"
	HTTPBatch = "http-batch"
	SQL       = "sql"
	PGX       = "pgx"
	StdSQL    = "database/sql"
	Watermill = "watermill"
)

// doors has HTTP twice, as most shops use it.
var doors = []string{HTTP, HTTP, HTTPBatch, SQL, PGX, StdSQL, Watermill}

// The sources. The same increment ids come from each of them, so that a mixed-up source shows as a wrong order.
var sources = []string{"default", "shop-b", "outlet.nl"}

// The types of events.
const (
	OrderPlaced    = "order.placed"
	OrderUpdated   = "order.updated"
	InvoiceCreated = "invoice.created"
)

// Scenario is what a shop and operators do with one order.
type Scenario struct {
	Source, Order string
	Events        []Event   // one after the other: each is answered before the next one is published
	Commands      []Command // delays count from the answer to the last event
	Changed       bool      // its events do not all carry the same form of the order
}

// Event is one event of a scenario.
type Event struct {
	ID, Type, Door string
	DuplicateDoor  string        // the door by which the same event is published once more at the same time; empty: none
	Pause          time.Duration // before it
	Revision       int           // another revision is another form of the order
	RollBack       bool          // its transaction is rolled back
	Invalid        bool          // an item has no sku, so the event is refused
	Hold           time.Duration // how long its transaction stays open
	GiveUp         bool          // when the commit's confirmation is lost, the shop does not try again
}

// Command is one request of an operator about the order.
type Command struct {
	Kind  string // sync, resync, resync-new-key, cancel, settle, send-now, or one of those below
	Delay time.Duration
}

// Resyncs that depend on the state of the order at that time.
const (
	ResyncFailed = "resync-failed" // if it has failed
	ResyncBooked = "resync-booked" // if the ERP has booked it; then the ERP delivers the callback of that booking, without a key
)

// Scenario returns what happens to the nth order. A few orders only roll back, or are refused: they must leave no trace.
func (p Plan) Scenario(n int) Scenario {
	r := p.rng("story", n) // the name of the source, see rng
	s := Scenario{Source: sources[n%len(sources)], Order: fmt.Sprintf("%09d", 1000+n/len(sources))}
	switch odd := r.Float64(); {
	case odd < 0.04:
		s.Events = []Event{s.newEvent(r, InvoiceCreated)}
		s.Events[0].Door, s.Events[0].RollBack = []string{SQL, PGX, StdSQL, Watermill}[r.IntN(4)], true
		return s
	case odd < 0.06:
		s.Events = []Event{s.newEvent(r, InvoiceCreated)}
		s.Events[0].Door, s.Events[0].Invalid = HTTP, true
		return s
	}
	s.addEvents(r)
	s.addCommands(r)
	return s
}

// addEvents adds the invoice, which lets the order be sent, and sometimes an event before or after it.
func (s *Scenario) addEvents(r *rand.Rand) {
	if chance(r, 0.2) {
		s.Events = append(s.Events, s.newEvent(r, OrderPlaced))
	}
	invoice := s.newEvent(r, InvoiceCreated)
	if chance(r, 0.08) {
		invoice.DuplicateDoor = doors[r.IntN(len(doors))]
	}
	s.Events = append(s.Events, invoice)
	if chance(r, 0.08) {
		later := s.newEvent(r, []string{OrderUpdated, InvoiceCreated, InvoiceCreated}[r.IntN(3)])
		later.Pause = between(r, [2]time.Duration{0, 3 * time.Second})
		if s.Changed = chance(r, 0.3); s.Changed {
			later.Revision++
		}
		s.Events = append(s.Events, later)
	}
}

// newEvent draws the door of an event and how its transaction behaves.
func (s *Scenario) newEvent(r *rand.Rand, what string) Event {
	return Event{
		ID: fmt.Sprintf("%s-%d", s.Order, len(s.Events)), Type: what, Door: doors[r.IntN(len(doors))],
		Hold: time.Duration(r.ExpFloat64() * float64(30*time.Millisecond)), GiveUp: chance(r, 0.5),
	}
}

// commands lists the share of orders that get each one, and the range of its delay.
var commands = []struct {
	what  string
	share float64
	after [2]time.Duration
}{
	{"send-now", 0.03, [2]time.Duration{100 * time.Millisecond, 4 * time.Second}},
	{"cancel", 0.02, [2]time.Duration{0, 4 * time.Second}},
	{"settle", 0.02, [2]time.Duration{0, 4 * time.Second}},
	{"sync", 0.01, [2]time.Duration{0, 2 * time.Second}},
	{"resync", 0.02, [2]time.Duration{0, 8 * time.Second}},
	{"resync-new-key", 0.01, [2]time.Duration{2 * time.Second, 8 * time.Second}},
	{ResyncBooked, 0.06, [2]time.Duration{time.Second, 4 * time.Second}},
	{ResyncFailed, 0.3, [2]time.Duration{4 * time.Second, 9 * time.Second}},
}

// addCommands draws each command on its own, so that an order can get several.
func (s *Scenario) addCommands(r *rand.Rand) {
	for _, a := range commands {
		if chance(r, a.share) {
			s.Commands = append(s.Commands, Command{Kind: a.what, Delay: between(r, a.after)})
		}
	}
}
