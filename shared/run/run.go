// Package run is what every worker needs: to sleep until it is told to stop, to wait longer after each failure, and to tell
// the log of an outage once.
package run

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Worker is work that runs as long as its process: a service's consumer, the relay. Run blocks until ctx ends, finishes
// or hands over what is in flight, and then returns nil. Any error means the service cannot go on: the process stops
// with a non-zero code and is started again by whoever supervises it.
type Worker interface {
	Name() string
	Run(ctx context.Context) error
}

// Sleep waits until d has passed or ctx ends, whichever comes first; it is false when ctx ended.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Backoff doubles its waits from Min to Max. It is for one goroutine.
type Backoff struct {
	Min, Max time.Duration
	last     time.Duration
}

// Next is the next wait.
func (b *Backoff) Next() time.Duration {
	b.last = min(max(b.Min, 2*b.last), b.Max)
	return b.last
}

// Sleep waits for the next wait; it is false when ctx ended first.
func (b *Backoff) Sleep(ctx context.Context) bool { return Sleep(ctx, b.Next()) }

// Reset begins again with Min.
func (b *Backoff) Reset() { b.last = 0 }

// Outage tells the log when something begins to fail and when it works again, not at each failure between. It may be used
// by several goroutines.
type Outage struct {
	Began, Ended string // the two messages
	Fields       []any  // of both

	mu      sync.Mutex
	failing bool
}

// Report takes the result of the latest try.
func (o *Outage) Report(log *slog.Logger, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err != nil && !o.failing:
		log.Warn(o.Began, append([]any{"error", err}, o.Fields...)...) //nolint:sloglint // of its maker: two constants
	case err == nil && o.failing:
		log.Info(o.Ended, o.Fields...) //nolint:sloglint // as above
	}
	o.failing = err != nil
}
