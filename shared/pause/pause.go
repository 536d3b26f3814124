// Package pause waits for a while between two tries.
package pause

import (
	"context"
	"time"
)

// For waits until d has passed or ctx ends, whichever comes first. The caller looks at ctx.
func For(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
