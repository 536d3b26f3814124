package nemesis

import (
	"math/rand/v2"
	"time"
)

// The ways in which the ERP behaves.
const (
	OK         = "ok"
	Slow       = "slow"        // answers well, after a while
	SlowBody   = "slow-body"   // the status at once, the body after a while
	Busy       = "busy"        // 503
	Broken     = "broken"      // 500
	Limited    = "limited"     // 429 with Retry-After in seconds
	LimitedBy  = "limited-by"  // 429 with Retry-After as a date
	Hang       = "hang"        // no answer until the caller has given up
	CutBefore  = "cut-before"  // the connection breaks, nothing was booked
	CutAfter   = "cut-after"   // booked, and the answer is lost
	HangAfter  = "hang-after"  // booked, and no answer until the caller has given up
	NotJSON    = "not-json"    // booked, 200 with a body that is no JSON
	Huge       = "huge"        // booked, an answer of a megabyte
	LongHeader = "long-header" // booked, an answer with a header of half a megabyte
	Oversized  = "oversized"   // booked, and the answer has more headers than anybody reads: it is as good as lost
	Refuse     = "refuse"      // 422, which is final
	Unplanned  = "unplanned"   // what the ERP answers of itself: a wrong signature, a key used for another body
	NoCallback = ""            // the ERP does not call back
	Accepted   = "accepted"    // it calls back that it has booked
	Rejected   = "rejected"    // it calls back that it will not
)

// Call is what the ERP shows to one call.
type Call struct {
	Behaviour  string
	Delay      time.Duration // of slow answers
	RetryAfter int           // seconds
	Callback   string        // what the webhook is told afterwards
	CallbackDelay      time.Duration // when, after the answer
	EchoKey       bool          // the callback names the idempotency key
}

// behaviours by their weight.
var behaviours = []struct {
	name   string
	weight int
}{
	{OK, 50},
	{Slow, 8},
	{SlowBody, 3},
	{Busy, 8},
	{Broken, 4},
	{Limited, 2},
	{LimitedBy, 2},
	{Hang, 3},
	{CutBefore, 4},
	{CutAfter, 5},
	{HangAfter, 2},
	{NotJSON, 3},
	{Huge, 2},
	{LongHeader, 1},
	{Oversized, 1},
	{Refuse, 2},
}

// Call is what the ERP shows to the nth call of an order, counted from 0 as they come in.
func (p Plan) Call(source, order string, n int) Call {
	r := p.rng("call", source, " ", order, n)
	c := Call{
		Behaviour: behaviour(r), Delay: between(r, [2]time.Duration{100 * time.Millisecond, 1500 * time.Millisecond}),
		RetryAfter: 1 + r.IntN(2), CallbackDelay: between(r, [2]time.Duration{0, 2 * time.Second}), EchoKey: chance(r, 0.7),
	}
	switch c.Behaviour {
	case OK, Slow, NotJSON, Huge, LongHeader:
		c.Callback = callbackOrNone(r, 0.05, Accepted)
	case CutAfter, HangAfter, Oversized:
		c.Callback = callbackOrNone(r, 0.4, Accepted)
	case Busy, Broken, Hang, CutBefore:
		c.Callback = callbackOrNone(r, 0.06, Rejected)
	}
	return c
}

func callbackOrNone(r *rand.Rand, share float64, what string) string {
	if chance(r, share) {
		return what
	}
	return NoCallback
}

func behaviour(r *rand.Rand) string {
	all := 0
	for _, b := range behaviours {
		all += b.weight
	}
	at := r.IntN(all)
	for _, b := range behaviours {
		if at -= b.weight; at < 0 {
			return b.name
		}
	}
	return OK
}

// Outage is a time in which the ERP cannot be reached at all.
type Outage struct{ Gap, Duration time.Duration }

// Outage is the nth of them; the gap counts from the end of the one before.
func (p Plan) Outage(n int) Outage {
	r := p.rng("outage", n)
	return Outage{
		Gap: between(r, [2]time.Duration{8 * time.Second, 25 * time.Second}),
		Duration: between(r, [2]time.Duration{time.Second, 4 * time.Second}),
	}
}

// The settings that an operator turns off and on again.
const (
	Enabled       = "enabled"        // off: nothing is called, invoices are held
	ImmediateSync = "immediate_sync" // off: invoices are held for the cron
)

// Switch is a time in which one of them is off.
type Switch struct {
	Setting  string
	Gap, Duration time.Duration
}

// Switch is the nth of them; the gap counts from the end of the one before.
func (p Plan) Switch(n int) Switch {
	r := p.rng("switch", n)
	s := Switch{
		Setting: Enabled,
		Gap:     between(r, [2]time.Duration{6 * time.Second, 20 * time.Second}),
		Duration:     between(r, [2]time.Duration{2500 * time.Millisecond, 5 * time.Second}),
	}
	if n%3 == 2 {
		s.Setting = ImmediateSync
	}
	return s
}
