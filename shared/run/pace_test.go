package run_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/run"
)

func TestAPaceRestsAfterEachBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := run.Pace{Rest: 2, Min: 3 * time.Millisecond, Max: 50 * time.Millisecond}
		rests := func(took time.Duration) time.Duration {
			began := time.Now()
			time.Sleep(took)
			p.Worked(began)
			began = time.Now()
			require.True(t, p.Sleep(t.Context()))
			return time.Since(began)
		}
		require.Zero(t, p.Left(), "before the first batch")
		require.Equal(t, 10*time.Millisecond, rests(5*time.Millisecond))
		require.Equal(t, 50*time.Millisecond, rests(time.Minute))
		require.Equal(t, 3*time.Millisecond, rests(time.Millisecond))
		p.Worked(time.Now().Add(-5 * time.Millisecond))
		time.Sleep(4 * time.Millisecond)
		require.Equal(t, 6*time.Millisecond, p.Left(), "waiting for work is rest")
		time.Sleep(time.Second)
		began := time.Now()
		require.True(t, p.Sleep(t.Context()))
		require.Equal(t, began, time.Now(), "after a pause it begins at once")

		p.Worked(time.Now().Add(-time.Second))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.False(t, p.Sleep(ctx))
		time.Sleep(time.Second)
		require.False(t, p.Sleep(ctx))
	})
}
