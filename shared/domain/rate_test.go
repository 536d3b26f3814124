package domain

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestReservations(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rate        Rate
		next        time.Duration // after noon
		count       int
		after       time.Duration
		first, last time.Duration
	}{
		"one at rest":           {50, -time.Hour, 1, 20 * time.Millisecond, 0, 0},
		"five at rest":          {50, -time.Hour, 5, 100 * time.Millisecond, 0, 80 * time.Millisecond},
		"behind others":         {50, time.Second, 2, 1040 * time.Millisecond, time.Second, 1020 * time.Millisecond},
		"a call in two seconds": {0.5, 0, 1, 2 * time.Second, 0, 0},
		"never above the rate":  {3, 0, 3, 1000000002, 0, 666666668},
		"no limit":              {0, time.Hour, 5, time.Hour, 0, 0},
		"none":                  {50, time.Second, 0, time.Second, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			after, taken := c.rate.Reserve(noon.Add(c.next), c.count, noon)
			require.Equal(t, noon.Add(c.after), after)
			require.Equal(t, c.count, taken.Count)
			require.Equal(t, noon.Add(c.first), taken.At(0))
			require.Equal(t, noon.Add(c.last), taken.At(max(0, c.count-1)))
		})
	}
	require.Equal(t, time.Duration(math.MaxInt64/1024), Rate(1e-300).Interval(), "a wait that time can hold")
}

func TestHowManyFitIntoATime(t *testing.T) {
	t.Parallel()
	require.Equal(t, []int{5, 1, 1, 1000}, []int{
		Rate(50).Batch(100 * time.Millisecond), Rate(9).Batch(100 * time.Millisecond), Rate(0.5).Batch(time.Second), Rate(10_000).Batch(100 * time.Millisecond),
	})
}

func TestAChangedRate(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	require.Equal(t, at(20*time.Millisecond), Rate(50).Changed(Rate(1.0/3600), at(time.Hour), noon), "the next hour was reserved by one call")
	require.Equal(t, at(10*time.Second), Rate(1).Changed(10, at(time.Second), noon), "ten calls were reserved")
	require.Equal(t, at(-time.Second), Rate(1).Changed(10, at(-time.Second), noon))
	require.Equal(t, at(0), Rate(0).Changed(10, at(time.Second), noon), "no limit any more")
	require.Equal(t, at(time.Second), Rate(5).Changed(0, at(time.Second), noon))
}

// Whoever reserves how many and when: no second holds more requests than the rate, wherever it begins, and none is wasted while
// somebody waits.
func TestNoSecondHoldsMoreThanTheRate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate := Rate(rapid.IntRange(1, 200).Draw(t, "rate"))
		var next time.Time
		var starts []time.Time
		now := noon
		for range rapid.IntRange(1, 40).Draw(t, "asks") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(300*time.Millisecond)).Draw(t, "passed")))
			was := next
			var taken Reservation
			next, taken = rate.Reserve(next, rapid.IntRange(1, rate.Batch(time.Second)).Draw(t, "count"), now)
			require.False(t, taken.First.Before(now))
			require.True(t, taken.First.Equal(now) || taken.First.Equal(was), "as early as can be")
			for i := range taken.Count {
				starts = append(starts, taken.At(i))
			}
		}
		require.True(t, slices.IsSortedFunc(starts, time.Time.Compare))
		for i, from := range starts {
			n := 0
			for _, s := range starts[i:] {
				if s.Before(from.Add(time.Second)) {
					n++
				}
			}
			require.LessOrEqual(t, n, int(rate), "from %s on", from)
		}
	})
}
