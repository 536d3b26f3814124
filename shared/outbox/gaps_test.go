package outbox

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Gaps behave as the set of their ids.
func TestGapsAreASetOfIDs(t *testing.T) {
	t.Parallel()
	const most = 40
	ids := rapid.Custom(func(t *rapid.T) []int64 {
		drawn := rapid.SliceOfN(rapid.Int64Range(1, most), 0, 20).Draw(t, "ids")
		slices.Sort(drawn)
		return slices.Compact(drawn)
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, at := ids.Draw(t, "a"), ids.Draw(t, "b"), rapid.Int64Range(0, most+1).Draw(t, "at")
		for name, c := range map[string]struct {
			got Gaps
			has func(id int64) bool
		}{
			"of":      {GapsOf(a...), func(id int64) bool { return slices.Contains(a, id) }},
			"and":     {GapsOf(a...).And(GapsOf(b...)), func(id int64) bool { return slices.Contains(a, id) || slices.Contains(b, id) }},
			"without": {GapsOf(a...).Without(GapsOf(b...)), func(id int64) bool { return slices.Contains(a, id) && !slices.Contains(b, id) }},
			"up_to":   {GapsOf(a...).UpTo(at), func(id int64) bool { return slices.Contains(a, id) && id <= at }},
		} {
			for id := int64(0); id <= most+1; id++ {
				require.Equal(t, c.has(id), c.got.Has(id), "%s: %d of %v", name, id, c.got)
			}
			for i, r := range c.got {
				require.LessOrEqual(t, r.First, r.Last, name)
				require.True(t, i == 0 || c.got[i-1].Last+1 < r.First, "%s: %v touch", name, c.got)
			}
		}
	})
}

func TestGapsInJSON(t *testing.T) {
	t.Parallel()
	gaps := Gaps{{3, 3}, {7, 1 << 41}}
	encoded, err := json.Marshal(gaps)
	require.NoError(t, err)
	require.JSONEq(t, `[[3,3],[7,2199023255552]]`, string(encoded))
	var again Gaps
	require.NoError(t, json.Unmarshal(encoded, &again))
	require.Equal(t, gaps, again)
	for _, wrong := range []string{`[[3]]`, `[[4,3]]`, `[[1,2,3]]`, `[3]`} {
		require.Error(t, json.Unmarshal([]byte(wrong), &again), wrong)
	}
}
