// Package shop invents the events of three e-scooter shops. Everything follows from a seed: the same seed gives the same
// events, byte for byte, so that a run can be repeated. It is pure; nothing here reads a clock or the network.
package shop

import (
	"cmp"
	"iter"
	"slices"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// MaxOrders bounds a stream, so that an order's number says which seed made it: the seed, then five digits.
const MaxOrders = 99_999

// Kind is why a shop sends an event.
type Kind int

// The kinds of events.
const (
	New     Kind = iota // something happened in the shop
	Again               // the very event sent before, as by a shop that did not hear the answer
	Mistake             // a faulty event: the connector refuses it and says why
)

// Event is one event as a shop sends it.
type Event struct {
	ID    string
	Ref   domain.OrderRef
	Type  event.Type
	Kind  Kind
	Body  []byte
	Fault Fault // of the ERP with the order; given with its first invoice
}

// Stream is what the shops send until they have this many orders: of each an order.placed and, some orders later, what
// else becomes of it. An order's events depend on the seed and its place alone, so a longer stream has the same ones.
func Stream(seed uint64, orders int) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		var later []step
		for n := range min(orders, MaxOrders) {
			due := func(s step) bool { return s.at <= n }
			for _, s := range later {
				if due(s) && !yield(s.Event) {
					return
				}
			}
			later = slices.DeleteFunc(later, due)
			story := tell(seed, n)
			if !yield(story[0].Event) {
				return
			}
			later = append(later, story[1:]...)
			slices.SortStableFunc(later, func(a, b step) int { return cmp.Compare(a.at, b.at) })
		}
		for _, s := range later {
			if !yield(s.Event) {
				return
			}
		}
	}
}

// shop is one of the sources.
type shop struct {
	source       string
	markets      []market
	discountSign money // Magento's discounts are negative, other shops' positive
	knowsIDs     bool  // gives order_id beside the increment id
}

var (
	main   = shop{source: domain.DefaultSource, discountSign: -1, knowsIDs: true, markets: []market{germany, france, poland, czechia, greece, ukraine}}
	world  = shop{source: "world", discountSign: 1, knowsIDs: true, markets: []market{unitedStates, japan, china, israel, kuwait, india}}
	outlet = shop{source: "outlet", discountSign: 1, markets: []market{germany, unitedStates, japan, poland, kuwait}}
)

// turns is the order in which the shops sell.
var turns = []*shop{&main, &main, &world, &main, &outlet, &main, &world, &main, &main, &outlet}

// turn is the shop that sells the n-th order of all, and how many orders it has with that one. Each shop counts its own
// orders from 1, so the shops' numbers are the same ones.
func turn(n int) (s *shop, number int) {
	s = turns[n%len(turns)]
	for i, t := range turns {
		if t == s {
			number += n / len(turns)
			if i <= n%len(turns) {
				number++
			}
		}
	}
	return s, number
}
