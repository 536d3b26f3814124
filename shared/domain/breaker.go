package domain

import (
	"math"
	"time"
)

// BreakerState says whether calls go out to the ERP.
type BreakerState string

// The states of the breaker. A zero Breaker is closed.
const (
	BreakerClosed  BreakerState = "closed"  // calls go out
	BreakerOpen    BreakerState = "open"    // none goes out
	BreakerProbing BreakerState = "probing" // one call finds out whether the ERP works again
	BreakerClosing BreakerState = "closing" // a few go out, and more as they succeed
)

// ProbeKind is how a probe finds out whether the ERP works.
type ProbeKind string

// The kinds of probes.
const (
	ProbeByHealth ProbeKind = "health" // the health endpoint, which costs no order an attempt
	ProbeByOrder  ProbeKind = "order"  // one real order; it costs an attempt of that order
)

// BreakerPolicy says when the breaker opens, and how it closes again.
type BreakerPolicy struct {
	On          bool
	FailureRate float64       // opens when more than this share of the calls fail, see beyondChance; above 0 and up to 1
	MinCalls    int           // and there are so many
	MinOrders   int           // and so many different orders failed
	Period      time.Duration // and the calls are not older than this
	HasHealth   bool          // there may be a health endpoint to probe by
	MinProbe    time.Duration // the first probe comes so long after it opened
	MaxProbe    time.Duration // each failure doubles that, up to this
	Jitter      float64       // 0…1: a wait is lengthened by up to this share of it
	ProbeLimit  time.Duration // a probe that has not ended by then is nobody's
}

// DefaultBreakerPolicy has the values that no setting changes, and the defaults of those that one does.
//
// A shop with an order a minute has few calls, so the period is ten minutes. A busy shop has many, and the record is short, so that
// an outage does not hide behind the successes before it.
func DefaultBreakerPolicy() BreakerPolicy {
	return BreakerPolicy{
		On: true, FailureRate: 0.5, MinCalls: 10, MinOrders: 5, Period: 10 * time.Minute, HasHealth: true,
		MinProbe: 5 * time.Second, MaxProbe: time.Minute, Jitter: 0.2, ProbeLimit: time.Minute,
	}
}

// maxCalls is how many calls the record keeps.
func (p BreakerPolicy) maxCalls() int { return 5 * p.MinCalls }

// wait is the time before the next probe, after so many failures in a row.
func (p BreakerPolicy) wait(failures int, random float64) time.Duration {
	wait := min(math.Ldexp(float64(p.MinProbe), max(0, failures-1)), float64(p.MaxProbe))
	return time.Duration(wait + wait*p.Jitter*random)
}

// Moment is when something happens to the breaker, by whom, and the chance that its decisions need.
type Moment struct {
	Now    time.Time
	By     string  // a process or a person
	Random float64 // in [0,1)
}

// Breaker is the circuit breaker of the installation, as a value that all processes share. Its methods make the next value; ok is
// false when nothing changes. Whoever stores it must swap the value that a method was called on, and nothing else.
type Breaker struct {
	State  BreakerState `json:"state,omitempty"` // empty: closed
	Since  time.Time    `json:"since,omitzero"`  // of the state; while closing, of the step
	Why    string       `json:"why,omitempty"`   // the state is what it is
	By     string       `json:"by,omitempty"`
	Epoch  int64        `json:"epoch"`             // grows with each change of the state: results of calls from before do not count
	ByHand bool         `json:"by_hand,omitempty"` // opened by an operator: only an operator closes it

	OutSince  time.Time `json:"out_since,omitzero"`   // when it opened, while it is not closed
	OutWhy    string    `json:"out_why,omitempty"`    // and why: each probe changes Why
	Failures  int       `json:"failures,omitempty"`   // openings and failed probes in a row
	ProbeAt   time.Time `json:"probe_at,omitzero"`    // open: when the next probe is due; probing: when the probe is nobody's
	Probe     ProbeKind `json:"probe,omitempty"`      // probing: its kind
	ByOrder   bool      `json:"by_order,omitempty"`   // the health endpoint tells nothing, or told wrong: an order probes
	LastProbe *Probed   `json:"last_probe,omitempty"` // of this outage, or of the last one
	Allowed   int       `json:"allowed,omitempty"`    // closing: calls at once
	Succeeded int       `json:"succeeded,omitempty"`  // closing: of this step
	Failed    int       `json:"failed,omitempty"`     // closing: of this step
	Balance   float64   `json:"balance,omitempty"`    // closing: of successes and failures, see Count
}

// Probed is a probe that ended.
type Probed struct {
	At      time.Time    `json:"at"`
	Kind    ProbeKind    `json:"kind"`
	Verdict ProbeVerdict `json:"verdict"`
	Said    string       `json:"said,omitempty"` // by the ERP, or about its answer
}

