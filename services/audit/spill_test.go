package audit

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Whatever is added, taken, split and dropped in turns, in memory and beyond it: a bucket gives back its own entries in their order.
func TestSpillGivesBackWhatWasAdded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const buckets = 3
		kept := &store{limit: rapid.IntRange(0, 3).Draw(t, "chunks in memory") * chunkBytes}
		defer func() { require.NoError(t, kept.close()) }()
		s := newSpill(kept, buckets)
		model := make([][][]byte, buckets)
		for i := range rapid.IntRange(1, 40).Draw(t, "steps") {
			n := rapid.IntRange(0, buckets-1).Draw(t, "bucket")
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				requireEntries(t, model[n], s, n)
				model[n] = nil
			case 1:
				requireSplit(t, model[n], s, n)
				model[n] = nil
			case 2:
				s.reset()
				model = make([][][]byte, buckets)
			default:
				entry := appendText(nil, fmt.Sprint("order ", rapid.IntRange(0, 3).Draw(t, "order")))
				entry = append(entry, bytes.Repeat([]byte{byte(i)}, rapid.IntRange(0, 3*chunkBytes).Draw(t, "bytes"))...)
				require.NoError(t, s.add(n, entry))
				model[n] = append(model[n], entry)
			}
		}
		for n := range buckets {
			requireEntries(t, model[n], s, n)
		}
		require.LessOrEqual(t, len(kept.memory)*chunkBytes, kept.limit)
		require.Len(t, kept.free, kept.next, "each chunk was given up")
	})
}

// requireEntries takes a bucket, which must hold these.
func requireEntries(t *rapid.T, want [][]byte, s *spill, bucket int) {
	t.Helper()
	size := s.size(bucket)
	all, err := s.take(bucket)
	require.NoError(t, err)
	require.Len(t, all, size)
	u := unpacker(all)
	for i, entry := range want {
		require.True(t, bytes.Equal(entry, u.bytes()), "entry %d of bucket %d", i, bucket)
	}
	require.Empty(t, u)
}

// requireSplit splits a bucket by the last byte of the key.
func requireSplit(t *rapid.T, want [][]byte, s *spill, bucket int) {
	t.Helper()
	to := func(key []byte) int { return int(key[len(key)-1] % 2) }
	parts, err := s.split(bucket, 2, to)
	require.NoError(t, err)
	require.Zero(t, s.size(bucket))
	for n := range 2 {
		var its [][]byte
		for _, entry := range want {
			if to(keyOf(entry)) == n {
				its = append(its, entry)
			}
		}
		requireEntries(t, its, parts, n)
	}
}
