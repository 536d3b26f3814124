package checker

import (
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// checkRetries is promise 5: a retry is planned for the time that the policy or the ERP names, its call never arrives
// before that, and at most Limits.Late after it where there is a limit.
func (c *checker) checkRetries(o *order) {
	for _, g := range o.generations() {
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

// checkPlan compares next_attempt_at with 2^attempts × base, capped, or the ERP's Retry-After when that is later, both
// from the time of the answer. Times are rounded up to whole milliseconds from one that was cut to them.
func (c *checker) checkPlan(o *order, f *fact) {
	if c.h.Policy.BaseDelay <= 0 {
		return
	}
	due := f.at.Add(c.delay(f.sync.Attempts))
	if asked, named := retryAfter(f); named && asked.After(due) {
		due = asked
	}
	if off := f.sync.NextAttemptAt.Sub(due); off < -rounding || off > 2*rounding {
		c.violate(5, "a retry with a wrong time", o, "%s, attempt %d, answered at %s: planned for %s, by the policy %s",
			f.where(), f.sync.Attempts, clock(f.at), clock(*f.sync.NextAttemptAt), clock(due))
	}
}

func (c *checker) delay(attempts int) time.Duration {
	p := c.h.Policy
	const most = 30 * 24 * time.Hour
	delay := math.Ldexp(float64(p.BaseDelay), attempts)
	if p.MaxDelay > 0 {
		delay = math.Min(delay, float64(p.MaxDelay))
	}
	return time.Duration(math.Min(delay, float64(most)))
}

// retryAfter is when the answer asked to be called again.
func retryAfter(f *fact) (at time.Time, named bool) {
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
	if c.connectorOff(due, call.Began) {
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

// firstCall is the first one that was made for the attempt.
func (o *order) firstCall(generation, attempt int) *erpCall {
	for _, call := range o.calls {
		if call.intent != nil && call.intent.sync.Generation == generation && call.intent.sync.Version.attempt() == attempt {
			return call
		}
	}
	return nil
}
