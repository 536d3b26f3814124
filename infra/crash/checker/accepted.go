package checker

import (
	"slices"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

const invoiceCreated = "invoice.created"

// checkEvents is the first half of promise 1. An accepted event was written to the outbox once, and a refused one never. An
// event with an unknown outcome was written at most once. Each record says what was published. checkRelay compares the
// outbox with Kafka.
func (c *checker) checkEvents() {
	written := map[string]int{}
	for _, row := range c.h.Outbox {
		if row.Topic == topicEvent && row.EventID != "" {
			written[row.EventID]++
		}
	}
	events := map[string][]*fact{}
	for _, o := range c.inOrder() {
		for _, f := range o.events {
			events[f.id] = append(events[f.id], f)
		}
	}
	known := map[string]history.Outcome{}
	for _, p := range c.h.Publications {
		id := eventID(p)
		known[id] = moreCertain(known[id], p.Outcome)
	}
	reported := map[string]bool{}
	for _, p := range c.h.Publications {
		id := eventID(p)
		if !reported[id] {
			reported[id] = true
			c.checkEvent(p, known[id], written[id], events[id])
		}
	}
	for _, o := range c.inOrder() {
		for _, f := range o.events {
			if !reported[f.id] {
				reported[f.id] = true
				c.violate(1, "an event that no shop published", o, "%s, ce_id %s", f.where(), f.id)
			}
		}
	}
}

// eventID returns the ce_id of the event.
func eventID(p history.Publication) string {
	if p.Source == "" {
		return defaultSource + ":" + p.EventID
	}
	return p.Source + ":" + p.EventID
}

// moreCertain combines two outcomes of one event. One acceptance is enough, and a refusal counts only when no other outcome
// contradicts it.
func moreCertain(a, b history.Outcome) history.Outcome {
	for _, k := range []history.Outcome{history.Accepted, history.Unknown} {
		if a == k || b == k {
			return k
		}
	}
	return b
}

// checkEvent compares one event with its rows in the outbox and its records in the log.
func (c *checker) checkEvent(p history.Publication, known history.Outcome, rows int, records []*fact) {
	o := c.order(orderKey(p.Source, p.Order))
	switch {
	case known == history.Accepted && rows == 0 && len(records) == 0:
		c.figures.Lost++
		c.violate(1, "an accepted event that is lost", o, "%s %s by %s", p.Type, eventID(p), p.Door)
	case known == history.Refused && (rows > 0 || len(records) > 0):
		c.violate(1, "a refused event that was stored", o, "%s %s by %s: %d outbox rows, %d records", p.Type, eventID(p), p.Door, rows, len(records))
	case rows > 1:
		c.figures.Doubled++
		c.violate(1, "an event that was accepted twice", o, "%s %s by %s: %d outbox rows", p.Type, eventID(p), p.Door, rows)
	}
	for _, f := range records {
		if f.Key != o.key || f.kind != p.Type {
			c.violate(1, "an event that was changed", o, "%s: %s of %s, published as %s of %s", f.where(), f.kind, f.Key, p.Type, o.key)
			return
		}
	}
}

// Kinds of requests that make a later generation, and those that may make the first one.
var (
	laterRequests = []string{"resync", "resync-new-key", "resync-again", "send-now"}
	firstRequests = append([]string{"sync"}, laterRequests...)
)

// checkRequests is promise 1 between requests and generations. An invoice or a request makes a first generation, every later
// one was requested, and the log has each settlement.
func (c *checker) checkRequests(o *order) {
	if o.lost {
		return
	}
	invoiced := slices.ContainsFunc(o.events, func(f *fact) bool { return f.kind == invoiceCreated })
	first := o.byNumber[1]
	switch {
	case first == nil && invoiced:
		c.figures.Lost++
		c.violate(1, "an invoice without a request", o, "an invoice.created of the order is in the log, and there is no generation")
	case first == nil && c.countAccepted(o, firstRequests...) > 0:
		c.violate(1, "an accepted request that is lost", o, "a sync of the order was requested, and there is no generation")
	case first != nil && !invoiced && o.countRequests(firstRequests...) == 0 && !o.blamed[1]:
		c.violate(1, "a generation without a request", o, "generation 1 was requested without an invoice or a sync")
	}
	if g := o.newest(); g != nil && g.number-1 > o.countRequests(laterRequests...) {
		c.violate(1, "a generation without a request", o, "generation %d, and %d requests that may make a new one", g.number, o.countRequests(laterRequests...))
	}
	c.checkSettlements(o)
}

// countAccepted counts the requests of these kinds that were answered with success. A failover may have undone a request, so
// one in its time does not count.
func (c *checker) countAccepted(o *order, kinds ...string) int {
	n := 0
	for _, r := range o.requests {
		if slices.Contains(kinds, r.Kind) && succeeded(r) && !c.inFailover(r.Ended, 0) {
			n++
		}
	}
	return n
}

// succeeded reports whether the answer says that the request was carried out.
func succeeded(r history.Request) bool {
	return r.Outcome == history.Accepted && (r.HTTPCode == 0 || r.HTTPCode/100 == 2)
}

// checkSettlements requires a fact for each accepted settlement. There are exceptions: a callback with another key than the
// order's only one may change nothing, and so may one without a key after a resync. The same callback twice is one fact.
func (c *checker) checkSettlements(o *order) {
	by := map[string]string{"webhook-accepted": "webhook", "webhook-rejected": "rejected", "cancel": "cancelled", "settle": "hand"}
	for _, r := range o.requests {
		closed, settles := by[r.Kind]
		if !settles || !succeeded(r) || c.inFailover(r.Ended, 0) || (r.Key != "" && !o.onlyKey(r.Key)) ||
			(r.Key == "" && callback(r) && len(o.byNumber) > 1) {
			continue
		}
		if !slices.ContainsFunc(o.generations(), func(g *generation) bool { return g.settledBy(closed) }) && !o.blamed[2] {
			c.violate(1, "an accepted request that is lost", o, "%s was answered with success, and no callback says %s", r.Kind, closed)
		}
	}
}

// callback reports whether the request came from the ERP.
func callback(r history.Request) bool {
	return r.Kind == "webhook-accepted" || r.Kind == "webhook-rejected"
}

// onlyKey reports whether the order never had another key.
func (o *order) onlyKey(key string) bool {
	for _, g := range o.byNumber {
		for _, k := range g.keys {
			if k != key {
				return false
			}
		}
	}
	return true
}

// checkEnds is the other half of promise 1. Each released generation has a terminal event, and the ERP has booked each
// success that no callback explains.
func (c *checker) checkEnds(o *order) {
	for _, g := range o.generations() {
		if len(g.terminal) == 0 && g.released() && !o.lost {
			c.figures.Lost++
			c.violate(1, "a generation without a terminal event", o, "generation %d was released and has no terminal event", g.number)
		}
		if len(g.terminal) == 0 && !g.released() {
			c.figures.Held++
		}
		if len(g.terminal) > 0 {
			c.checkBooked(o, g.terminal[0])
		}
	}
}

// checkBooked requires a booking under the key of the success, which began before it.
func (c *checker) checkBooked(o *order, end *fact) {
	if end.Topic != topicSuccess || end.sync.ClosedBy != "" {
		return
	}
	booked := false
	for _, call := range o.calls {
		if call.Booked && call.Key == end.sync.IdempotencyKey {
			booked = true
			if isAfter(call.Began, end.corrected) && !o.blamed[3] {
				c.violate(1, "a success before the booking", o, "%s says success at %s, call %d booked the order from %s on",
					end.where(), clock(end.corrected), call.Number, clock(call.Began))
			}
		}
	}
	if !booked {
		c.violate(1, "a success that the ERP does not know", o, "%s says success, and no call under %s made a booking", end.where(), end.sync.IdempotencyKey)
	}
}
