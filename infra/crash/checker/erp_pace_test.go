package checker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// atSecond waits until that second of the next minute.
func (o *actor) atSecond(second int) *actor {
	return o.wait(o.at.Truncate(time.Minute).Add(time.Minute + time.Duration(second)*time.Second).Sub(o.at))
}

// windows is an operator's word of maintenance windows, one of which began before a call.
func windows(called time.Time) history.Switch {
	return history.Switch{
		Setting: history.Maintenance, OffRequested: called.Add(-20 * time.Second), Off: called.Add(-19 * time.Second),
		OnRequested: called.Add(time.Minute), On: called.Add(time.Minute),
	}
}

func TestACallIsRightThatDidNotMeetAWindow(t *testing.T) {
	for name, c := range map[string]struct {
		second int
		change func(h *history.History, s *history.Switch, called time.Time)
	}{
		"it was over":       {9, func(*history.History, *history.Switch, time.Time) {}},
		"it had just begun": {0, func(*history.History, *history.Switch, time.Time) {}},
		"there are none any more": {3, func(_ *history.History, s *history.Switch, called time.Time) {
			s.OnRequested, s.On = called.Add(-time.Millisecond), called
		}},
		"it is not in force yet": {3, func(_ *history.History, s *history.Switch, called time.Time) { s.Off = called.Add(-time.Second) }},
		"a process was halted": {3, func(h *history.History, _ *history.Switch, called time.Time) {
			h.Disturbances = append(h.Disturbances, history.Disturbance{Kind: "stop", Target: "syncer-0", Service: "syncer", Survivors: 2, At: called.Add(-9 * time.Second), Restarted: called, Ready: called})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := around(func(o *actor) { sent(o.atSecond(c.second)) })
			s := windows(call(h, 0).Began)
			c.change(h, &s, call(h, 0).Began)
			h.Switches = append(h.Switches, s)
			require.Empty(t, Check(h).Violations)
		})
	}
}
