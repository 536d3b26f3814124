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
	for _, one := range []struct {
		took time.Duration
		busy bool
		then time.Duration
	}{
		{took: 0, then: 2 * minRest},
		{took: waited, then: 4 * minRest},
		{took: 0, then: 8 * minRest},
		{took: 0, then: maxRest},
		{took: 0, busy: true, then: busyRest},
		{took: waited + 1, then: minRest},
		{took: 0, busy: true, then: 2 * minRest},
	} {
		rest = restAfter(rest, mostRest(one.busy), one.took)
		require.Equal(t, one.then, rest)
	}
}
