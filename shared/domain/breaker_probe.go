package domain

import (
	"fmt"
	"time"
)

// BeginProbe gives the probe to whoever asks when one is due: of an open breaker, or of one whose prober has not been heard of. Only the
// caller whose swap of the stored value succeeds has it. kind says how to probe.
func (b Breaker) BeginProbe(p BreakerPolicy, m Moment) (next Breaker, ok bool) {
	if !b.ProbeDue(m.Now) {
		return b, false
	}
	kind := ProbeByHealth
	if b.ByOrder || !p.HasHealth {
		kind = ProbeByOrder
	}
	b = b.to(BreakerProbing, "probes by "+kind.words(), m)
	b.Probe, b.ProbeAt = kind, NormalizeTime(m.Now.Add(p.ProbeLimit))
	return b, true
}

func (k ProbeKind) words() string {
	if k == ProbeByOrder {
		return "one order"
	}
	return "the health endpoint"
}

// ProbeDue reports whether somebody should probe. Retry-After and windows hold probes too; they stand elsewhere.
func (b Breaker) ProbeDue(now time.Time) bool {
	isWaiting := b.Is(BreakerOpen) && !b.ByHand || b.Is(BreakerProbing)
	return isWaiting && !now.Before(b.ProbeAt)
}

// ProbeNow makes the probe of an open breaker due at once, as the ERP is called in another way from now on: what its failures said of it
// may be over. When it fails, the waits begin anew.
func (b Breaker) ProbeNow(m Moment) (next Breaker, ok bool) {
	if !b.Is(BreakerOpen) || b.ByHand || b.ProbeDue(m.Now) {
		return b, false
	}
	b.ProbeAt, b.Failures, b.ByOrder = NormalizeTime(m.Now), 0, false
	return b, true
}

// ProbeResult is how a probe ended.
type ProbeResult struct {
	Epoch   int64 // of the breaker that BeginProbe gave: another probe's end is not this one's
	Verdict ProbeVerdict
	Said    string // by the ERP, or about its answer
}

// EndProbe goes on by the verdict: a working ERP gets one call at a time first, a failing one a longer wait. Without a health
// endpoint an order probes at once. A probe of which nobody knows how it ended is made again at once.
func (b Breaker) EndProbe(r ProbeResult, p BreakerPolicy, m Moment) (next Breaker, ok bool) {
	if !b.Is(BreakerProbing) || b.Epoch != r.Epoch {
		return b, false
	}
	kind := b.Probe
	b.LastProbe = &Probed{At: NormalizeTime(m.Now), Kind: kind, Verdict: r.Verdict, Said: ReasonText.Fit(r.Said)}
	switch r.Verdict {
	case ProbeGood:
		b = b.to(BreakerClosing, "the probe by "+kind.words()+" succeeded", m)
		b.Allowed = 1
		return b, true
	case ProbeFailing:
		return b.opened(withText("the probe by "+kind.words()+" failed", r.Said), p, m), true
	case ProbeMissing:
		b = b.to(BreakerOpen, withText("the health endpoint does not tell; an order is the next probe", r.Said), m)
		b.ByOrder = true
	default:
		b = b.to(BreakerOpen, "the probe was not made", m)
	}
	b.ProbeAt = b.Since
	return b, true
}

func withText(what, text string) string {
	if text == "" {
		return what
	}
	return what + ": " + text
}

// Tally counts calls of a closing breaker that began in its epoch.
type Tally struct {
	Epoch             int64
	Succeeded, Failed int
	Said              string // by the ERP, of the last failure
}

// With is the tally with one more call. Of a call of another epoch, and of one that says nothing, it is the same.
func (t Tally) With(c Call, said string) Tally {
	switch {
	case c.Epoch != t.Epoch || c.Health == HealthUnknown:
	case c.Health.Fails():
		t.Failed++
		t.Said = said
	default:
		t.Succeeded++
	}
	return t
}

// Count adds results to a closing breaker. When as many calls as were allowed at once have ended, and less than the policy's rate
// of them failed, twice as many are allowed, up to the limit, at which it is closed.
//
// It opens when the balance of all its calls says that the ERP fails: for a rate of one half, when three more have failed than
// succeeded. A single failure is not enough: an ERP that fails three calls of ten, as it did before the outage, would hardly ever
// close. By the balance it closes nine times of ten, and an ERP that fails all calls costs three. (It is the gambler's ruin: with a
// share p of failures the balance is ever lost with probability (p/(1-p))^3.)
//
// The first call alone opens it when the health endpoint has said that all is well: then this call is the probe.
func (b Breaker) Count(t Tally, limit int, p BreakerPolicy, m Moment) (next Breaker, ok bool) {
	if !b.Is(BreakerClosing) || b.Epoch != t.Epoch || t.Succeeded+t.Failed == 0 {
		return b, false
	}
	b.Succeeded, b.Failed = b.Succeeded+t.Succeeded, b.Failed+t.Failed
	weight := max(1-p.FailureRate, 0.1) // of a failure; that of a success is the rate
	b.Balance = min(b.Balance+p.FailureRate*float64(t.Succeeded)-weight*float64(t.Failed), maxLead*min(p.FailureRate, weight))
	step, ended := min(b.Allowed, limit), b.Succeeded+b.Failed
	saidWell := b.LastProbe != nil && b.LastProbe.Kind == ProbeByHealth
	if isProbe := saidWell && b.Allowed == 1 && b.Succeeded == 0; isProbe || b.Balance < -maxLoss*weight+weight/2 { // one half, as sums of fractions are not exact
		b.ByOrder = b.ByOrder || saidWell
		return b.opened(withText(fmt.Sprintf("%d of %d calls failed while it closed", b.Failed, ended), t.Said), p, m), true
	}
	if ended < step || float64(b.Failed) >= p.FailureRate*float64(ended) {
		return b, true
	}
	if b.Allowed*2 > limit {
		return b.closed("the ERP works again", m), true
	}
	b.Why = fmt.Sprintf("%d of %d calls succeeded", b.Succeeded, ended)
	b.Allowed, b.Succeeded, b.Failed = b.Allowed*2, 0, 0
	b.Since, b.By = NormalizeTime(m.Now), WhoText.Fit(m.By)
	return b, true
}

// The balance of a closing breaker: it opens when it is lost, and successes give it a lead that is bounded, so that an ERP which
// fails anew is noticed.
const (
	maxLoss = 3 // failures that no success makes up for
	maxLead = 9 // successes that no failure makes up for
)
