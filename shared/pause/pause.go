// Package pause waits for a while between two tries.
package pause

import (
	"context"
	"time"
)

// For waits until d has passed or ctx ends, whichever comes first; it is false when ctx ended.
func For(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
