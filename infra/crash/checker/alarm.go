package checker

import "time"

// checkAlarms is promise 3 as the product itself sees it: a record that it finds alive though the gate says otherwise, above
// all one of a generation that has ended, was consumed twice. The second one may leave no trace in the log, as the gate
// keeps it from being written; on another day the gate is late.
//
// After a failover of Postgres gates are missing or behind, until the repair and a moment longer: what was under way then
// has asked before.
func (c *checker) checkAlarms() {
	for _, a := range c.h.Alarms {
		if c.inFailover(a.At, alarmLag) {
			c.figures.LostGates++
			continue
		}
		c.violate(3, "a gate at odds with the log", c.order(orderKey(a.Source, a.Order)), "%s of generation %d at %s: %s",
			a.Target, a.Generation, clock(a.At), a.Text)
	}
}

// alarmLag is how long after a repair a call may still end whose gate was read before.
const alarmLag = 10 * time.Second

// inFailover reports whether what was confirmed at that time may have been lost; the standby lags a little anyway.
func (c *checker) inFailover(at time.Time, lag time.Duration) bool {
	for _, f := range c.h.Failovers {
		if at.After(f.From.Add(-standbyLag)) && at.Before(f.To.Add(lag)) {
			return true
		}
	}
	return false
}

const standbyLag = 2 * time.Second
