// Package run has what every worker needs: a sleep that a context ends, waits that grow after each failure, and log
// lines about an outage once when it begins and once when it ends.
package run

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Worker is work that runs as long as its process, such as a service's consumer. Run blocks until ctx ends, finishes or
// hands over what is in flight, and returns nil. An error means that the service cannot go on: the process stops with a
// non-zero code, and its supervisor starts it again.
type Worker interface {
	Name() string
	Run(ctx context.Context) error
}

// Sleep waits until d has passed or ctx ends. It is false when ctx ended first.
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

// Next returns the next wait.
func (b *Backoff) Next() time.Duration {
	b.last = min(max(b.Min, 2*b.last), b.Max)
	return b.last
}

// Sleep sleeps for the next wait. It is false when ctx ended first.
func (b *Backoff) Sleep(ctx context.Context) bool { return Sleep(ctx, b.Next()) }

// Reset starts again with Min.
func (b *Backoff) Reset() { b.last = 0 }

// Outage logs when something begins to fail and when it works again, but not each failure in between. It is safe for
// concurrent use.
type Outage struct {
	Began, Ended string // the two messages
	Fields       []any  // of both messages

	mu      sync.Mutex
	failing bool
}

// Report gives the result of the latest try; nil means that it works.
func (o *Outage) Report(log *slog.Logger, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err != nil && !o.failing:
		log.Warn(o.Began, append([]any{"error", err}, o.Fields...)...) //nolint:sloglint // the message is a constant where the Outage is made
	case err == nil && o.failing:
		log.Info(o.Ended, o.Fields...) //nolint:sloglint // as above
	}
	o.failing = err != nil
}
