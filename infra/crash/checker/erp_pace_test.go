package checker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// window is an operator's word of a maintenance window that began before a call.
func window(called time.Time) history.Switch {
	return history.Switch{
		Setting: history.Maintenance, OffRequested: called.Add(-20 * time.Second), Off: called.Add(-19 * time.Second),
		OnRequested: called.Add(time.Minute), On: called.Add(time.Minute),
		Begins: called.Add(-3 * time.Second), Ends: called.Add(58 * time.Second),
	}
}

func TestACallIsRightThatDidNotMeetAWindow(t *testing.T) {
	for name, change := range map[string]func(h *history.History, s *history.Switch, called time.Time){
		"it was over": func(_ *history.History, s *history.Switch, called time.Time) {
			s.Begins, s.Ends = called.Add(-10*time.Second), called.Add(-time.Millisecond)
		},
		"it had just begun": func(_ *history.History, s *history.Switch, called time.Time) { s.Begins = called.Add(-time.Second) },
		"there is none any more": func(_ *history.History, s *history.Switch, called time.Time) {
			s.OnRequested, s.On = called.Add(-time.Millisecond), called
		},
		"it is not in force yet": func(_ *history.History, s *history.Switch, called time.Time) { s.Off = called.Add(-time.Second) },
		"a process was halted": func(h *history.History, _ *history.Switch, called time.Time) {
			h.Disturbances = append(h.Disturbances, history.Disturbance{Kind: "stop", Target: "syncer-0", Service: "syncer", Survivors: 2, At: called.Add(-9 * time.Second), Restarted: called, Ready: called})
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := around(func(o *actor) { sent(o.wait(time.Minute)) })
			s := window(call(h, 0).Began)
			change(h, &s, call(h, 0).Began)
			h.Switches = append(h.Switches, s)
			require.Empty(t, Check(h).Violations)
		})
	}
}
