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
			tracker, err := newTracker(committed, metadata)
			require.NoError(t, err)
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

func TestTrackerMetadataStaysBelowTheBrokersLimit(t *testing.T) {
	tracker, err := newTracker(0, "")
	require.NoError(t, err)
	o := int64(0)
	for ; tracker.canBegin(o); o++ {
		tracker.begin(o)
		if o%2 == 1 {
			_, metadata, err := tracker.snapshot([]int64{o})
			require.NoError(t, err)
			require.LessOrEqual(t, len(metadata), MaxMetadataBytes)
			tracker.confirm([]int64{o})
		}
	}
	require.Equal(t, int64(window), o)
}

// The example of tracker's comment.
func TestTheMetadataOfTheExample(t *testing.T) {
	tracker, err := newTracker(5, "")
	require.NoError(t, err)
	for o := int64(5); o <= 9; o++ {
		tracker.begin(o)
	}
	position, metadata, err := tracker.snapshot([]int64{6, 7, 9})
	require.NoError(t, err)
	require.Equal(t, int64(5), position)
	require.Equal(t, "AQECAQE", metadata)
	done, err := parseMetadata(5, metadata)
	require.NoError(t, err)
	require.Equal(t, map[int64]bool{6: true, 7: true, 9: true}, done)
}

func FuzzParseMetadata(f *testing.F) {
	f.Add(int64(5), "AQECAw")
	f.Fuzz(func(t *testing.T, position int64, metadata string) {
		if position < 0 || position > 1<<40 {
			return
		}
		tracker, err := newTracker(position, metadata)
		if err != nil {
			return
		}
		committed, m, err := tracker.snapshot(nil)
		require.NoError(t, err)
		require.GreaterOrEqual(t, committed, position)
		_, err = newTracker(committed, m)
		require.NoError(t, err)
	})
}
