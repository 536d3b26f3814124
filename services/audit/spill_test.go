package audit

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Whatever is added, taken and dropped in turns, in memory and beyond it: a bucket gives back its own bytes in their order.
func TestSpillGivesBackWhatWasAdded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const buckets = 3
		s := newSpill(buckets, rapid.IntRange(0, 3).Draw(t, "chunks in memory")*chunkBytes)
		defer func() { require.NoError(t, s.close()) }()
		model := make([][]byte, buckets)
		took := func(n int) {
			all, err := s.take(n)
			require.NoError(t, err)
			require.True(t, bytes.Equal(model[n], all), "bucket %d: %d bytes, %d were added", n, len(all), len(model[n]))
			model[n] = nil
		}
		entry := []byte{}
		for i := range rapid.IntRange(1, 40).Draw(t, "steps") {
			n := rapid.IntRange(0, buckets-1).Draw(t, "bucket")
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				took(n)
			case 1:
				s.reset()
				model = make([][]byte, buckets)
			default:
				entry = append(entry[:0], bytes.Repeat([]byte{byte(i)}, rapid.IntRange(0, 3*chunkBytes).Draw(t, "bytes"))...)
				require.NoError(t, s.add(n, entry))
				model[n] = append(model[n], entry...)
			}
		}
		for n := range buckets {
			took(n)
		}
		require.LessOrEqual(t, len(s.memory)*chunkBytes, s.limit)
		require.Len(t, s.free, s.next, "each chunk was given up")
	})
}

// The file has no name while it is open, so that a process that is killed leaves none; and its place is TMPDIR's.
func TestSpillLeavesNoFile(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	s := newSpill(1, 0)
	require.NoError(t, s.add(0, make([]byte, 2*chunkBytes)))
	require.NotNil(t, s.file)
	require.Equal(t, folder, filepath.Dir(s.file.Name()))
	all, err := s.take(0)
	require.NoError(t, err)
	require.Len(t, all, 2*chunkBytes)
	require.NoError(t, s.close())
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, left)

	t.Setenv("TMPDIR", filepath.Join(folder, "nowhere"))
	s = newSpill(1, 0)
	require.ErrorContains(t, s.add(0, make([]byte, chunkBytes)), "TMPDIR says where")
}
