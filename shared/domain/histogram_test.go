package domain

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestHistogramBuckets(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]int{
		-time.Second: 0, 0: 0, 999 * time.Microsecond: 0, time.Millisecond: 1, 1414 * time.Microsecond: 1, 1415 * time.Microsecond: 2, 2 * time.Millisecond: 3,
		time.Second: 20, 67_108 * time.Second: 52, 67_109 * time.Second: 53, 1000 * time.Hour: 53,
	} {
		require.Equal(t, want, bucketOf(d), "%s", d)
		require.Len(t, Histogram(nil).With(d), want+1)
	}
	_, ok := Histogram(nil).Quantile(0.5)
	require.False(t, ok)
	d, ok := Histogram(nil).With(1000 * time.Hour).Quantile(0.5)
	require.True(t, ok)
	require.InDelta(t, 67_108, d.Seconds(), 1, "at least")
}

// An estimate is in the bucket of the true quantile, and the order in which histograms are added does not matter.
func TestQuantilesAreOffByAFactorOf1Point42AtMost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.SliceOfN(rapid.IntRange(1, 60_000_000), 1, 300).Draw(t, "ms")
		var one, a, b Histogram
		for i, n := range ms {
			d := time.Duration(n) * time.Millisecond
			one = one.With(d)
			if i%3 == 0 {
				a = a.With(d)
			} else {
				b = b.With(d)
			}
		}
		require.Equal(t, one, slices.Clone(a).Add(b))
		require.Equal(t, one, slices.Clone(b).Add(a))
		require.EqualValues(t, len(ms), one.Count())
		q := rapid.Float64Range(0.01, 1).Draw(t, "q")
		slices.Sort(ms)
		want := float64(ms[max(1, int(math.Ceil(q*float64(len(ms)))))-1])
		got, ok := one.Quantile(q)
		require.True(t, ok)
		factor := float64(got) / float64(time.Millisecond) / want
		require.InDelta(t, 0, math.Log(factor), math.Log(1.4143), "%v for %v", got, want)
	})
}
