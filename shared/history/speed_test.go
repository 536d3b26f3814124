//go:build speed

package history

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// Each range of 20 busy shops takes less than 50 ms.
func TestARangeIsReadQuickly(t *testing.T) {
	pool := testkit.Postgres(t).Pool
	fillWeek(t, pool)
	for _, r := range Ranges {
		best := time.Hour
		for range 30 { // the machine may be busy with something else
			began := time.Now()
			points, sum, err := Read(t.Context(), pool, r, "", now)
			require.NoError(t, err)
			best = min(best, time.Since(began))
			require.EqualValues(t, 20, points[0].Attempts/int32(r.Step/time.Minute))
			require.NotZero(t, sum.Orders.Count())
		}
		t.Logf("%s: %s", r.Name, best)
		require.Less(t, best, 50*time.Millisecond, r.Name)
	}
}
