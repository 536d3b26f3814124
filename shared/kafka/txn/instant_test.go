package txn

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Symptom: after the wall clock was set back, an old heartbeat looked fresh, and work could begin without the group.
// With the monotonic clock alone, the same would happen after the machine slept.
func TestAnAgeIsByTheClockThatCountsMore(t *testing.T) {
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	sent := instant{monotonic: time.Minute, wall: at}
	for name, c := range map[string]struct {
		now  instant
		want time.Duration
	}{
		"both clocks go on":       {instant{70 * time.Second, at.Add(10 * time.Second)}, 10 * time.Second},
		"the wall was set back":   {instant{70 * time.Second, at.Add(-time.Hour)}, 10 * time.Second},
		"the machine slept":       {instant{61 * time.Second, at.Add(time.Hour)}, time.Hour},
		"the wall was set onward": {instant{61 * time.Second, at.Add(time.Minute)}, time.Minute},
	} {
		require.Equal(t, c.want, c.now.since(sent), name)
	}
	now := time.Now()
	require.Equal(t, time.Second, instantOf(now.Add(time.Second)).since(instantOf(now)))
}
