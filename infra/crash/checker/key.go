package checker

import (
	"regexp"
	"time"
)

// maxKnownDelay is how old the state may be on which a request was decided, at most.
const maxKnownDelay = 5 * time.Second

var keyPattern = regexp.MustCompile(`^ERP_[0-9a-f]{32}$`)

// checkKeys is promise 7. A generation has one idempotency key. It is a new one if the key before is known to have been
// answered with success, or if a new one was requested, and only then. No key books an order twice.
func (c *checker) checkKeys(o *order) {
	mixed := false
	var before *generation
	unused := o.countRequests("resync-new-key", "resync-again")
	for _, g := range o.generations() {
		for _, key := range g.keys {
			if !keyPattern.MatchString(key) {
				c.violate(7, "a malformed key", o, "generation %d: %q", g.number, key)
			}
		}
		if len(g.keys) > 1 {
			mixed = true
			c.violate(7, "a generation with two keys", o, "generation %d: %s and %s", g.number, g.keys[0], g.keys[1])
		}
		if before != nil && !mixed {
			c.checkNewKey(o, before, g, &unused)
		}
		before = g
	}
	for _, call := range o.calls {
		if !o.hasKey(call.Key) {
			c.violate(7, "a call under a key that the order never had", o, "call %d under %q", call.Number, call.Key)
		}
	}
	c.checkBookings(o)
}

// checkNewKey compares a generation with the one before. unused is the number of new keys that were requested and not taken
// yet.
func (c *checker) checkNewKey(o *order, before, g *generation, unused *int) {
	key, at := before.keys[0], requestedAt(g)
	known, used := o.firstFact(key, g.number, answersKey), o.firstFact(key, g.number, endsKey)
	switch changed := g.keys[0] != key; {
	case changed && !known.IsZero() && !known.After(at.Add(maxKnownDelay)):
	case changed && *unused > 0:
		*unused--
	case changed:
		c.violate(7, "a new key though the one before was not answered", o, "generation %d has %s, generation %d had %s, which was not answered with success by %s",
			g.number, g.keys[0], before.number, key, clock(at))
	case !changed && !used.IsZero() && used.Add(maxKnownDelay).Before(at) && c.outage(used, at):
		c.figures.AnsweredKeysReused++ // the log has the answer, but the gate could not get it; the ERP answers with the booking it has
	case !changed && !used.IsZero() && used.Add(maxKnownDelay).Before(at):
		c.violate(7, "an answered key that was used again", o, "generation %d, requested at %s, has %s, which was answered with success at %s",
			g.number, clock(at), key, clock(used))
	}
}

// requestedAt returns when the generation was requested first.
func requestedAt(g *generation) time.Time {
	if len(g.requested) == 0 {
		return time.Time{}
	}
	first := g.requested[0].at
	for _, f := range g.requested {
		if f.at.Before(first) {
			first = f.at
		}
	}
	return first
}

// firstFact returns the time of the first fact under the key that the rule accepts, of an earlier generation than the given
// one; zero: there is none.
func (o *order) firstFact(key string, before int, rule func(*fact) bool) time.Time {
	var first time.Time
	for _, f := range o.facts {
		if f.sync.IdempotencyKey != key || f.sync.Generation >= before || !rule(f) {
			continue
		}
		if first.IsZero() || f.at.Before(first) {
			first = f.at
		}
	}
	return first
}

// answersKey reports whether the fact says that its key was answered with success.
func answersKey(f *fact) bool { return f.answeredWithSuccess() || accepts(f) }

// endsKey is like answersKey, but only for facts that the product cannot have missed. An answer to a generation that ended
// otherwise may be missed.
func endsKey(f *fact) bool {
	return accepts(f) || (f.Topic == topicSuccess && f.sync.ClosedBy == "")
}

// accepts reports whether the fact is an accepting callback that carries the key. A settlement by an operator answers no
// key.
func accepts(f *fact) bool {
	return f.Topic == topicCallback && !f.settlesNothing() && f.sync.Status == "success" && (f.sync.ClosedBy == "webhook" || f.sync.ClosedBy == "") &&
		f.callbackKey() == f.sync.IdempotencyKey
}

// checkBookings counts the bookings of the order. A booking under another key than the first is right when that key is,
// which checkNewKey decides.
func (c *checker) checkBookings(o *order) {
	by := map[string]int{}
	bookings := 0
	for _, call := range o.calls {
		if !call.Booked {
			continue
		}
		bookings++
		if first, twice := by[call.Key]; twice {
			c.figures.Doubled++
			c.violate(7, "an order booked twice under one key", o, "calls %d and %d under %s", first, call.Number, call.Key)
			continue
		}
		by[call.Key] = call.Number
	}
	c.figures.BookedAgain += max(0, bookings-1)
}
