package checker

import "time"

// checkSerial is promise 6. Calls of one order do not overlap in the ERP's book, and no before_send of an older generation
// comes after one of a newer. While a process was stopped (SIGSTOP) an overlap is a figure, see stopped.
func (c *checker) checkSerial(o *order) {
	var last *erpCall // the one that ended last
	for _, call := range o.calls {
		if last != nil && call.Began.Before(last.runningUntil()) {
			if c.stopped(last.Began, call.Began) {
				c.figures.OverlapsOfStopped++
			} else {
				c.violate(6, "calls of one order that overlap", o, "call %d from %s to %s, call %d from %s to %s", last.Number, clock(last.Began),
					clock(last.Ended), call.Number, clock(call.Began), clock(call.Ended))
			}
		}
		if last == nil || call.Ended.After(last.Ended) {
			last = call
		}
	}
	var newest *fact
	for _, f := range o.recordsOf(topicBefore) {
		if newest == nil || f.sync.Generation >= newest.sync.Generation {
			newest = f
			continue
		}
		if !c.stopped(newest.Timestamp, f.Timestamp) {
			c.violate(6, "an older generation after a newer one", o, "%s of generation %d is behind %s of generation %d",
				f.where(), f.sync.Generation, newest.where(), newest.sync.Generation)
		}
	}
}

// runningUntil returns the time up to which the call was surely running. The ERP notices the end of a call a little late.
func (call *erpCall) runningUntil() time.Time {
	if call.Status == 0 {
		return call.Ended.Add(-maxDisconnectLag)
	}
	return call.Ended.Add(-maxAnswerLag)
}
