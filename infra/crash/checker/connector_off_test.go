package checker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

func TestACallIsRightThatDidNotMeetTheConnectorOff(t *testing.T) {
	for name, change := range map[string]func(h *history.History, s *history.Switch, called time.Time){
		"it is not in force yet": func(_ *history.History, s *history.Switch, called time.Time) { s.Off = called.Add(-time.Second) },
		"another setting is off": func(_ *history.History, s *history.Switch, _ time.Time) { s.Setting = "immediate_sync" },
		"it was turned on meanwhile": func(_ *history.History, s *history.Switch, called time.Time) {
			s.OnRequested = called.Add(-500 * time.Millisecond)
		},
		"a process was halted": func(h *history.History, _ *history.Switch, called time.Time) {
			h.Disturbances = append(h.Disturbances, history.Disturbance{Kind: "stop", Target: "syncer-0", Service: "syncer", Survivors: 2, At: called.Add(-9 * time.Second), Restarted: called, Ready: called})
		},
		"Postgres was away": func(h *history.History, _ *history.Switch, called time.Time) {
			h.Disturbances = append(h.Disturbances, history.Disturbance{Kind: "kill", Target: "postgres", At: called.Add(-2 * time.Second), Restarted: called.Add(-time.Second), Ready: called.Add(-time.Second)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := around(sent)
			called := call(h, 0).Began
			s := history.Switch{Setting: "enabled", OffRequested: called.Add(-4 * time.Second), Off: called.Add(-3 * time.Second), OnRequested: called.Add(time.Second), On: called.Add(2 * time.Second)}
			change(h, &s, called)
			h.Switches = append(h.Switches, s)
			require.Empty(t, Check(h).Violations)
		})
	}
}
