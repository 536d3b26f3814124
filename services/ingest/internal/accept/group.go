package accept

import (
	"context"
	"errors"
	"sync"

	"github.com/erpconnector/erpconnector/shared/postgres"
)

const (
	// maxTransactions is how many transactions of requests run at once. A request that finds fewer begins at once; others wait for
	// the end of one, and then share the next.
	maxTransactions = 2
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
	g.join(own)
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

func (g *group) join(own *share) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running == maxTransactions {
		g.waiting = append(g.waiting, own)
		return
	}
	g.running++
	own.turn <- true
}

// leave ends the waiting of a request. It is false when its turn has come.
func (g *group) leave(own *share) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, s := range g.waiting {
		if s == own {
			g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// lead runs one transaction, for this request and for those that wait, and lets the next request lead.
func (g *group) lead(ctx context.Context, own *share) {
	all := []*share{own}
	defer func() {
		g.next()
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

// next lets the next request lead, if one waits.
func (g *group) next() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.running--
		return
	}
	g.waiting[0].turn <- true
	g.waiting = g.waiting[1:]
}
