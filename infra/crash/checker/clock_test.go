package checker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// A process whose clock was set back writes old times. What it did is judged by when it did it.
func TestTimesOfAClockThatWasPutBack(t *testing.T) {
	t.Parallel()
	stop := history.Disturbance{Kind: "stop", At: began, Restarted: began.Add(10 * time.Second), ClockStep: 20 * time.Second, ClockRestored: began.Add(15 * time.Second)}
	for name, c := range map[string]struct {
		written, recorded, want time.Duration // since began
		of                      history.Disturbance
	}{
		"by the clock that was set back": {12 * time.Second, -9 * time.Second, 11 * time.Second, stop},
		"by another process's":           {12 * time.Second, 11 * time.Second, 11 * time.Second, stop},
		"long after the clock was right": {15*time.Second + 2*resumeDelay, 0, 0, stop},
		"before it was set back":         {-time.Second, -time.Minute, -time.Minute, stop},
		"a stop without another clock":   {12 * time.Second, -9 * time.Second, -9 * time.Second, history.Disturbance{Kind: "stop", At: began}},
	} {
		k := checker{h: &history.History{Disturbances: []history.Disturbance{c.of}}}
		f := &fact{Record: &history.Record{Timestamp: began.Add(c.written)}, at: began.Add(c.recorded)}
		require.Equal(t, began.Add(c.want), k.correctTime(f), name)
	}
}
