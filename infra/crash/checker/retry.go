package checker

import (
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// checkRetries is promise 5. A retry is planned for the time that the policy or the ERP says. Its call never arrives before
// that, and not later than Limits.Late after it.
func (c *checker) checkRetries(o *order) {
	for _, g := range o.generations() {
		c.checkGivesUp(o, g)
		for _, n := range slices.Sorted(maps.Keys(g.after)) {
			f := g.after[n][0]
			if f.sync.Status != "queued" {
				continue
			}
			if f.sync.NextAttemptAt == nil {
				c.violate(5, "a retry without a time", o, "%s", f.where())
				continue
			}
			c.checkPlan(o, f)
			c.checkRetryTime(o, g, f)
		}
	}
}

// checkPlan compares next_attempt_at with 2^attempts × base, bounded, or with the ERP's Retry-After when that is later. Both
// count from the answer. The product rounds up to milliseconds from a time that was truncated to them.
func (c *checker) checkPlan(o *order, f *fact) {
	if c.h.Policy.BaseDelay <= 0 {
		return
	}
	due := f.at.Add(c.delay(f.sync.Attempts))
	if requested, ok := retryAfter(f); ok && requested.After(due) {
		due = requested
	}
	if off := f.sync.NextAttemptAt.Sub(due); off < -rounding || off > 2*rounding {
		c.violate(5, "a retry with a wrong time", o, "%s, attempt %d, answered at %s: planned for %s, by the policy %s",
			f.where(), f.sync.Attempts, clock(f.at), clock(*f.sync.NextAttemptAt), clock(due))
	}
}

// delay returns the policy's delay after an attempt. The float cannot overflow, unlike a duration.
func (c *checker) delay(attempts int) time.Duration {
	p := c.h.Policy
	const maxDelay = 30 * 24 * time.Hour
	delay := math.Ldexp(float64(p.BaseDelay), attempts)
	if p.MaxDelay > 0 {
		delay = math.Min(delay, float64(p.MaxDelay))
	}
	return time.Duration(math.Min(delay, float64(maxDelay)))
}

// retryAfter returns when the ERP wants to be called again.
func retryAfter(f *fact) (at time.Time, ok bool) {
	if f.response == nil {
		return at, false
	}
	text := f.response.header("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return f.at.Add(time.Duration(seconds) * time.Second), true
	}
	at, err := http.ParseTime(text)
	return at, err == nil
}

// checkRetryTime compares the first call of the next attempt with the planned time.
func (c *checker) checkRetryTime(o *order, g *generation, f *fact) {
	due := *f.sync.NextAttemptAt
	call := o.firstCall(g.number, f.sync.Attempts+1)
	if call == nil {
		return
	}
	late := call.Began.Sub(due)
	if late < -rounding {
		c.violate(5, "a retry before its time", o, "call %d of generation %d, attempt %d arrived at %s, %s before %s",
			call.Number, g.number, f.sync.Attempts+1, clock(call.Began), (-late).Round(time.Microsecond), clock(due))
	}
	if c.notSent(due, call.Began) {
		return
	}
	if limit := c.h.Limits.Late; limit > 0 && late > limit {
		c.violate(5, "a retry that is late", o, "call %d of generation %d, attempt %d arrived at %s, %s after %s; the limit is %s",
			call.Number, g.number, f.sync.Attempts+1, clock(call.Began), late.Round(time.Millisecond), clock(due), limit)
	}
	c.figures.LatestRetry = max(c.figures.LatestRetry, late)
	if !c.disturbed(due, call.Began) {
		c.figures.LatestUndisturbed = max(c.figures.LatestUndisturbed, late)
	}
}

// firstCall returns the first call of the attempt; nil: there was none.
func (o *order) firstCall(generation, attempt int) *erpCall {
	for _, call := range o.calls {
		if call.intent != nil && call.intent.sync.Generation == generation && call.intent.sync.Version.attempt() == attempt {
			return call
		}
	}
	return nil
}
