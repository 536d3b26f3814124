package domain

import (
	"math"
	"slices"
	"time"
)

// Histogram counts lengths of time by buckets whose bounds grow by the square root of 2, from 1 ms: bucket 0 has what is below 1 ms,
// bucket 1 up to 1.4 ms, bucket 2 up to 2 ms, and so on. The last one, number 53, has all from 67,108 s, some 19 hours. Empty buckets at
// the end are left out, so histograms of different lengths go together.
type Histogram []int32

const lastBucket = 53

// bucketBound is where a bucket ends, in milliseconds.
func bucketBound(i int) float64 { return math.Exp2(float64(i) / 2) }

// With is the histogram with one more length of time.
func (h Histogram) With(d time.Duration) Histogram {
	i := bucketOf(d)
	if missing := i + 1 - len(h); missing > 0 {
		h = append(slices.Clip(h), make(Histogram, missing)...)
	}
	h[i]++
	return h
}

// bucketOf is the number of the bucket that counts d.
func bucketOf(d time.Duration) int {
	ms := float64(d) / float64(time.Millisecond)
	if ms < 1 {
		return 0
	}
	i := min(lastBucket, int(2*math.Log2(ms))+1)
	switch { // the logarithm of a bound may be off by one bit
	case ms < bucketBound(i-1):
		return i - 1
	case i < lastBucket && ms >= bucketBound(i):
		return i + 1
	}
	return i
}

// Add adds another histogram to h, which it may change; the sum is what it returns, as of append.
func (h Histogram) Add(o Histogram) Histogram {
	if missing := len(o) - len(h); missing > 0 {
		h = append(h, make(Histogram, missing)...)
	}
	for i, n := range o {
		h[i] += n
	}
	return h
}

// Count is how many lengths of time are counted.
func (h Histogram) Count() (n int64) {
	for _, in := range h {
		n += int64(in)
	}
	return n
}

// Quantile estimates the length of time that a share q of all do not exceed; ok is false when there is none. The estimate lies in the
// bucket of the true one, so it is off by a factor of 1.42 at most. Within a bucket it assumes that the logarithms are spread evenly. Of
// the last bucket it gives the lower bound.
func (h Histogram) Quantile(q float64) (d time.Duration, ok bool) {
	rank, below := max(1, math.Ceil(q*float64(h.Count()))), 0.
	for i, n := range h {
		if n > 0 && below+float64(n) >= rank {
			return time.Duration(within(i, (rank-below)/float64(n)) * float64(time.Millisecond)), true
		}
		below += float64(n)
	}
	return 0, false
}

// within is the place in bucket i, in milliseconds, below which a share of its lengths are.
func within(i int, share float64) float64 {
	switch i {
	case 0:
		return share
	case lastBucket:
		return bucketBound(i - 1)
	}
	return bucketBound(i-1) * math.Pow(math.Sqrt2, share)
}
