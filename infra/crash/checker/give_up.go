package checker

import (
	"net/http"
	"time"
)

// maxBeginDelay is how long after its last look at the clock a process may state the intent of an attempt.
const maxBeginDelay = 2 * time.Second

// checkFailure is the last part of promise 5. An order fails for an answer that another attempt would not change, after its last attempt,
// or once it is time to give up. Otherwise attempts were not made that might have brought it into the ERP.
func (c *checker) checkFailure(o *order, g *generation, end, last *fact) {
	if end.Topic != topicFailed || end.sync.ErrorCode == "record_refused" {
		return
	}
	left, givenUp := end.sync.Attempts < end.sync.MaxAttempts, end.sync.ErrorCode == "given_up"
	if givenUp {
		c.figures.GivenUp++
	}
	switch {
	case givenUp && (!left || !c.isTimeToGiveUp(g, end, last)):
		c.violate(5, "an order that was given up too early", o, "%s at %s, after attempt %d of %d; %s",
			end.where(), clock(end.at), end.sync.Attempts, end.sync.MaxAttempts, c.horizon(g))
	case !givenUp && left && isTransient(last):
		c.violate(5, "an order that failed with attempts left", o, "%s, after attempt %d of %d, which %s says status %d of",
			end.where(), end.sync.Attempts, end.sync.MaxAttempts, last.where(), last.status())
	}
}

// isTransient reports whether another attempt may be answered in another way. A 409 may be final or not: that depends on the key.
func isTransient(after *fact) bool {
	return after.status() == 0 || after.status() == http.StatusTooManyRequests || after.status() >= http.StatusInternalServerError
}

// giveUpAt returns when no further attempt of the generation may begin; zero: it may at any time.
func (c *checker) giveUpAt(g *generation) (at time.Time) {
	if c.h.Policy.GiveUpAfter == 0 {
		return at
	}
	for _, f := range g.requested {
		if f.sync.Released != nil && *f.sync.Released && f.at.After(at) {
			at = f.at
		}
	}
	return at.Add(c.h.Policy.GiveUpAfter)
}

func (c *checker) horizon(g *generation) string {
	if at := c.giveUpAt(g); !at.IsZero() {
		return "attempts may begin until " + clock(at)
	}
	return "nobody gives up in this run"
}

// isTimeToGiveUp reports whether the next attempt would have begun too late. Its delay counts from the terminal event: that of a
// look-up without an answer begins then.
func (c *checker) isTimeToGiveUp(g *generation, end, last *fact) bool {
	next := end.at.Add(c.delay(end.sync.Attempts))
	if requested, ok := retryAfter(last); ok && requested.After(next) {
		next = requested
	}
	at := c.giveUpAt(g)
	return !at.IsZero() && next.After(at.Add(-rounding))
}

// checkGivesUp requires that no attempt but the first begins, or is planned, after the time to give up.
func (c *checker) checkGivesUp(o *order, g *generation) {
	at := c.giveUpAt(g)
	if at.IsZero() {
		return
	}
	for n, all := range g.after {
		if f := all[0]; f.sync.NextAttemptAt != nil && f.sync.NextAttemptAt.After(at.Add(rounding)) {
			c.violate(5, "a retry after the time to give up", o, "%s plans attempt %d for %s; %s", f.where(), n+1, clock(*f.sync.NextAttemptAt), c.horizon(g))
		}
	}
	for n, all := range g.before {
		if f := all[0]; n > 1 && f.at.After(at.Add(maxBeginDelay)) && !c.stopped(at, f.at) {
			c.violate(5, "an attempt after the time to give up", o, "%s begins attempt %d at %s; %s", f.where(), n, clock(f.at), c.horizon(g))
		}
	}
}
