package syncer

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/erpconnector/erpconnector/shared/run"
)

const (
	maxWaitingEnds   = 10_000 // further ends are left to the projector
	closeGateTimeout = time.Second

	// closeGateRest is the time between two transactions, so that with many orders several gates share one. A gate that closes after a
	// pause waits for nothing. It is what the projector rests at most.
	closeGateRest = 50 * time.Millisecond
)

// gateCloser closes the gates of generations that ended, soon after their commit. It saves others the wait for the
// projection. It may fail: the projector makes sure that gates are closed.
type gateCloser struct {
	closeGates func(ctx context.Context, ends []GenerationEnd) error
	log        *slog.Logger
	postgres   *run.Outage

	mu     sync.Mutex
	ends   []GenerationEnd
	signal chan struct{}
}

func newGateCloser(closeGates func(ctx context.Context, ends []GenerationEnd) error, log *slog.Logger, postgres *run.Outage) *gateCloser {
	return &gateCloser{closeGates: closeGates, log: log, postgres: postgres, signal: make(chan struct{}, 1)}
}

// put never waits: the committer calls it between two transactions.
func (g *gateCloser) put(ends []GenerationEnd) {
	if len(ends) == 0 {
		return
	}
	g.mu.Lock()
	if len(g.ends) < maxWaitingEnds {
		g.ends = append(g.ends, ends...)
	}
	g.mu.Unlock()
	select {
	case g.signal <- struct{}{}:
	default:
	}
}

func (g *gateCloser) take() []GenerationEnd {
	g.mu.Lock()
	defer g.mu.Unlock()
	taken := g.ends
	g.ends = nil
	return taken
}

// run closes gates until done. What waits then is left to the projector: a stop should not wait for Postgres.
func (g *gateCloser) run(done <-chan struct{}) {
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-rest.C:
		case <-done:
			return
		}
		select {
		case <-g.signal:
		case <-done:
			return
		}
		rest.Reset(closeGateRest)
		ctx, cancel := context.WithTimeout(context.Background(), closeGateTimeout)
		g.postgres.Report(g.log, g.closeGates(ctx, g.take()))
		cancel()
	}
}
