package checker

import (
	"slices"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

const (
	// rounding is the precision of a record's time. Calls are recorded exactly.
	rounding = time.Millisecond
	// maxAnswerLag is how late the ERP may note that it has answered, and left how late it may notice that its caller has gone: the
	// machine is busy. Real overlaps last as long as calls do.
	maxAnswerLag     = 50 * time.Millisecond
	maxDisconnectLag = 250 * time.Millisecond
	// resumeDelay is how long after a process was let go on after a stop it may act on what it knew before.
	resumeDelay = 10 * time.Second
)

// isAfter reports whether t is later than a time that was truncated to milliseconds.
func isAfter(t, cut time.Time) bool { return t.After(cut.Add(rounding)) }

// readCalls assigns each call to its order. A call that broke before the ERP had read its body names no order. It belongs to
// the order that has its key.
func (c *checker) readCalls() {
	byKey := map[string]*order{}
	for _, f := range c.facts {
		if f.Topic != topicEvent {
			byKey[f.sync.IdempotencyKey] = c.order(f.Key)
		}
	}
	for _, call := range c.h.Calls {
		o := byKey[call.Key]
		if o == nil || call.Order != "" {
			o = c.order(orderKey(call.Source, call.Order))
		}
		if call.Ended.IsZero() {
			call.Ended = c.h.Ended
		}
		o.calls = append(o.calls, &erpCall{Call: call})
	}
	for _, o := range c.orders {
		slices.SortStableFunc(o.calls, func(a, b *erpCall) int { return a.Began.Compare(b.Began) })
	}
}

// checkCalls is promise 3 as the ERP's book shows it. Each call has a before_send of its order, key and attempt that was
// appended before the call arrived, and the attempt had not ended by then. A process that was stopped (SIGSTOP) in between
// is the one exception, see stopped.
func (c *checker) checkCalls(o *order) {
	for _, call := range o.calls {
		if call.Problem != "" {
			c.violate(3, "an invalid call", o, "call %d: %s", call.Number, call.Problem)
		}
		call.intent = o.lastIntent(call)
		switch {
		case call.intent == nil && !o.hasKey(call.Key):
			continue // checkKeys reports it
		case call.intent == nil:
			c.violate(3, "a call without before_send", o, "call %d under %s arrived at %s", call.Number, call.Key, clock(call.Began))
		default:
			c.checkAnnounced(o, call)
		}
	}
}

// lastIntent returns the last before_send under the call's key that was appended before the call arrived.
func (o *order) lastIntent(call *erpCall) *fact {
	var last *fact
	for _, f := range o.facts {
		if f.Topic != topicBefore || f.sync.IdempotencyKey != call.Key || f.Timestamp.After(call.Began.Add(rounding)) {
			continue
		}
		if last == nil || f.Timestamp.After(last.Timestamp) || (f.Timestamp.Equal(last.Timestamp) && f.sync.Version > last.sync.Version) {
			last = f
		}
	}
	return last
}

// checkAnnounced requires that the attempt had not ended when the call arrived.
func (c *checker) checkAnnounced(o *order, call *erpCall) {
	g := o.byNumber[call.intent.sync.Generation]
	attempt := call.intent.sync.Version.attempt()
	ends := g.after[attempt]
	if len(ends) == 0 {
		ends = g.terminal
	}
	if len(ends) == 0 || !isAfter(call.Began, ends[0].corrected) || c.stopped(ends[0].corrected, call.Began) {
		return
	}
	call.intent = nil
	c.violate(3, "a call without before_send", o, "call %d arrived at %s; the last intent before it is of generation %d, attempt %d, which ended with %s at %s",
		call.Number, clock(call.Began), g.number, attempt, ends[0].where(), clock(ends[0].corrected))
}

// stopped reports whether a process was stopped in that time, or had just been continued. What such a process began before
// may arrive out of order: only the idempotency key prevents a second booking then.
func (c *checker) stopped(from, to time.Time) bool {
	for _, d := range c.h.Disturbances {
		if d.Kind == "stop" && d.At.Before(to) && c.endOf(d).Add(resumeDelay).After(from) {
			return true
		}
	}
	return false
}

// endOf returns when a disturbance was over: when its target was ready again, or else started again, or else the end of the
// run.
func (c *checker) endOf(d history.Disturbance) time.Time {
	switch {
	case !d.Ready.IsZero():
		return d.Ready
	case !d.Restarted.IsZero():
		return d.Restarted
	default:
		return c.h.Ended
	}
}

// checkAnswer requires that the ERP gave the answer that an attempt has, and before the attempt says so. An attempt without
// an answer must have made a call, if the ERP could be reached.
func (c *checker) checkAnswer(o *order, g *generation, f *fact) {
	if len(g.before[f.sync.Attempts]) == 0 || f.sync.Lookup == "found" {
		return // checkAfter reports the one; the other is no answer to a call, and checkBooked knows whether the ERP has the order
	}
	from := earliest(g.before[f.sync.Attempts])
	called := false
	for _, call := range o.calls {
		if call.Key != f.sync.IdempotencyKey || call.Began.Before(from.Add(-rounding)) || isAfter(call.Began, f.corrected) {
			continue
		}
		called = true
		if f.status() == 0 || (call.Status == f.status() && !isAfter(call.Ended, f.corrected.Add(maxAnswerLag))) {
			return
		}
	}
	switch {
	case f.status() != 0:
		c.violate(3, "an answer that the ERP did not give", o, "%s of generation %d, attempt %d says status %d at %s; the ERP gave no such answer between %s and then",
			f.where(), g.number, f.sync.Attempts, f.status(), clock(f.corrected), clock(from))
	case !called && c.reachable(from, f.corrected) && !c.stopped(from, f.corrected):
		c.violate(3, "an attempt without a call", o, "%s of generation %d, attempt %d has no answer, and no call arrived between %s and %s though the ERP could be reached",
			f.where(), g.number, f.sync.Attempts, clock(from), clock(f.corrected))
	default:
		if !called {
			c.figures.NeverArrived++
		}
	}
}

// reachable reports whether the ERP answered others in that time and was not down.
func (c *checker) reachable(from, to time.Time) bool {
	return !c.erpDown(from, to) && slices.ContainsFunc(c.h.Calls, func(call history.Call) bool {
		return call.Began.After(from) && call.Began.Before(to) && call.Status != 0
	})
}

// erpDown reports whether the ERP was down in that time, or within a second of it.
func (c *checker) erpDown(from, to time.Time) bool {
	return slices.ContainsFunc(c.h.Disturbances, func(d history.Disturbance) bool {
		return isERP(d) && d.At.Add(-time.Second).Before(to) && c.endOf(d).Add(time.Second).After(from)
	})
}

// callsStopped reports whether few calls went out in that time, or shortly before, because the ERP was down, or because the breaker was not
// closed after that. A breaker that opened without an outage of the ERP explains nothing.
func (c *checker) callsStopped(from, to time.Time) bool {
	return c.erpDown(from, to) || slices.ContainsFunc(c.h.Stops, func(s history.Stop) bool {
		return s.From.Before(to) && c.closedAt(s).Add(maxBacklogDelay).After(from) && c.erpDown(s.From.Add(-maxNoticeDelay), s.From)
	})
}

// closedAt is when the breaker was closed again, or the end of the run.
func (c *checker) closedAt(s history.Stop) time.Time {
	if s.To.IsZero() {
		return c.h.Ended
	}
	return s.To
}

// maxNoticeDelay is how long after an outage of the ERP the breaker may still open: some calls end later, and a process that was stopped
// finds out late.
const maxNoticeDelay = 5 * time.Second

// isERP reports whether the disturbance was one of the ERP.
func isERP(d history.Disturbance) bool { return strings.HasPrefix(d.Target, "erp") }
