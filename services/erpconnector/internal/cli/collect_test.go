package cli

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAProcessThatHasMuchInUseCollectsSooner(t *testing.T) {
	t.Parallel()
	for inUse, want := range map[uint64]int{0: 400, 10 << 20: 400, 64 << 20: 400, 80 << 20: 320, 128 << 20: 200, 10 << 30: 200} {
		require.Equal(t, want, gcPercentFor(inUse), "%d MiB", inUse>>20)
	}
}

// The percentage is one of the whole process, so no other test runs beside this one.
func TestThePercentageFollowsWhatIsInUse(t *testing.T) { //nolint:paralleltest // see above
	before := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	collectRarely()
	const percent = "/gc/gogc:percent"
	require.EqualValues(t, maxGCPercent, readMetric(percent))
	large := make([]byte, 300<<20)
	require.Eventually(t, func() bool { runtime.GC(); return readMetric(percent) == minGCPercent }, 10*time.Second, 10*time.Millisecond)
	runtime.KeepAlive(large)
	require.Eventually(t, func() bool { runtime.GC(); return readMetric(percent) == maxGCPercent }, 10*time.Second, 10*time.Millisecond)
}
