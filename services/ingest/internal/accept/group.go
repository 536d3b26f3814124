package accept

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/erpconnector/erpconnector/shared/postgres"
)

const (
	// maxTransactions is how many transactions of requests run at once. A request that finds fewer begins at once; others wait for
	// the end of one, and then share the next.
	maxTransactions = 2
	// maxWait is how long requests wait for others. Then those that run are not merely busy: one of them may wait for the lock of an
	// order. So another begins, up to maxSlowTransactions.
	maxWait             = 50 * time.Millisecond
	maxSlowTransactions = 8
	// maxShared is how many events requests may bring into one transaction together. A request alone may bring more.
	maxShared = 200
)

// group lets requests that wait at the same time share a transaction (group commit). There is no timer: whoever comes alone waits for
// nobody.
type group struct {
	take func(ctx context.Context, batch []*item) error

	mu      sync.Mutex
	running int
	waiting []*share // in their order
}

// share is the part of one request in a transaction.
type share struct {
	batch []*item
	turn  chan bool // one value: true to lead a transaction, false when another request has led it
	err   error
}

var errNoAnswer = errors.New("the transaction has no end")

// accept takes the events of one request, and perhaps those of others with them. It returns once they are committed. What ctx ends is
// only the waiting: a transaction that has begun goes on.
func (g *group) accept(ctx context.Context, batch []*item) error {
	own := &share{batch: batch, turn: make(chan bool, 1)}
	if g.join(own) {
		defer time.AfterFunc(maxWait, g.hurry).Stop()
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

// join lets a request lead, or wait.
func (g *group) join(own *share) (waits bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, own)
	if g.running < maxTransactions {
		g.begin()
		return false
	}
	return true
}

// begin lets the request lead that has waited longest. The caller holds mu.
func (g *group) begin() {
	g.running++
	g.waiting[0].turn <- true
	g.waiting = g.waiting[1:]
}

// hurry begins another transaction, as requests have waited for long.
func (g *group) hurry() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) > 0 && g.running < maxSlowTransactions {
		g.begin()
	}
}

// leave ends the waiting of a request. It is false when its turn has come.
func (g *group) leave(own *share) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, own)
	if i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	}
	return i >= 0
}

// lead runs one transaction, for this request and for those that wait, and lets the next request lead.
func (g *group) lead(ctx context.Context, own *share) {
	all := []*share{own}
	defer func() {
		g.end()
		for _, s := range all[1:] {
			s.turn <- false
		}
	}()
	all = append(all, g.gather(len(own.batch))...)
	var batch []*item
	for _, s := range all {
		s.err = errNoAnswer // in case of a panic
		batch = append(batch, s.batch...)
	}
	err := g.take(ctx, batch)
	for _, s := range all {
		s.err = err
		if len(all) > 1 && postgres.IsAboutData(err) { // of one of them
			s.err = g.take(ctx, s.batch)
		}
	}
}

// gather returns requests that wait, in their order, as long as there is room beside that many events.
func (g *group) gather(events int) (all []*share) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.waiting) > 0 && events+len(g.waiting[0].batch) <= maxShared {
		events += len(g.waiting[0].batch)
		all, g.waiting = append(all, g.waiting[0]), g.waiting[1:]
	}
	return all
}

// end counts a transaction that has ended, and lets the next request lead, if one waits.
func (g *group) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	if len(g.waiting) > 0 && g.running < maxTransactions {
		g.begin()
	}
}
