package spelling

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Few letters, so that generated words have letters in common and swaps happen.
var word = rapid.SliceOfN(rapid.SampledFrom([]rune("abc")), 0, 7)

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"source", "source", 0},
		{"source", "sourc", 1},
		{"source", "sources", 1},
		{"source", "sourse", 1},
		{"source", "soruce", 1},
		{"ab", "ba", 1},
		{"ca", "abc", 3}, // a swapped pair is not changed a second time
		{"größe", "grösse", 2},
	} {
		require.Equal(t, c.want, distance([]rune(c.a), []rune(c.b)), "%q to %q", c.a, c.b)
	}
}

// The table of rows gives what the definition gives, which tries every last step.
func TestDistanceIsWhatItsDefinitionSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		require.Equal(t, byDefinition(a, b), distance(a, b), "%q to %q", string(a), string(b))
		require.Equal(t, distance(a, b), distance(b, a))
		require.Equal(t, slices.Equal(a, b), distance(a, b) == 0)
	})
}

// byDefinition is the recursive definition of the distance. It needs no table, and exponential time.
func byDefinition(a, b []rune) int {
	if len(a) == 0 || len(b) == 0 {
		return len(a) + len(b)
	}
	lastA, lastB := len(a)-1, len(b)-1
	change := 1
	if a[lastA] == b[lastB] {
		change = 0
	}
	least := min(byDefinition(a[:lastA], b)+1, byDefinition(a, b[:lastB])+1, byDefinition(a[:lastA], b[:lastB])+change)
	if lastA > 0 && lastB > 0 && a[lastA] == b[lastB-1] && a[lastA-1] == b[lastB] {
		least = min(least, byDefinition(a[:lastA-1], b[:lastB-1])+1)
	}
	return least
}

// A known name with one mistake in it is found, and nothing is found for a name that shares no letter with a known one.
func TestNearestFindsANameWithOneMistake(t *testing.T) {
	t.Parallel()
	known := []string{"orderIncrementId", "source", "reason"}
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SampledFrom(known).Draw(t, "name")
		name := []rune(want)
		at := rapid.IntRange(0, len(name)-2).Draw(t, "at")
		switch rapid.SampledFrom([]string{"leave_out", "insert", "change", "swap"}).Draw(t, "mistake") {
		case "leave_out":
			name = slices.Delete(name, at, at+1)
		case "insert":
			name = slices.Insert(name, at, 'x')
		case "change":
			name[at] = 'x'
		case "swap":
			name[at], name[at+1] = name[at+1], name[at]
		}
		require.Equal(t, want, Nearest(string(name), known))
		require.Empty(t, Nearest("xxxxxxxx", known))
	})
}
