// Package checker judges what a run of the crash harness left behind. It reads facts (package history) and reports which of
// the product's promises they break, each violation with the trace of its order. It shares no code with the product: what
// it knows of records, versions, keys and the fold is from the documentation, so that no mistake is in both.
//
// Read checker.go for the order of the rules, and order.go for how the facts are sorted. Each promise has its files:
// accepted.go (1), relay.go (2), chain.go, answer.go and alarm.go (3), lane.go (4), retry.go (5), serial.go (6), key.go and
// callback.go (7), connector_off.go and erp_pace.go (8), fold.go, table.go and gate.go (9), record.go (10), pace.go (12), alert.go (13).
package checker

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// Report is what the checker found in a history.
type Report struct {
	Violations []Violation // by promise, then as they were found
	Figures    Figures
}

// Violation is a fact, or a missing one, that breaks a promise.
type Violation struct {
	Promise int    // its number in the product's design
	Rule    string // a few constant words, the same for all violations of the rule
	Source  string // of the order; empty when no order is concerned
	Order   string
	Text    string   // what was found and what was expected
	Trace   []string // everything known of the order, in time order
}

// Check judges a history. No violation means that the rules found nothing. What they look for is in the comment of each
// rule.
func Check(h *history.History) Report {
	c := newChecker(h)
	c.readRecords()
	c.readCalls()
	c.checkRelay()
	c.checkEvents()
	for _, o := range c.inOrder() {
		c.checkChain(o)
		c.checkCalls(o)
		c.checkRetries(o)
		c.checkSerial(o)
		c.checkKeys(o)
		c.checkCallbacks(o)
		c.checkRequests(o)
		c.checkEnds(o)
	}
	c.checkAlarms()
	c.checkConnectorOff()
	c.checkPaceOfCalls()
	c.checkLanes()
	c.checkTable()
	c.checkGates()
	c.checkPace()
	c.checkAlerts()
	c.count()
	slices.SortStableFunc(c.found, func(a, b Violation) int { return cmp.Compare(a.Promise, b.Promise) })
	return Report{Violations: c.found, Figures: c.figures}
}

// checker holds one history while it is judged.
type checker struct {
	h       *history.History
	orders  map[string]*order // by key
	facts   []*fact           // that could be read, in the order of the history's records
	seen    map[coordinates]history.Sighting
	starts  map[topicPartition]int64
	found   []Violation
	figures Figures
}

type topicPartition struct {
	topic     string
	partition int32
}

type coordinates struct {
	topicPartition
	offset int64
}

// newChecker sorts what the harness recorded by order. Records and calls follow in readRecords and readCalls.
func newChecker(given *history.History) *checker {
	h := *given // the copy gets its disturbances sorted, and the caller's history stays as it is
	h.Disturbances = slices.Clone(h.Disturbances)
	slices.SortStableFunc(h.Disturbances, func(a, b history.Disturbance) int { return a.At.Compare(b.At) })
	c := &checker{h: &h, orders: map[string]*order{}, seen: map[coordinates]history.Sighting{}, starts: map[topicPartition]int64{}}
	for _, s := range h.Sightings {
		c.seen[coordinates{topicPartition{s.Topic, s.Partition}, s.Offset}] = s
	}
	for _, s := range h.Starts {
		c.starts[topicPartition{s.Topic, s.Partition}] = s.Offset
	}
	for _, p := range h.Publications {
		o := c.order(orderKey(p.Source, p.Order))
		o.publications = append(o.publications, p)
	}
	for _, r := range h.Requests {
		o := c.order(orderKey(r.Source, r.Order))
		o.requests = append(o.requests, r)
	}
	return c
}

// order returns the order of the key, a new one when nothing was known of it.
func (c *checker) order(key string) *order {
	o := c.orders[key]
	if o == nil {
		o = newOrder(key)
		c.orders[key] = o
	}
	return o
}

// inOrder returns all orders by their keys, so that a report of one history is the same each time.
func (c *checker) inOrder() []*order {
	out := make([]*order, 0, len(c.orders))
	for _, o := range c.orders {
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b *order) int { return cmp.Compare(a.key, b.key) })
	return out
}

// violate records a violation of the order; o may be nil. The trace is made here, as it costs more than the rules.
func (c *checker) violate(promise int, rule string, o *order, format string, args ...any) {
	v := Violation{Promise: promise, Rule: rule, Text: fmt.Sprintf(format, args...)}
	if o != nil {
		v.Source, v.Order, v.Trace = o.source, o.id, c.trace(o)
		o.blamed[promise] = true
	}
	c.found = append(c.found, v)
}
