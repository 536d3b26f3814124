package checker

import (
	"slices"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

const (
	settingEnabled = "enabled"
	// maxInForceDelay is when a changed setting must be in force in every process. The promise is one second; the other is for a
	// busy machine and a call that had begun to arrive.
	maxInForceDelay = 2 * time.Second
	// maxBacklogDelay is how long the backlog of the time in which the connector was off may still show.
	maxBacklogDelay = 5 * time.Second
)

// checkConnectorOff is the first half of promise 8: while the connector is off no call begins. A process that was stopped,
// or could not read the settings while Postgres was down, may not know that it is off.
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
					c.violate(8, "a call while the connector was off", o, "call %d began at %s; the connector was off from %s to %s",
						call.Number, clock(call.Began), clock(s.Off), clock(to))
				}
			}
		}
	}
}

// mayNotKnowSettings reports whether some process may not have read the settings in that time.
func (c *checker) mayNotKnowSettings(from, to time.Time) bool {
	return slices.ContainsFunc(c.h.Disturbances, func(d history.Disturbance) bool {
		return (d.Kind == "stop" || d.Target == "postgres") && d.At.Before(to) && c.endOf(d).Add(maxInForceDelay).After(from)
	})
}

// notSent reports whether nothing was to be sent in that time, or shortly before: the connector was off, or calls were held back.
func (c *checker) notSent(from, to time.Time) bool {
	return c.connectorOff(from, to) || c.heldBack(from, to)
}

// connectorOff reports whether the connector was off in that time, or shortly before.
func (c *checker) connectorOff(from, to time.Time) bool {
	return slices.ContainsFunc(c.h.Switches, func(s history.Switch) bool {
		on := s.On
		if on.IsZero() {
			on = c.h.Ended
		}
		return s.Setting == settingEnabled && s.OffRequested.Before(to) && on.Add(maxBacklogDelay).After(from)
	})
}
