package domain

import (
	"math"
	"time"
)

// DeliveryPolicy says how often and how long a notice is tried at a destination that does not take it.
type DeliveryPolicy struct {
	First  time.Duration // the wait after the first attempt; each further one doubles it
	Most   time.Duration // the longest wait, whatever the destination asks for
	GiveUp time.Duration // no attempt begins so long after the notice was made
	Jitter float64       // a wait is lengthened by up to this share of it
}

// DefaultDeliveryPolicy tries some 30 times in a day.
func DefaultDeliveryPolicy() DeliveryPolicy {
	return DeliveryPolicy{First: 10 * time.Second, Most: time.Hour, GiveUp: 24 * time.Hour, Jitter: 0.2}
}

// Next is when the next attempt is due after so many in vain; more is false when there is none. asked is when the destination wants to be
// asked again, by Retry-After; zero: it does not say. random is in [0,1).
func (p DeliveryPolicy) Next(attempts int, made, now, asked time.Time, random float64) (at time.Time, more bool) {
	wait := min(math.Ldexp(float64(p.First), max(0, attempts-1)), float64(p.Most))
	at = now.Add(time.Duration(wait + wait*p.Jitter*random))
	if latest := now.Add(p.Most); asked.After(latest) {
		asked = latest
	}
	if asked.After(at) {
		at = asked
	}
	return at, at.Before(made.Add(p.GiveUp))
}
