package checker

import (
	"slices"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

const (
	// maxHoldDelay is when every process must hold after one has learnt that the ERP is not to be called. The promise is 250 ms, and a
	// process that hears nothing for a second calls no more; the rest is for a busy machine and a call that had begun to arrive.
	maxHoldDelay = 2 * time.Second
	// maxArrivalDelay is for a call that had begun before a window, which everybody knew of.
	maxArrivalDelay = time.Second
	// maxNoticeDelay is how long after an outage of the ERP the breaker may still open: some calls end later, and a process that was stopped
	// finds out late.
	maxNoticeDelay = 5 * time.Second
)

// span is a time in which the ERP was not to be called.
type span struct {
	from, to time.Time
	delay    time.Duration // so long after its begin a call may still arrive
	why      string
}

// askedToWait returns the times for which the ERP asked all its callers to wait, by Retry-After.
func (c *checker) askedToWait() (out []span) {
	for _, call := range c.h.Calls {
		if !call.HoldUntil.IsZero() {
			out = append(out, span{call.Ended, call.HoldUntil, maxHoldDelay, "the ERP asked by Retry-After"})
		}
	}
	return out
}

// windows returns the times at which the ERP was not to be called, as an operator had told of its maintenance windows.
func (c *checker) windows() (out []span) {
	for _, s := range c.h.Switches {
		if s.Setting != history.Maintenance {
			continue
		}
		known, until := s.Off.Add(maxInForceDelay), s.OnRequested
		if until.IsZero() {
			until = c.h.Ended
		}
		w := span{s.Begins, s.Ends, maxArrivalDelay, "there was a maintenance window"}
		if w.from.Before(known) {
			w.from = known
		}
		if w.to.After(until) {
			w.to = until
		}
		if w.from.Before(w.to) {
			out = append(out, w)
		}
	}
	return out
}

// breaker returns the times in which the circuit breaker was in one of the states.
func (c *checker) breaker(states ...string) (out []span) {
	for i, change := range c.h.Breaker {
		to := c.h.Ended
		if i+1 < len(c.h.Breaker) {
			to = c.h.Breaker[i+1].At
		}
		if slices.Contains(states, change.To) {
			out = append(out, span{change.At, to, maxHoldDelay, "the breaker was " + change.To + " by " + change.By})
		}
	}
	return out
}

// checkPaceOfCalls is the second half of promise 8: nobody calls the ERP while the breaker is open, nor before the time that the ERP has
// named, nor in a maintenance window. A probe is made in a state of its own, and then the breaker closes.
func (c *checker) checkPaceOfCalls() {
	spans := slices.Concat(c.askedToWait(), c.breaker("open"), c.windows())
	c.figures.Spared = len(spans)
	for _, s := range c.stops() {
		c.figures.Stops++
		c.figures.Stopped += s.to.Sub(s.from)
	}
	for _, s := range spans {
		from := s.from.Add(s.delay)
		for _, o := range c.inOrder() {
			for _, call := range o.calls {
				if call.Began.After(from) && call.Began.Before(s.to) && !c.mayNotKnowPace(s.from, call.Began) {
					c.violate(8, "a call while the ERP was not to be called", o, "call %d began at %s; from %s to %s %s",
						call.Number, clock(call.Began), clock(s.from), clock(s.to), s.why)
				}
			}
		}
	}
}

// mayNotKnowPace reports whether some process may not have learnt of it: who had the ERP's answer died before it could tell, Postgres was
// away or an older one took over, or a process was stopped.
func (c *checker) mayNotKnowPace(from, to time.Time) bool {
	return slices.ContainsFunc(c.h.Disturbances, func(d history.Disturbance) bool {
		switch {
		case d.Kind == "stop" || strings.HasPrefix(d.Target, "postgres"):
			return d.At.Before(to) && c.endOf(d).Add(maxHoldDelay).After(from)
		case d.Service == "syncer" || d.Service == "":
			return d.At.Before(from.Add(maxHoldDelay)) && d.At.After(from.Add(-maxHoldDelay))
		}
		return false
	}) || slices.ContainsFunc(c.h.Failovers, func(f history.Failover) bool { return f.From.Before(to) && f.To.Add(maxHoldDelay).After(from) })
}

// stops returns the times from the opening of the breaker until it was closed again.
func (c *checker) stops() (out []span) {
	for _, s := range c.breaker("open", "probing", "closing") {
		if n := len(out); n > 0 && out[n-1].to.Equal(s.from) {
			out[n-1].to = s.to
			continue
		}
		out = append(out, s)
	}
	return out
}

// heldBack reports whether calls were held back in that time, or shortly before, for a reason: the ERP asked for it, or it was down when
// the breaker opened. A breaker that opened without an outage of the ERP explains nothing.
func (c *checker) heldBack(from, to time.Time) bool {
	touches := func(s span) bool { return s.from.Before(to) && s.to.Add(maxBacklogDelay).After(from) }
	return slices.ContainsFunc(slices.Concat(c.askedToWait(), c.windows()), touches) || slices.ContainsFunc(c.stops(), func(s span) bool {
		return touches(s) && c.erpDown(s.from.Add(-maxNoticeDelay), s.from)
	})
}
