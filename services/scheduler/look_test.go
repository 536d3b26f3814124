package scheduler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/setting"
)

func TestLookForHeldOrdersSoonThenRarely(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var l look
	looks := func(span time.Duration) (n int) {
		for end := now.Add(span); now.Before(end); now = now.Add(tickInterval) {
			if l.isDue(now) {
				n++
				l.saw(now, false)
			}
		}
		return n
	}
	require.Equal(t, 10, looks(soonFor), "at each tick")
	require.LessOrEqual(t, looks(time.Minute), 8, "then rarely")

	for !l.isDue(now) {
		now = now.Add(tickInterval)
	}
	l.saw(now, true)
	require.Equal(t, 10, looks(soonFor), "one was found: at each tick again")
}

func TestNextLookIsNotAfterTheRunsTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 4, 57, 0, time.UTC)
	for words, want := range map[string]time.Duration{
		"*/5 * * * *": 3 * time.Second,
		"0 * * * *":   rareInterval,
		"* * * * *":   -57 * time.Second, // it is due, so the next tick looks
	} {
		every, err := setting.ParseSchedule(words)
		require.NoError(t, err)
		require.Equal(t, now.Add(want), nextLook(every, now.Add(-2*time.Minute).Truncate(time.Minute).Add(time.Minute), now), words)
	}
}
