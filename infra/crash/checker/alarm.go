package checker

import "time"

// checkAlarms is promise 3 as the product itself sees it. The product warns when it works on a record and the gate says
// otherwise. Such a record, above all one of a generation that has ended, was consumed twice. The gate may have kept the
// second one from the log, so only the warning shows it.
//
// After a failover of Postgres gates are missing or behind. This lasts until the repair and a moment longer, as a call may
// have read its gate before.
func (c *checker) checkAlarms() {
	for _, a := range c.h.Alarms {
		if c.inFailover(a.At, alarmLag) {
			c.figures.LostGates++
			continue
		}
		c.violate(3, "a gate that contradicts the log", c.order(orderKey(a.Source, a.Order)), "%s of generation %d at %s: %s",
			a.Target, a.Generation, clock(a.At), a.Text)
	}
}

// alarmLag is how long after a repair a call may still end that read its gate before.
const alarmLag = 10 * time.Second

// inFailover reports whether Postgres may have lost what it confirmed at that time.
func (c *checker) inFailover(at time.Time, lag time.Duration) bool {
	for _, f := range c.h.Failovers {
		if at.After(f.From.Add(-standbyLag)) && at.Before(f.To.Add(lag)) {
			return true
		}
	}
	return false
}

// standbyLag is how far a standby may be behind before its replication is paused.
const standbyLag = 2 * time.Second
