package domain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var alertPolicy = AlertPolicy{Interval: time.Hour, Settle: time.Minute}

// told is what one look has told.
type told struct {
	Event AlertEvent
	More  int64
}

func TestAlertNext(t *testing.T) {
	t.Parallel()
	type look struct {
		after time.Duration // since the look before
		level int64
		want  told
	}
	nothing := told{}
	for name, looks := range map[string][]look{
		"nothing":                       {{0, 0, nothing}, {time.Hour, 0, nothing}},
		"it_opens_once":                 {{0, 3, told{AlertOpened, 3}}, {10 * time.Second, 3, nothing}, {24 * time.Hour, 3, nothing}},
		"it_repeats_what_has_grown":     {{0, 3, told{AlertOpened, 3}}, {time.Minute, 5, nothing}, {59 * time.Minute, 9, told{AlertRepeated, 6}}, {time.Minute, 10, nothing}},
		"what_falls_is_not_told":        {{0, 5, told{AlertOpened, 5}}, {2 * time.Hour, 2, nothing}, {time.Second, 4, told{AlertRepeated, 2}}},
		"it_is_over":                    {{0, 1, told{AlertOpened, 1}}, {time.Hour, 0, nothing}, {59 * time.Second, 0, nothing}, {time.Second, 0, told{AlertResolved, 0}}},
		"it_comes_again_before_that":    {{0, 1, told{AlertOpened, 1}}, {time.Minute, 0, nothing}, {59 * time.Second, 1, nothing}, {time.Minute, 0, nothing}, {59 * time.Second, 0, nothing}},
		"it_comes_again_and_again":      {{0, 1, told{AlertOpened, 1}}, {30 * time.Minute, 0, nothing}, {10 * time.Second, 2, nothing}, {30 * time.Minute, 2, told{AlertRepeated, 2}}},
		"the_clock_goes_back":           {{0, 1, told{AlertOpened, 1}}, {-time.Hour, 2, nothing}, {2 * time.Hour, 2, told{AlertRepeated, 1}}},
		"a_level_below_0_is_nothing":    {{0, -1, nothing}},
		"the_next_one_is_another_alert": {{0, 1, told{AlertOpened, 1}}, {0, 0, nothing}, {time.Minute, 0, told{AlertResolved, 0}}, {0, 4, told{AlertOpened, 4}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, now := Alert{AlertKey: AlertKey{Kind: AlertQuarantine}}, time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
			for i, l := range looks {
				now = now.Add(l.after)
				var got told
				a, got.Event, got.More = alertPolicy.Next(a, l.level, now)
				require.Equal(t, l.want, got, "look %d", i)
				if got.Event == AlertResolved {
					a = Alert{AlertKey: a.AlertKey}
				}
			}
		})
	}
}

// Whatever the level does: an alert opens, repeats no more often than once an interval, tells no more than what has grown, and is resolved
// once the level was 0 for long enough. When the level only grows, all of it is told in the end.
func TestAlertsTellWhatGrowsAndNoMoreOftenThanTheyMay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now, a := time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC), Alert{AlertKey: AlertKey{Kind: AlertDeadLetters}}
		var last, clearSince time.Time
		var level, grown, said int64
		for range rapid.IntRange(1, 60).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.IntRange(1, 1500).Draw(t, "seconds")) * time.Second)
			next := max(0, level+rapid.Int64Range(-3, 3).Draw(t, "change"))
			grown += max(0, next-level)
			level = next
			if level > 0 {
				clearSince = time.Time{}
			} else if clearSince.IsZero() {
				clearSince = now
			}
			wasOpen := !a.OpenedAt.IsZero()
			after, event, more := alertPolicy.Next(a, level, now)
			a, said = after, said+more
			switch event {
			case AlertOpened:
				require.False(t, wasOpen)
				require.Equal(t, level, more)
			case AlertRepeated:
				require.True(t, wasOpen)
				require.Positive(t, more)
				require.GreaterOrEqual(t, now.Sub(last), alertPolicy.Interval)
			case AlertResolved:
				require.True(t, wasOpen)
				require.GreaterOrEqual(t, now.Sub(clearSince), alertPolicy.Settle)
				a = Alert{AlertKey: a.AlertKey}
			case AlertNothing:
				require.Equal(t, wasOpen, !a.OpenedAt.IsZero())
				require.Equal(t, level > 0, !a.OpenedAt.IsZero() && a.ClearSince.IsZero())
			}
			if event != AlertNothing {
				last = now
			}
			require.LessOrEqual(t, said+level-a.Told, grown, "what is told, and what is still to be told, has grown")
		}
		if level > 0 {
			now = now.Add(alertPolicy.Interval)
			after, _, _ := alertPolicy.Next(a, level, now)
			require.Equal(t, level, after.Told, "in the end the level is told")
		}
	})
}

