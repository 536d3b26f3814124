package stream

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzParseID: an id that a client sends is refused, or is a place that its own text names again.
func FuzzParseID(f *testing.F) {
	f.Add(ID{log: 7, next: []int64{0, 1, 1 << 40}}.String())
	f.Add(ID{}.String())
	f.Add("AQ")
	f.Add("!")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseID(text)
		if err != nil {
			return
		}
		for _, offset := range id.next {
			require.GreaterOrEqual(t, offset, int64(0))
		}
		again, err := ParseID(id.String())
		require.NoError(t, err)
		require.Equal(t, id, again)
	})
}