// Is reports whether the breaker is in the state.
func (b Breaker) Is(s BreakerState) bool {
	return b.State == s || (b.State == "" && s == BreakerClosed)
}

// Allows is how many calls of orders may be under way at once in the whole installation, where the limit is what may be without a
// breaker. A probe by an order is one.
func (b Breaker) Allows(limit int) int {
	switch {
	case b.Is(BreakerClosed):
		return limit
	case b.Is(BreakerClosing):
		return min(b.Allowed, limit)
	case b.Is(BreakerProbing) && b.Probe == ProbeByOrder:
		return min(1, limit)
	}
	return 0
}

// Trip opens a closed breaker when the calls say that the ERP fails.
func (b Breaker) Trip(calls CallRecord, p BreakerPolicy, m Moment) (next Breaker, ok bool) {
	if !p.On || !b.Is(BreakerClosed) {
		return b, false
	}
	why := calls.failing(b.Epoch, p, m.Now)
	if why == "" {
		return b, false
	}
	// An ERP that fails again soon after it worked again waits on, longer each time. Each opening costs attempts.
	if m.Now.Sub(b.Since) > p.Period {
		b.Failures = 0
	}
	b.OutSince, b.OutWhy, b.LastProbe, b.ByOrder = NormalizeTime(m.Now), ReasonText.Fit(why), nil, false
	return b.opened(why, p, m), true
}

// OpenByHand opens the breaker, whatever its state. It stays open until CloseByHand.
func (b Breaker) OpenByHand(why string, m Moment) (next Breaker, ok bool) {
	if b.ByHand {
		return b, false
	}
	if b.Is(BreakerClosed) {
		b.OutSince, b.OutWhy, b.LastProbe = NormalizeTime(m.Now), ReasonText.Fit(why), nil
	}
	b = b.to(BreakerOpen, why, m)
	b.ByHand = true
	return b, true
}

// CloseByHand closes the breaker at once, whatever its state: an operator knows better. When the ERP fails, it opens again.
func (b Breaker) CloseByHand(why string, m Moment) (next Breaker, ok bool) {
	if b.Is(BreakerClosed) {
		return b, false
	}
	return b.closed(why, m), true
}

// TurnOff closes the breaker when the settings turn it off. One that was opened by hand stays open.
func (b Breaker) TurnOff(p BreakerPolicy, m Moment) (next Breaker, ok bool) {
	if p.On || b.ByHand || b.Is(BreakerClosed) {
		return b, false
	}
	return b.closed("erp_breaker is off", m), true
}

// to is the breaker in another state, or again in the same one.
func (b Breaker) to(s BreakerState, why string, m Moment) Breaker {
	b.State, b.Since, b.Why, b.By = s, NormalizeTime(m.Now), ReasonText.Fit(why), WhoText.Fit(m.By)
	b.Epoch++
	b.ByHand, b.ProbeAt, b.Probe = false, time.Time{}, ""
	b.Allowed, b.Succeeded, b.Failed, b.Balance = 0, 0, 0, 0
	return b
}

// opened is the breaker open because of one more failure.
func (b Breaker) opened(why string, p BreakerPolicy, m Moment) Breaker {
	b = b.to(BreakerOpen, why, m)
	b.Failures++
	b.ProbeAt = NormalizeTime(m.Now.Add(p.wait(b.Failures, m.Random)))
	return b
}

func (b Breaker) closed(why string, m Moment) Breaker {
	b = b.to(BreakerClosed, why, m)
	b.OutSince, b.OutWhy, b.ByOrder = time.Time{}, "", false
	return b
}

// BreakerEvent is one change of the breaker, for its history.
type BreakerEvent struct {
	At   time.Time    `json:"at"`
	From BreakerState `json:"from"`
	To   BreakerState `json:"to"`
	Why  string       `json:"why"`
	By   string       `json:"by"`

	Allowed int `json:"allowed,omitempty"` // closing: calls at once from now on
}

// BreakerEventOf is the change from one value of the breaker to the next; ok is false when it is none of the history's: the same
// state, and no other number of calls.
func BreakerEventOf(before, after Breaker) (e BreakerEvent, ok bool) {
	if before.Epoch == after.Epoch && before.Allowed == after.Allowed {
		return BreakerEvent{}, false
	}
	e = BreakerEvent{At: after.Since, From: before.name(), To: after.name(), Why: after.Why, By: after.By, Allowed: after.Allowed}
	return e, true
}

// IsNews reports whether the log tells it: calls stop, or all of them go out again.
func (e BreakerEvent) IsNews() bool {
	return e.From != e.To && (e.From == BreakerClosed || e.To == BreakerClosed)
}

func (b Breaker) name() BreakerState {
	if b.State == "" {
		return BreakerClosed
	}
	return b.State
}
