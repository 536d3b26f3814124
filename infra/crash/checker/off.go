package checker

import (
	"slices"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

const (
	settingEnabled = "enabled"
	// maxInForceDelay is when a changed setting must be in force in every process: within a second, and one more for what a
	// busy machine adds, and for a call that had begun to arrive.
	maxInForceDelay = 2 * time.Second
	// maxBacklogDelay is how long what has gathered while the connector was off may still show.
	maxBacklogDelay = 5 * time.Second
)

// checkConnectorOff is the half of promise 8 that is built: while the connector is off no call begins. A process that was halted
// then, or cannot read the settings for want of Postgres, may not know of it.
func (c *checker) checkConnectorOff() {
	for _, s := range c.h.Switches {
		if s.Setting != settingEnabled {
			continue
		}
		from, to := s.Off.Add(maxInForceDelay), s.OnRequested
		if to.IsZero() {
			to = c.h.Ended
		}
		for _, o := range c.inOrder() {
			for _, call := range o.calls {
				if call.Began.After(from) && call.Began.Before(to) && !c.mayNotKnowSettings(s.OffRequested, call.Began) {
					c.violate(8, "a call while the connector was off", o, "call %d began at %s; that it is off was answered at %s, and it was turned on at %s",
						call.Number, clock(call.Began), clock(s.Off), clock(to))
				}
			}
		}
	}
}

// mayNotKnowSettings reports whether some process may not have known the settings in that time.
func (c *checker) mayNotKnowSettings(from, to time.Time) bool {
	return slices.ContainsFunc(c.h.Disturbances, func(d history.Disturbance) bool {
		return (d.Kind == "stop" || d.Target == "postgres") && d.At.Before(to) && c.endOf(d).Add(maxInForceDelay).After(from)
	})
}

// connectorOff reports whether the connector was off in the time, or shortly before.
func (c *checker) connectorOff(from, to time.Time) bool {
	return slices.ContainsFunc(c.h.Switches, func(s history.Switch) bool {
		on := s.On
		if on.IsZero() {
			on = c.h.Ended
		}
		return s.Setting == settingEnabled && s.OffRequested.Before(to) && on.Add(maxBacklogDelay).After(from)
	})
}