func TestLookLeavesWhatCouldNotBeTold(t *testing.T) {
	t.Parallel()
	now := time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
	open := func(kind AlertKind, subject string, told int64) Alert {
		return Alert{AlertKey: AlertKey{kind, subject}, OpenedAt: now, ToldAt: now, Told: told}
	}
	known := []Alert{open(AlertBreaker, "", 1), open(AlertOrdersFailed, "7", 2), open(AlertQuarantine, "", 3)}
	found := AlertLevels{AlertOrdersFailed: {"8": 4}, AlertQuarantine: {"": 3}, AlertDeadLetters: {}}
	clear := open(AlertOrdersFailed, "7", 0)
	clear.ClearSince = now
	require.Equal(t, []AlertChange{
		{Alert: clear},
		{Alert: open(AlertOrdersFailed, "8", 4), Event: AlertOpened, Level: 4, More: 4},
	}, alertPolicy.Look(known, found, now))
	require.Empty(t, alertPolicy.Look(known, nil, now))
}

func TestGatherSubjects(t *testing.T) {
	t.Parallel()
	levels := map[string]int64{"a": 1, "b": 9, "c": 5, "d": 7}
	isOpen := func(subject string) bool { return subject == "a" }
	require.Equal(t, levels, GatherSubjects(levels, isOpen, 4))
	require.Equal(t, map[string]int64{"a": 1, "b": 9, AlertOthers: 12}, GatherSubjects(levels, isOpen, 2))
	require.Equal(t, map[string]int64{AlertOthers: 22}, GatherSubjects(levels, isOpen, 0))
}

// However many there are, no more than so many have alerts of their own, and none is lost.
func TestGatheredSubjectsAreAllCounted(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		levels := rapid.MapOf(rapid.StringMatching(`[0-9]{1,3}`), rapid.Int64Range(1, 50)).Draw(t, "levels")
		most := rapid.IntRange(0, 5).Draw(t, "most")
		got := GatherSubjects(levels, func(subject string) bool { return len(subject) == 1 }, most)
		require.LessOrEqual(t, len(got), most+1)
		var all, gathered int64
		for _, n := range levels {
			all += n
		}
		for _, n := range got {
			gathered += n
		}
		require.Equal(t, all, gathered)
	})
}

func TestDeliveryNext(t *testing.T) {
	t.Parallel()
	p, made := DefaultDeliveryPolicy(), time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		attempts   int
		now, asked time.Duration // since it was made; asked 0: it does not say
		random     float64
		want       time.Duration // 0: there is no more
	}{
		"the_first_was_in_vain":   {attempts: 1, now: time.Second, want: 11 * time.Second},
		"waits_double":            {attempts: 4, now: time.Minute, want: 140 * time.Second},
		"waits_are_lengthened":    {attempts: 1, random: 0.5, want: 11 * time.Second},
		"an_hour_at_most":         {attempts: 1000, now: time.Hour, want: 2 * time.Hour},
		"it_asks_for_later":       {attempts: 1, asked: 5 * time.Minute, want: 5 * time.Minute},
		"it_asks_for_too_late":    {attempts: 1, asked: 48 * time.Hour, want: time.Hour},
		"it_asks_for_sooner":      {attempts: 1, asked: time.Second, want: 10 * time.Second},
		"a_day_has_passed":        {attempts: 30, now: 23*time.Hour + 30*time.Minute},
		"the_last_one_of_the_day": {attempts: 30, now: 22 * time.Hour, want: 23 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked time.Time
			if c.asked > 0 {
				asked = made.Add(c.asked)
			}
			at, more := p.Next(c.attempts, made, made.Add(c.now), asked, c.random)
			require.Equal(t, c.want > 0, more)
			if more {
				require.Equal(t, made.Add(c.want), at)
			}
		})
	}
}
