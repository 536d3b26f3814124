package txn

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestTrackerRestoresExactlyWhatIsDone begins and finishes records in any order, with gaps and crashes. It checks that
// a record begins again if and only if it was not confirmed.
func TestTrackerRestoresExactlyWhatIsDone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var log []int64 // the offsets that hold records; others are markers
		for o := int64(0); o < 400; o++ {
			if rapid.IntRange(0, 4).Draw(t, "marker") > 0 {
				log = append(log, o)
			}
		}
		committed, metadata := int64(0), ""
		done := map[int64]bool{}
		for range 4 { // lives of the process
			tracker := restored(t, committed, metadata)
			var open []int64
			for _, o := range log {
				if o < committed {
					require.True(t, done[o], "offset %d is below the position and not done", o)
					continue
				}
				if len(open) > 0 && rapid.IntRange(0, 60).Draw(t, "crash") == 0 {
					break
				}
				fresh := tracker.begin(o)
				require.Equal(t, !done[o], fresh, "offset %d", o)
				if fresh {
					open = append(open, o)
				}
				if len(open) > 0 && rapid.Bool().Draw(t, "finish") {
					i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
					finished := []int64{open[i]}
					position, m, err := tracker.snapshot(finished)
					require.NoError(t, err)
					require.LessOrEqual(t, len(m), MaxMetadataBytes)
					if rapid.IntRange(0, 9).Draw(t, "aborts") > 0 {
						committed, metadata = position, m
						tracker.confirm(finished)
						done[open[i]] = true
						open = append(open[:i], open[i+1:]...)
					}
				}
			}
		}
	})
}

// Whichever of the records finish that have begun, the metadata stays below the brokers' limit.
func TestTrackerMetadataStaysBelowTheBrokersLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPartition(nil, assigned{})
		gaps := rapid.SampledFrom([]int64{1, 3, 200, 40_000}).Draw(t, "gaps")
		finish := rapid.IntRange(1, 5).Draw(t, "finish")
		var open []int64
		for o := int64(0); p.canBegin(o); o += rapid.Int64Range(1, gaps).Draw(t, "gap") {
			require.True(t, p.tracker.begin(o))
			open = append(open, o)
		}
		require.Greater(t, len(open), 500, "it does not stop long before")
		var done []int64
		for i, o := range open {
			if i%finish == 0 {
				done = append(done, o)
			}
		}
		_, metadata, err := p.tracker.snapshot(done)
		require.NoError(t, err)
		size := p.tracker.size
		p.tracker.confirm(done)
		require.LessOrEqual(t, p.tracker.size, size)
		_, again, err := p.tracker.snapshot(nil)
		require.NoError(t, err)
		require.Equal(t, metadata, again)
	})
}

// The example of metadata.go.
func TestTheMetadataOfTheExample(t *testing.T) {
	tracker := newTracker(5, nil)
	for o := int64(5); o <= 9; o++ {
		tracker.begin(o)
	}
	position, metadata, err := tracker.snapshot([]int64{6, 7, 9})
	require.NoError(t, err)
	require.Equal(t, int64(5), position)
	require.Equal(t, "AQECAQE", metadata)
	next := restored(t, 5, metadata)
	for o, done := range map[int64]bool{4: true, 5: false, 6: true, 7: true, 8: false, 9: true, 10: false} {
		require.Equal(t, done, next.isDone(o), o)
	}
}

func FuzzParseMetadata(f *testing.F) {
	f.Add(int64(5), "AQECAw")
	f.Add(int64(5), "AgABAQcDAgEB")
	f.Fuzz(func(t *testing.T, position int64, metadata string) {
		if position < 0 || position > 1<<40 {
			return
		}
		c, err := parse(position, metadata)
		if err != nil {
			return
		}
		p := newPartition(nil, assigned{committed: c})
		at, err := p.offset(nil)
		if err != nil {
			return // more than a broker would have kept
		}
		require.GreaterOrEqual(t, at.At, position)
		_, err = parse(at.At, at.Metadata)
		require.NoError(t, err)
	})
}

// restored returns a tracker that starts at a committed position.
func restored(t require.TestingT, position int64, metadata string) *tracker {
	c, err := parse(position, metadata)
	require.NoError(t, err)
	return newTracker(c.position, c.done)
}

// tracker returns a tracker that starts where the partition does.
func (a assigned) tracker() *tracker { return newTracker(a.committed.position, a.committed.done) }

// snapshot returns what to commit as if the offsets were done.
func (t *tracker) snapshot(done []int64) (position int64, metadata string, err error) {
	at, err := encode(t, nil, map[*tracker]map[int64]bool{t: setOf(done)})
	return at.At, at.Metadata, err
}
