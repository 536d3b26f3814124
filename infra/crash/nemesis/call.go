package nemesis

import (
	"math/rand/v2"
	"net/http"
	"time"
)

// The behaviours of the ERP, and its callbacks.
const (
	OK         = "ok"
	Slow       = "slow"        // answers well, after a while
	SlowBody   = "slow-body"   // the status at once, the body after a while
	Busy       = "busy"        // 503
	Broken     = "broken"      // 500
	Limited    = "limited"     // 429 with Retry-After in seconds, or 500 when the last 429 was not long ago
	LimitedBy  = "limited-by"  // the same with Retry-After as a date
	Hang       = "hang"        // no answer until the caller gives up
	CutBefore  = "cut-before"  // a connection reset, nothing was booked
	CutAfter   = "cut-after"   // booked, and the answer is lost
	HangAfter  = "hang-after"  // booked, and no answer until the caller gives up
	NotJSON    = "not-json"    // booked, 200 with a body that is no JSON
	Huge       = "huge"        // booked, an answer of a megabyte
	LongHeader = "long-header" // booked, an answer with a header of half a megabyte
	Oversized  = "oversized"   // booked, and the answer has more headers than a client reads, so it is lost
	Refuse     = "refuse"      // 422, which is final
	Stormy     = "stormy"      // 429 or 503 like every call of that time
	Unplanned  = "unplanned"   // an answer that no plan has: to a wrong signature, or a key used for another body
	NoCallback = ""            // the ERP does not call back
	Accepted   = "accepted"    // the callback says that the order is booked
	Rejected   = "rejected"    // the callback says that it will not be
)

// Call is how the ERP behaves at one call.
type Call struct {
	Behaviour     string
	Delay         time.Duration // of slow answers
	RetryAfter    int           // seconds
	Callback      string        // the status that the webhook gets afterwards
	CallbackDelay time.Duration // after the answer
	EchoKey       bool          // whether the callback carries the idempotency key
}

// behaviours have weights: a good answer is the most frequent, so that most orders come to an end within their attempts.
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

// Call returns how the ERP behaves at the nth call of an order, counted from 0 by arrival.
func (p Plan) Call(source, order string, n int) Call {
	r := p.rng("call", source, " ", order, n)
	c := Call{
		Behaviour: behaviour(r), Delay: between(r, [2]time.Duration{100 * time.Millisecond, 1500 * time.Millisecond}),
		RetryAfter: 4 + r.IntN(2), CallbackDelay: between(r, [2]time.Duration{0, 2 * time.Second}), EchoKey: chance(r, 0.7),
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

// callbackOrNone draws the callback in that share of cases.
func callbackOrNone(r *rand.Rand, share float64, what string) string {
	if chance(r, share) {
		return what
	}
	return NoCallback
}

// behaviour draws one by its weight.
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

// Outage is a period in which the ERP cannot be reached at all.
type Outage struct{ Gap, Duration time.Duration }

// Outage returns the nth one. Its gap counts from the end of the one before.
func (p Plan) Outage(n int) Outage {
	r := p.rng("outage", n)
	return Outage{
		Gap:      between(r, [2]time.Duration{8 * time.Second, 25 * time.Second}),
		Duration: between(r, [2]time.Duration{time.Second, 4 * time.Second}),
	}
}

// Storm is a period in which the ERP turns all calls away: it is busy, or they are too many for it.
type Storm struct {
	Gap, Duration time.Duration
	Status        int // 429 or 503
	RetryAfter    int // seconds; 0: it does not say
}

// Storm returns the nth one. Its gap counts from the end of the one before. Every second one names a time.
func (p Plan) Storm(n int) Storm {
	r := p.rng("storm", n)
	s := Storm{
		Gap:      between(r, [2]time.Duration{15 * time.Second, 40 * time.Second}),
		Duration: between(r, [2]time.Duration{2 * time.Second, 5 * time.Second}),
		Status:   []int{http.StatusTooManyRequests, http.StatusServiceUnavailable}[r.IntN(2)],
	}
	if n%2 == 0 {
		s.RetryAfter = 3 + r.IntN(3)
	}
	return s
}

// Notice is how the pager behaves at a notice of an alert that comes for the first time.
type Notice struct {
	Behaviour string // OK, Busy or CutAfter
	Delay     time.Duration
}

// Notice returns what is planned for the nth one.
func (p Plan) Notice(n int) Notice {
	r := p.rng("notice", n)
	return Notice{
		Behaviour: []string{OK, OK, OK, Busy, CutAfter}[r.IntN(5)],
		Delay:     between(r, [2]time.Duration{0, 1500 * time.Millisecond}),
	}
}

// Window is one of the ERP's maintenance windows. Windows begin and end with a minute.
type Window struct {
	Gap    time.Duration
	Begins bool          // calls go out until it begins, and an operator ends it early; otherwise they go out once it has ended
	Before time.Duration // when the connector is told of it, before that minute
	After  time.Duration // when it is told that there is none any more, after it
}

// Window returns the nth one. Its gap counts from the end of the one before.
func (p Plan) Window(n int) Window {
	r := p.rng("window", n)
	w := Window{
		Gap:    between(r, [2]time.Duration{time.Second, 6 * time.Second}),
		Begins: n%2 == 0,
		Before: between(r, [2]time.Duration{4 * time.Second, 8 * time.Second}),
		After:  between(r, [2]time.Duration{3 * time.Second, 8 * time.Second}),
	}
	return w
}

// The settings that an operator turns off and on again.
const (
	Enabled       = "enabled"        // off: nothing is called, invoices are held
	ImmediateSync = "immediate_sync" // off: invoices are held for the cron
)

// Switch is a period in which one of them is off.
type Switch struct {
	Setting       string
	Gap, Duration time.Duration
}

// Switch returns the nth one. Its gap counts from the end of the one before. Of three, two turn the connector off.
func (p Plan) Switch(n int) Switch {
	r := p.rng("switch", n)
	s := Switch{
		Setting:  Enabled,
		Gap:      between(r, [2]time.Duration{6 * time.Second, 20 * time.Second}),
		Duration: between(r, [2]time.Duration{2500 * time.Millisecond, 5 * time.Second}),
	}
	if n%3 == 2 {
		s.Setting = ImmediateSync
	}
	return s
}
