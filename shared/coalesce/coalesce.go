// Package coalesce lets calls that come at the same time share work that costs about the same for one as for many: a transaction, or
// a query.
//
// There is no timer while the work is quick: a call that comes alone begins at once. Those that come while the work runs share the
// next one, as in the group commit of a database.
package coalesce

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Group shares work between calls. Its fields must not change once Do is called.
type Group[T any] struct {
	// Work does the work for items of one call or of several. Calls stand one after another, each with its items in their order. An
	// error is one of each call.
	Work func(ctx context.Context, items []T) error

	Running     int           // how often Work runs at once
	SlowRunning int           // how often, when it does not end within MaxWait
	MaxWait     time.Duration // see SlowRunning
	MaxItems    int           // that calls bring into one Work together; a call alone may bring more

	// IsOwn reports whether an error may be about the items of one call. Then Work is done again for each call alone. nil: it never is.
	IsOwn func(err error) bool

	mu      sync.Mutex
	running int
	waiting []*call[T] // in their order
}

// call is one use of Do.
type call[T any] struct {
	items []T
	turn  chan bool // one value: true to lead the work, false when another call has led it
	err   error
}

var errNoEnd = errors.New("the shared work has no end")

// Do has the work done for the items, perhaps together with those of other calls. It returns once it is done. The work begins after Do
// was called. What ctx ends is only the waiting: work that has begun goes on.
func (g *Group[T]) Do(ctx context.Context, items ...T) error {
	own := &call[T]{items: items, turn: make(chan bool, 1)}
	if g.join(own) {
		defer time.AfterFunc(g.MaxWait, g.hurry).Stop()
	}
	leads := false
	select {
	case leads = <-own.turn:
	case <-ctx.Done():
		if g.leave(own) {
			return ctx.Err()
		}
		leads = <-own.turn
	}
	if leads {
		g.lead(context.WithoutCancel(ctx), own)
	}
	return own.err
}

// join lets a call lead, or wait.
func (g *Group[T]) join(own *call[T]) (waits bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, own)
	return !g.begin(g.Running)
}

// begin lets the call lead that has waited longest, if the work does not run that often yet. The caller holds mu.
func (g *Group[T]) begin(running int) bool {
	if len(g.waiting) == 0 || g.running >= running {
		return false
	}
	g.running++
	g.waiting[0].turn <- true
	g.waiting = g.waiting[1:]
	return true
}

// hurry lets more work begin than is usual: what runs is not merely busy, it may wait for a lock.
func (g *Group[T]) hurry() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.begin(g.SlowRunning)
}

// leave ends the waiting of a call. It is false when its turn has come.
func (g *Group[T]) leave(own *call[T]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, own)
	if i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	}
	return i >= 0
}

// lead does the work for this call and for those that wait, and lets the next call lead.
func (g *Group[T]) lead(ctx context.Context, own *call[T]) {
	all := []*call[T]{own}
	defer func() {
		g.end()
		for _, c := range all[1:] {
			c.turn <- false
		}
	}()
	all = append(all, g.gather(len(own.items))...)
	var items []T
	for _, c := range all {
		c.err = errNoEnd // in case of a panic
		items = append(items, c.items...)
	}
	err := g.Work(ctx, items)
	for _, c := range all {
		c.err = err
		if err != nil && len(all) > 1 && g.IsOwn != nil && g.IsOwn(err) {
			c.err = g.Work(ctx, c.items)
		}
	}
}

// gather returns calls that wait, in their order, as long as there is room beside that many items.
func (g *Group[T]) gather(items int) (all []*call[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.waiting) > 0 && items+len(g.waiting[0].items) <= g.MaxItems {
		items += len(g.waiting[0].items)
		all, g.waiting = append(all, g.waiting[0]), g.waiting[1:]
	}
	return all
}

// end counts work that has ended, and lets the next call lead, if one waits.
func (g *Group[T]) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	g.begin(g.Running)
}
