package projector

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The rests grow while records wait at the end of each, and are short again once a poll had to wait.
func TestRestsGrowWhileRecordsWait(t *testing.T) {
	t.Parallel()
	rest := minRest
	for _, one := range []struct{ took, then time.Duration }{
		{0, 30 * time.Millisecond}, {waited, maxRest}, {0, maxRest}, {waited + 1, minRest}, {0, 30 * time.Millisecond},
	} {
		rest = restAfter(rest, one.took)
		require.Equal(t, one.then, rest)
	}
}
