package accept

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEachCallsForEachOnce(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, shareOfWorker, 2 * shareOfWorker, 1000} {
		calls := make([]atomic.Int64, n)
		each(n, func(i int) { calls[i].Add(1) })
		for i := range calls {
			require.EqualValues(t, 1, calls[i].Load(), "%d of %d", i, n)
		}
	}
}

func TestAPanicOfEachIsTheCallers(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 1000} {
		require.PanicsWithValue(t, "an event", func() {
			each(n, func(i int) {
				if i == n/2 {
					panic("an event")
				}
			})
		})
	}
}
