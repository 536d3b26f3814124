package pause_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/pause"
)

func TestForEndsWithTheTimeOrTheContext(t *testing.T) {
	for name, c := range map[string]struct{ ctx, pause, want time.Duration }{
		"the time":           {ctx: time.Minute, pause: time.Second, want: time.Second},
		"the context":        {ctx: time.Second, pause: time.Minute, want: time.Second},
		"no time":            {ctx: time.Second, pause: 0, want: 0},
		"a context that has": {ctx: 0, pause: time.Second, want: 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), c.ctx)
				defer cancel()
				began := time.Now()
				passed := pause.For(ctx, c.pause)
				require.Equal(t, c.want, time.Since(began))
				if c.pause != c.ctx && c.pause > 0 && c.ctx > 0 { // else both have come, and either may be seen first
					require.Equal(t, c.pause < c.ctx, passed)
				}
			})
		})
	}
}
