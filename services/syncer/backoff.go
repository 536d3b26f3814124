package syncer

import (
	"context"
	"time"

	"github.com/erpconnector/erpconnector/shared/pause"
)

// backoff doubles its waits from first to most.
type backoff struct {
	first, most time.Duration
	last        time.Duration
}

// sleep waits for the next step; false when ctx ends first.
func (b *backoff) sleep(ctx context.Context) bool {
	b.last = min(max(b.first, 2*b.last), b.most)
	return pause.For(ctx, b.last)
}
