package domain

import (
	"slices"
	"time"
)

// LimitPolicy says how the number of calls at once follows what the ERP can do.
type LimitPolicy struct {
	Max       int           // calls at once; the setting, or a member's share of it
	Backoff   float64       // the limit is multiplied by this when the ERP asks for fewer calls
	Tolerance float64       // latency grows when it is above this many times its minimum
	Floor     time.Duration // a latency up to this has not grown, whatever its minimum was
	Samples   int           // calls whose median latency is judged
	Forget    time.Duration // the minimum goes towards the latency by 63 % in this time
}

// DefaultLimitPolicy is the policy for at most so many calls at once.
func DefaultLimitPolicy(most int) LimitPolicy {
	return LimitPolicy{
		Max: most, Backoff: 0.7, Tolerance: 2, Floor: 20 * time.Millisecond, Samples: 20, Forget: 5 * time.Minute,
	}
}

// Limit is how many calls may be under way at once, by additive increase and multiplicative decrease. A zero Limit stands at the
// policy's maximum.
type Limit struct {
	Value     int             `json:"value"`               // 0: the maximum
	Succeeded int             `json:"succeeded,omitempty"` // of this round
	Decreased time.Time       `json:"decreased,omitzero"`  // calls that began before say nothing about the limit of now
	Lessened  time.Time       `json:"lessened,omitzero"`   // a rare 429 or 503 of a call that began before takes nothing off again
	Latencies []time.Duration `json:"latencies,omitempty"` // since the last judgement
	Minimum   time.Duration   `json:"minimum,omitempty"`   // of the judged medians; it forgets
	Judged    time.Time       `json:"judged,omitzero"`
}

// PacedCall is the result of one call, as the limit counts it.
type PacedCall struct {
	Began, Ended time.Time
	Health       Health
	InFlight     int  // calls under way when it began, itself among them
	IsRare       bool // few of the newest calls were answered by 429 or 503 as this one, see Meter
}

// Current is how many calls may be under way now, from 1 to the maximum.
func (l Limit) Current(p LimitPolicy) int {
	if l.Value == 0 {
		return max(1, p.Max)
	}
	return max(1, min(l.Value, p.Max))
}

// After is the limit after a call has ended.
//
// It grows by one when as many calls have succeeded as may be under way: a round. Only calls that began when at least half of the
// limit was in use count, as an idle hour does not show that the ERP could take more.
//
// It shrinks on 429 and 503, and when the median latency of some calls has grown against its own minimum, but only once a round trip:
// calls that began before the last decrease met the larger limit. A 429 or 503 that is rare may be about its order: it takes one call off,
// and only where half of the limit was in use, so that a quiet day does not take one after the other from a later rush.
func (l Limit) After(c PacedCall, p LimitPolicy) Limit {
	l.Value = l.Current(p)
	if c.Health == HealthUnknown || c.Began.Before(l.Decreased) {
		return l
	}
	if c.Health.Slows() {
		if c.IsRare {
			return l.lessened(c)
		}
		return l.decreased(p.Backoff, c.Ended)
	}
	if !c.Health.Fails() {
		l = l.succeeded(c, p)
	}
	return l.timed(c, p)
}

// isUsed reports whether at least half of the limit was in use when the call began.
func (l Limit) isUsed(c PacedCall) bool { return c.InFlight*2 >= l.Value }

func (l Limit) succeeded(c PacedCall, p LimitPolicy) Limit {
	if !l.isUsed(c) {
		return l
	}
	if l.Succeeded++; l.Succeeded >= l.Value {
		l.Value, l.Succeeded = min(l.Value+1, max(1, p.Max)), 0
	}
	return l
}

// timed judges the latency when it has enough calls. A refused order is answered sooner than a booked one, so only bookings count.
// A failed call that took longer than them has timed out.
func (l Limit) timed(c PacedCall, p LimitPolicy) Limit {
	took := c.Ended.Sub(c.Began)
	if c.Health != HealthGood && (!c.Health.Fails() || took <= l.Minimum) {
		return l
	}
	l.Latencies = append(slices.Clip(l.Latencies), took)
	if len(l.Latencies) < p.Samples {
		return l
	}
	sorted := slices.Sorted(slices.Values(l.Latencies))
	median := sorted[len(sorted)/2]
	l.Minimum, l.Latencies = l.forgotten(median, c.Ended, p), nil
	l.Judged = NormalizeTime(c.Ended)
	if allowed := float64(l.Minimum) * p.Tolerance; median > p.Floor && float64(median) > allowed {
		// Down to where the queue in the ERP is gone, so that the next calls show the true minimum. A fixed factor would leave some of
		// the queue, and the minimum would forget what the ERP can do.
		return l.decreased(max(0.3, 0.9*float64(l.Minimum)/float64(median)), c.Ended)
	}
	return l
}

// forgotten is the minimum after one more judgement. A smaller latency counts at once. Otherwise the minimum goes slowly towards the
// latency: an ERP that became slower for good is throttled for some minutes, not for ever.
func (l Limit) forgotten(median time.Duration, now time.Time, p LimitPolicy) time.Duration {
	if l.Minimum == 0 || median <= l.Minimum {
		return median
	}
	age := now.Sub(l.Judged)
	return l.Minimum + time.Duration(float64(median-l.Minimum)*decay(age, p.Forget))
}

func (l Limit) lessened(c PacedCall) Limit {
	if c.Began.Before(l.Lessened) || !l.isUsed(c) {
		return l
	}
	l.Value, l.Lessened = max(1, l.Value-1), c.Ended.Round(0).UTC()
	return l
}

func (l Limit) decreased(factor float64, now time.Time) Limit {
	l.Value = max(1, int(float64(l.Value)*factor))
	l.Succeeded, l.Latencies, l.Decreased = 0, nil, now.Round(0).UTC()
	return l
}
