package run

import (
	"context"
	"time"
)

// Pace lets a loop that works in batches rest after each, as long as the batch took, or a multiple of that. While there is much work the
// batches grow, and an item costs less; who finds work after a pause begins at once. It is for one goroutine.
type Pace struct {
	Rest     float64       // how long to rest, in times of what the batch took
	Min, Max time.Duration // of one rest

	until time.Time
}

// Worked notes that a batch has ended, which began at that time.
func (p *Pace) Worked(began time.Time) {
	now := time.Now()
	p.until = now.Add(min(p.Max, max(p.Min, time.Duration(p.Rest*float64(now.Sub(began))))))
}

// Left is how much of the rest is left; 0: nothing.
func (p *Pace) Left() time.Duration { return max(0, time.Until(p.until)) }

// Sleep waits until the rest is over. It is false when ctx ended first.
func (p *Pace) Sleep(ctx context.Context) bool {
	if left := p.Left(); left > 0 {
		return Sleep(ctx, left)
	}
	return ctx.Err() == nil
}
